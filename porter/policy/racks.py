"""Racks: nodes carry a label with their rack's name, and the session of a rack's router may have an AS of its own.

OpenELB takes a speaker's rack from the node that it runs on. A central speaker serves every rack, so that here the rack
is the peer's: the one that its nodeSelector names. The next hops are limited by that selector in any case, with
`asPerRack` or without.
"""

from __future__ import annotations

from porter.events.observed import ConfObserved, PeerObserved
from porter.model.reasons import Problem, Reason

RACK_LABELS = ("openelb.kubesphere.io/rack", "porter.kubesphere.io/rack")
"""The node label of each generation, the newest first."""

SELECTOR_FIELD = "spec.nodeSelector"


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


def local_as(peer: PeerObserved, conf: ConfObserved) -> int:
    """Our AS number in a session: the peer's own setting, else its rack's, else the BgpConf's."""
    return peer.local_as or dict(conf.as_per_rack).get(rack_of(peer), 0) or conf.as_number


def rack_problem(peer: PeerObserved, conf: ConfObserved) -> Problem | None:
    """Why `asPerRack` says nothing of a peer, with the mend; None where it does, or is not set."""
    if not conf.as_per_rack or peer.local_as:
        return None
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
