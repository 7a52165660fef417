"""Racks: nodes carry a label with their rack's name, and the session of a rack's router may have an AS of its own.

An agent is in the rack of its node, as OpenELB's speakers are. A central speaker serves every rack, so that there the
rack is the peer's: the one that its nodeSelector names. The next hops are limited by that selector in any case, with
`asPerRack` or without.
"""

from __future__ import annotations

from collections.abc import Mapping

from porter.events.observed import ConfObserved, NodeObserved, PeerObserved
from porter.model.reasons import Problem, Reason
from porter.model.selector import Pairs
from porter.policy.topology import NODE, selects, topology_of

RACK_LABELS = ("openelb.kubesphere.io/rack", "porter.kubesphere.io/rack")
"""The node label of each generation, the newest first."""

SELECTOR_FIELD = "spec.nodeSelector"
MAX_NODES_NAMED = 5


def rack_of(peer: PeerObserved) -> str:
    """The one rack that a peer's nodeSelector names; "" where it names none, or several."""
    labels = dict(peer.node_selector)
    for key in RACK_LABELS:
        if key in labels:
            return labels[key]
        for requirement in peer.node_expressions:
            if (requirement.key, requirement.operator) == (key, "In") and len(requirement.values) == 1:
                return requirement.values[0]
    return ""


def rack_of_node(labels: Pairs) -> str:
    """The rack that a node's labels name, the newest label winning; "" without one."""
    values = dict(labels)
    return next((values[key] for key in RACK_LABELS if values.get(key)), "")


def local_as(peer: PeerObserved, conf: ConfObserved, node: NodeObserved | None = None) -> int:
    """Our AS number in a session: the peer's own setting, else the rack's, else the BgpConf's.

    Args:
        peer: the peer.
        conf: the BgpConf.
        node: the node of the agent that holds the session; None for a central speaker.
    """
    rack = rack_of(peer) if node is None else rack_of_node(node.labels)
    return peer.local_as or dict(conf.as_per_rack).get(rack, 0) or conf.as_number


def rack_problem(peer: PeerObserved, conf: ConfObserved, nodes: Mapping[str, NodeObserved]) -> Problem | None:
    """Why `asPerRack` says nothing of a peer, with the mend; None where it does, or is not set."""
    if not conf.as_per_rack or peer.local_as:
        return None
    if topology_of(peer, conf) == NODE:
        return _agents_problem(peer, conf, nodes)
    rack = rack_of(peer)
    if not rack:
        message = (
            f"{SELECTOR_FIELD} names no single rack, so that asPerRack of BgpConf {conf.name} does not reach this peer "
            f"and the session uses AS {conf.as_number}: a central speaker has no rack of its own; select one rack by "
            f"the label {RACK_LABELS[0]}, or set spec.conf.localAs"
        )
        return Problem(Reason.FIELD_UNSUPPORTED, SELECTOR_FIELD, message)
    if rack not in dict(conf.as_per_rack):
        message = (
            f"{SELECTOR_FIELD} names the rack {rack!r}, which asPerRack of BgpConf {conf.name} does not list: the "
            f"session uses AS {conf.as_number}; add the rack there, or set spec.conf.localAs"
        )
        return Problem(Reason.FIELD_UNSUPPORTED, SELECTOR_FIELD, message)
    return None


def _agents_problem(peer: PeerObserved, conf: ConfObserved, nodes: Mapping[str, NodeObserved]) -> Problem | None:
    listed = dict(conf.as_per_rack)
    without = [
        name for name, node in sorted(nodes.items()) if selects(peer, node) and rack_of_node(node.labels) not in listed
    ]
    if not without:
        return None
    more = len(without) - MAX_NODES_NAMED
    names = ", ".join(without[:MAX_NODES_NAMED]) + (f" and {more} more" if more > 0 else "")
    message = (
        f"asPerRack of BgpConf {conf.name} does not reach the agents of {names}, whose sessions use AS "
        f"{conf.as_number}: give each node the label {RACK_LABELS[0]} with a rack that is listed there, or set "
        "spec.conf.localAs"
    )
    return Problem(Reason.FIELD_UNSUPPORTED, SELECTOR_FIELD, message)
