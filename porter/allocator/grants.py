"""Finding addresses for a Service: requested, reserved or shared ones, or by the order of the pools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from porter.allocator import messages
from porter.allocator.budget import Budget
from porter.events.observed import ServiceObserved
from porter.model.address import Address, Family, family_of
from porter.model.reasons import Candidate, Reason
from porter.policy.pool_choice import Pool
from porter.policy.pool_order import Rule, closed
from porter.policy.requests import REQUIRE_DUAL_STACK
from porter.policy.sharing import why_not_shared
from porter.projections.cluster import ClusterState

MAX_CANDIDATES = 8
"""Most pools that a decision names as passed over: with dozens of pools a burst's journal would hold little else."""


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


class Asking(NamedTuple):
    """A Service that asks, with what its namespace may still be given."""

    state: ClusterState
    service: ServiceObserved
    budget: Budget

    @property
    def key(self) -> str:
        """The Service as "namespace/name"."""
        return f"{self.service.namespace}/{self.service.name}"


def requested(asking: Asking, address: Address) -> Grant | Refusal | Candidate:
    """Look whether a Service may have the address that it asks for.

    A pool must hold it, the requested pool if there is one, and nothing may stand against giving it (`why_not`). The
    answer is a candidate if a pool was asked and says no.
    """
    table, service = asking.state.pools.table, asking.service
    pool = table.holding(address)
    if service.requested_pool:
        pool = table.by_name.get(service.requested_pool)
        if pool is None:
            return Refusal(Reason.POOL_NOT_FOUND, messages.no_such_pool(service.requested_pool))
        if not pool.holds(address):
            return messages.outside_pool(address, pool.name)
    if pool is None:
        return Refusal(Reason.ADDRESS_OUTSIDE_POOLS, messages.outside_pools(address))
    why = why_not(asking, pool, address)
    if why is not None:
        return why
    return _grant(asking, pool, address, Reason.REQUESTED_ADDRESS)


def why_not(asking: Asking, pool: Pool, address: Address) -> Candidate | None:
    """What stands against giving a Service one certain address of a pool, or None.

    In this order: the pool gives the Service nothing; the address is excluded; it is kept for another Service; it
    cools down; somebody holds it and does not share it; the namespace's quota is used up.
    """
    state, service = asking.state, asking.service
    why = closed(pool, service, state.inventory.namespace_labels(service.namespace))
    if why is not None:
        return why
    if not pool.gives(address):
        return messages.excluded(address, pool)
    return (
        _kept_for_another(state, service, pool, address)
        or _held(asking, pool, address)
        or asking.budget.why_not(pool, address, needed=max(1, sum(map(pool.holds, service.requested_addresses))))
    )


def _kept_for_another(state: ClusterState, service: ServiceObserved, pool: Pool, address: Address) -> Candidate | None:
    """Why a free address is not for this Service: reserved for another one, or cooling down since another one had it.

    Where the address is reserved for the Service itself, what it released under an earlier UID does not cool for it.
    """
    reservation = state.pools.table.reserved.get(address)
    reserved = reservation is not None and reservation[1:] == (service.namespace, service.name)
    if reservation is not None and not reserved:
        return messages.reserved(reservation, pool.name)
    cooling = state.pools.cooling.get(address)
    if cooling is None or cooling.uid == service.uid:
        return None
    if reserved and (cooling.namespace, cooling.name) == (service.namespace, service.name):
        return None
    fact = state.inventory.held_pool(cooling.pool)
    return messages.cooling_down(address, pool.name, cooling, fact.release_delay_ms if fact is not None else 0)


