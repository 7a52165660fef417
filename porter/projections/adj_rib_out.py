"""Adj-RIB-Out (RFC 4271, section 3.2): what one speaker announces to one peer, and the settings of their session.

Both are functions of the state at a position, the speaker's identity, and what the session negotiated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from porter.events.observed import ConfObserved, NodeObserved, PeerObserved
from porter.model.address import (
    FAMILIES,
    IPV4,
    Address,
    Prefix,
    address_from_number,
    family_of,
    prefix_address,
)
from porter.model.bgp import (
    LEAVING,
    PASSWORD_INLINE,
    PASSWORD_INLINE_PREFIX,
    Negotiated,
    PathAttributes,
    PeerKey,
    RouteKey,
    SessionSettings,
    node_of,
)
from porter.model.reasons import Problem, Reason
from porter.policy import topology
from porter.policy.advertisements import PeerPolicy
from porter.policy.export import exported
from porter.policy.next_hops import path_identifier
from porter.policy.problems import disqualifying
from porter.policy.racks import local_as, rack_problem
from porter.policy.transport import listening_refused, transport_problems
from porter.projections.cluster import BGP_PROTOCOL, ClusterState
from porter.projections.inventory import DEFAULT_CONF
from porter.projections.loc_rib import LocRoute
from porter.projections.sessions import PeerSession, Sessions

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

    Depends on the Loc-RIB and on what `exported_from` returns: when that changes, ask for all prefixes again. Prefixes
    that changed come `concerned`: with the aggregates over them.
    """
    fact = state.inventory.peers.get(peer)
    policy = state.exports.policy(peer, node_of(speaker))
    standing = state.ledger.maintenance.speaker_standing(speaker)
    if fact is None or policy is None or fact.admin_down or standing is None:
        return {}
    if not serves(state, peer, speaker):
        return {}
    good, leaving = state.inventory.good_peer(peer) or fact, standing == LEAVING
    if not policy.plain:
        return _selected(state, policy, speaker, negotiated, prefixes, maximum=good.max_next_hops, leaving=leaving)
    maximum, internal = good.max_next_hops, policy.internal
    wanted = state.loc_rib.routes if prefixes is None else prefixes
    find = state.loc_rib.find
    only_bgp = _only_bgp(state)
    found: dict[RouteKey, PathAttributes] = {}
    for prefix in wanted:
        route = find(prefix)
        family = family_of(prefix)
        if route is None or family not in negotiated.families:
            continue
        if not only_bgp and not announced_by_bgp(state, prefix):
            continue
        add_path = family in negotiated.add_path_send
        found.update(
            exported(
                route,
                speaker=speaker,
                max_next_hops=maximum,
                add_path=add_path,
                internal=internal,
                extended=negotiated.extended_next_hop,
                leaving=leaving,
            )
        )
    return found


def _selected(
    state: ClusterState,
    policy: PeerPolicy,
    speaker: str,
    negotiated: Negotiated,
    prefixes: Iterable[Prefix] | None,
    *,
    maximum: int,
    leaving: bool,
) -> dict[RouteKey, PathAttributes]:
    """The same where advertisements or the peer's nodeSelector have a say."""
    found: dict[RouteKey, PathAttributes] = {}
    only_bgp = _only_bgp(state)
    for given in state.exports.given(policy, prefixes):
        family = family_of(given.prefix)
        if family not in negotiated.families or not (only_bgp or announced_by_bgp(state, given.source.prefix)):
            continue
        attributes = partial(policy.attributes, given.which)
        add_path = family in negotiated.add_path_send
        found.update(
            exported(
                given,
                speaker=speaker,
                max_next_hops=maximum,
                add_path=add_path,
                attributes=attributes,
                internal=policy.internal,
                extended=negotiated.extended_next_hop,
                leaving=leaving,
            )
        )
    return found


def serves(state: ClusterState, peer: str, speaker: str) -> bool:
    """Whether a peer takes its routes from a speaker, by the topology and the nodeSelector of both."""
    inventory = state.inventory
    fact = inventory.good_peer(peer)
    return fact is not None and topology.serves(speaker, fact, inventory.good_conf(DEFAULT_CONF), inventory.nodes)


def sessions_of(state: ClusterState, sessions: Sessions, peer: str) -> Iterator[tuple[str, PeerSession]]:
    """The sessions of those speakers that serve a peer, as (speaker, session)."""
    return ((speaker, session) for speaker, session in sessions.of_peer(peer) if serves(state, peer, speaker))


def exported_from(state: ClusterState, speaker: str = "") -> object:
    """What every route of every peer depends on beside the Loc-RIB: a change of it means computing everything anew.

    What it is of an agent also depends on its node, by which the agent's peers are chosen.
    """
    inventory = state.inventory
    node = inventory.nodes.get(node_of(speaker))
    pools = tuple(inventory.pools.items()) if inventory.advertisements else ()
    return (
        tuple(inventory.peers.items()),
        tuple(inventory.confs.items()),
        tuple(inventory.advertisements.items()),
        pools,
        tuple((name, drain.elapsed) for name, drain in state.ledger.maintenance.speakers.items()),
        None if node is None else (node.addresses, node.labels),
    )


def concerned(state: ClusterState, peer: str, prefixes: frozenset[Prefix]) -> frozenset[Prefix]:
    """The prefixes that may differ for a peer where these of the Loc-RIB changed."""
    policy = state.exports.policy(peer)
    return prefixes if policy is None else state.exports.with_aggregates(policy, prefixes)


