"""Which pools may serve a Service, and in which order.

Without a request: the pools bound to the Service's namespace, then the default pool of each family, then the pools
that are assigned automatically; each rule by priority, then name. A plain pool serves requests only. What is
refused to one pool for the sake of another (an overlap, a second default) favours the older object.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from porter.events.observed import PoolObserved
from porter.model.address import (
    FAMILIES,
    Address,
    AddressRange,
    Family,
    InvalidAddress,
    address_number,
    family_of,
    parse_range,
)
from porter.model.reasons import Candidate, Problem, Reason
from porter.model.selector import Pairs
from porter.policy.problems import disqualifying

ADDRESS_FIELD = "spec.address"
DEFAULT_FIELD = "metadata.annotations[eip.openelb.kubesphere.io/is-default-eip]"


class Pool(NamedTuple):
    """A pool among the others. One with a `problem` gives nothing, and keeps what it gave.

    `default_for` are the families that it is the default pool of; `second_default` says why it is not of others.
    """

    fact: PoolObserved
    ranges: tuple[AddressRange, ...]
    problem: Problem | None
    default_for: tuple[Family, ...] = ()
    second_default: Problem | None = None

    @property
    def name(self) -> str:
        return self.fact.name

    def ranges_of(self, family: Family) -> tuple[AddressRange, ...]:
        """The ranges of one family, lowest first."""
        return tuple(one for one in self.ranges if one.family == family)

    def holds(self, address: Address) -> bool:
        """Whether an address lies in one of the ranges."""
        return any(address in one for one in self.ranges)


class Pools(NamedTuple):
    """All pools by name, and the ranges of the usable ones, sorted, for look-ups by address."""

    by_name: Mapping[str, Pool]
    starts: Mapping[Family, tuple[int, ...]]
    spans: Mapping[Family, tuple[tuple[AddressRange, str], ...]]

    def holding(self, address: Address) -> Pool | None:
        """The pool whose range holds an address; overlapping newcomers are not asked."""
        family = family_of(address)
        index = bisect_right(self.starts[family], address_number(address)) - 1
        if index < 0:
            return None
        span, name = self.spans[family][index]
        return self.by_name[name] if address in span else None


def _merged(ranges: Iterable[AddressRange]) -> tuple[AddressRange, ...]:
    merged: list[AddressRange] = []
    for one in sorted(ranges):
        last = merged[-1] if merged else None
        if last is not None and last.family == one.family and one.first <= last.last + 1:
            merged[-1] = last._replace(last=max(last.last, one.last))
        else:
            merged.append(one)
    return tuple(merged)


def ranges_of(fact: PoolObserved) -> tuple[AddressRange, ...]:
    """A pool's ranges, parsed, sorted and merged.

    Raises:
        InvalidAddress: a range of the fact is none.
    """
    return _merged(parse_range(f"{first}-{last}") for first, last in fact.ranges)


def _overlap(
    ranges: Iterable[AddressRange], starts: Mapping[Family, list[int]], spans: Mapping[Family, list[tuple[int, str]]]
) -> str:
    for one in ranges:
        # Accepted ranges are disjoint: only the last one that begins before our end can reach into us.
        index = bisect_right(starts[one.family], one.last) - 1
        if index >= 0 and spans[one.family][index][0] >= one.first:
            return spans[one.family][index][1]
    return ""


def assess(facts: Iterable[PoolObserved]) -> Pools:
    """Compare all pools with each other, the oldest first."""
    by_name: dict[str, Pool] = {}
    starts: dict[Family, list[int]] = {family: [] for family in FAMILIES}
    ends: dict[Family, list[tuple[int, str]]] = {family: [] for family in FAMILIES}
    spans: dict[Family, list[tuple[AddressRange, str]]] = {family: [] for family in FAMILIES}
    defaults: dict[Family, str] = {}
    for fact in sorted(facts, key=lambda one: (one.created_ms, one.name)):
        pool = _assess_one(fact, starts, ends, defaults)
        by_name[fact.name] = pool
        if pool.problem is not None:
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
    )


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
    problem = disqualifying(fact.problems)
    if problem is None and not ranges:
        problem = Problem(Reason.POOL_INVALID, ADDRESS_FIELD, "the pool holds no address; set spec.address")
    if problem is None and (other := _overlap(ranges, starts, ends)):
        message = f"its addresses overlap those of the older Eip {other}; choose addresses that no other Eip has"
        problem = Problem(Reason.POOL_INVALID, ADDRESS_FIELD, message)
    if problem is not None or not fact.default:
        return Pool(fact, ranges, problem)
    families = tuple(family for family in FAMILIES if any(one.family == family for one in ranges))
    taken = next((family for family in families if family in defaults), None)
    second = None
    if taken is not None:
        message = f"Eip {defaults[taken]} is the default for {taken} already; take the mark off one of the two"
        second = Problem(Reason.ON_REQUEST_ONLY, DEFAULT_FIELD, message)
    return Pool(fact, ranges, None, tuple(family for family in families if family not in defaults), second)


class Rule(NamedTuple):
    """One step of the order: the reason that an address is given for, and the pools of the step, in order."""

    reason: Reason
    pools: tuple[Pool, ...]


def is_bound(fact: PoolObserved) -> bool:
    """Whether a pool is bound to namespaces at all."""
    return bool(fact.namespaces or fact.namespace_selector)


def is_bound_to(fact: PoolObserved, namespace: str, labels: Pairs) -> bool:
    """Whether a pool is bound to a namespace: by name, or by all of its label pairs."""
    by_labels = bool(fact.namespace_selector) and set(fact.namespace_selector).issubset(labels)
    return namespace in fact.namespaces or by_labels


def unusable(pool: Pool) -> Candidate | None:
    """Why a pool gives no address to anybody, or None."""
    if pool.problem is not None:
        return Candidate(pool.name, Reason.POOL_INVALID, f"Eip {pool.name} cannot be used: {pool.problem.message}")
    if pool.fact.disabled:
        return Candidate(pool.name, Reason.POOL_DISABLED, f"Eip {pool.name} is disabled; set spec.disable to false")
    return None


def automatic_rules(pools: Pools, namespace: str, labels: Pairs) -> tuple[tuple[Rule, ...], tuple[Candidate, ...]]:
    """The rules for a Service that requests nothing, and the pools that no rule names, with the reason."""
    bound: list[Pool] = []
    default: list[Pool] = []
    automatic: list[Pool] = []
    passed: list[Candidate] = []
    for pool in pools.by_name.values():
        fact = pool.fact
        why = unusable(pool)
        if why is not None:
            passed.append(why)
        elif fact.auto_assign is False:
            passed.append(_on_request_only(pool))
        elif is_bound_to(fact, namespace, labels):
            bound.append(pool)
        elif pool.default_for:
            default.append(pool)
        elif is_bound(fact):
            message = f"Eip {pool.name} is bound to other namespaces; add {namespace} to spec.namespaces"
            passed.append(Candidate(pool.name, Reason.NOT_SELECTED, message))
        elif fact.auto_assign:
            automatic.append(pool)
        else:
            passed.append(_on_request_only(pool))
    rules = (
        Rule(Reason.BOUND_POOL, _in_order(bound)),
        Rule(Reason.DEFAULT_POOL, _in_order(default)),
        Rule(Reason.AUTO_ASSIGNED, _in_order(automatic)),
    )
    return tuple(rule for rule in rules if rule.pools), tuple(passed)


def _in_order(pools: list[Pool]) -> tuple[Pool, ...]:
    return tuple(sorted(pools, key=lambda pool: (pool.fact.priority, pool.name)))


def _on_request_only(pool: Pool) -> Candidate:
    message = f"Eip {pool.name} is used on request only; name it, mark it as default, or set spec.autoAssign"
    return Candidate(pool.name, Reason.ON_REQUEST_ONLY, message)
