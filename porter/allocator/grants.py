"""Finding addresses for a Service: the requested ones, or by the order of the pools."""

from __future__ import annotations

from typing import NamedTuple

from porter.allocator import messages
from porter.events.observed import ServiceObserved
from porter.model.address import Address, Family, family_of
from porter.model.reasons import Candidate, Reason
from porter.model.selector import Pairs
from porter.policy.pool_choice import Pool
from porter.policy.pool_order import Rule, automatic_rules, unusable
from porter.policy.sharing import why_not_shared
from porter.projections.cluster import ClusterState

MAX_CANDIDATES = 16
"""Most pools that a decision names as passed over."""


class Grant(NamedTuple):
    """An address that a Service is to have."""

    family: Family
    address: Address
    pool: str
    reason: Reason
    sharing_key: str = ""


class Refusal(NamedTuple):
    """Why a Service does not get what it asks for."""

    reason: str
    message: str


class Search(NamedTuple):
    """What was found, why the rest was not, and the pools that were passed over."""

    grants: tuple[Grant, ...]
    refusal: Refusal | None = None
    candidates: tuple[Candidate, ...] = ()


def requested(state: ClusterState, service: ServiceObserved, address: Address) -> Grant | Refusal:
    """Look whether a Service may have the address that it asks for.

    In this order: a pool must hold the address, the requested pool if there is one; the pool must give addresses; and
    nobody may hold it already, but Services that share it.
    """
    pool = state.pools.table.holding(address)
    if service.requested_pool:
        named = state.pools.table.by_name.get(service.requested_pool)
        if named is None:
            return Refusal(Reason.POOL_NOT_FOUND, messages.no_such_pool(service.requested_pool))
        if not named.holds(address):
            return Refusal(Reason.ADDRESS_OUTSIDE_POOLS, messages.outside_pool(address, named.name))
        pool = named
    if pool is None:
        return Refusal(Reason.ADDRESS_OUTSIDE_POOLS, messages.outside_pools(address))
    why = unusable(pool)
    if why is not None:
        return Refusal(why.reason, why.message)
    for holder in state.pools.by_address.get(address, ()):
        other = state.inventory.services.get(holder.uid)
        clause = "its Service is gone but not yet released" if other is None else ""
        if other is not None:
            clause = why_not_shared(service, other, address)
        if clause:
            asked = other is not None and (service.sharing_key or address in other.requested_addresses)
            return Refusal(Reason.ADDRESS_IN_USE, messages.held_by(holder, clause if asked else ""))
    return Grant(family_of(address), address, pool.name, Reason.REQUESTED_ADDRESS, service.sharing_key)


def from_pools(
    state: ClusterState, service: ServiceObserved, missing: tuple[Family, ...], preferred: tuple[str, ...]
) -> Search:
    """Find the lowest free address of each missing family.

    Each family comes from the first rule that has one; within a rule from a single pool for all families if there is
    one. `preferred` are the pools that the Service has an address of: they are asked before the rules.
    """
    table = state.pools.table
    passed: tuple[Candidate, ...] = ()
    if service.requested_pool:
        pool = table.by_name.get(service.requested_pool)
        if pool is None:
            return Search((), Refusal(Reason.POOL_NOT_FOUND, messages.no_such_pool(service.requested_pool)))
        why = unusable(pool)
        if why is not None:
            return Search((), Refusal(why.reason, why.message), (why,))
        rules: tuple[Rule, ...] = (Rule(Reason.REQUESTED_POOL, (pool,)),)
    else:
        rules, passed = automatic_rules(table, service.namespace, _labels(state, service.namespace))
        rules = (*_rules_of(rules, preferred), *rules)
    return _search(state, service, missing, rules, passed)


def _rules_of(rules: tuple[Rule, ...], preferred: tuple[str, ...]) -> tuple[Rule, ...]:
    """The same rules for the pools that the Service is served from already."""
    narrowed = (Rule(reason, tuple(pool for pool in pools if pool.name in preferred)) for reason, pools in rules)
    return tuple(rule for rule in narrowed if rule.pools)


def _labels(state: ClusterState, namespace: str) -> Pairs:
    fact = state.inventory.namespaces.get(namespace)
    return fact.labels if fact is not None else ()


def _search(
    state: ClusterState,
    service: ServiceObserved,
    missing: tuple[Family, ...],
    rules: tuple[Rule, ...],
    passed: tuple[Candidate, ...],
) -> Search:
    grants: dict[Family, Grant] = {}
    turned_down: dict[Candidate, None] = {}
    for rule in rules:
        left = tuple(family for family in missing if family not in grants)
        if not left:
            break
        for grant in _from_rule(state, rule, left, turned_down):
            grants[grant.family] = grant
    candidates = (*turned_down, *passed)[:MAX_CANDIDATES]
    found = tuple(grants[family] for family in missing if family in grants)
    lacking = next((family for family in missing if family not in grants), None)
    if lacking is None:
        return Search(found, None, candidates)
    return Search(found, _why(service, lacking, tuple(turned_down), candidates), candidates)


def _from_rule(
    state: ClusterState, rule: Rule, families: tuple[Family, ...], turned_down: dict[Candidate, None]
) -> tuple[Grant, ...]:
    found: dict[Family, Grant] = {}
    for pool in rule.pools:
        here: dict[Family, Grant] = {}
        for family in families:
            address = _lowest(state, rule, pool, family)
            if address is not None:
                here[family] = Grant(family, address, pool.name, rule.reason)
            elif pool.ranges_of(family):
                turned_down[messages.exhausted(pool.name, family)] = None
            else:
                turned_down[messages.lacks_family(pool.name, family)] = None
        if len(here) == len(families):
            return tuple(here.values())
        for family, grant in here.items():
            found.setdefault(family, grant)
    return tuple(found.values())


def _lowest(state: ClusterState, rule: Rule, pool: Pool, family: Family) -> Address | None:
    if rule.reason is Reason.DEFAULT_POOL and family not in pool.default_for:
        return None
    return state.pools.lowest_free(pool, family)


def _why(
    service: ServiceObserved, family: Family, turned_down: tuple[Candidate, ...], candidates: tuple[Candidate, ...]
) -> Refusal:
    """The refusal as a whole: what the pools that a rule named say; else that no rule named one."""
    full = next((one for one in turned_down if one.reason == Reason.POOL_EXHAUSTED), None)
    first = full or next(iter(turned_down), None) or next((one for one in candidates if _is_mendable(one)), None)
    if first is not None:
        return Refusal(first.reason, first.message)
    name = f"{service.namespace}/{service.name}"
    return Refusal(Reason.NO_POOL, messages.no_pool(name, family, candidates))


def _is_mendable(candidate: Candidate) -> bool:
    """Whether a pool that was passed over would have served, had it been in order."""
    return candidate.reason in {Reason.POOL_DISABLED, Reason.POOL_INVALID}
