"""What each peer is given of one prefix, and why the others are not: the first of these rules that says no.

1. The peer can be used at all.
2. The peer's settings carry the address family.
3. A speaker serves it, and one that does is not drained.
4. A BgpAdvertisement gives the route to it, or there is none at all.
5. The nodeSelectors of the peer and of those advertisements leave a next hop.
6. The session negotiated the address family.

A route that passes all of them is in the Adj-RIB-Out; whether it was sent is the session's affair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from porter.app.answer_json import Json, time_json
from porter.app.answers.routes import CONFIRMED, RouteFilter, routes
from porter.app.explain.sessions import place_json, standing_of
from porter.app.read_model import ReadModel
from porter.events.observed import AdvertisementObserved, PeerObserved, ServiceObserved
from porter.model.address import Prefix, family_of, is_aggregate, prefix_address
from porter.model.bgp import NextHop
from porter.model.reasons import Reason
from porter.policy.advertisements import PeerPolicy, about_peer, about_prefix, left_out
from porter.policy.next_hops import carried
from porter.policy.problems import disqualifying
from porter.policy.topology import NODE, selects, topology_of
from porter.projections.adj_rib_out import refused, sessions_of
from porter.projections.exports import Given
from porter.projections.inventory import DEFAULT_CONF
from porter.projections.loc_rib import LocRoute
from porter.projections.sessions import PeerSession

ANNOUNCED, UNCONFIRMED, WITHHELD = "announced", "unconfirmed", "withheld"
TOLD_MAX = 5
"""Most advertisements that a sentence turns down one by one."""


class No(NamedTuple):
    """Why a peer is not given a route, and the position of the event that it hangs on (0: none is known)."""

    reason: str
    message: str
    position: int = 0


def verdicts(model: ReadModel, prefix: Prefix, route: LocRoute) -> list[Json]:
    """One entry for each BgpPeer, by name.

    Args:
        model: the folds.
        prefix: what is asked about: a host prefix, or an aggregate.
        route: the route that it stands for.
    """
    rows: defaultdict[str, list[Json]] = defaultdict(list)
    for row in routes(model, RouteFilter(prefix=prefix))["routes"]:
        if row["prefix"] == prefix or route.prefix == prefix:
            rows[row["peer"]].append(row)
    return [
        _given(model, name, prefix, route, rows[name])
        if rows[name]
        else nothing_given(name, _why_not(model, name, prefix, route))
        for name in sorted(model.state.inventory.peers)
    ]


def nothing_given(peer: str, no: No) -> Json:
    """The entry of a peer that is not given a route."""
    return {
        "peer": peer,
        "state": WITHHELD,
        "reason": no.reason,
        "message": no.message,
        "announced": "",
        "advertisements": [],
        "nextHops": [],
        "leftOut": [],
        "sessions": [],
        "causes": no.position,
    }


def _given(model: ReadModel, peer: str, prefix: Prefix, route: LocRoute, rows: list[Json]) -> Json:
    sessions = dict(sessions_of(model.state, model.sessions, peer))
    by_speaker: defaultdict[str, list[Json]] = defaultdict(list)
    for row in rows:
        by_speaker[row["speaker"]].append(row)
    told = [_session(speaker, sessions.get(speaker), paths) for speaker, paths in sorted(by_speaker.items())]
    confirmed = [one for one in told if one["confirmed"] == one["paths"]]
    announced = rows[0]["prefix"]
    return {
        "peer": peer,
        "state": ANNOUNCED if len(confirmed) == len(told) else UNCONFIRMED,
        "reason": "" if confirmed else Reason.SESSION_DOWN if not any(one["up"] for one in told) else "",
        "message": _sentence(peer, announced, prefix, told),
        "announced": announced,
        "advertisements": _advertisements(model, peer, announced, route),
        "nextHops": sorted({row["nextHop"] for row in rows}),
        "leftOut": list(_left_out(model, peer, announced, route, rows)),
        "sessions": told,
        "causes": rows[0]["cause"],
    }


def _session(speaker: str, session: PeerSession | None, paths: list[Json]) -> Json:
    confirmed = sum(1 for path in paths if path["state"] == CONFIRMED)
    return {
        "speaker": speaker,
        "up": session is not None and session.established,
        "paths": len(paths),
        "confirmed": confirmed,
        "message": "" if confirmed == len(paths) else standing_of(speaker, session),
        "since": time_json(session.since_ms) if session is not None else "",
        "cause": place_json(speaker, session),
    }


def _sentence(peer: str, announced: str, prefix: Prefix, told: list[Json]) -> str:
    what = prefix if announced == prefix else f"{prefix} within {announced}"
    good = [one["speaker"] for one in told if one["confirmed"] == one["paths"]]
    bad = [one["message"] for one in told if one["confirmed"] != one["paths"]]
    has = f"{peer} has {what} from {', '.join(good)}" if good else f"{peer} is to have {what}, and has not"
    return "; ".join([has, *bad])


def _advertisements(model: ReadModel, peer: str, announced: str, route: LocRoute) -> list[str]:
    """The advertisements that give the route; none where there is no advertisement at all."""
    fact = model.state.inventory.good_peer(peer)
    assert fact is not None, "a peer that is given a route is there"
    return [
        one.name
        for one in model.state.exports.advertisements
        if not _turned_down(model, one, fact, Prefix(announced), route)
    ]


def _left_out(model: ReadModel, peer: str, announced: str, route: LocRoute, rows: list[Json]) -> Iterator[Json]:
    """The route's next hops that the peer is not given, and why."""
    sent = {row["nextHop"] for row in rows}
    state = model.state
    fact, policy = state.inventory.good_peer(peer), state.exports.policy(peer)
    assert fact is not None, "a peer that is given a route is there"
    given = next(state.exports.given(policy, (Prefix(announced),)), None) if policy is not None else None
    selected = {hop.node for hop in given.next_hops} if given is not None else set[str]()
    of_agents = topology_of(fact, state.inventory.good_conf(DEFAULT_CONF)) == NODE
    for hop in route.next_hops:
        if hop.address in sent or hop.extended in sent:
            continue
        if family_of(hop.address) != family_of(announced) and hop.node in selected:
            reason, message = Reason.NO_EXTENDED_NEXT_HOP, _of_other_family(hop.node, fact)
            yield {"node": hop.node, "nextHop": hop.address, "reason": reason, "message": message}
            continue
        reason, message = _why_left_out(model, fact, hop, of_agents=of_agents, selected=hop.node in selected, rows=rows)
        yield {"node": hop.node, "nextHop": hop.address, "reason": reason, "message": message}


