"""What is wrong with advertisements that only shows beside other objects: contradictions, and what names nothing.

None of these problems takes a route away. Each goes to the object that has to be mended: of two that contradict each
other, to the younger one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from itertools import combinations
from typing import NamedTuple

from porter.events.observed import AdvertisementObserved, NodeObserved, PeerObserved, PoolObserved, ServiceObserved
from porter.model.address import IPV4, IPV6, Family, InvalidAddress
from porter.model.reasons import Problem, Reason
from porter.policy.advertisements import (
    SINGLE_VALUES,
    Single,
    about_every_service,
    about_node,
    about_peer,
    about_pool,
    about_service,
    by_age,
    single_value,
)
from porter.policy.aggregation import shortest_length
from porter.policy.pool_choice import ranges_of

MAX_PROBLEMS = 16
"""Most problems that one advertisement is told of."""

_AGGREGATION: Mapping[Family, Single] = {IPV4: "aggregation_length", IPV6: "aggregation_length_v6"}


class Surroundings(NamedTuple):
    """What advertisements are compared within.

    `internal` are the names of the peers whose session is within our own AS; `holders` gives the Services that hold an
    address of a pool, and is asked only where advertisements select Services.
    """

    pools: Mapping[str, PoolObserved]
    peers: Mapping[str, PeerObserved]
    nodes: Mapping[str, NodeObserved]
    internal: frozenset[str]
    holders: Callable[[str], Iterable[ServiceObserved]]


def problems(
    advertisements: Iterable[AdvertisementObserved], around: Surroundings
) -> Mapping[str, tuple[Problem, ...]]:
    """The problems of each advertisement that has some, beside those that its own fact tells of.

    Args:
        advertisements: those that count, in any order.
        around: what they are compared within.
    """
    facts = by_age(advertisements)
    found: dict[str, list[Problem]] = {fact.name: [] for fact in facts}
    for older, younger in combinations(facts, 2):
        found[younger.name] += _contradictions(older, younger, around)
    for fact in facts:
        found[fact.name] += [*_missing(fact, around), *_without_effect(fact, around), *_aggregation(fact, around)]
    return {name: tuple(list_[:MAX_PROBLEMS]) for name, list_ in found.items() if list_}


def _contradictions(
    older: AdvertisementObserved, younger: AdvertisementObserved, around: Surroundings
) -> Iterator[Problem]:
    differing: list[tuple[Single, int, int]] = []
    for name in SINGLE_VALUES:
        first, second = single_value(older, name), single_value(younger, name)
        if first is not None and second is not None and first != second:
            differing.append((name, first, second))
    if not differing:
        return
    meeting = _meeting(older, younger, around)
    if not meeting:
        return
    for name, first, second in differing:
        yield Problem(
            Reason.CONTRADICTION,
            SINGLE_VALUES[name],
            f"{SINGLE_VALUES[name]} is {second}, but the older BgpAdvertisement {older.name} says {first} for the same "
            f"routes ({meeting}), and its value counts; write the same value, or let the two name different pools, "
            "Services, peers or nodes",
        )


def _meeting(older: AdvertisementObserved, younger: AdvertisementObserved, around: Surroundings) -> str:
    """Where two advertisements speak of the same route, in words; "" where they do not."""
    both = (older, younger)
    peer = _first(name for name, fact in sorted(around.peers.items()) if all(about_peer(one, fact) for one in both))
    if not peer or not _share_a_node(both, around.nodes) or not _share_a_prefix(older, younger):
        return ""
    for name, fact in sorted(around.pools.items()):
        if all(about_pool(one, name, fact.labels) for one in both) and _share_a_service(both, name, around):
            return f"Eip {name} at BgpPeer {peer}"
    return ""


def _share_a_node(both: Sequence[AdvertisementObserved], nodes: Mapping[str, NodeObserved]) -> bool:
    if not any(one.node_selectors for one in both):
        return True
    return any(all(about_node(one, node.labels) for one in both) for node in nodes.values())


def _share_a_service(both: Sequence[AdvertisementObserved], pool: str, around: Surroundings) -> bool:
    if not any(one.service_selector for one in both):
        return True
    return any(all(about_service(one, (service,)) for one in both) for service in around.holders(pool))


def _share_a_prefix(older: AdvertisementObserved, younger: AdvertisementObserved) -> bool:
    if not older.prefixes or not younger.prefixes:
        return True
    pairs = ((ip_network(one.prefix), ip_network(two.prefix)) for one in older.prefixes for two in younger.prefixes)
    return any(one.version == two.version and one.overlaps(two) for one, two in pairs)


def _missing(fact: AdvertisementObserved, around: Surroundings) -> Iterator[Problem]:
    for index, name in enumerate(fact.pools):
        if name not in around.pools:
            path = f"spec.eips[{index}]"
            message = f"{path} names the Eip {name}, which does not exist; create it, or remove the name"
            yield Problem(Reason.POOL_NOT_FOUND, path, message)
    for index, name in enumerate(fact.peers):
        if name not in around.peers:
            path = f"spec.peers[{index}]"
            message = f"{path} names the BgpPeer {name}, which does not exist; create it, or remove the name"
            yield Problem(Reason.NO_PEER, path, message)


def _without_effect(fact: AdvertisementObserved, around: Surroundings) -> Iterator[Problem]:
    named = {name for name, peer in around.peers.items() if about_peer(fact, peer)}
    if not named:
        return
    if fact.local_pref is not None and not named & around.internal:
        message = (
            "spec.localPref has no effect: LOCAL_PREF goes to peers of our own AS only (RFC 4271, 5.1.5), and none of "
            f"these is one: {_listed(named)}; use spec.med or spec.asPathPrepend"
        )
        yield Problem(Reason.FIELD_UNSUPPORTED, "spec.localPref", message)
    if fact.as_path_prepend and named <= around.internal:
        message = (
            "spec.asPathPrepend has no effect: a peer of our own AS would take the path for a loop, and each of these "
            f"is one: {_listed(named)}; use spec.localPref or spec.med"
        )
        yield Problem(Reason.FIELD_UNSUPPORTED, "spec.asPathPrepend", message)


def _aggregation(fact: AdvertisementObserved, around: Surroundings) -> Iterator[Problem]:
    for family, name in _AGGREGATION.items():
        length, path = single_value(fact, name), SINGLE_VALUES[name]
        if length is None:
            continue
        if not about_every_service(fact):
            message = (
                f"{path} has no effect beside serviceSelector: an aggregate stands for all Services of a pool; "
                "aggregate in an advertisement of its own"
            )
            yield Problem(Reason.FIELD_UNSUPPORTED, path, message)
            continue
        for pool, pool_fact in sorted(around.pools.items()):
            if about_pool(fact, pool, pool_fact.labels):
                yield from _too_wide(path, length, pool_fact, family)


def _too_wide(path: str, length: int, pool: PoolObserved, family: Family) -> Iterator[Problem]:
    try:
        ranges = ranges_of(pool)
    except InvalidAddress:
        return
    shortest = shortest_length(family, ranges)
    if length < shortest and any(one.family == family for one in ranges):
        message = (
            f"{path} is {length}, wider than every range of Eip {pool.name}: an aggregate would draw traffic for "
            f"addresses outside of the pool, so that its Services keep their own routes; write at least {shortest}"
        )
        yield Problem(Reason.FIELD_INVALID, path, message)


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")


def _listed(names: Iterable[str], most: int = 5) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + rest
