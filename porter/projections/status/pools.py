"""An Eip's status: OpenELB's fields with true values, and who holds, keeps or waits for what.

An edit of a pool takes nothing away from anybody. So the condition `Degraded` names whoever has what the pool would not
give any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from porter.model.address import FAMILIES, IPV4, Address, address_from_number
from porter.model.reasons import Problem, Reason
from porter.policy.pool_choice import DEFAULT_FIELD, Pool
from porter.projections import pool_report
from porter.projections.cluster import BGP_PROTOCOL, ClusterState
from porter.projections.pool_report import Capacity
from porter.projections.sentences import clock_time
from porter.projections.status.conditions import (
    Tree,
    accepted_condition,
    condition,
    degraded_condition,
    listed,
    sentence,
)

MAX_INT64 = (1 << 63) - 1
MAX_USED_LISTED = 2048
"""Most addresses that `used` names: an object of the API is limited to about a megabyte. `usage` counts them all."""

MAX_SHARERS_LISTED = 8
"""Most Services of one address that `used` names."""


def pool_status(state: ClusterState, name: str) -> Tree:
    """An Eip's status; empty for a pool that is not there."""
    pool = state.pools.table.by_name.get(name)
    numbers = pool_report.capacity(state, name)
    if pool is None or numbers is None:
        return {}
    in_use = _in_use(state, pool)
    inside, generation = in_use.inside, pool.fact.generation
    first, last = _ends(pool)
    return {
        "occupied": numbers.used >= numbers.size,
        "usage": len(inside),
        "poolSize": min(numbers.size, MAX_INT64),
        "available": min(numbers.available, MAX_INT64),
        "reserved": numbers.reserved,
        "used": {address: _users(state, address) for address in inside[:MAX_USED_LISTED]},
        "firstIP": first,
        "lastIP": last,
        "v4": bool(pool.ranges_of(IPV4)),
        "ready": pool.problem is None,
        "observedGeneration": generation,
        "conditions": [
            accepted_condition(pool.problem, pool.fact.problems, generation, "every field is understood"),
            _ready(state, pool, numbers, len(inside)),
            degraded_condition(
                list(_problems(state, pool, in_use)), generation, "every address in use is one that the pool gives"
            ),
        ],
    }


class _InUse(NamedTuple):
    """The addresses in use that count for a pool, by number: those in its ranges, the `excluded` among them, and those
    outside."""

    inside: tuple[Address, ...]
    excluded: tuple[Address, ...]
    outside: tuple[Address, ...]


def _in_use(state: ClusterState, pool: Pool) -> _InUse:
    """Sort what is in use in one pass: it may be many thousand addresses."""
    inside, excluded, outside = [], [], []
    gives_all = pool.spans == pool.ranges and not pool.fact.avoid_buggy
    for address in state.pools.counted_for(pool.name):
        if not pool.holds(address):
            outside.append(address)
            continue
        inside.append(address)
        if not gives_all and not pool.gives(address):
            excluded.append(address)
    return _InUse(tuple(inside), tuple(excluded), tuple(outside))


def _ends(pool: Pool) -> tuple[str, str]:
    """The first and last address, as OpenELB shows them."""
    if not pool.ranges:
        return "", ""
    first, last = pool.ranges[0], pool.ranges[-1]
    return address_from_number(first.first, first.family), address_from_number(last.last, last.family)


def _users(state: ClusterState, address: Address) -> str:
    names = sorted(one.service for one in state.pools.by_address.get(address, ()))
    more = len(names) - MAX_SHARERS_LISTED
    return ";".join(names[:MAX_SHARERS_LISTED]) + (f";and {more} more" if more > 0 else "")


def _ready(state: ClusterState, pool: Pool, numbers: Capacity, in_use: int) -> Tree:
    generation = pool.fact.generation
    if pool.problem is not None:
        return condition("Ready", False, pool.problem.reason, sentence(pool.problem), generation)
    if pool.fact.protocol != BGP_PROTOCOL:
        message = (
            f"the pool gives addresses that nobody announces: spec.protocol {pool.fact.protocol} needs layer 2, which "
            "Porter does not have yet; write bgp"
        )
        return condition("Ready", False, Reason.FIELD_UNSUPPORTED, message, generation)
    if pool.fact.disabled:
        message = "the pool gives no new address; what it gave stays; set spec.disable to false to use it again"
        return condition("Ready", False, Reason.POOL_DISABLED, message, generation)
    if all(state.pools.lowest_free(pool, family) is None for family in FAMILIES):
        message = f"all {numbers.size} addresses are taken: {numbers.used} in use{_set_aside(numbers)}"
        mend = "add addresses or release a Service"
        return condition("Ready", False, Reason.POOL_EXHAUSTED, f"{message}; {mend}", generation)
    message = "the pool gives addresses"
    if in_use > MAX_USED_LISTED:
        message += f"; status.used names {MAX_USED_LISTED} of the {in_use} in use, and {in_use - MAX_USED_LISTED} not"
    return condition("Ready", True, "Available", message, generation)


def _set_aside(numbers: Capacity) -> str:
    reserved = f", {numbers.reserved} reserved" if numbers.reserved else ""
    return reserved + (f", {numbers.cooling} cooling down" if numbers.cooling else "")


def _problems(state: ClusterState, pool: Pool, in_use: _InUse) -> Iterator[Problem]:
    """What is not as it should be, what is in use first."""
    outside = _named(state, in_use.outside)
    if outside:
        message = (
            f"these Services keep addresses that the pool does not hold any more: {outside}; "
            "give the pool these addresses back or move them"
        )
        yield Problem(Reason.ADDRESS_OUTSIDE_POOLS, "", message)
    excluded = _named(state, in_use.excluded)
    if excluded:
        message = (
            f"these Services keep addresses that spec.excludes or spec.avoidBuggyIPs leaves out: {excluded}; "
            "nobody else gets them; move them, or take the exclusion back"
        )
        yield Problem(Reason.ADDRESS_OUTSIDE_POOLS, "", message)
    for reservation, holder in pool_report.contested(state, pool.name):
        message = (
            f"{holder.address} is reserved for {reservation.namespace}/{reservation.name}, but {holder.service} holds "
            f"it since {clock_time(holder.since_ms)} (#{holder.position}); it is kept for the former once the latter "
            "releases it"
        )
        yield Problem(Reason.RESERVED, "", message)
    for over in pool_report.over_quota(state, pool.name):
        message = (
            f"namespace {over.namespace} holds {over.held} {'address' if over.held == 1 else 'addresses'}, more than "
            f"its quota of {over.limit}; it keeps them and gets no more; raise spec.quota or delete Services there"
        )
        yield Problem(Reason.QUOTA_EXCEEDED, "", message)
    if pool.second_default is not None:
        yield pool.second_default._replace(field=DEFAULT_FIELD)
    yield from pool_report.warnings(state, pool.name)


def _named(state: ClusterState, addresses: Iterable[Address]) -> str:
    return listed([f"{one.service} ({address})" for address in addresses for one in state.pools.by_address[address]])
