"""Which settings of a session's transport have no effect beside others, and which leave no session possible."""

from __future__ import annotations

from porter.events.observed import ConfObserved, PeerObserved
from porter.model.bgp import DEFAULT_BGP_PORT
from porter.model.reasons import Problem, Reason
from porter.policy.topology import NODE, topology_of

DO_NOT_LISTEN = -1
"""GoBGP's value of `listenPort`."""


def listening_refused(peer: PeerObserved, conf: ConfObserved) -> Problem | None:
    """Why there can be no session with a passive peer: nobody would connect; None for any other."""
    if not peer.passive or conf.listen_port > 0:
        return None
    message = (
        f"the peer is passive, and listenPort of BgpConf {conf.name} is {conf.listen_port}, so that neither side would "
        "connect; set a port there, or passiveMode to false"
    )
    return Problem(Reason.FIELD_INVALID, "spec.transport.passiveMode", message)


def transport_problems(peer: PeerObserved, conf: ConfObserved) -> tuple[Problem, ...]:
    """The fields that say nothing of this peer's sessions, each with the mend."""
    found = []
    if peer.passive and peer.port != DEFAULT_BGP_PORT:
        message = (
            f"has no effect on a passive peer, which connects to listenPort of BgpConf {conf.name}, {conf.listen_port}"
        )
        found.append(_unsupported("spec.transport.remotePort", message))
    if peer.local_address and topology_of(peer, conf) == NODE:
        message = "has no effect with topology node: each agent uses an address of its own node; leave it out"
        found.append(_unsupported("spec.transport.localAddress", message))
    return tuple(found)


def _unsupported(field: str, message: str) -> Problem:
    return Problem(Reason.FIELD_UNSUPPORTED, field, f"{field} {message}")