def _held(asking: Asking, pool: Pool, address: Address) -> Candidate | None:
    state, service = asking.state, asking.service
    for holder in state.pools.by_address.get(address, ()):
        other = state.inventory.services.get(holder.uid)
        if holder.uid == service.uid:
            continue
        if other is None:
            return messages.held_by(pool.name, holder, "its Service is gone but not yet released", sharing=False)
        clause = why_not_shared(service, other, address, pool.fact.sharing_namespaces)
        if clause:
            both_ask = address in service.requested_addresses and address in other.requested_addresses
            wants_to = bool(service.sharing_key) or (both_ask and service.namespace == other.namespace)
            return messages.held_by(pool.name, holder, clause, sharing=wants_to)
    return None


def _grant(asking: Asking, pool: Pool, address: Address, reason: Reason) -> Grant:
    asking.budget.take(pool.name, address)
    return Grant(family_of(address), address, pool.name, reason, asking.service.sharing_key)


def from_pools(asking: Asking, missing: tuple[Family, ...], preferred: tuple[str, ...]) -> Search:
    """Find an address of each missing family.

    1. One that is reserved for the Service, of the requested pool if there is one.
    2. One that is held under the Service's sharing key in a pool that may serve it, the lowest.
    3. The lowest free one. Each family comes from the first rule that has one; within a rule from a single pool for all
       families if there is one. `preferred` are the pools that the Service has an address of: they are asked first.
    """
    turned_down: dict[Candidate, None] = {}
    found = _reserved(asking, missing, turned_down)
    left = tuple(family for family in missing if family not in found)
    if not left:
        return Search(tuple(found.values()), None, tuple(turned_down)[:MAX_CANDIDATES])
    rules = _rules(asking, preferred)
    if isinstance(rules, Refusal):
        return Search(tuple(found.values()), rules)
    order, passed = rules
    if asking.service.sharing_key:
        found.update(_shared(asking, left, order))
    for rule in order:
        left = tuple(family for family in missing if family not in found)
        if not left:
            break
        for grant in _from_rule(asking, rule, left, turned_down):
            asking.budget.take(grant.pool, grant.address)
            found[grant.family] = grant
    candidates = (*turned_down, *passed)[:MAX_CANDIDATES]
    grants = tuple(found[family] for family in missing if family in found)
    lacking = next((family for family in missing if family not in found), None)
    why = None if lacking is None else _why(asking, lacking, tuple(turned_down), candidates)
    return Search(grants, why, candidates)


def _reserved(asking: Asking, missing: tuple[Family, ...], turned_down: dict[Candidate, None]) -> dict[Family, Grant]:
    found: dict[Family, Grant] = {}
    for pool, address in asking.state.pools.table.reserved_for.get(asking.key, ()):
        family = family_of(address)
        if family not in missing or family in found:
            continue
        if asking.service.requested_pool not in {"", pool.name}:
            continue
        why = why_not(asking, pool, address)
        if why is None:
            found[family] = _grant(asking, pool, address, Reason.RESERVED_ADDRESS)
        else:
            turned_down[why] = None
    return found


def _rules(asking: Asking, preferred: tuple[str, ...]) -> tuple[tuple[Rule, ...], tuple[Candidate, ...]] | Refusal:
    pools, service = asking.state.pools, asking.service
    if not service.requested_pool:
        order, passed = pools.orders.of(service, asking.state.inventory.namespace_labels(service.namespace))
        return ((*_rules_of(order, preferred), *order), passed) if preferred else (order, passed)
    pool = pools.table.by_name.get(service.requested_pool)
    if pool is None:
        return Refusal(Reason.POOL_NOT_FOUND, messages.no_such_pool(service.requested_pool))
    why = closed(pool, service, asking.state.inventory.namespace_labels(service.namespace))
    return ((Rule(Reason.REQUESTED_POOL, (pool,)),), ()) if why is None else ((), (why,))


def _rules_of(rules: tuple[Rule, ...], preferred: tuple[str, ...]) -> Iterator[Rule]:
    """The same rules for the pools that the Service is served from already."""
    for reason, pools in rules:
        narrowed = tuple(pool for pool in pools if pool.name in preferred)
        if narrowed:
            yield Rule(reason, narrowed)