def _of_other_family(nodes: str, fact: PeerObserved) -> str:
    """Why nodes without an IPv4 address are no next hops of an IPv4 route at a peer."""
    mend = (
        "enable extended next hops (RFC 8950) at the router" if fact.extended_next_hop else "set extendedNextHop there"
    )
    return f"BgpPeer {fact.name} takes no IPv6 next hops of IPv4 routes, and {nodes} has no IPv4 address; {mend}"


def _why_left_out(
    model: ReadModel, fact: PeerObserved, hop: NextHop, *, of_agents: bool, selected: bool, rows: list[Json]
) -> tuple[Reason, str]:
    if of_agents and selects(fact, model.state.inventory.nodes.get(hop.node)):
        return Reason.NO_PEER, f"no agent of node {hop.node} told of a session with {fact.name}; see that it runs"
    if not selected or of_agents:
        selector = "spec.nodeSelector of the BgpPeer, or spec.nodeSelectors of its advertisements"
        return Reason.NODE_NOT_SELECTED, f"{selector} leave node {hop.node} out"
    if all(row["pathId"] == 0 for row in rows):
        message = "without ADD-PATH each speaker announces one next hop; enable ADD-PATH at the router"
        return Reason.NO_ADD_PATH, message
    return Reason.NEXT_HOP_LIMIT, f"spec.maxNextHops of BgpPeer {fact.name} keeps {len(rows)} next hops"


# ------------------------------------------------------------------------------------------------------------- why not


def _why_not(model: ReadModel, peer: str, prefix: Prefix, route: LocRoute) -> No:
    state = model.state
    problem = refused(state, peer)
    if problem is not None:
        return No(problem.reason, problem.message, changed(model, ("Peer", peer), ("Conf", DEFAULT_CONF)))
    sessions = dict(sessions_of(state, model.sessions, peer))
    return (
        _not_carried(model, peer, prefix)
        or _no_speaker(model, peer, sessions.keys())
        or _not_advertised(model, peer, prefix, route)
        or _no_next_hop(model, peer, prefix)
        or No(
            Reason.FAMILY_NOT_CARRIED,
            f"no session with {peer} negotiated {family_of(prefix)}; enable the family at the router",
            changed(model, ("Peer", peer)),
        )
    )


def changed(model: ReadModel, *objects: tuple[str, str]) -> int:
    """The position of the newest change of some objects; 0 where none of them is there."""
    return max((model.state.inventory.position_of_object(*one) for one in objects), default=0)


def _no_speaker(model: ReadModel, peer: str, speakers: Iterable[str]) -> No | None:
    serving, maintenance = sorted(speakers), model.state.ledger.maintenance
    if not serving:
        return No(Reason.NO_PEER, f"no speaker told of a session with {peer}; see that one of its topology runs")
    if not maintenance.withdrawn_speakers >= set(serving):
        return None
    message = f"every speaker that serves {peer} is drained; `porter uncordon speaker {serving[0]}` ends that"
    return No(Reason.DRAINED, message, max(maintenance.speakers[name].position for name in serving))


