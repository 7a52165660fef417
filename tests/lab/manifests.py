"""Manifests that tests need often. Each function returns a plain object for ``Client.create`` or ``apply``."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab import plan

Object = dict[str, Any]

OPENELB_ANNOTATION = "lb.kubesphere.io/v1alpha1"
MANAGED_BY = "lab.porter.io"
PORTER_CLASS = "porter.io/porter"


def service(
    name: str,
    *,
    namespace: str = "default",
    selector: Mapping[str, str] | None = None,
    families: Sequence[str] = ("IPv4",),
    policy: str = "Cluster",
    load_balancer_class: str | None = None,
    annotations: Mapping[str, str] | None = None,
    port: int = 80,
    **spec: object,
) -> Object:
    """A Service of type LoadBalancer for the lab's pods.

    Without a class it carries the annotation that makes it Porter's. Without a selector its endpoints are written by
    hand. Two ``families`` require dual stack. ``spec`` adds fields, such as ``loadBalancerIP``.
    """
    marks = {} if load_balancer_class else {OPENELB_ANNOTATION: "porter"}
    body: Object = {
        "type": "LoadBalancer",
        "ports": [{"name": "http", "port": port, "targetPort": plan.POD_PORT, "protocol": "TCP"}],
        "ipFamilies": list(families),
        "ipFamilyPolicy": "RequireDualStack" if len(families) == 2 else "SingleStack",
        "externalTrafficPolicy": policy,
        **spec,
    }
    if selector is not None:
        body["selector"] = dict(selector)
    if load_balancer_class is not None:
        body["loadBalancerClass"] = load_balancer_class
    metadata = {"name": name, "namespace": namespace, "annotations": {**marks, **(annotations or {})}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": body}


def endpoint_slice(
    service_name: str,
    endpoints: Sequence[tuple[str, str, bool]],
    *,
    namespace: str = "default",
    suffix: str = "lab",
) -> Object:
    """An EndpointSlice written by hand: (node, address, ready) of each endpoint, all of one family.

    Its managed-by label keeps the endpointslice controller away from it.
    """
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service_name}-{suffix}",
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": service_name,
                "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
            },
        },
        "addressType": "IPv6" if endpoints and ":" in endpoints[0][1] else "IPv4",
        "ports": [{"name": "http", "port": plan.POD_PORT, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [address],
                "nodeName": node,
                "conditions": {"ready": ready, "serving": ready, "terminating": False},
            }
            for node, address, ready in endpoints
        ],
    }


def node(name: str, addresses: plan.Addresses, number: int, labels: Mapping[str, str] | None = None) -> Object:
    """A Node object; its status is patched by the cluster."""
    pods = plan.pod_networks(number)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})},
            "annotations": {"lab.porter.io/addresses": ",".join(addresses)},
        },
        "spec": {"podCIDR": pods.v4, "podCIDRs": [pods.v4, pods.v6]},
    }


def pod(name: str, node_name: str, labels: Mapping[str, str], namespace: str = "default") -> Object:
    """A Pod that is bound to its node from the start."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "nodeName": node_name,
            "containers": [{"name": "http", "image": "lab", "ports": [{"containerPort": plan.POD_PORT}]}],
            "tolerations": [{"operator": "Exists"}],
        },
    }


def eip(name: str = "pool", *, address: str = plan.VIRTUAL4, default: bool = True, **spec: object) -> Object:
    """A pool of addresses; the default one unless said otherwise."""
    annotations = {"eip.openelb.kubesphere.io/is-default-eip": "true"} if default else {}
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "Eip",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"address": address, "protocol": "bgp", **spec},
    }


def bgp_conf(as_number: int = plan.SPEAKER_AS, **spec: object) -> Object:
    """The speakers' own settings; the object's name is fixed by the API."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "BgpConf",
        "metadata": {"name": "default"},
        "spec": {"as": as_number, "listenPort": 179, **spec},
    }


def bgp_peer(name: str, address: str, as_number: int, *, add_path: bool = True, **spec: object) -> Object:
    """A router to announce to, for both families, with graceful restart and (unless said otherwise) ADD-PATH."""
    paths = {"addPaths": {"config": {"sendMax": 64}}} if add_path else {}
    families = [
        {
            "config": {"family": {"afi": afi, "safi": "SAFI_UNICAST"}, "enabled": True},
            "mpGracefulRestart": {"config": {"enabled": True}},
            **paths,
        }
        for afi in ("AFI_IP", "AFI_IP6")
    ]
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "BgpPeer",
        "metadata": {"name": name},
        "spec": {
            "conf": {"neighborAddress": address, "peerAs": as_number},
            "gracefulRestart": {"enabled": True, "restartTime": 120},
            "afiSafis": families,
            **spec,
        },
    }