def _serves(rule: Rule, pool: Pool, family: Family) -> bool:
    """Whether a pool may be used for a family by a rule: a default pool is one for certain families."""
    return rule.reason is not Reason.DEFAULT_POOL or family in pool.default_for


def _shared(asking: Asking, missing: tuple[Family, ...], order: Iterable[Rule]) -> dict[Family, Grant]:
    pools, service = asking.state.pools, asking.service
    eligible = {
        (pool.name, family)
        for rule in order
        for pool in rule.pools
        for family in missing
        if _serves(rule, pool, family)
    }
    found: dict[Family, Grant] = {}
    for address in pools.with_sharing_key(service.sharing_key):
        family, pool = family_of(address), pools.table.holding(address)
        if pool is None or family in found or (pool.name, family) not in eligible:
            continue
        if address not in pools.addresses_of(service.uid) and why_not(asking, pool, address) is None:
            found[family] = _grant(asking, pool, address, Reason.SHARED_ADDRESS)
    return found


def _from_rule(
    asking: Asking, rule: Rule, families: tuple[Family, ...], turned_down: dict[Candidate, None]
) -> tuple[Grant, ...]:
    found: dict[Family, Grant] = {}
    for pool in rule.pools:
        here: dict[Family, Grant] = {}
        needed = _needed(asking, rule, pool, families)
        for family in families:
            answer = _lowest(asking, rule, pool, family, also=len(here), needed=needed)
            if isinstance(answer, Candidate):
                turned_down[answer] = None
            else:
                here[family] = answer
        if len(here) == len(families):
            return tuple(here.values())
        for family, grant in here.items():
            found.setdefault(family, grant)
    return tuple(found.values())


def _needed(asking: Asking, rule: Rule, pool: Pool, families: tuple[Family, ...]) -> int:
    """How many addresses of a pool a Service needs together; one that prefers a pair is content with one."""
    if asking.service.family_policy != REQUIRE_DUAL_STACK:
        return 1
    had = sum(1 for family in families if pool.ranges_of(family) and _serves(rule, pool, family))
    return asking.budget.needed(pool.name, had)


def _lowest(asking: Asking, rule: Rule, pool: Pool, family: Family, *, also: int, needed: int) -> Grant | Candidate:
    """The lowest free address of a pool, when `also` others of it are about to be granted; or why there is none."""
    if not pool.ranges_of(family):
        return messages.lacks_family(pool.name, family)
    if not _serves(rule, pool, family):
        return messages.exhausted(pool.name, family)
    # The quota first: it stands against a grant until the namespace releases something, room or not.
    why = asking.budget.why_not(pool, also=also, needed=needed)
    if why is not None:
        return why
    address = asking.state.pools.lowest_free(pool, family, asking.service.uid)
    if address is None:
        return messages.exhausted(pool.name, family)
    return Grant(family, address, pool.name, rule.reason, asking.service.sharing_key)


def _why(
    asking: Asking, family: Family, turned_down: tuple[Candidate, ...], candidates: tuple[Candidate, ...]
) -> Refusal:
    """The refusal as a whole: what the pools that a rule named say; else that no rule named one."""
    full = next((one for one in turned_down if one.reason == Reason.POOL_EXHAUSTED), None)
    first = full or next(iter(turned_down), None)
    if first is None and asking.service.requested_pool:
        first = next(iter(candidates), None)
    first = first or next((one for one in candidates if _is_mendable(one)), None)
    if first is not None:
        return Refusal(first.reason, first.message)
    return Refusal(Reason.NO_POOL, messages.no_pool(asking.key, family, candidates))


def _is_mendable(candidate: Candidate) -> bool:
    """Whether a pool that was passed over would have served, had it been in order."""
    return candidate.reason in {Reason.POOL_DISABLED, Reason.POOL_INVALID}
