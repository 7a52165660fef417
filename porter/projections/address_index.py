"""What follows from holders, cool-downs and the pools: kept up to date address by address, never folded.

Per pool and family there is a set of *blocked* numbers: what is in use, cooling, reserved, excluded, or between two
ranges. The lowest free address is the first number outside of it, however many ranges and excludes a pool has. Buggy
addresses enter it when a search meets one, so that avoiding them costs nothing again, and a /8 holds no more of
them than the addresses in use make it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple, Protocol

from porter.model.address import FAMILIES, Address, Family, address_from_number, address_number, family_of
from porter.policy.pool_choice import Pool
from porter.policy.pool_choice import Pools as PoolTable
from porter.policy.spans import is_buggy
from porter.projections.holdings import Cooling
from porter.projections.number_set import NumberSet

End = tuple[int, int, Address]
"""A cool-down's begin (ms), the position of its release, and the address: sorts by what ends first within a pool."""


class Holder(Protocol):
    """A Service that holds an address."""

    @property
    def namespace(self) -> str: ...


class Standing(NamedTuple):
    """One address: the pool that it counts for and the namespaces that hold it, and its cool-down if it has one."""

    pool: str = ""
    namespaces: tuple[str, ...] = ()
    cooling_pool: str = ""
    cooling_uid: str = ""
    cooling_end: End | None = None


def cooling_standing(address: Address, cooling: Cooling) -> Standing:
    """The standing of an address that cools down."""
    end = (cooling.since_ms, cooling.position, address)
    return Standing(cooling_pool=cooling.pool, cooling_uid=cooling.uid, cooling_end=end)


def held_standing(holders: tuple[Holder, ...], pool: str) -> Standing:
    """The standing of an address that is in use, and counts for a pool."""
    if len(holders) == 1:
        return Standing(pool, (holders[0].namespace,))
    return Standing(pool, tuple(sorted({one.namespace for one in holders})))


class AddressIndex:
    """Addresses by pool, by namespace and as numbers, and cool-downs by pool and by Service."""

    __slots__ = ("_blocked", "_cooling_of", "_counts", "_standings", "_table", "by_pool", "cooling_ends", "used")

    def __init__(self) -> None:
        self.used: dict[Family, NumberSet] = {family: NumberSet() for family in FAMILIES}
        self.by_pool: dict[str, set[Address]] = {}
        self.cooling_ends: dict[str, list[End]] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._cooling_of: dict[str, set[Address]] = {}
        self._standings: dict[Address, Standing] = {}
        self._table: PoolTable | None = None
        self._blocked: dict[tuple[str, Family], NumberSet] = {}

    def known(self) -> tuple[Address, ...]:
        """Every address that something is kept about."""
        return tuple(self._standings)

    def use_table(self, table: PoolTable) -> None:
        """Block what other pools than before leave out; every address must be put in again after that."""
        if table is self._table:
            return
        self._table = table
        self._blocked = {
            (pool.name, family): NumberSet(_left_out(pool, family))
            for pool in table.by_name.values()
            if pool.problem is None
            for family in FAMILIES
            if pool.ranges_of(family)
        }
        for address in table.reserved:
            self._block(address, blocked=True)

    def put(self, address: Address, now: Standing) -> None:
        """Bring one address up to date."""
        before = self._standings.pop(address, None)
        if before is not None:
            self._forget(address, before)
        in_use = bool(now.namespaces)
        cooling = now.cooling_end is not None
        if in_use or cooling:
            self._standings[address] = now
        used = self.used[family_of(address)]
        (used.add if in_use else used.discard)(address_number(address))
        if in_use:
            self.by_pool.setdefault(now.pool, set()).add(address)
            counts = self._counts.setdefault(now.pool, {})
            for namespace in now.namespaces:
                counts[namespace] = counts.get(namespace, 0) + 1
        if now.cooling_end is not None:
            insort(self.cooling_ends.setdefault(now.cooling_pool, []), now.cooling_end)
            self._cooling_of.setdefault(now.cooling_uid, set()).add(address)
        self._block(address, blocked=in_use or cooling)

    def _forget(self, address: Address, before: Standing) -> None:
        if before.namespaces:
            self.by_pool[before.pool].discard(address)
            counts = self._counts[before.pool]
            for namespace in before.namespaces:
                counts[namespace] -= 1
                if not counts[namespace]:
                    del counts[namespace]
        if before.cooling_end is not None:
            ends = self.cooling_ends[before.cooling_pool]
            del ends[bisect_left(ends, before.cooling_end)]
            if not ends:
                del self.cooling_ends[before.cooling_pool]
            mine = self._cooling_of[before.cooling_uid]
            mine.discard(address)
            if not mine:
                del self._cooling_of[before.cooling_uid]

    def _block(self, address: Address, *, blocked: bool) -> None:
        assert self._table is not None
        pool = self._table.holding(address)
        if pool is None:
            return
        numbers = self._blocked.get((pool.name, family_of(address)))
        if numbers is None:
            # A malformed pool keeps what is its own and gives nothing.
            return
        keep = blocked or address in self._table.reserved or not pool.gives(address)
        (numbers.add if keep else numbers.discard)(address_number(address))

    def lowest_free(self, pool: Pool, family: Family, uid: str) -> Address | None:
        """The lowest address of a pool that nobody holds and that is neither excluded, reserved nor cooling.

        What cools down since the Service of this UID released it is free for that Service.
        """
        lowest = self._lowest_free(pool, family)
        own = self._cooling_of.get(uid)
        if not own:
            return lowest
        assert self._table is not None
        reserved = self._table.reserved
        free = [one for one in own if family_of(one) == family and pool.gives(one) and one not in reserved]
        return min(free if lowest is None else [lowest, *free], key=address_number, default=None)

    def _lowest_free(self, pool: Pool, family: Family) -> Address | None:
        numbers = self._blocked.get((pool.name, family))
        if numbers is None:
            return None
        ranges = pool.ranges_of(family)
        first, last = ranges[0].first, ranges[-1].last
        while (number := numbers.lowest_free(first, last)) is not None:
            if not (pool.fact.avoid_buggy and is_buggy(family, number)):
                return address_from_number(number, family)
            numbers.add(number)
        return None

    def count(self, pool: str, namespace: str) -> int:
        """How many addresses that count for a pool a namespace holds; one that its Services share counts once."""
        return self._counts.get(pool, {}).get(namespace, 0)

    def counts(self, pool: str) -> dict[str, int]:
        """That number for every namespace that holds any, by name."""
        return dict(sorted(self._counts.get(pool, {}).items()))


def _left_out(pool: Pool, family: Family) -> list[tuple[int, int]]:
    """The gaps between a pool's spans, from its first address to its last."""
    ranges = pool.ranges_of(family)
    first, end = ranges[0].first, ranges[-1].last
    gaps: list[tuple[int, int]] = []
    for span in pool.spans:
        if span.family != family:
            continue
        if span.first > first:
            gaps.append((first, span.first - 1))
        first = span.last + 1
    return [*gaps, (first, end)] if first <= end else gaps
