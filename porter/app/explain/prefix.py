"""Why a prefix is, or is not, announced, and to whom: a host prefix or an aggregate."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from porter.app.answer_json import Json, time_json
from porter.app.answers.standing import standing
from porter.app.explain.routes import absence
from porter.app.explain.sessions import number_of
from porter.app.explain.verdicts import ANNOUNCED, WITHHELD, No, changed, nothing_given, pool_of, verdicts
from porter.app.read_model import ReadModel
from porter.model.address import Prefix, family_of, host_prefix, is_aggregate, prefix_address
from porter.model.reasons import Reason
from porter.projections.adj_rib_out import announced_by_bgp
from porter.projections.loc_rib import LocRoute

HOST, AGGREGATE, UNUSED = "host", "aggregate", "unused"
"""What a prefix is: one address's, one that advertisements make of several, or one that nobody announces."""
MEMBERS_MAX = 100
"""Most members of an aggregate that are named; all are counted."""
HOLDERS_MAX = 16
"""Most Services that share an address and are named."""


def tell_prefix(model: ReadModel, prefix: Prefix) -> Json:
    """The explanation of a prefix; `causes` are positions yet.

    A host prefix goes as it is, or within an aggregate; an aggregate has the routes that it stands for as members.
    """
    members = [] if not is_aggregate(prefix) else list(_members(model, prefix))
    if not is_aggregate(prefix):
        kind, route, nobody = _host(model, prefix)
    else:
        kind, route, nobody = _aggregate(model, prefix, members)
    if route is None or nobody is not None:
        no = nobody or No("", f"there is no {prefix}")
        peers = [nothing_given(name, no) for name in sorted(model.state.inventory.peers)]
    else:
        peers = verdicts(model, prefix, route)
    having = [one for one in peers if one["state"] == ANNOUNCED]
    message = nobody.message if nobody is not None else _sentence(prefix, peers, len(having))
    withheld = bool(peers) and all(one["state"] == WITHHELD for one in peers)
    return {
        "prefix": prefix,
        "kind": kind,
        "state": "absent" if nobody is not None or withheld or not peers else "announced",
        "reason": nobody.reason if nobody is not None else Reason.NO_PEER if not peers else "",
        "message": message,
        "pool": pool_of(model, prefix if route is None else route.prefix),
        "holders": _holders(model, prefix) if kind == HOST else [],
        "members": members[:MEMBERS_MAX],
        "memberCount": len(members),
        "since": time_json(route.since_ms) if route is not None else "",
        "nextHops": [
            {"node": hop.node, "address": hop.address, "pathId": hop.path_id}
            for hop in (route.next_hops if route is not None else ())
        ],
        "peers": peers,
        "causes": route.position if route is not None and nobody is None else nobody.position if nobody else 0,
        "summary": [f"{message}.", *(f"{one['message']}." for one in peers if nobody is None)],
        "wrong": _wrong(message, nobody, peers),
    }


def _holders(model: ReadModel, prefix: Prefix) -> list[Json]:
    """Who holds the address, and by which decision."""
    return [
        {
            "service": {"namespace": one.namespace, "name": one.name, "uid": one.uid},
            "reason": one.reason,
            "position": one.position,
            "causes": one.position,
        }
        for one in model.state.pools.by_address.get(prefix_address(prefix), ())[:HOLDERS_MAX]
    ]


def _wrong(message: str, nobody: No | None, peers: list[Json]) -> list[str]:
    """An address that nobody holds lacks nothing; a route that a peer is not to have by an advertisement does not."""
    if nobody is not None:
        return [message] if nobody.reason else []
    if not peers or all(one["state"] == WITHHELD for one in peers):
        return [message]
    chosen = {Reason.NOT_ADVERTISED, Reason.NODE_NOT_SELECTED, Reason.FAMILY_NOT_CARRIED}
    return [one["message"] for one in peers if one["state"] != ANNOUNCED and one["reason"] not in chosen]


def _sentence(prefix: Prefix, peers: list[Json], having: int) -> str:
    if not peers:
        return f"{prefix} goes to nobody: there is no BgpPeer; make one"
    within = sorted({one["announced"] for one in peers} - {"", prefix})
    inside = f" within {', '.join(within)}" if within else ""
    return f"{prefix} is announced{inside} to {having} of {number_of(len(peers), 'peer')}"


def _host(model: ReadModel, prefix: Prefix) -> tuple[str, LocRoute | None, No | None]:
    state, address = model.state, prefix_address(prefix)
    route = state.loc_rib.find(prefix)
    holders = state.pools.by_address.get(address, ())
    if not holders:
        return UNUSED, None, No("", standing(state, address, model.sessions.local_addresses()).message)
    if not announced_by_bgp(state, prefix):
        pool = pool_of(model, prefix)
        message = f"{prefix} is not announced by BGP: Eip {pool} is of the protocol {state.pools.protocol(pool)}"
        return HOST, route, No("", message, changed(model, ("Pool", pool)))
    if route is None:
        reason = str(state.loc_rib.absent.get(prefix, Reason.NO_READY_ENDPOINT))
        message = f"{prefix} is not announced: {absence(reason, holders[0])}"
        return HOST, None, No(reason, message, _why_absent(model, prefix))
    return HOST, route, None


def _why_absent(model: ReadModel, prefix: Prefix) -> int:
    """The newest event that has to do with a route that is not there: endpoints, a policy, a drain, a node."""
    state, address = model.state, prefix_address(prefix)
    positions = [0]
    for one in state.pools.by_address.get(address, ()):
        drain = state.ledger.maintenance.services.get(one.uid)
        positions += [one.position, state.inventory.position_of_object("Endpoints", one.service)]
        positions += [state.loc_rib.service_stamps.get(one.service, (0, 0))[0], drain.position if drain else 0]
    if state.loc_rib.absent.get(prefix) == Reason.NO_ELIGIBLE_NODE:
        positions.append(state.loc_rib.cluster_stamps[family_of(prefix)][0])
    return max(positions)


def _members(model: ReadModel, prefix: Prefix) -> Iterator[Prefix]:
    """The host prefixes with a route inside of a prefix, in the order of their addresses."""
    network = ip_network(prefix)
    inside = (
        address
        for host in model.state.loc_rib.routes
        if family_of(host) == family_of(prefix) and (address := ip_address(prefix_address(host))) in network
    )
    yield from (host_prefix(prefix_address(Prefix(str(address)))) for address in sorted(inside, key=int))


def _aggregate(model: ReadModel, prefix: Prefix, members: list[Prefix]) -> tuple[str, LocRoute | None, No | None]:
    exports = model.state.exports
    for peer in sorted(model.state.inventory.peers):
        policy = exports.policy(peer)
        given = next(exports.given(policy, (prefix,)), None) if policy is not None and policy.aggregates else None
        if given is not None:
            return AGGREGATE, given.source._replace(next_hops=given.next_hops), None
    inside = f"{number_of(len(members), 'announced address lies', 'announced addresses lie')} inside of it"
    message = (
        f"{prefix} itself is announced to nobody: no BgpAdvertisement aggregates to it; {inside}, each announced by "
        f"itself (`porter routes --prefix {prefix}`)"
    )
    return UNUSED, None, No("", message)