def _not_carried(model: ReadModel, peer: str, prefix: Prefix) -> No | None:
    fact, family = model.state.inventory.good_peer(peer), family_of(prefix)
    if fact is None or family in fact.families:
        return None
    message = f"spec.afiSafis of BgpPeer {peer} leaves {family} out; add it"
    return No(Reason.FAMILY_NOT_CARRIED, message, changed(model, ("Peer", peer)))


def _not_advertised(model: ReadModel, peer: str, prefix: Prefix, route: LocRoute) -> No | None:
    state = model.state
    fact, policy, facts = state.inventory.good_peer(peer), state.exports.policy(peer), state.exports.advertisements
    if fact is None or policy is None or not facts or _what_is_given(model, policy, prefix) is not None:
        return None
    position = changed(model, ("Peer", peer), *(("Advertisement", name) for name in state.inventory.advertisements))
    if is_aggregate(prefix):
        return No(Reason.NOT_ADVERTISED, f"no BgpAdvertisement about {peer} aggregates to {prefix}", position)
    told = [(one.name, _turned_down(model, one, fact, prefix, route)) for one in facts]
    named = [f"{name}: {why}" for name, why in told if why]
    # Those about this peer come first: they are the ones that somebody expected to give it.
    about = {one.name for one in facts if about_peer(one, fact)}
    named.sort(key=lambda text: text.partition(":")[0] not in about)
    unusable = [
        f"{name}: it is malformed ({problem.message})"
        for name, one in sorted(state.inventory.advertisements.items())
        if name not in dict(told) and (problem := disqualifying(one.problems)) is not None
    ]
    named += unusable
    more = f"; and {len(named) - TOLD_MAX} more" if len(named) > TOLD_MAX else ""
    message = f"no BgpAdvertisement gives {prefix} to {peer} ({'; '.join(named[:TOLD_MAX])}{more})"
    return No(Reason.NOT_ADVERTISED, message, position)


def _what_is_given(model: ReadModel, policy: PeerPolicy, prefix: Prefix) -> Given | None:
    exports = model.state.exports
    return next(exports.given(policy, (prefix,)), None) if is_aggregate(prefix) else exports.reached(policy, prefix)


def _turned_down(
    model: ReadModel, one: AdvertisementObserved, fact: PeerObserved, prefix: Prefix, route: LocRoute
) -> str:
    services, pool = services_of(model, route.prefix), pool_of(model, route.prefix)
    good = model.state.inventory.good_pool(pool)
    why = left_out(one, fact, (pool, () if good is None else good.labels), services)
    return why or ("" if about_prefix(one, prefix) else "it is about other prefixes")


def _no_next_hop(model: ReadModel, peer: str, prefix: Prefix) -> No | None:
    state = model.state
    policy = state.exports.policy(peer)
    given = _what_is_given(model, policy, prefix) if policy is not None else None
    if given is None or policy is None:
        return None
    if given.next_hops:
        good = state.inventory.good_peer(peer)
        if good is None or carried(prefix, given.next_hops, extended=good.extended_next_hop and _agreed(model, peer)):
            return None
        nodes = ", ".join(hop.node for hop in given.next_hops)
        return No(Reason.NO_EXTENDED_NEXT_HOP, _of_other_family(nodes, good), changed(model, ("Peer", peer)))
    message = (
        f"spec.nodeSelector of BgpPeer {peer} and spec.nodeSelectors of its advertisements leave no next hop of "
        f"{prefix}; label a node, or mend the selector"
    )
    advertisements = (("Advertisement", name) for name in state.inventory.advertisements)
    return No(Reason.NODE_NOT_SELECTED, message, changed(model, ("Peer", peer), *advertisements))


def _agreed(model: ReadModel, peer: str) -> bool:
    """Whether any session with a peer agreed to IPv6 next hops of IPv4 routes, or none ever came up."""
    told = [session for _, session in sessions_of(model.state, model.sessions, peer) if session.families]
    return not told or any(session.extended_next_hop for session in told)


def services_of(model: ReadModel, prefix: Prefix) -> list[ServiceObserved]:
    """The Services that hold a host prefix's address."""
    inventory = model.state.inventory
    holders = model.state.pools.by_address.get(prefix_address(prefix), ())
    return [inventory.services[one.uid] for one in holders if one.uid in inventory.services]


def pool_of(model: ReadModel, prefix: Prefix) -> str:
    """The pool that a host prefix's address counts for; "" where nobody holds it."""
    allocation = model.state.pools.allocation(prefix_address(prefix))
    return "" if allocation is None else model.state.pools.pool_of(allocation)
