"""The route of one address, as its explanation tells it: next hops and sessions, or why there is none."""

from __future__ import annotations

from collections import defaultdict

from porter.app.answer_json import Json, time_json
from porter.app.answers.routes import CONFIRMED, RouteFilter, routes
from porter.app.history.next_hops import Since
from porter.app.history.route_watch import HopKey, Joined
from porter.app.read_model import ReadModel
from porter.model.address import IPV4, Address, Prefix, family_of, host_prefix
from porter.model.reasons import Reason
from porter.model.selector import Selector
from porter.policy.selectors import matches
from porter.projections.adj_rib_out import refused
from porter.projections.pools import Allocation

BGP = "bgp"
NO_ROUTE, ANNOUNCED, NOT_BY_BGP = "absent", "announced", "notByBgp"


def route_json(model: ReadModel, one: Allocation) -> Json:
    """The route of an allocation's address."""
    state = model.state
    prefix = host_prefix(one.address)
    protocol = state.pools.protocol(one.pool)
    route = state.loc_rib.find(prefix)
    reason = "" if route is not None else str(state.loc_rib.absent.get(prefix, Reason.NO_READY_ENDPOINT))
    sessions = _sessions(model, prefix)
    if protocol != BGP:
        kind, message = NOT_BY_BGP, f"{prefix} is not announced by BGP: Eip {one.pool} is of the protocol {protocol}"
    elif route is None:
        kind, message = NO_ROUTE, f"{prefix} is not announced: {absence(reason, one)}"
    elif not sessions:
        kind, (reason, why) = NO_ROUTE, _nobody(model)
        message = f"{prefix} goes to nobody: {reason}, {why}"
    else:
        kind, message = ANNOUNCED, _announced(prefix, len(route.next_hops), sessions)
        held = state.ledger.holds.routes.get(prefix)
        if held is not None and prefix in state.loc_rib.lost:
            reason = Reason.HELD
            message += f"; by hold {held.hold} alone, which `porter approve {held.hold}` ends"
    return {
        "prefix": prefix,
        "state": kind,
        "reason": reason,
        "message": message,
        "since": time_json(route.since_ms) if route is not None else "",
        "cause": route.position if route is not None else 0,
        "nextHops": [
            {"node": hop.node, "address": hop.address, "pathId": hop.path_id}
            for hop in (route.next_hops if route is not None else ())
        ],
        "sessions": sessions,
    }


def with_since(hops: list[Json], address: Address, since: Since) -> list[Json]:
    """The next hops of an address's route, each with the event by which it joined; empty where that is not known."""
    joined = since.get(address, {})
    return [_joined(hop, joined.get(HopKey(hop["node"], hop["address"]), Joined())) for hop in hops]


def _joined(hop: Json, by: Joined) -> Json:
    return {**hop, "since": time_json(by.time_ms) if by.position else "", "cause": by.position, "causeType": by.type}


def _sessions(model: ReadModel, prefix: Prefix) -> list[Json]:
    """Each session that the route goes to, by itself or within an aggregate, and how many paths are confirmed."""
    paths: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for path in routes(model, RouteFilter(prefix=prefix))["routes"]:
        paths[path["peer"], path["speaker"], path["prefix"]].append(path["state"])
    return [
        {
            "peer": peer,
            "speaker": speaker,
            "prefix": announced,
            "paths": len(states),
            "confirmed": states.count(CONFIRMED),
        }
        for (peer, speaker, announced), states in sorted(paths.items())
    ]


def _announced(prefix: str, hops: int, sessions: list[Json]) -> str:
    confirmed = sum(1 for session in sessions if session["confirmed"] == session["paths"])
    aggregates = sorted({session["prefix"] for session in sessions} - {prefix})
    within = f" within {', '.join(aggregates)}" if aggregates else ""
    return (
        f"{prefix} is announced{within} with {hops} next {'hop' if hops == 1 else 'hops'}; "
        f"{confirmed} of {len(sessions)} {'session' if len(sessions) == 1 else 'sessions'} confirmed it"
    )


def absence(reason: str, one: Allocation) -> str:
    """Why a holder's address has no route, as a clause with the mend."""
    if reason == Reason.NO_READY_ENDPOINT:
        return f"{reason}, no endpoint of {one.service} is ready; see that its pods run and are selected"
    if reason == Reason.NO_ELIGIBLE_NODE:
        return (
            f"{reason}, no node with a ready endpoint of {one.service} may be a next hop; see that the nodes are "
            f"Ready, not excluded from load balancers, and have an {family_of(one.address)} InternalIP"
            f"{_or_extended(one.address)}"
        )
    if reason == Reason.DRAINED:
        return f"{reason}, an operator drained {one.service}; `porter uncordon service {one.service}` ends that"
    return f"{reason}, its Service is gone, and the address is about to be released"


def _or_extended(address: Address) -> str:
    return ", or set extendedNextHop of a BgpPeer where all are of IPv6" if family_of(address) == IPV4 else ""


def _matches_no_node(model: ReadModel, peer: str) -> bool:
    fact, nodes = model.state.inventory.peers[peer], model.state.inventory.nodes.values()
    selector = Selector(fact.node_selector, fact.node_expressions)
    return not any(matches(selector, node.labels) for node in nodes)


def _nobody(model: ReadModel) -> tuple[Reason, str]:
    """Why a route that has next hops goes to no session."""
    peers, drained = model.state.inventory.peers, model.state.ledger.maintenance.withdrawn_speakers
    if not peers:
        return Reason.NO_PEER, "there is no BgpPeer; make one"
    usable = [name for name in sorted(peers) if refused(model.state, name) is None]
    if not usable:
        return Reason.NO_PEER, "no BgpPeer can be used; see `porter status`"
    if not model.sessions.speakers:
        return Reason.NO_PEER, "no speaker has told of a session; see that one runs"
    if drained >= model.sessions.speakers.keys():
        names = ", ".join(sorted(drained))
        return Reason.DRAINED, f"every speaker is drained ({names}); `porter drain speaker NAME --undo` ends that"
    unmatched = [name for name in usable if _matches_no_node(model, name)]
    if unmatched == usable:
        names = ", ".join(unmatched)
        message = f"no node matches spec.nodeSelector of BgpPeer {names}; label a node, or mend the selector"
        return Reason.NO_ELIGIBLE_NODE, message
    return Reason.NO_PEER, f"no session takes it; see the BgpAdvertisements, and the families of {', '.join(usable)}"
