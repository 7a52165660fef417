"""The folder of manifests that stands for a cluster in the demo: what a user would apply, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "shop"
POOL = "public"
POOL_CIDR = "203.0.113.0/28"
"""A documentation range (RFC 5737): it never collides with an address in use."""
PEER = "lab-router"
OWN_AS = 64500
ROUTER_AS = 64512
SPEAKER_ADDRESS = "127.0.0.1"
ROUTER_ADDRESS = "127.0.0.2"
NODES = {"node-1": "192.0.2.11", "node-2": "192.0.2.12", "node-3": "192.0.2.13"}

Manifest = dict[str, Any]


class World:
    """Writes and removes manifests in one folder; a file appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self, router_port: int) -> None:
        """Everything but Services: a Namespace, three Nodes, a pool, and a session with the router."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("namespace", namespace())
        for name, address in NODES.items():
            self._write(name, node(name, address))
        self._write("bgp", pool(), conf(), peer(router_port))

    def serve(self, name: str, nodes: Sequence[str], *, local: bool = False) -> None:
        """A Service and its endpoints on these nodes."""
        self._write(f"service-{name}", service(name, local=local), endpoints(name, nodes))

    def remove(self, name: str) -> None:
        """Delete a Service and its endpoints."""
        (self.folder / f"service-{name}.yaml").unlink()

    def _write(self, name: str, *manifests: Manifest) -> None:
        temporary = self.folder / f".{name}.new"
        temporary.write_text(yaml.safe_dump_all(manifests, sort_keys=False))
        temporary.replace(self.folder / f"{name}.yaml")


def namespace() -> Manifest:
    """The Services' Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def node(name: str, address: str) -> Manifest:
    """A Node that is Ready."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pool() -> Manifest:
    """An Eip that serves every Service that asks for none in particular."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "Eip",
        "metadata": {"name": POOL, "annotations": {"eip.openelb.kubesphere.io/is-default-eip": "true"}},
        "spec": {"address": POOL_CIDR, "protocol": "bgp"},
    }


def conf() -> Manifest:
    """The speakers' own side of BGP."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "BgpConf",
        "metadata": {"name": "default"},
        "spec": {"as": OWN_AS, "routerId": SPEAKER_ADDRESS},
    }


def peer(port: int) -> Manifest:
    """The session with the lab router, on a port that needs no privilege."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "BgpPeer",
        "metadata": {"name": PEER},
        "spec": {
            "conf": {"neighborAddress": ROUTER_ADDRESS, "peerAs": ROUTER_AS},
            "transport": {"remotePort": port},
            "ebgpMultihop": {"enabled": True, "multihopTtl": 4},
        },
    }


def service(name: str, *, local: bool) -> Manifest:
    """A LoadBalancer Service that asks for Porter by annotation."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": {"lb.kubesphere.io/v1alpha1": "porter"},
        },
        "spec": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local" if local else "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        },
    }


def endpoints(name: str, nodes: Sequence[str]) -> Manifest:
    """The EndpointSlice of a Service: one ready endpoint on each of these nodes."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": [
            {"addresses": [f"10.244.{number}.10"], "nodeName": node, "conditions": {"ready": True, "serving": True}}
            for number, node in enumerate(nodes, start=1)
        ],
    }
