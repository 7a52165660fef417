"""Nodes, pods and Services on top of the control plane.

No kubelet runs: Nodes and Pods are objects whose status is patched here; EndpointSlices then come by themselves from
the controller-manager, and kube-proxy in each node's namespace makes the node answer for a Service's addresses.
"""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import manifests, plan, programs
from tests.lab.client import STRATEGIC_PATCH, Client, Object
from tests.lab.control_plane import KUBE_PROXY, ControlPlane
from tests.lab.namespaces import CommandFailed, Namespace
from tests.lab.network import Network
from tests.lab.processes import Process
from tests.lab.run import Run
from tests.lab.waiting import eventually

KUBE_PROXY_HEALTH_PORT = 10256
KUBE_PROXY_TIMEOUT_S = 30.0
POD_TIMEOUT_S = 10.0
SERVED_TIMEOUT_S = 10.0
POD_SERVER = Path(__file__).with_name("pod_server.py")
POD_BRIDGE = "pods"
PROXY_SYNC = "100ms"
"""kube-proxy's shortest time between two writes of its rules: tests wait for it."""
DEFAULT_PROXY_SYNC = "1s"
"""kube-proxy's own default, with which it runs in clusters."""


@dataclass
class Node:
    """A node; a *paper* node is an object alone, without namespace, kube-proxy and pods that run."""

    name: str
    number: int
    addresses: plan.Addresses
    namespace: Namespace | None = None
    kube_proxy: Process | None = None
    pods_made: int = 0

    @property
    def is_paper(self) -> bool:
        """Whether nothing of this node exists but its object."""
        return self.namespace is None


@dataclass
class Pod:
    """A pod; ``process`` is its HTTP server, None on a paper node."""

    name: str
    namespace_name: str
    node: Node
    addresses: plan.Addresses
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Namespace | None = None
    process: Process | None = None


