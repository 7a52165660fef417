"""Adj-RIB-Out (RFC 4271, section 3.2): what one speaker announces to one peer, and the settings of their session.

Both are functions of the state at a position, the speaker's identity, and what the session negotiated.
"""

from __future__ import annotations

from collections.abc import Iterable

from porter.events.observed import ConfObserved, PeerObserved
from porter.model.address import FAMILIES, Address, Prefix, family_of, prefix_address
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.model.reasons import Problem, Reason
from porter.policy.export import exported
from porter.policy.problems import disqualifying
from porter.projections.cluster import BGP_PROTOCOL, ClusterState
from porter.projections.inventory import DEFAULT_CONF

CONF_OBJECT = f"BgpConf/{DEFAULT_CONF}"
DEFAULT_RESTART_TIME_S = PeerObserved._field_defaults["restart_time_s"]


def adj_rib_out(
    state: ClusterState,
    peer: str,
    speaker: str,
    negotiated: Negotiated,
    prefixes: Iterable[Prefix] | None = None,
) -> dict[RouteKey, PathAttributes]:
    """The routes that a speaker announces to a peer; with `prefixes`, only these (one that is absent has no route).

    Depends on the Loc-RIB, the peer's `max_next_hops` and `admin_down`, the speaker's drain, and the protocols of
    the pools: when one of the last four changes, ask for all prefixes again.
    """
    fact = state.inventory.peers.get(peer)
    if fact is None or fact.admin_down or speaker in state.ledger.drained:
        return {}
    maximum = fact.max_next_hops
    internal = _internal(state, fact)
    routes = state.loc_rib.routes
    only_bgp = all(protocol == BGP_PROTOCOL for protocol in state.pools.protocols.values())
    found: dict[RouteKey, PathAttributes] = {}
    for prefix in routes if prefixes is None else prefixes:
        route = routes.get(prefix)
        family = family_of(prefix)
        if route is None or family not in negotiated.families:
            continue
        if not only_bgp and not announced_by_bgp(state, prefix):
            continue
        add_path = family in negotiated.add_path_send
        found.update(exported(route, speaker=speaker, max_next_hops=maximum, add_path=add_path, internal=internal))
    return found


def _internal(state: ClusterState, fact: PeerObserved) -> bool:
    """Whether a peer is in our own AS, where LOCAL_PREF counts (RFC 4271, section 5.1.5)."""
    conf = state.inventory.confs.get(DEFAULT_CONF)
    return fact.peer_as == (fact.local_as or (conf.as_number if conf is not None else 0))


def announced_by_bgp(state: ClusterState, prefix: Prefix) -> bool:
    """Whether the pool of an address is a BGP pool; addresses of layer2 and vip pools are not announced by BGP."""
    allocation = state.pools.allocation(prefix_address(prefix))
    return allocation is None or state.pools.protocol(state.pools.pool_of(allocation)) == BGP_PROTOCOL


def refused(state: ClusterState, peer: str) -> Problem | None:
    """Why there is no session with a peer, with the mend; None if there is to be one."""
    fact = state.inventory.peers.get(peer)
    if fact is None:
        return Problem(Reason.NO_PEER, "metadata.name", f"there is no BgpPeer {peer}; create it")
    problem = disqualifying(fact.problems) or _conf_refused(state)
    if problem is None and fact.admin_down:
        message = "the peer is administratively down; set spec.conf.adminDown to false"
        problem = Problem(Reason.SESSION_DOWN, "spec.conf.adminDown", message)
    if problem is None and (twin := _twin(state, fact)):
        message = f"BgpPeer {twin} has the same neighbor address, port and local address; keep one of the two"
        problem = Problem(Reason.FIELD_INVALID, "spec.conf.neighborAddress", message)
    return problem


def malformed(state: ClusterState, peer: str) -> bool:
    """Whether a peer has no session only because its object, or the BgpConf, was written wrongly.

    Both are there, so that nobody asked for the session to go: what they said before still holds.
    """
    fact, conf = state.inventory.peers.get(peer), state.inventory.confs.get(DEFAULT_CONF)
    if fact is None or conf is None or fact.admin_down:
        return False
    return disqualifying((*fact.problems, *conf.problems)) is not None


def _conf_refused(state: ClusterState) -> Problem | None:
    conf = state.inventory.confs.get(DEFAULT_CONF)
    if conf is None:
        return Problem(Reason.NO_PEER, CONF_OBJECT, "there is no BgpConf named default; create it with spec.as")
    problem = disqualifying(conf.problems)
    if problem is None:
        return None
    return Problem(problem.reason, CONF_OBJECT, f"the BgpConf default cannot be used: {problem.message}")


def _twin(state: ClusterState, fact: PeerObserved) -> str:
    """The first usable peer by name that has the same transport; the fact carries no age to choose the oldest by."""
    names = (
        name
        for name, other in state.inventory.peers.items()
        if name < fact.name
        and (other.address, other.port, other.local_address) == (fact.address, fact.port, fact.local_address)
        and not other.admin_down
        and disqualifying(other.problems) is None
    )
    return min(names, default="")


def session_settings(
    state: ClusterState, peer: str, *, speaker: str, router_id: str, local_address: str
) -> SessionSettings | None:
    """The settings of the session between a speaker and a peer; None where `refused` says why there is none.

    Args:
        state: the state at the position that the settings are for.
        peer: the BgpPeer's name.
        speaker: the speaker's name, which the description carries where the peer has none.
        router_id: the speaker's own router id, used where the BgpConf sets none.
        local_address: the speaker's own address, used where the BgpPeer sets none.
    """
    if refused(state, peer) is not None:
        return None
    fact, conf = state.inventory.peers[peer], state.inventory.confs[DEFAULT_CONF]
    return SessionSettings(
        peer=PeerKey(peer),
        peer_address=fact.address,
        peer_as=fact.peer_as,
        local_as=fact.local_as or conf.as_number,
        router_id=Address(conf.router_id or router_id),
        local_address=Address(fact.local_address or local_address),
        port=fact.port,
        families=tuple(family for family in FAMILIES if family in fact.families),
        hold_time_s=fact.hold_time_s,
        connect_retry_s=fact.connect_retry_s,
        multihop_ttl=fact.multihop_ttl,
        ttl_security=fact.ttl_security,
        passive=fact.passive,
        restart_time_s=_restart_time_s(fact, conf),
        password_source=fact.password_source,
        description=fact.description or f"Porter speaker {speaker}",
    )


def _restart_time_s(fact: PeerObserved, conf: ConfObserved) -> int:
    return conf.restart_time_s if fact.restart_time_s == DEFAULT_RESTART_TIME_S else fact.restart_time_s
