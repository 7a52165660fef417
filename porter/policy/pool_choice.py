"""The pools among each other: what each holds and may give, who is the default, which ones cannot be used.

What is refused to one pool for the sake of another (an overlap, a second default) favours the older object. Which of
them serve a Service, and in which order, is the matter of `porter.policy.pool_order`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from porter.events.observed import PoolObserved, Reservation
from porter.model.address import (
    FAMILIES,
    Address,
    AddressRange,
    Family,
    InvalidAddress,
    address_number,
    family_of,
)
from porter.model.reasons import Problem, Reason
from porter.policy.problems import disqualifying
from porter.policy.spans import buggy_count, is_buggy, parsed, spanning, without

ADDRESS_FIELD = "spec.address"
EXCLUDES_FIELD = "spec.excludes"
DEFAULT_FIELD = "metadata.annotations[eip.openelb.kubesphere.io/is-default-eip]"


class Pool(NamedTuple):
    """A pool among the others. One with a `problem` gives nothing, and keeps what it gave.

    `ranges` hold what counts for the pool. `default_for` are the families that it is the default pool of;
    `second_default` says why it is not of others.
    """

    fact: PoolObserved
    ranges: tuple[AddressRange, ...]
    problem: Problem | None
    default_for: tuple[Family, ...] = ()
    second_default: Problem | None = None
    spans: tuple[AddressRange, ...] = ()
    """The ranges without the excludes: what may be handed out, less the buggy addresses where they are avoided."""
    claims: bool = False
    """Whether its ranges are its own and its reservations count: it is usable, or was so before it became malformed. An
    edit that cannot be read hands neither to a younger pool."""

    @property
    def name(self) -> str:
        return self.fact.name

    def ranges_of(self, family: Family) -> tuple[AddressRange, ...]:
        """The ranges of one family, lowest first."""
        return tuple(one for one in self.ranges if one.family == family)

    def holds(self, address: Address) -> bool:
        """Whether an address lies in one of the ranges, excluded or not."""
        return spanning(self.ranges, family_of(address), address_number(address))

    def gives(self, address: Address) -> bool:
        """Whether an address lies in one of the ranges and is neither excluded nor a buggy one to be avoided."""
        family, number = family_of(address), address_number(address)
        return spanning(self.spans, family, number) and not (self.fact.avoid_buggy and is_buggy(family, number))

    @property
    def size(self) -> int:
        """How many addresses can be handed out, in use or not."""
        return self.count(self.spans)

    def count(self, spans: Iterable[AddressRange]) -> int:
        """How many addresses parts of the pool's spans hold, without the buggy ones where they are avoided."""
        avoided = self.fact.avoid_buggy
        return sum(one.size - (buggy_count(one) if avoided else 0) for one in spans)

    @property
    def reserved(self) -> Mapping[Address, Reservation]:
        """The reservations that count: of addresses that the pool gives, the first of several for one address."""
        counted: dict[Address, Reservation] = {}
        for one in self.fact.reservations:
            if one.address not in counted and self.gives(one.address):
                counted[one.address] = one
        return counted


class Pools(NamedTuple):
    """All pools by name, and the ranges of those that claim theirs, sorted, for look-ups by address.

    `reserved` are the reservations of these pools by address; `reserved_for` the same addresses by the
    "namespace/name" that they are kept for, in the order of pools (priority, name) and then of addresses.
    """

    by_name: Mapping[str, Pool]
    starts: Mapping[Family, tuple[int, ...]]
    spans: Mapping[Family, tuple[tuple[AddressRange, str], ...]]
    reserved: Mapping[Address, Reservation]
    reserved_for: Mapping[str, tuple[tuple[Pool, Address], ...]]

    def holding(self, address: Address) -> Pool | None:
        """The pool whose range holds an address; overlapping newcomers are not asked."""
        family = family_of(address)
        index = bisect_right(self.starts[family], address_number(address)) - 1
        if index < 0:
            return None
        span, name = self.spans[family][index]
        return self.by_name[name] if address in span else None

    @property
    def has_quotas(self) -> bool:
        """Whether a pool limits what a namespace may hold."""
        return any(one.fact.quota_per_namespace >= 0 or one.fact.quota_overrides for one in self.by_name.values())

    def sharing_namespaces(self, address: Address) -> tuple[str, ...]:
        """The namespaces that may share an address with each other."""
        pool = self.holding(address)
        return () if pool is None else pool.fact.sharing_namespaces


def ranges_of(fact: PoolObserved) -> tuple[AddressRange, ...]:
    """A pool's ranges, parsed, sorted and merged.

    Raises:
        InvalidAddress: a range of the fact is none.
    """
    return parsed(fact.ranges)


