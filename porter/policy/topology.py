"""Who serves a peer: central speakers announce every node, agents only their own.

1. A peer's topology is its own setting, else the BgpConf's, else central.
2. Central speakers serve the peers of topology central, whatever their nodeSelector: it chooses the next hops there.
3. The agent of a node serves the peers of topology node whose nodeSelector selects its node.
4. An agent's next hop is its own node, with the node's own address of the family, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping

from porter.events.observed import ConfObserved, NodeObserved, PeerObserved
from porter.model.bgp import NextHop, node_of
from porter.model.selector import Selector
from porter.policy.selectors import matches

CENTRAL, NODE = "central", "node"


def topology_of(peer: PeerObserved, conf: ConfObserved | None) -> str:
    """Which speakers a peer takes."""
    return peer.topology or (CENTRAL if conf is None else conf.topology)


def selects(peer: PeerObserved, node: NodeObserved | None) -> bool:
    """Whether a peer's nodeSelector selects a node; one that is not there is not selected."""
    return node is not None and matches(Selector(peer.node_selector, peer.node_expressions), node.labels)


def serves(speaker: str, peer: PeerObserved, conf: ConfObserved | None, nodes: Mapping[str, NodeObserved]) -> bool:
    """Whether a speaker has a session with a peer."""
    node, topology = node_of(speaker), topology_of(peer, conf)
    return (topology == NODE and selects(peer, nodes.get(node))) if node else topology == CENTRAL


def own(speaker: str, hops: tuple[NextHop, ...]) -> tuple[NextHop, ...]:
    """Those of a route's next hops that a speaker may announce."""
    node = node_of(speaker)
    return tuple(hop for hop in hops if hop.node == node) if node else hops


def overlapping(
    one: PeerObserved, other: PeerObserved, conf: ConfObserved | None, nodes: Mapping[str, NodeObserved]
) -> bool:
    """Whether some speaker would serve both of two peers."""
    topology = topology_of(one, conf)
    if topology != topology_of(other, conf):
        return False
    return topology == CENTRAL or any(selects(one, node) and selects(other, node) for node in nodes.values())
