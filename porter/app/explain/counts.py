"""How many prefixes and paths a peer is to have, without making each of them: most routes share their next hops.

Routes with the same next hops are one shape. What a session makes of a shape is reckoned once, by the rules of
`porter.policy.export`; only which next hops a limit chooses differs from prefix to prefix, and is not told.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from porter.app.read_model import ReadModel
from porter.model.address import Family, Prefix, family_of
from porter.model.bgp import MAX_NEXT_HOPS, Negotiated, NextHop, node_of
from porter.policy.next_hops import carried
from porter.policy.topology import own
from porter.projections.adj_rib_out import announced_by_bgp, serves


class Shape(NamedTuple):
    """So many prefixes of a family with the same next hops; `example` is one of them."""

    family: Family
    next_hops: tuple[NextHop, ...]
    prefixes: int
    example: Prefix


class Paths(NamedTuple):
    """What one session is to have: how many paths, and through which next hops where no limit chooses."""

    paths: int
    next_hops: Counter[str]
    shapes: frozenset[int]
    """The indexes of the shapes that it has any path of."""


def shapes_of(model: ReadModel, peer: str) -> list[Shape]:
    """What the rules let a peer have, whatever its sessions are like."""
    state = model.state
    policy = state.exports.policy(peer)
    if policy is None:
        return []
    if policy.plain:
        routes = ((route.prefix, route.next_hops, route.prefix) for route in state.loc_rib.routes.values())
    else:
        routes = ((one.prefix, one.next_hops, one.source.prefix) for one in state.exports.given(policy))
    counted: Counter[tuple[Family, int]] = Counter()
    # Shared tuples are told apart by their identity, for as long as they are kept here.
    kept: dict[tuple[Family, int], tuple[tuple[NextHop, ...], Prefix]] = {}
    for prefix, hops, source in routes:
        if announced_by_bgp(state, source):
            key = family_of(prefix), id(hops)
            counted[key] += 1
            kept.setdefault(key, (hops, prefix))
    return [Shape(key[0], *kept[key][:1], count, kept[key][1]) for key, count in counted.items()]


def paths_of(model: ReadModel, peer: str, speaker: str, negotiated: Negotiated, shapes: list[Shape]) -> Paths:
    """What of the shapes one session is to have."""
    state = model.state
    fact = state.inventory.good_peer(peer)
    found, hops_used, indexes = 0, Counter[str](), set[int]()
    gone = state.ledger.maintenance.speaker_standing(speaker) is None
    if fact is None or fact.admin_down or gone or not serves(state, peer, speaker):
        return Paths(0, hops_used, frozenset())
    limit = fact.max_next_hops if 0 < fact.max_next_hops < MAX_NEXT_HOPS else MAX_NEXT_HOPS
    for index, shape in enumerate(shapes):
        if shape.family not in negotiated.families:
            continue
        hops = carried(shape.example, shape.next_hops, extended=negotiated.extended_next_hop)
        hops = own(speaker, hops) if node_of(speaker) else hops
        if not hops:
            continue
        indexes.add(index)
        distinct = {hop.path_id: hop.address for hop in reversed(hops)}
        chosen = min(limit, len(distinct)) if shape.family in negotiated.add_path_send else 1
        found += chosen * shape.prefixes
        if chosen == len(distinct):
            for address in distinct.values():
                hops_used[address] += shape.prefixes
    return Paths(found, hops_used, frozenset(indexes))