def _overlap(
    ranges: Iterable[AddressRange], starts: Mapping[Family, list[int]], spans: Mapping[Family, list[tuple[int, str]]]
) -> str:
    for one in ranges:
        # Accepted ranges are disjoint: only the last one that begins before our end can reach into us.
        index = bisect_right(starts[one.family], one.last) - 1
        if index >= 0 and spans[one.family][index][0] >= one.first:
            return spans[one.family][index][1]
    return ""


def assess(
    facts: Iterable[PoolObserved], once_good: Container[str] = (), since: Mapping[str, int] | None = None
) -> Pools:
    """Compare all pools with each other, the oldest first; of those created at one time, by `since` and then by name.

    Those of `once_good` have problems now, and the rest of their facts is what they said when they were well-formed.
    """
    by_name: dict[str, Pool] = {}
    starts: dict[Family, list[int]] = {family: [] for family in FAMILIES}
    ends: dict[Family, list[tuple[int, str]]] = {family: [] for family in FAMILIES}
    spans: dict[Family, list[tuple[AddressRange, str]]] = {family: [] for family in FAMILIES}
    defaults: dict[Family, str] = {}
    seen = since or {}
    for fact in sorted(facts, key=lambda one: (one.created_ms, seen.get(one.name, 0), one.name)):
        pool = _assess_one(fact, starts, ends, defaults)
        by_name[fact.name] = pool
        if pool.problem is not None and fact.name in once_good and not _overlap(pool.ranges, starts, ends):
            pool = by_name[fact.name] = pool._replace(claims=True)
        if not pool.claims:
            continue
        for family in pool.default_for:
            defaults[family] = fact.name
        for one in pool.ranges:
            index = bisect_right(starts[one.family], one.first)
            starts[one.family].insert(index, one.first)
            ends[one.family].insert(index, (one.last, fact.name))
            spans[one.family].insert(index, (one, fact.name))
    return Pools(
        {name: by_name[name] for name in sorted(by_name)},
        {family: tuple(starts[family]) for family in FAMILIES},
        {family: tuple(spans[family]) for family in FAMILIES},
        *_reservations(by_name.values()),
    )


def _reservations(
    pools: Iterable[Pool],
) -> tuple[dict[Address, Reservation], dict[str, tuple[tuple[Pool, Address], ...]]]:
    reserved: dict[Address, Reservation] = {}
    reserved_for: dict[str, tuple[tuple[Pool, Address], ...]] = {}
    for pool in sorted(pools, key=lambda one: (one.fact.priority, one.name)):
        if not pool.claims or not pool.fact.reservations:
            continue
        mine = pool.reserved
        reserved.update(mine)
        for address in sorted(mine, key=address_number):
            owner = f"{mine[address].namespace}/{mine[address].name}"
            reserved_for[owner] = (*reserved_for.get(owner, ()), (pool, address))
    return reserved, reserved_for


def _assess_one(
    fact: PoolObserved,
    starts: Mapping[Family, list[int]],
    ends: Mapping[Family, list[tuple[int, str]]],
    defaults: Mapping[Family, str],
) -> Pool:
    try:
        ranges = ranges_of(fact)
    except InvalidAddress as error:
        return Pool(fact, (), Problem(Reason.POOL_INVALID, ADDRESS_FIELD, str(error)))
    try:
        spans = without(ranges, parsed(fact.excludes))
    except InvalidAddress as error:
        return Pool(fact, ranges, Problem(Reason.POOL_INVALID, EXCLUDES_FIELD, str(error)))
    problem = disqualifying(fact.problems)
    if problem is None and not ranges:
        problem = Problem(Reason.POOL_INVALID, ADDRESS_FIELD, "the pool holds no address; set spec.address")
    if problem is None and (other := _overlap(ranges, starts, ends)):
        message = f"its addresses overlap those of the older Eip {other}; choose addresses that no other Eip has"
        problem = Problem(Reason.POOL_INVALID, ADDRESS_FIELD, message)
    if problem is not None or not fact.default:
        return Pool(fact, ranges, problem, spans=spans, claims=problem is None)
    families = tuple(family for family in FAMILIES if any(one.family == family for one in ranges))
    taken = next((family for family in families if family in defaults), None)
    second = None
    if taken is not None:
        message = f"Eip {defaults[taken]} is the default for {taken} already; take the mark off one of the two"
        second = Problem(Reason.ON_REQUEST_ONLY, DEFAULT_FIELD, message)
    default_for = tuple(family for family in families if family not in defaults)
    return Pool(fact, ranges, None, default_for, second, spans, claims=True)
