"""Who has which address in the lab.

Everything hangs on one bridge, the fabric, as in a rack with one subnet. Pods live behind their node, clients behind
a router. A test may use ``VIRTUAL4`` and ``VIRTUAL6`` for the addresses of Services: nothing else is there.
"""

from typing import NamedTuple


class Addresses(NamedTuple):
    """An IPv4 and an IPv6 address of one owner, without prefix length."""

    v4: str
    v6: str


FABRIC4 = "10.77.0.0/24"
FABRIC6 = "fd77::/64"
FABRIC4_LENGTH = 24
FABRIC6_LENGTH = 64

POD_NETWORK4 = "10.88.0.0/16"
POD_NETWORK6 = "fd88::/16"
SERVICE_NETWORKS = "10.96.0.0/16,fd96::/112"

VIRTUAL4 = "198.51.100.0/24"
VIRTUAL6 = "2001:db8:51::/64"

SPEAKER_AS = 64500
FRR_AS = 64512
BIRD_AS = 64513

FRR = Addresses("10.77.0.1", "fd77::1")
BIRD = Addresses("10.77.0.2", "fd77::2")
CONTROL_PLANE = Addresses("10.77.0.10", "fd77::10")
REDIS = Addresses("10.77.0.30", "fd77::30")

API_PORT = 6443
REDIS_PORT = 6379
POD_PORT = 8080

PORTERS_MAX = 8
NODES_MAX = 150
PODS_PER_NODE_MAX = 200


def porter(number: int) -> Addresses:
    """The addresses of the ``number``-th namespace for Porter's programs, counted from 1."""
    assert 1 <= number <= PORTERS_MAX
    return Addresses(f"10.77.0.{19 + number}", f"fd77::{19 + number}")


def node(number: int) -> Addresses:
    """The InternalIPs of node ``n<number>``, counted from 1."""
    assert 1 <= number <= NODES_MAX
    return Addresses(f"10.77.0.{100 + number}", f"fd77::{100 + number}")


def pod_gateway(node_number: int) -> Addresses:
    """The addresses of a node on its bridge of pods (/24 and /64)."""
    return Addresses(f"10.88.{node_number}.1", f"fd88:{node_number}::1")


def pod_networks(node_number: int) -> Addresses:
    """The networks of a node's pods, with prefix lengths."""
    return Addresses(f"10.88.{node_number}.0/24", f"fd88:{node_number}::/64")


def pod(node_number: int, number: int) -> Addresses:
    """The addresses of a node's ``number``-th pod, counted from 1."""
    assert 1 <= number <= PODS_PER_NODE_MAX
    return Addresses(f"10.88.{node_number}.{9 + number}", f"fd88:{node_number}::{9 + number:x}")


def client(router_number: int) -> Addresses:
    """The addresses of the client behind router 1 (FRR) or 2 (BIRD)."""
    return Addresses(f"10.78.{router_number}.2", f"fd78:0:0:{router_number}::2")


def client_gateway(router_number: int) -> Addresses:
    """The router's addresses on its client's side."""
    return Addresses(f"10.78.{router_number}.1", f"fd78:0:0:{router_number}::1")


def client_networks(router_number: int) -> Addresses:
    """The networks between a router and its client, with prefix lengths."""
    return Addresses(f"10.78.{router_number}.0/24", f"fd78:0:0:{router_number}::/64")