def source_of(state: ClusterState, peer: str, prefix: Prefix) -> LocRoute | None:
    """The route that a prefix of a peer's Adj-RIB-Out stands for; of an aggregate that of one of its members."""
    policy = state.exports.policy(peer)
    route = state.loc_rib.find(prefix)
    if route is not None or policy is None:
        return route
    return next((given.source for given in state.exports.given(policy, (prefix,))), None)


def peer_problems(state: ClusterState, peer: str) -> tuple[Problem, ...]:
    """What a peer's session cannot honour although there is one."""
    inventory = state.inventory
    fact, conf = inventory.peers.get(peer), inventory.confs.get(DEFAULT_CONF)
    if fact is None or conf is None:
        return ()
    found = (rack_problem(fact, conf, inventory.nodes), *transport_problems(fact, conf))
    return tuple(problem for problem in found if problem is not None)


def _only_bgp(state: ClusterState) -> bool:
    return all(protocol == BGP_PROTOCOL for protocol in state.pools.protocols.values())


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
    if problem is None:
        problem = listening_refused(fact, state.inventory.confs[DEFAULT_CONF])
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
    """The oldest usable peer with the same transport at some speaker, if it is older; of one age, the first by name."""
    inventory = state.inventory
    ages = (
        (other.created_ms, name)
        for name, other in state.inventory.peers.items()
        if (other.created_ms, name) < (fact.created_ms, fact.name)
        and (other.address, other.port, other.local_address) == (fact.address, fact.port, fact.local_address)
        and not other.admin_down
        and disqualifying(other.problems) is None
        and topology.overlapping(fact, other, inventory.confs.get(DEFAULT_CONF), inventory.nodes)
    )
    return min(ages, default=(0, ""))[1]


def session_settings(
    state: ClusterState, peer: str, *, speaker: str, router_id: str, local_address: str
) -> SessionSettings | None:
    """The settings of the session between a speaker and a peer; None where `refused` says why there is none, or where
    the speaker does not serve the peer. What an edit made malformed counts as it was before.

    Args:
        state: the state at the position that the settings are for.
        peer: the BgpPeer's name.
        speaker: the speaker's name, which the description carries where the peer has none.
        router_id: the speaker's own router id, used where the BgpConf sets none, and by every agent.
        local_address: the speaker's own address, used where the BgpPeer sets none, and by every agent.
    """
    said = _said(state, peer)
    if said is None or not serves(state, peer, speaker):
        return None
    fact, conf = said
    node = state.inventory.nodes.get(node_of(speaker))
    return SessionSettings(
        peer=PeerKey(peer),
        peer_address=fact.address,
        peer_as=fact.peer_as,
        local_as=local_as(fact, conf, node),
        # What one of many agents is set to would be wrong at all the others.
        router_id=Address((conf.router_id or router_id) if node is None else agent_router_id(state, node, router_id)),
        local_address=Address((fact.local_address or local_address) if node is None else local_address),
        port=conf.listen_port if fact.passive else fact.port,
        families=tuple(family for family in FAMILIES if family in fact.families),
        hold_time_s=fact.hold_time_s,
        connect_retry_s=fact.connect_retry_s,
        multihop_ttl=fact.multihop_ttl,
        ttl_security=fact.ttl_security,
        passive=fact.passive,
        restart_time_s=_restart_time_s(fact, conf),
        password_source=_password_source(fact),
        description=fact.description or f"Porter speaker {speaker}",
        extended_next_hop=fact.extended_next_hop,
        bfd_receive_ms=fact.bfd_receive_ms,
        bfd_transmit_ms=fact.bfd_transmit_ms,
        bfd_multiplier=fact.bfd_multiplier,
        bfd_passive=fact.bfd_passive,
    )


def _said(state: ClusterState, peer: str) -> tuple[PeerObserved, ConfObserved] | None:
    """What a peer and the BgpConf say of the sessions that there are to be; None where there is to be none."""
    inventory = state.inventory
    if not malformed(state, peer):
        return None if refused(state, peer) is not None else (inventory.peers[peer], inventory.confs[DEFAULT_CONF])
    fact, conf = inventory.good_peer(peer), inventory.good_conf(DEFAULT_CONF)
    if fact is None or conf is None or fact.admin_down or disqualifying((*fact.problems, *conf.problems)) is not None:
        return None
    return None if listening_refused(fact, conf) is not None or _twin(state, fact) else (fact, conf)


def agent_router_id(state: ClusterState, node: NodeObserved, own: str) -> str:
    """An agent's router id: its node's IPv4 address, else the number that stands for the node's address in path
    identifiers, else its own address."""
    number = path_identifier(node, state.ledger.path_identifiers)
    return own if number is None else str(address_from_number(number, IPV4))


def _password_source(fact: PeerObserved) -> str:
    return f"{PASSWORD_INLINE_PREFIX}{fact.name}" if fact.password_source == PASSWORD_INLINE else fact.password_source


def _restart_time_s(fact: PeerObserved, conf: ConfObserved) -> int:
    """The peer's own word; a default that nobody wrote into it gives way to the BgpConf."""
    unsaid = fact.restart_time_s == DEFAULT_RESTART_TIME_S and not fact.restart_time_set
    return conf.restart_time_s if unsaid else fact.restart_time_s