class Cluster:
    """What ``kubectl`` shows, and the namespaces behind it. ``client`` is an administrator's."""

    def __init__(
        self, run: Run, network: Network, control_plane: ControlPlane, *, proxy_sync: str = PROXY_SYNC
    ) -> None:
        self._run = run
        self._proxy_sync = proxy_sync
        self._network = network
        self.control_plane = control_plane
        self.client: Client = control_plane.client
        self.nodes: dict[str, Node] = {}
        self.pods: dict[tuple[str, str], Pod] = {}

    # Nodes

    def add_node(self, number: int, *, paper: bool = False, labels: Mapping[str, str] | None = None) -> Node:
        """Add the Node ``n<number>``, Ready; unless it is a paper one, with its namespace and kube-proxy.

        kube-proxy is started but not waited for: see ``wait_proxies``.
        """
        name = f"n{number}"
        assert name not in self.nodes, f"{name} is there already"
        node = Node(name, number, plan.node(number))
        self.nodes[name] = node
        self.client.create(manifests.node(name, node.addresses, number, labels))
        self.set_node_ready(name, True)
        if not paper:
            node.namespace = self._wire_node(node)
            node.kube_proxy = self._start_kube_proxy(node)
        return node

    def wait_proxies(self) -> None:
        """Wait until every kube-proxy has written its rules once."""
        for node in self.nodes.values():
            if node.namespace is not None and node.kube_proxy is not None:
                where = node.namespace
                node.kube_proxy.wait_ready(
                    lambda where=where: where.http_get("127.0.0.1", KUBE_PROXY_HEALTH_PORT, "/healthz")[0] == 200,  # type: ignore[misc]
                    "/healthz",
                    KUBE_PROXY_TIMEOUT_S,
                )

    def set_node_ready(self, name: str, ready: bool) -> None:
        """Patch a Node's status: its InternalIPs and the Ready condition, as its kubelet would."""
        node = self.nodes[name]
        now = _now()
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "reason": "KubeletReady" if ready else "KubeletNotReady",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        addresses = [{"type": "InternalIP", "address": address} for address in node.addresses]
        status = {"addresses": [*addresses, {"type": "Hostname", "address": name}], "conditions": [condition]}
        # Not a strategic patch: that merges addresses by type, and a node has two InternalIPs.
        self.client.patch("Node", name, {"status": status}, subresource="status")

    def label_node(self, name: str, labels: Mapping[str, str | None]) -> None:
        """Set labels of a Node; None removes one."""
        self.client.patch("Node", name, {"metadata": {"labels": dict(labels)}})

    def delete_node(self, name: str) -> None:
        """Delete a Node with the pods on it, its kube-proxy and its namespace."""
        node = self.nodes.pop(name)
        for pod in [pod for pod in self.pods.values() if pod.node is node]:
            self.delete_pod(pod.name, pod.namespace_name)
        self.client.delete("Node", name)
        self.unplug_node(node)

    def delete_node_object(self, name: str) -> None:
        """Delete the Node object alone: the machine goes on, and ``restore_node`` brings the object back."""
        self.client.delete("Node", name)

    def restore_node(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create the object of a node of this cluster again, Ready."""
        node = self.nodes[name]
        self.client.create(manifests.node(name, node.addresses, node.number, labels))
        self.set_node_ready(name, True)

    def unplug_node(self, node: Node) -> None:
        """Take a node's machine away and leave the object."""
        if node.kube_proxy is not None:
            self._run.forget(node.kube_proxy)
            node.kube_proxy = None
        if node.namespace is not None:
            self._run.remove_namespace(node.namespace)
            node.namespace = None
            self._drop_pod_routes(node)

    # Pods

    def add_pod(
        self,
        node_name: str,
        name: str,
        labels: Mapping[str, str],
        *,
        namespace: str = "default",
        ready: bool = True,
        wait: bool = True,
    ) -> Pod:
        """Add a Pod on a node, with its HTTP server unless the node is a paper one, and set it Ready."""
        node = self.nodes[node_name]
        node.pods_made += 1
        pod = Pod(name, namespace, node, plan.pod(node.number, node.pods_made), labels)
        self.pods[namespace, name] = pod
        if not node.is_paper:
            self._wire_pod(pod)
        self.client.create(manifests.pod(name, node_name, labels, namespace))
        self.set_pod_ready(name, ready, namespace)
        if wait:
            self.wait_pod(pod)
        return pod

    def wait_pod(self, pod: Pod) -> None:
        """Wait until a pod's server answers inside its namespace."""
        if pod.process is not None and pod.namespace is not None:
            where = pod.namespace
            pod.process.wait_ready(
                lambda: where.http_get("127.0.0.1", plan.POD_PORT, "/")[0] == 200, "HTTP", POD_TIMEOUT_S
            )

    def set_pod_ready(self, name: str, ready: bool, namespace: str = "default") -> None:
        """Patch a Pod's status: running, its addresses, and the Ready condition."""
        pod = self.pods[namespace, name]
        state = "True" if ready else "False"
        status = {
            "phase": "Running",
            "podIP": pod.addresses.v4,
            "podIPs": [{"ip": address} for address in pod.addresses],
            "hostIP": pod.node.addresses.v4,
            "conditions": [{"type": kind, "status": state} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [
                {
                    "name": "http",
                    "image": "lab",
                    "imageID": "",
                    "restartCount": 0,
                    "ready": ready,
                    "state": {"running": {"startedAt": _now()}},
                }
            ],
        }
        self.client.patch("Pod", name, {"status": status}, namespace, "status", STRATEGIC_PATCH)

    def terminate_pod(self, name: str, namespace: str = "default", grace_s: int = 300) -> None:
        """Delete a Pod gracefully: it stays, terminating and still serving, until ``delete_pod``."""
        self.client.delete("Pod", name, namespace, grace_s)

    def delete_pod(self, name: str, namespace: str = "default") -> None:
        """Delete a Pod at once, with its server and namespace."""
        pod = self.pods.pop((namespace, name))
        self.client.delete("Pod", name, namespace, grace_s=0)
        if pod.process is not None:
            self._run.forget(pod.process)
        if pod.namespace is not None:
            self._run.remove_namespace(pod.namespace)

    # Services

    def create_service(self, name: str, **options: object) -> Object:
        """Create a Service as ``manifests.service`` makes it."""
        return self.client.create(manifests.service(name, **options))  # type: ignore[arg-type]

    def create_paper_service(self, name: str, nodes: Iterable[str], *, number: int = 1, **options: object) -> Object:
        """Create a Service without selector whose endpoints, one per node, are written by hand: cheap by the hundred.

        ``number`` tells the slices' made-up pod addresses apart.
        """
        created = self.create_service(name, **options)
        families = created["spec"]["ipFamilies"]
        for index, family in enumerate(("IPv4", "IPv6")):
            if family in families:
                endpoints = [(node, _paper_address(self.nodes[node], number)[index], True) for node in nodes]
                slice_ = manifests.endpoint_slice(
                    name, endpoints, namespace=created["metadata"]["namespace"], suffix=family.lower()
                )
                self.client.create(slice_)
        return created

    def set_ingress(self, service: str, addresses: Sequence[str], namespace: str = "default") -> None:
        """Write a Service's ``status.loadBalancer`` by hand, in a test without Porter."""
        ingress = [{"ip": address, "ipMode": "VIP"} for address in addresses]
        self.client.patch("Service", service, {"status": {"loadBalancer": {"ingress": ingress}}}, namespace, "status")

    def wait_ingress(
        self, service: str, count: int = 1, namespace: str = "default", timeout_s: float = 10.0
    ) -> list[str]:
        """Wait until a Service has ``count`` addresses in its status, and return them."""
        found = self.client.wait(
            "Service", service, lambda each: len(ingress_of(each)) == count, f"{count} addresses", namespace, timeout_s
        )
        return ingress_of(found)

    def wait_served(self, *addresses: str, port: int = 80, timeout_s: float = SERVED_TIMEOUT_S) -> None:
        """Wait until every node's kube-proxy has these addresses of Services in its rules.

        Each writes them in its own time, and a router spreads over all nodes: one answer proves one node.
        """
        for node in self.nodes.values():
            for address in addresses:
                eventually(
                    lambda node=node, address=address: _serves(node, address, port),  # type: ignore[misc]
                    f"{node.name} serves {address}",
                    timeout_s,
                )

    def wait_endpoints(self, service: str, nodes: Iterable[str], namespace: str = "default") -> None:
        """Wait until the ready endpoints of a Service are on exactly these nodes."""
        wanted = set(nodes)
        eventually(
            lambda: self.endpoint_nodes(service, namespace) == wanted, f"{service} has endpoints on {wanted}", 10.0
        )

    def endpoint_nodes(self, service: str, namespace: str = "default") -> set[str]:
        """The nodes of a Service's ready endpoints."""
        slices = self.client.list("EndpointSlice", namespace, f"kubernetes.io/service-name={service}")
        return {
            endpoint["nodeName"]
            for each in slices
            for endpoint in each.get("endpoints") or ()
            if endpoint["conditions"].get("ready")
        }

    # Wiring

    def _wire_node(self, node: Node) -> Namespace:
        namespace = self._run.namespace(node.name)
        namespace.forward()
        self._network.attach(namespace, node.name, node.addresses)
        self._network.route_to_clients(namespace)
        namespace.add_bridge(POD_BRIDGE)
        gateway = plan.pod_gateway(node.number)
        namespace.add_address(POD_BRIDGE, gateway.v4, 24)
        namespace.add_address(POD_BRIDGE, gateway.v6, 64)
        for other in self.nodes.values():
            if other is not node and other.namespace is not None:
                _route_pods(namespace, other)
                _route_pods(other.namespace, node)
        return namespace

    def _drop_pod_routes(self, gone: Node) -> None:
        for other in self.nodes.values():
            if other.namespace is not None:
                for prefix in plan.pod_networks(gone.number):
                    other.namespace.remove_route(prefix)

    def _start_kube_proxy(self, node: Node) -> Process:
        assert node.namespace is not None
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": node.name,
            "clusterCIDR": f"{plan.POD_NETWORK4},{plan.POD_NETWORK6}",
            "clientConnection": {"kubeconfig": str(self.control_plane.kubeconfig(KUBE_PROXY))},
            # The limit of tracked connections is the machine's, not the lab's to change.
            "conntrack": {"maxPerCore": 0, "min": 0},
            "nftables": {"minSyncPeriod": self._proxy_sync, "syncPeriod": "30s"},
            "healthzBindAddress": f"127.0.0.1:{KUBE_PROXY_HEALTH_PORT}",
            "metricsBindAddress": "127.0.0.1:10249",
        }
        path = self._run.folder / f"kube-proxy-{node.name}.json"
        path.write_text(json.dumps(configuration))
        program = programs.kubernetes_programs()["kube-proxy"]
        return self._run.process(f"kube-proxy-{node.name}", [program, f"--config={path}"], node.namespace)

    def _wire_pod(self, pod: Pod) -> None:
        node = pod.node
        assert node.namespace is not None
        pod.namespace = self._run.namespace(f"{node.name}-pod{node.pods_made}")
        pod.namespace.add_veth("eth0", node.namespace, f"pod{node.pods_made}", POD_BRIDGE)
        pod.namespace.add_address("eth0", pod.addresses.v4, 24)
        pod.namespace.add_address("eth0", pod.addresses.v6, 64)
        gateway = plan.pod_gateway(node.number)
        pod.namespace.replace_route("default4", [gateway.v4])
        pod.namespace.replace_route("default6", [gateway.v6])
        argv: list[str | Path] = [sys.executable, "-I", "-S", POD_SERVER, pod.name, str(plan.POD_PORT)]
        pod.process = self._run.process(f"pod-{pod.namespace_name}-{pod.name}", argv, pod.namespace)


def ingress_of(service: Object) -> list[str]:
    """The addresses in a Service's status."""
    return [each["ip"] for each in service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()]


def _serves(node: Node, address: str, port: int) -> bool:
    if node.namespace is None:
        return True
    family = "ip6" if ":" in address else "ip"
    element = f"{{ {address} . tcp . {port} }}"
    try:
        node.namespace.run(programs.find("nft"), "get", "element", family, "kube-proxy", "service-ips", element)
    except CommandFailed:
        return False
    return True


def _paper_address(node: Node, number: int) -> plan.Addresses:
    networks = plan.pod_networks(node.number)
    v4 = networks.v4.rpartition(".")[0]
    v6 = networks.v6.partition("::/")[0]
    return plan.Addresses(f"{v4}.{200 + number % 50}", f"{v6}::f:{number:x}")


def _route_pods(namespace: Namespace, node: Node) -> None:
    for prefix, gateway in zip(plan.pod_networks(node.number), node.addresses, strict=True):
        namespace.replace_route(prefix, [gateway])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
