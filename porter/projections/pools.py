"""Addresses and their holders: the fold of the allocator's decisions, with the indexes that deciding needs.

What is folded is small: holders by address, refusals, and Services that went while they held addresses. All else
(free addresses, who is unsettled, which pool an address counts for) follows from it and from the inventory, and is
brought up to date when it is asked for, so that replaying a long journal does not pay for it event by event.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from porter.events.decided import (
    AddressAdopted,
    AddressAllocated,
    AddressReleased,
    AllocationRefused,
    CoolDownElapsed,
)
from porter.events.observed import PoolGone, PoolObserved
from porter.model.address import Address, Family, address_number, family_of
from porter.model.reasons import Candidate
from porter.policy.pool_choice import Pool, assess
from porter.policy.pool_choice import Pools as PoolTable
from porter.policy.pool_order import NO_LIMIT, Orders, quota_of
from porter.policy.requests import may_gain
from porter.projections.address_index import AddressIndex, Standing, cooling_standing, held_standing
from porter.projections.alike import Alike
from porter.projections.holdings import Allocation, Cooling, Departure
from porter.projections.inventory import Inventory
from porter.projections.service_index import ServiceIndex, turn_of

__all__ = ["MAX_TOUCHED", "Allocation", "Pools"]

MAX_TOUCHED = 65536
"""Most changes that are remembered one by one for the indexes; beyond, everything counts as changed."""
MAX_REMEMBERED = 4096
"""Most lists of candidates that are kept once for all refusals that tell them."""

_new: Any = tuple.__new__
"""Builds a named tuple without its constructor: what is replayed a million times must not pay for keywords."""


class Pools:
    """Allocations by address and by UID, refusals, and what is unsettled.

    `by_address` maps an address to its allocations: one, or several that share it, the oldest first. `refusals` maps
    a UID to its last refusal and that one's position. `cooling` maps a freed address to its release until the
    cool-down of its pool has elapsed. `reopened` is the position of the last event that may let
    a refused Service be served.
    """

    __slots__ = (
        "_addresses",
        "_alike",
        "_all_touched",
        "_considered",
        "_edited",
        "_inventory",
        "_orders",
        "_services",
        "_table",
        "_told_candidates",
        "_touched_addresses",
        "_touched_uids",
        "by_address",
        "by_uid",
        "cooling",
        "departed",
        "protocols",
        "refusals",
        "reopened",
    )

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self.by_address: dict[Address, tuple[Allocation, ...]] = {}
        self.by_uid: dict[str, tuple[Allocation, ...]] = {}
        self.refusals: dict[str, tuple[AllocationRefused, int]] = {}
        self.departed: dict[str, Departure] = {}
        self.cooling: dict[Address, Cooling] = {}
        self.protocols: dict[str, str] = {}
        self.reopened = 0
        # Memory of questions without an answer. It is no part of the state: at worst a question is asked again.
        self._considered: set[str] = set()
        # Indexes: they follow from the above, and are brought up to date when they are asked for.
        self._table: PoolTable | None = None
        self._orders: Orders | None = None
        self._told_candidates: dict[tuple[Candidate, ...], tuple[Candidate, ...]] = {}
        self._addresses = AddressIndex()
        self._services = ServiceIndex()
        self._alike = Alike()
        self._touched_addresses: set[Address] = set()
        self._touched_uids: set[str] = set()
        self._edited: set[str] = set()
        self._all_touched = True

    def fork(self, inventory: Inventory) -> Pools:
        """An independent copy over another inventory; its indexes are computed anew."""
        copy = Pools(inventory)
        copy.by_address = dict(self.by_address)
        copy.by_uid = dict(self.by_uid)
        copy.refusals = dict(self.refusals)
        copy.departed = dict(self.departed)
        copy.cooling = dict(self.cooling)
        copy.protocols = dict(self.protocols)
        copy.reopened = self.reopened
        copy._considered = set(self._considered)
        return copy

    # ------------------------------------------------------------------------------------------------ folding

    def allocated(self, event: AddressAllocated | AddressAdopted, position: int, time_ms: int) -> None:
        """Fold an allocation or an adoption."""
        uid, namespace, name, address, pool, reason = event[:6]
        key = event.sharing_key if type(event) is AddressAllocated else ""
        allocation: Allocation = _new(Allocation, (address, pool, uid, namespace, name, position, time_ms, reason, key))
        others = self.by_address.get(address)
        if others is None:
            self.by_address[address] = (allocation,)
        else:
            self.by_address[address] = (*(one for one in others if one.uid != uid), allocation)
        mine = self.by_uid.get(uid)
        if mine is None:
            self.by_uid[uid] = (allocation,)
        else:
            self.by_uid[uid] = (*(one for one in mine if one.address != address), allocation)
        self.refusals.pop(uid, None)
        self._alike.forget(uid)
        self.cooling.pop(address, None)
        self._considered.add(uid)
        self._touched_addresses.add(address)
        self._touched_uids.add(uid)

    def released(self, event: AddressReleased, position: int, time_ms: int) -> None:
        """Fold a release; whoever was refused may be served now."""
        address, uid = event.address, event.uid
        holders = self.by_address.pop(address, ())
        if len(holders) > 1 or (holders and holders[0].uid != uid):
            self.by_address[address] = tuple(one for one in holders if one.uid != uid)
        mine = self.by_uid.pop(uid, ())
        if len(mine) > 1 or (mine and mine[0].address != address):
            self.by_uid[uid] = tuple(one for one in mine if one.address != address)
        else:
            self.departed.pop(uid, None)
        pool = self._inventory.held_pool(event.pool)
        if pool is not None and pool.release_delay_ms and address not in self.by_address:
            self.cooling[address] = Cooling(event.pool, uid, event.namespace, event.name, position, time_ms)
        self._touched_addresses.add(address)
        self._touched_uids.add(uid)
        self._freed(address, event.namespace, position)
        if uid in self._inventory.services:
            self._considered.add(uid)

    def cool_down_elapsed(self, event: CoolDownElapsed, position: int) -> None:
        """Fold the end of an address's cool-down; whoever was refused may be served now."""
        if self.cooling.pop(event.address, None) is not None:
            self._touched_addresses.add(event.address)
            self._freed(event.address, "", position)

    def refused(self, event: AllocationRefused, position: int) -> None:
        """Fold a refusal: nothing is left to say until something relevant changes."""
        # Thousands may be refused for the same reasons: those are kept once.
        if len(self._told_candidates) >= MAX_REMEMBERED:
            self._told_candidates.clear()
        candidates = self._told_candidates.setdefault(event.candidates, event.candidates)
        self.refusals[event.uid] = (event._replace(candidates=candidates), position)
        self._considered.add(event.uid)

    def service_observed(self, uid: str) -> None:
        """A Service's fact changed."""
        if uid in self.departed:
            del self.departed[uid]
        self._considered.discard(uid)
        self._alike.forget(uid)
        self._touched_uids.add(uid)
        if uid in self.by_uid:
            self._edited.add(uid)

    def service_gone(self, uid: str, reason: str, position: int) -> None:
        """A Service went; what it holds stays held until it is released."""
        self.refusals.pop(uid, None)
        if uid in self.by_uid:
            self.departed[uid] = Departure(reason, position)
        self._considered.discard(uid)
        self._alike.forget(uid)
        self._touched_uids.add(uid)

    def pool_changed(self, event: PoolObserved | PoolGone, position: int) -> None:
        """A pool appeared, changed or went: every Service is looked at again."""
        held = self._inventory.held_pool(event.name)
        if held is not None:
            self.protocols[event.name] = held.protocol
        elif not self.addresses_from(event.name):
            self.protocols.pop(event.name, None)
        self._table = None
        self._orders = None
        self._alike = Alike()
        self._all_touched = True
        self.reopen(position)

    def _freed(self, address: Address, namespace: str, position: int) -> None:
        """It can be given again: all are asked but those it is nothing for. With a quota it is room for all."""
        self.reopened = position
        pools = self._inventory.pools.values()
        if self._all_touched or (namespace and any(quota_of(one, namespace) != NO_LIMIT for one in pools)):
            self._considered.clear()
        else:
            self._considered &= self._services.indifferent(address) - self._touched_uids

    def namespace_changed(self, position: int) -> None:
        """A namespace's labels changed: Services of two namespaces that were refused alike may be so no more."""
        self._alike = Alike()
        self.reopen(position)

    def reopen(self, position: int) -> None:
        """Something changed that may let refused Services be served."""
        self.reopened = position
        self._considered.clear()

    def ask_again(self) -> None:
        """Forget which Services were considered: a new leader asks about all that lack something."""
        self._considered.clear()

    def bound_touched(self) -> None:
        """Keep what waits for the indexes within its limit."""
        if len(self._touched_addresses) + len(self._touched_uids) > MAX_TOUCHED:
            self._touched_addresses, self._touched_uids, self._edited = set(), set(), set()
            self._considered.clear()
            self._all_touched = True

    # ------------------------------------------------------------------------------------------------ reading

    def allocation(self, address: Address) -> Allocation | None:
        """The allocation of an address; of those that share it, the oldest."""
        holders = self.by_address.get(address)
        return holders[0] if holders else None

    def holders(self) -> Iterator[tuple[Address, str, str, str]]:
        """Every holder, as (address, namespace, name, UID), in the order of `allocations`."""
        return ((one.address, one.namespace, one.name, one.uid) for one in self.allocations())

    def allocations(self) -> Iterator[Allocation]:
        """Every allocation, by address as a number, IPv4 first."""
        for address in sorted(self.by_address, key=lambda one: (family_of(one), address_number(one))):
            yield from self.by_address[address]

    def of(self, uid: str) -> tuple[Allocation, ...]:
        """What a Service holds, the oldest first."""
        return self.by_uid.get(uid, ())

    def addresses_of(self, uid: str) -> frozenset[Address]:
        """The addresses that a Service holds."""
        return frozenset(one.address for one in self.by_uid.get(uid, ()))

    def addresses_from(self, pool: str) -> tuple[Address, ...]:
        """The addresses that were given from a pool, whatever became of the pool."""
        held = self.by_address.items()
        return tuple(address for address, holders in held if any(one.pool == pool for one in holders))

    def protocol(self, pool: str) -> str:
        """A pool's protocol, also after its deletion as long as its addresses are in use; "bgp" for no pool."""
        return self.protocols.get(pool, "bgp")

    def refusal(self, uid: str) -> AllocationRefused | None:
        """Why a Service lacks what it asks for, as of the last decision; None if it lacks nothing."""
        entry = self.refusals.get(uid)
        if entry is None:
            return None
        self._update()
        return None if self._services.is_served(uid) else entry[0]

    @property
    def table(self) -> PoolTable:
        """All pools, compared with each other."""
        if self._table is None:
            self._table = assess(*self._inventory.held_pools())
        return self._table

    def in_pool(self, address: Address, name: str) -> bool:
        """Whether a pool of this name holds an address."""
        pool = self.table.by_name.get(name)
        return pool is not None and pool.holds(address)

    def is_from(self, allocation: Allocation, name: str) -> bool:
        """Whether an address was given from a pool of this name, or lies in it now."""
        return allocation.pool == name or self.in_pool(allocation.address, name)

    def pool_of(self, allocation: Allocation) -> str:
        """The pool that an allocation counts for: the one that gave it, while it holds the address; else the one that
        holds it now; else still the one that gave it."""
        if self.in_pool(allocation.address, allocation.pool):
            return allocation.pool
        holding = self.table.holding(allocation.address)
        return allocation.pool if holding is None else holding.name

    def counted_for(self, pool: str) -> tuple[Address, ...]:
        """The addresses in use that count for a pool, by number; those outside of it included."""
        by_pool = self.index.by_pool
        return tuple(sorted(by_pool.get(pool, ()), key=lambda address: (family_of(address), address_number(address))))

    def usage(self, pool: str) -> int:
        """How many addresses in use count for a pool."""
        return len(self.index.by_pool.get(pool, ()))

    def used(self, family: Family) -> tuple[tuple[int, int], ...]:
        """The addresses in use as intervals of numbers."""
        return self.index.used[family].intervals()

    def lowest_free(self, pool: Pool, family: Family, uid: str = "") -> Address | None:
        """The lowest address of a pool that is free for the Service of a UID."""
        return self.index.lowest_free(pool, family, uid)

    @property
    def index(self) -> AddressIndex:
        """The addresses by pool, by namespace and as numbers, up to date."""
        self._update()
        return self._addresses

    @property
    def orders(self) -> Orders:
        """The order of the pools for each kind of Service."""
        if self._orders is None:
            self._orders = Orders(self.table)
        return self._orders

    def with_sharing_key(self, sharing_key: str) -> tuple[Address, ...]:
        """The addresses that Services with this sharing key hold, by number, IPv4 first."""
        self._update()
        held = {one.address for uid in self._services.with_key(sharing_key) for one in self.by_uid.get(uid, ())}
        return tuple(sorted(held, key=lambda address: (family_of(address), address_number(address))))

    # ---------------------------------------------------------------------------------------------- unsettled

    def consider(self, uid: str) -> None:
        """Remember that there is nothing to decide about a Service until something relevant changes."""
        self._considered.add(uid)

    def consider_alike(self, uid: str, kind: Hashable) -> None:
        """Remember with a refused Service those that were refused before and are of its kind."""
        self._considered |= self._alike.refused(uid, kind, self.reopened)

    def lacks(self, uid: str) -> bool:
        """Whether a Service lacks something that it asks for, or is gone and holds something."""
        self._update()
        return self._services.lacks(uid)

    def is_unsettled(self, uid: str) -> bool:
        """Whether there may be something to decide about a Service now."""
        return self.lacks(uid) and uid not in self._considered

    def unsettled(self, limit: int) -> tuple[str, ...]:
        """The Services to ask about next, in order, without those that were considered already."""
        self._update()
        return self._services.next(limit, self._considered)

    def _update(self) -> None:
        if self._all_touched:
            addresses: Iterable[Address] = {
                *self.by_address,
                *self.cooling,
                *self._addresses.known(),
                *self._touched_addresses,
            }
            uids: Iterable[str] = {
                *self._inventory.services,
                *self.by_uid,
                *self._services.known(),
                *self._touched_uids,
            }
            self._all_touched = False
        elif self._touched_addresses or self._touched_uids:
            addresses, uids = self._touched_addresses, self._touched_uids
        else:
            return
        self._touched_addresses, self._touched_uids = set(), set()
        self._addresses.use_table(self.table)
        for address in addresses:
            self._addresses.put(address, self._standing(address))
        for uid in uids:
            service = self._inventory.services.get(uid)
            turn = turn_of(uid, service, self.by_uid.get(uid, ()), self.is_from, self.pool_of)
            if service is None:
                self._services.put(uid, turn)
            else:
                gain = None if turn is None else may_gain(service, self.by_uid.get(uid, ()), self.is_from)
                self._services.put(uid, turn, service.sharing_key, service.requested_addresses, gain)
        for uid in self._edited:
            # Whoever was refused for the sake of this Service's ports, key or pods may share with it now.
            service = self._inventory.services.get(uid)
            key = service.sharing_key if service is not None else ""
            self._considered -= self._services.concerned(key, self.addresses_of(uid)) - {uid}
        self._edited = set()

    def _standing(self, address: Address) -> Standing:
        cooling = self.cooling.get(address)
        if cooling is not None:
            return cooling_standing(address, cooling)
        holders = self.by_address.get(address)
        return held_standing(holders, self.pool_of(holders[0])) if holders else Standing()
