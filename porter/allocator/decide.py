"""The decisions about addresses: pure, level-triggered, and the same for the same state.

`unsettled` names the Services that lack something, in order, and `decide` says what to do about one of them. A
Service is asked about until there is no more to say; then it counts as considered until something relevant changes.
Nothing is decided while the journal recovers, or before the inventory is synced: absence means nothing then.
"""

from __future__ import annotations

from collections.abc import Iterable

from porter.allocator import messages
from porter.allocator.budget import Budget
from porter.allocator.grants import (
    MAX_CANDIDATES,
    Asking,
    Grant,
    Refusal,
    from_pools,
    requested,
)
from porter.events.decided import AddressAdopted, AddressAllocated, AddressReleased, AllocationRefused
from porter.events.observed import ServiceObserved
from porter.model.address import Address, Family, family_of
from porter.model.reasons import Candidate, Reason
from porter.policy.problems import disqualifying
from porter.policy.requests import REQUIRE_DUAL_STACK, leaving, renamed, unclaimed, wanted_families
from porter.policy.sharing import why_not_shared
from porter.projections.cluster import ClusterState
from porter.projections.pools import Allocation

Decision = AddressAllocated | AddressAdopted | AddressReleased | AllocationRefused


def unsettled(state: ClusterState, limit: int) -> tuple[str, ...]:
    """The UIDs of at most `limit` Services to ask `decide` about, in order: those that are gone, then by age."""
    if not state.ledger.open:
        return ()
    return state.pools.unsettled(limit)


def decide(state: ClusterState, uid: str) -> tuple[Decision, ...]:
    """The next decisions about one Service; none where there is nothing to say.

    They belong into one commit, and after they are applied the Service is settled. That nothing was to be said is
    remembered in the state, beside what is folded: the answer is the same if it is asked again.
    """
    if not state.ledger.open:
        return ()
    service = state.inventory.services.get(uid)
    decisions = _releases_of_gone(state, uid) if service is None else _Claim(state, service).decide()
    if not decisions:
        state.pools.consider(uid)
    refusal = decisions[0] if len(decisions) == 1 else None if decisions else state.pools.refusal(uid)
    if service is not None and isinstance(refusal, AllocationRefused):
        _consider_alike(state, service, refusal)
    elif service is not None and not decisions:
        _consider_alike(state, service, None)
    return decisions


def _consider_alike(state: ClusterState, service: ServiceObserved, refusal: AllocationRefused | None) -> None:
    """What a plain Service is refused is what others of its kind are refused: they need no question of their own.

    The same holds for those that have one family, of the other one. Namespaces tell Services apart by their quotas,
    by which pools they may use, and in sharing.
    """
    pools, held = state.pools, state.pools.of(service.uid)
    families = tuple(family_of(one.address) for one in held)
    if (held and (refusal is not None or not pools.lacks(service.uid))) or unclaimed(service, held):
        return
    if service.problems or service.requested_addresses:
        return
    if f"{service.namespace}/{service.name}" in pools.table.reserved_for:
        return
    asks = (service.families, service.family_policy, service.requested_pool, families)
    key: tuple[object, ...] = ()
    if service.sharing_key:
        key = (service.sharing_key, service.namespace, service.ports, service.traffic_policy, service.selector)
    rules, _ = pools.orders.of(service, state.inventory.namespace_labels(service.namespace))
    order = tuple((rule.reason, tuple(pool.name for pool in rule.pools)) for rule in rules)
    place = service.namespace if pools.table.has_quotas else order
    told = None if refusal is None else (refusal.reason, refusal.candidates)
    pools.consider_alike(service.uid, (asks, key, place, pools.orders.matched(service.labels), told))


def cause(state: ClusterState, uid: str) -> int:
    """The position of the event that a decision about a Service follows from."""
    departure = state.pools.departed.get(uid)
    if departure is not None:
        return departure.position
    refusal = state.pools.refusals.get(uid)
    position = state.inventory.position_of(uid)
    if refusal is None:
        return position
    asked_at = max(refusal[1], position)
    if asked_at < state.pools.reopened:
        return state.pools.reopened
    edited_at = _sharers_edited_at(state, uid)
    return edited_at if edited_at > asked_at else position


