"""The whole lab in one object."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.lab import plan
from tests.lab.cluster import PROXY_SYNC, Cluster
from tests.lab.control_plane import ControlPlane
from tests.lab.namespaces import Namespace
from tests.lab.network import Network
from tests.lab.porter import Porter
from tests.lab.redis_server import RedisServer
from tests.lab.route_watch import RouteWatch
from tests.lab.routers import Bird, Frr, Router
from tests.lab.routes import KernelRoutes
from tests.lab.run import Run
from tests.lab.traffic import Requests
from tests.lab.waiting import eventually

CRDS = Path(__file__).parents[2] / "deploy" / "crds"
PORTER_KINDS = ("Eip", "BgpConf", "BgpPeer", "BgpAdvertisement")
PORTER_NAMESPACE = "porter-system"
KEPT_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease", PORTER_NAMESPACE})
# The label that a test gives to cluster-wide objects of kinds that the cluster has of its own.
MADE_BY_A_TEST = "lab.porter.io/made-by=test"
COLLECTED_TIMEOUT_S = 30.0
WEB_LABELS = {"app": "web"}


class Lab:
    """A control plane, nodes with one ``app=web`` pod each, FRR and BIRD with a client behind each, and Redis.

    Start it, use it, close it; ``reset`` brings it back to what it was after the start.
    """

    def __init__(self, node_count: int = 3, prefix: str | None = None, proxy_sync: str = PROXY_SYNC) -> None:
        self.node_count = node_count
        self._proxy_sync = proxy_sync
        self.run = Run(prefix)
        self.set_up_s = 0.0
        self._porters: list[Porter] = []
        self._porter_namespaces: dict[int, Namespace] = {}

    def start(self) -> "Lab":
        """Bring everything up; ``set_up_s`` says how long it took. What was begun is removed if it fails."""
        began_s = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        self.set_up_s = time.monotonic() - began_s
        return self

    def _start(self) -> None:
        self.network = Network(self.run)
        self.control_plane = ControlPlane(self.run, self.network.host("control", plan.CONTROL_PLANE))
        self.control_plane.start()
        # The routers come up while the API server does.
        self.frr = Frr(self.run, self.network.host("frr", plan.FRR))
        self.bird = Bird(self.run, self.network.host("bird", plan.BIRD))
        self.redis = RedisServer(self.run, self.network.host("redis", plan.REDIS))
        for number, router in enumerate(self.routers, start=1):
            router.start()
            router.client_namespace = self.network.client(router.namespace, number)
        self.redis.start()
        self.control_plane.wait_ready()
        self.client = self.control_plane.client
        self.cluster = Cluster(self.run, self.network, self.control_plane, proxy_sync=self._proxy_sync)
        self.crds = self.control_plane.install_crds(CRDS) if CRDS.is_dir() else []
        self.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PORTER_NAMESPACE}})
        for number in range(1, self.node_count + 1):
            self.cluster.add_node(number)
        for name in self.web_nodes:
            self.cluster.add_pod(name, f"web-{name}", WEB_LABELS, wait=False)
        for pod in self.cluster.pods.values():
            self.cluster.wait_pod(pod)
        for router in self.routers:
            router.wait_ready()
            router.remember_own_routes()
        self.cluster.wait_proxies()

    @property
    def routers(self) -> tuple[Router, Router]:
        """Both routers."""
        return (self.frr, self.bird)

    @property
    def kernels(self) -> tuple[KernelRoutes, KernelRoutes]:
        """The route monitors of both routers."""
        return (self.frr.kernel, self.bird.kernel)

    @property
    def web_nodes(self) -> list[str]:
        """The nodes that are there from the start, each with a pod ``web-<node>``."""
        return [f"n{number}" for number in range(1, self.node_count + 1)]

    def next_hops(self, *nodes: str, family: int = 4) -> set[str]:
        """The addresses of nodes as next hops; of the nodes that are there from the start if none is named."""
        chosen = [self.cluster.nodes[name].addresses for name in nodes or self.web_nodes]
        return {addresses.v4 if family == 4 else addresses.v6 for addresses in chosen}

    def porter(
        self,
        number: int = 1,
        *,
        command: str = "up",
        user: str = "admin",
        redis: bool | str = True,
        options: Sequence[str] = (),
        name: str | None = None,
    ) -> Porter:
        """Porter's program(s) in the ``number``-th namespace, not yet started; ended by ``reset`` and ``close``.

        With ``redis`` the lab's server is used, or the one of a URL, else the embedded one.
        """
        made = Porter(
            self.run,
            self.porter_namespace(number),
            name or f"{command}{number}",
            plan.porter(number).v4,
            self.control_plane.kubeconfig(user),
            command=command,
            redis_url=redis if isinstance(redis, str) else self.redis.url if redis else None,
            options=options,
        )
        self._porters.append(made)
        return made

    def porter_namespace(self, number: int) -> Namespace:
        """The ``number``-th namespace for Porter, or for a hand-driven speaker."""
        if number not in self._porter_namespaces:
            self._porter_namespaces[number] = self.network.host(f"porter{number}", plan.porter(number))
        return self._porter_namespaces[number]

    def watch(
        self,
        expected: Mapping[str, Sequence[str] | set[str]],
        *,
        only_count: bool = False,
        kernels: Sequence[KernelRoutes] = (),
    ) -> RouteWatch:
        """Prove for the length of a block that no expected next hop is missing, on both routers or in these kernels."""
        return RouteWatch(kernels or self.kernels, expected, only_count=only_count)

    @contextlib.contextmanager
    def requests(self, *addresses: str) -> Iterator[tuple[Requests, Requests]]:
        """Requests every 20 ms from both clients for the length of a block; its end fails if one failed."""
        behind_frr, behind_bird = (Requests(self.run, router.client, addresses) for router in self.routers)
        with behind_frr, behind_bird:
            yield (behind_frr, behind_bird)
        behind_frr.check()
        behind_bird.check()

    def reset(self) -> None:
        """Back to the state after the start: no Porter, no Service, no route, every node and pod as it was."""
        for porter in self._porters:
            porter.end()
        self._porters.clear()
        self._remove_objects()
        self._restore_nodes()
        self._restore_redis()
        for router in self.routers:
            router.resume()
            self.network.mend(router.name)
            if not router.add_path:
                router.set_add_path(True)
            if router.bfd:
                router.set_bfd()
            router.flush()
            router.kernel.begin_anew()

    def close(self) -> None:
        """End and remove everything."""
        self.run.close()

    def __enter__(self) -> "Lab":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _remove_objects(self) -> None:
        client = self.client
        for kind in PORTER_KINDS:
            if client.serves(kind):
                client.request("DELETE", client.path(kind, None, None))
        for namespace in client.list("Namespace"):
            name = namespace["metadata"]["name"]
            client.request(
                "DELETE", client.path("Service", None, name), query={"fieldSelector": "metadata.name!=kubernetes"}
            )
            client.request(
                "DELETE",
                client.path("EndpointSlice", None, name),
                query={"labelSelector": "endpointslice.kubernetes.io/managed-by=lab.porter.io"},
            )
            client.request("DELETE", client.path("Event", None, name))
            if name not in KEPT_NAMESPACES:
                client.delete("Namespace", name)
        client.request("DELETE", client.path("Lease", None, PORTER_NAMESPACE))
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            client.request("DELETE", client.path(kind, None, None), query={"labelSelector": MADE_BY_A_TEST})
        # The garbage collector takes a moment; a Service of the same name would find the old slices.
        eventually(lambda: not client.list("EndpointSlice"), "every EndpointSlice is gone", COLLECTED_TIMEOUT_S)

    def _restore_nodes(self) -> None:
        cluster = self.cluster
        for name, namespace in [key[::-1] for key in cluster.pods]:
            if namespace != "default" or name not in {f"web-{node}" for node in self.web_nodes}:
                cluster.delete_pod(name, namespace)
        for name in [name for name in cluster.nodes if name not in self.web_nodes]:
            cluster.delete_node(name)
        for number, name in enumerate(self.web_nodes, start=1):
            self._restore_node(number, name)

    def _restore_node(self, number: int, name: str) -> None:
        cluster = self.cluster
        node = cluster.nodes.get(name)
        if node is not None and (node.kube_proxy is None or not node.kube_proxy.alive):
            cluster.delete_node(name)
            node = None
        if node is None:
            cluster.add_node(number)
            cluster.wait_proxies()
        elif self.client.find("Node", name) is None:
            cluster.restore_node(name)
        else:
            self._restore_node_object(name)
        pod = cluster.pods.get(("default", f"web-{name}"))
        served = self.client.find("Pod", f"web-{name}")
        whole = pod is not None and pod.process is not None and pod.process.alive and served is not None
        if pod is not None and (not whole or "deletionTimestamp" in (served or {})["metadata"]):
            cluster.delete_pod(pod.name)
            pod = None
        if pod is None:
            cluster.add_pod(name, f"web-{name}", WEB_LABELS)
        else:
            cluster.set_pod_ready(pod.name, True)
        self.network.mend(name)

    def _restore_node_object(self, name: str) -> None:
        labels = self.client.get("Node", name)["metadata"]["labels"]
        standard = {"kubernetes.io/hostname", "kubernetes.io/os"}
        if extra := {key: None for key in labels if key not in standard}:
            self.cluster.label_node(name, extra)
        self.client.patch("Node", name, {"spec": {"unschedulable": None, "taints": None}})
        self.cluster.set_node_ready(name, True)

    def _restore_redis(self) -> None:
        process = self.redis.process
        assert process is not None
        process.resume()
        if not process.alive:
            with contextlib.suppress(FileNotFoundError):
                for path in (self.redis.folder / "appendonlydir").iterdir():
                    path.unlink()
            self.redis.start()
        self.redis.flush()
