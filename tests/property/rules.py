"""The rules of allocation once more, by hand and slowly: what decisions and indexes are held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from porter.events import decided, observed
from porter.events.catalogue import Event
from porter.model.address import Address, Family, address_from_number, address_number, family_of, parse_range
from porter.model.reasons import Reason
from porter.projections.cluster import ClusterState

SMALL = 64


def is_small(fact: observed.PoolObserved) -> bool:
    """Whether every address of a pool can be looked at."""
    return all(address_number(last) - address_number(first) < SMALL for first, last in fact.ranges)


def given_out(fact: observed.PoolObserved, address: Address) -> bool:
    """Whether a pool may hand an address out at all."""
    inside = any(address in parse_range(f"{first}-{last}") for first, last in fact.ranges)
    out = any(address in parse_range(f"{first}-{last}") for first, last in fact.excludes)
    buggy = fact.avoid_buggy and address.endswith((".0", ".255"))
    return inside and not out and not buggy


def free_by_hand(state: ClusterState, fact: observed.PoolObserved, family: Family) -> Iterator[Address]:
    """The addresses of a pool that are free for anybody, lowest first."""
    reserved = {one.address for one in fact.reservations}
    for one in sorted(parse_range(f"{first}-{last}") for first, last in fact.ranges):
        number = one.first
        while one.family == family and number <= one.last:
            address = address_from_number(number, one.family)
            taken = address in state.pools.by_address or address in state.pools.cooling or address in reserved
            if not taken and given_out(fact, address):
                yield address
            number += 1


def check_grants(before: ClusterState, after: ClusterState, decisions: Iterable[Event]) -> None:
    """What one answer about one Service gave, and what it took."""
    decisions = tuple(decisions)
    if any(isinstance(one, decided.AllocationRefused) for one in decisions):
        given = [one for one in decisions if not isinstance(one, decided.AllocationRefused | decided.AddressAdopted)]
        assert not given, f"{given} beside a refusal"
    for one in decisions:
        if isinstance(one, decided.AddressAllocated):
            _check_grant(before, one)
            _check_quota(before, after, one)
        if isinstance(one, decided.AddressReleased) and one.reason == Reason.REQUEST_CHANGED:
            service = after.inventory.services[one.uid]
            family = family_of(one.address)
            assert any(family_of(kept) == family for kept in after.pools.addresses_of(one.uid)), one
            asked = {address for address in service.requested_addresses if family_of(address) == family}
            assert asked <= after.pools.addresses_of(one.uid), f"{one} before all of its request was there"


def _check_grant(state: ClusterState, given: decided.AddressAllocated) -> None:
    fact = state.inventory.pools[given.pool]
    service = state.inventory.services[given.uid]
    owner = (service.namespace, service.name)
    assert not fact.disabled
    assert not state.pools.table.by_name[given.pool].problem
    assert given_out(fact, given.address), f"{given.address} is excluded"
    kept = next((one for one in fact.reservations if one.address == given.address), None)
    assert kept is None or kept[1:] == owner, f"{given.address} is reserved for {kept}"
    cooling = state.pools.cooling.get(given.address)
    mine = cooling is None or cooling.uid == given.uid or (kept and (cooling.namespace, cooling.name) == owner)
    assert mine, f"{given.address} cools down: {cooling}"
    for holder in state.pools.by_address.get(given.address, ()):
        other = state.inventory.services[holder.uid]
        assert not set(other.ports) & set(service.ports), f"{given} clashes with {other}"
        if other.namespace != service.namespace:
            assert service.sharing_key
            assert service.sharing_key == other.sharing_key
            assert {other.namespace, service.namespace} <= set(fact.sharing_namespaces) or fact.sharing_namespaces == (
                "*",
            )
    if fact.service_selector:
        value = dict(service.labels).get("app")
        assert (value == "x") == bool(fact.service_selector[0].labels), f"{given} against {fact.service_selector}"


def _held_of(state: ClusterState, pool: str, namespace: str) -> set[Address]:
    return {
        address
        for address, holders in state.pools.by_address.items()
        if state.pools.pool_of(holders[0]) == pool and any(one.namespace == namespace for one in holders)
    }


def _check_quota(before: ClusterState, after: ClusterState, given: decided.AddressAllocated) -> None:
    fact = before.inventory.pools[given.pool]
    limit = dict(fact.quota_overrides).get(given.namespace, fact.quota_per_namespace)
    held = _held_of(after, given.pool, given.namespace)
    new = held - _held_of(before, given.pool, given.namespace)
    assert limit < 0 or not new or len(held) <= limit, f"{given} exceeds the quota of {limit}: {held}"