def _sharers_edited_at(state: ClusterState, uid: str) -> int:
    """The last change of a Service that holds what this one asks for: its ports or its key may let it share now."""
    service, pools = state.inventory.services.get(uid), state.pools
    if service is None:
        return 0
    by_key = pools.with_sharing_key(service.sharing_key) if service.sharing_key else ()
    holders = (one for address in (*service.requested_addresses, *by_key) for one in pools.by_address.get(address, ()))
    return max((state.inventory.position_of(one.uid) for one in holders if one.uid != uid), default=0)


def _releases_of_gone(state: ClusterState, uid: str) -> tuple[Decision, ...]:
    departure = state.pools.departed.get(uid)
    reason = departure.reason if departure is not None else Reason.SERVICE_DELETED
    return tuple(_release(state, one, reason) for one in state.pools.of(uid))


def _release(state: ClusterState, allocation: Allocation, reason: str) -> AddressReleased:
    """The release names the pool that the address counts for now: that one's releaseDelay holds."""
    address, _, uid, namespace, name = allocation[:5]
    return AddressReleased(uid, namespace, name, address, state.pools.pool_of(allocation), reason)


class _Claim:
    """One Service's claim while it is decided: what it has, what it is granted, and what stands against it.

    A claim is met as a whole or not at all: whatever is refused, nothing of what is held goes, and nothing comes.
    """

    def __init__(self, state: ClusterState, service: ServiceObserved) -> None:
        self._state = state
        self._service = service
        self._wanted = wanted_families(service)
        self._held = state.pools.of(service.uid)
        self._leaving = leaving(service, self._held, state.pools.is_from)
        self._staying = tuple(one for one in self._held if one not in self._leaving)
        self._asking = Asking(state, service, Budget(state, service.namespace, self._leaving, self._staying))
        self._adopted: list[Grant] = []
        self._unfit: list[Grant] = []
        self._grants: list[Grant] = []
        self._refusal: Refusal | None = None
        self._candidates: tuple[Candidate, ...] = ()

    def decide(self) -> tuple[Decision, ...]:
        """The decisions, in an order that never leaves the Service without an address that it could have.

        1. What the status says is adopted where nothing was given yet.
        2. Requested addresses are granted, or refused.
        3. Families that lack an address get one.
        4. If nothing was refused, what stays is of the pool that is named, and the rest is released; else all stays as
           it was.
        5. A refusal is told once.
        """
        self._adopt()
        problem = disqualifying(self._service.problems)
        if problem is not None:
            self._refusal = Refusal(problem.reason, problem.message)
        else:
            self._grant_requested()
        if self._refusal is None:
            self._grant_missing()
        if self._refusal is not None:
            return (*self._given([*self._adopted, *self._unfit]), *self._refusals())
        return (*self._given([*self._adopted, *self._renamed(), *self._grants]), *self._releases())

    def _adopt(self) -> None:
        """Adopt what the status says in the families that nothing was given in yet, as a genesis does.

        What does not fit the request stays only if that is refused: else it is replaced without having been ours.
        """
        table, requested_pool = self._state.pools.table, self._service.requested_pool
        for address in unclaimed(self._service, self._held):
            if not self._may_adopt(address):
                continue
            family, pool = family_of(address), table.holding(address)
            name = pool.name if pool is not None else ""
            grant = Grant(family, address, name, Reason.ADOPTED_FROM_STATUS)
            asked = [one for one in self._service.requested_addresses if family_of(one) == family]
            fits = not requested_pool or self._state.pools.in_pool(address, requested_pool)
            if fits and (not asked or address in asked):
                self._adopted.append(grant)
                self._asking.budget.take(name, address)
            else:
                self._unfit.append(grant)

    def _may_adopt(self, address: Address) -> bool:
        """Whether nobody has an address, but Services that share it by the rules, nor had it a short while ago."""
        pools, services = self._state.pools, self._state.inventory.services
        cooling = pools.cooling.get(address)
        if cooling is not None and cooling.uid != self._service.uid:
            return False
        holders = [services.get(one.uid) for one in pools.by_address.get(address, ())]
        allowed = pools.table.sharing_namespaces(address)
        return not any(one is None or why_not_shared(self._service, one, address, allowed) for one in holders)

    def _has(self, family: Family) -> bool:
        """Whether the Service has, or is granted, an address of a family that it asks for."""
        given = any(grant.family == family for grant in (*self._adopted, *self._grants))
        return given or any(family_of(one.address) == family for one in self._staying)

    def _grant_requested(self) -> None:
        mine = {one.address for one in self._staying} | {grant.address for grant in self._adopted}
        for address in self._service.requested_addresses:
            if address in mine:
                continue
            family = family_of(address)
            if family not in self._wanted:
                message = messages.wrong_family(address, family, self._wanted)
                self._refuse(Refusal(Reason.FAMILY_UNAVAILABLE, message))
            elif any(one.address == address for one in self._held):
                self._refuse(messages.outside_pool(address, self._service.requested_pool))
            else:
                answer = requested(self._asking, address)
                if isinstance(answer, Grant):
                    self._grants.append(answer)
                else:
                    self._refuse(answer)

    def _grant_missing(self) -> None:
        missing = tuple(family for family in self._wanted if not self._has(family))
        if not missing:
            return
        pools = self._state.pools
        preferred = tuple(pools.pool_of(one) for one in self._held)
        preferred += tuple(grant.pool for grant in (*self._adopted, *self._grants))
        search = from_pools(self._asking, missing, preferred)
        self._grants.extend(search.grants)
        self._candidates = (*self._candidates, *search.candidates)[:MAX_CANDIDATES]
        if search.refusal is None:
            return
        lacking = {family for family in self._wanted if not self._has(family)}
        present = [*(one.address for one in self._held), *(grant.address for grant in self._unfit)]
        one_is_enough = self._service.family_policy != REQUIRE_DUAL_STACK and len(lacking) < len(self._wanted)
        if not one_is_enough or lacking.intersection(map(family_of, present)):
            self._refuse(search.refusal)

    def _refuse(self, why: Refusal | Candidate) -> None:
        if isinstance(why, Candidate):
            self._candidates = (*self._candidates, why)[:MAX_CANDIDATES]
            why = Refusal(why.reason, why.message)
        self._refusal = self._refusal or why

    def _renamed(self) -> Iterable[Grant]:
        pool = self._service.requested_pool
        for one in renamed(self._service, self._staying, self._state.pools.pool_of):
            requested = one.reason == Reason.REQUESTED_ADDRESS
            reason = Reason.REQUESTED_ADDRESS if requested else Reason.REQUESTED_POOL
            yield Grant(family_of(one.address), one.address, pool, reason, one.sharing_key)

    def _releases(self) -> Iterable[Decision]:
        for one in self._leaving:
            wanted = family_of(one.address) in self._wanted
            yield _release(self._state, one, Reason.REQUEST_CHANGED if wanted else Reason.FAMILY_DROPPED)

    def _given(self, grants: Iterable[Grant]) -> Iterable[Decision]:
        uid, namespace, name = self._service.uid, self._service.namespace, self._service.name
        for _, address, pool, reason, key in grants:
            if reason is Reason.ADOPTED_FROM_STATUS:
                yield AddressAdopted(uid, namespace, name, address, pool, reason)
                continue
            # A requested address passed nobody over; the others were found after these candidates.
            passed = () if reason is Reason.REQUESTED_ADDRESS else self._candidates
            yield AddressAllocated(uid, namespace, name, address, pool, reason, key, passed)

    def _refusals(self) -> Iterable[AllocationRefused]:
        if self._refusal is None:
            return
        service = self._service
        refused = AllocationRefused(
            service.uid, service.namespace, service.name, *self._refusal, candidates=self._candidates
        )
        entry = self._state.pools.refusals.get(service.uid)
        # What was told is told again only after something was given, which makes it another situation.
        if entry is None or entry[0] != refused or self._adopted or self._unfit:
            yield refused
