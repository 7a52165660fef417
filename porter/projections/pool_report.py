"""What there is to tell about pools and about what Services hold from them: for statuses, conditions and answers.

Nothing is taken away by an edit of a pool, a label, a quota, a reservation or a sharing key. So there can be addresses
outside of their pool, namespaces over their quota, reserved addresses that others hold, sharers who no longer may
share: here they are named. All of it is derived; a pool or a Service that is not there has nothing to tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from porter.events.decided import AllocationRefused
from porter.events.observed import Reservation
from porter.model.address import Address, AddressRange
from porter.model.reasons import Problem
from porter.policy import pool_warnings
from porter.policy.pool_order import NO_LIMIT, quota_of
from porter.policy.sharing import why_not_shared
from porter.projections.cluster import ClusterState
from porter.projections.holdings import Cooling
from porter.projections.pools import Allocation


class Capacity(NamedTuple):
    """A pool in numbers: `size` = `used` + `reserved` + `cooling` + `available`.

    `size` is what can be handed out at all, without excludes and avoided buggy addresses. `reserved` are kept for a
    Service and not in use, `cooling` are freed and not yet usable.
    """

    size: int
    used: int
    reserved: int
    cooling: int
    available: int


class OverQuota(NamedTuple):
    """A namespace that holds more addresses of a pool than its quota; it keeps them."""

    namespace: str
    held: int
    limit: int


class Contested(NamedTuple):
    """A reserved address that another Service holds; the reservation counts from that one's release on."""

    reservation: Reservation
    holder: Allocation


class CoolingAddress(NamedTuple):
    """A freed address, the Service that released it, and when it may be given again (ms)."""

    address: Address
    released: Cooling
    until_ms: int


class BrokenSharing(NamedTuple):
    """An address that a Service shares with another one though they no longer may; `clause` says why not."""

    address: Address
    other: Allocation
    clause: str


class ServiceReport(NamedTuple):
    """What is odd about the addresses that a Service holds, and what it asks for and does not get.

    `outside` are those that its pool does not hold any more, `excluded` those that it would not give any more,
    `pool_gone` those whose pool was deleted and that no other pool holds. `broken_sharing` is told for the Service that
    was edited last. `unmet` is the refusal of what it asks for, while it keeps something else.
    """

    outside: tuple[Allocation, ...] = ()
    excluded: tuple[Allocation, ...] = ()
    pool_gone: tuple[Allocation, ...] = ()
    broken_sharing: tuple[BrokenSharing, ...] = ()
    unmet: AllocationRefused | None = None


def capacity(state: ClusterState, name: str) -> Capacity | None:
    """A pool in numbers; None for one that is not there."""
    pools = state.pools
    pool = pools.table.by_name.get(name)
    if pool is None:
        return None
    # An address may count for another pool that gave it: what is in use is asked of the numbers.
    used = pool.count(
        AddressRange(span.family, *part)
        for span in pool.spans
        for part in pools.index.used[span.family].between(span.first, span.last)
    )
    kept = pool.reserved
    reserved = sum(1 for address in kept if address not in pools.by_address)
    cooling = sum(1 for address in pools.cooling if pool.gives(address) and address not in kept)
    return Capacity(pool.size, used, reserved, cooling, pool.size - used - reserved - cooling)


def outside(state: ClusterState, name: str) -> tuple[Allocation, ...]:
    """What counts for a pool and lies in none of its ranges, by address; Services that share one come all."""
    pool = state.pools.table.by_name.get(name)
    return () if pool is None else _allocations(state, name, lambda address: not pool.holds(address))


def excluded(state: ClusterState, name: str) -> tuple[Allocation, ...]:
    """What counts for a pool and lies in its ranges, but is excluded now or a buggy address to be avoided."""
    pool = state.pools.table.by_name.get(name)
    if pool is None:
        return ()
    return _allocations(state, name, lambda address: pool.holds(address) and not pool.gives(address))


def over_quota(state: ClusterState, name: str) -> tuple[OverQuota, ...]:
    """The namespaces that hold more of a pool than its quota, by name."""
    pool = state.pools.table.by_name.get(name)
    if pool is None:
        return ()
    counts = ((space, held, quota_of(pool.fact, space)) for space, held in state.pools.index.counts(name).items())
    return tuple(OverQuota(*one) for one in counts if one[2] != NO_LIMIT and one[1] > one[2])


def contested(state: ClusterState, name: str) -> tuple[Contested, ...]:
    """The reservations of a pool whose address another Service holds, by address."""
    pool = state.pools.table.by_name.get(name)
    if pool is None:
        return ()
    found = []
    for address, reservation in pool.reserved.items():
        owner = f"{reservation.namespace}/{reservation.name}"
        holders = state.pools.by_address.get(address, ())
        found += [Contested(reservation, one) for one in holders if one.service != owner]
    return tuple(sorted(found, key=lambda one: (one.reservation.address, one.holder.position)))


def cooling(state: ClusterState, name: str) -> tuple[CoolingAddress, ...]:
    """The freed addresses of a pool that cool down, those that are usable soonest first."""
    fact = state.inventory.held_pool(name)
    if fact is None:
        return ()
    return tuple(
        CoolingAddress(address, state.pools.cooling[address], since_ms + fact.release_delay_ms)
        for since_ms, _, address in state.pools.index.cooling_ends.get(name, ())
    )


def warnings(state: ClusterState, name: str) -> tuple[Problem, ...]:
    """What a pool is warned of: nodes' addresses, a ServiceCIDR, reservations without effect. It is used all the same.

    They follow Nodes and ServiceCIDRs as well as the pool.
    """
    pool = state.pools.table.by_name.get(name)
    if pool is None:
        return ()
    inventory = state.inventory
    return pool_warnings.warnings(pool, inventory.nodes.values(), inventory.service_ranges.values())


def service_report(state: ClusterState, uid: str) -> ServiceReport:
    """What there is to tell about one Service's addresses."""
    pools, mine = state.pools, state.pools.of(uid)
    if not mine or uid not in state.inventory.services:
        return ServiceReport()
    outside_, excluded_, gone_ = [], [], []
    for one in mine:
        pool = pools.table.by_name.get(pools.pool_of(one))
        if pool is None:
            gone_.append(one)
        elif not pool.holds(one.address):
            outside_.append(one)
        elif not pool.gives(one.address):
            excluded_.append(one)
    broken = tuple(sharing for one in mine for sharing in _broken_sharing(state, one))
    return ServiceReport(tuple(outside_), tuple(excluded_), tuple(gone_), broken, pools.refusal(uid))


def _broken_sharing(state: ClusterState, mine: Allocation) -> list[BrokenSharing]:
    inventory = state.inventory
    service = inventory.services[mine.uid]
    allowed = state.pools.table.sharing_namespaces(mine.address)
    found = []
    for other in state.pools.by_address.get(mine.address, ()):
        sharer = inventory.services.get(other.uid)
        if other.uid == mine.uid or sharer is None:
            continue
        clause = why_not_shared(service, sharer, mine.address, allowed)
        if clause and inventory.position_of(mine.uid) > inventory.position_of(other.uid):
            found.append(BrokenSharing(mine.address, other, clause))
    return found


def _allocations(state: ClusterState, name: str, chosen: Callable[[Address], bool]) -> tuple[Allocation, ...]:
    pools = state.pools
    return tuple(one for address in pools.counted_for(name) if chosen(address) for one in pools.by_address[address])
