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
    kept_for_another,
    requested,
)
from porter.events.decided import AddressAdopted, AddressAllocated, AddressReleased, AllocationRefused
from porter.events.observed import ServiceObserved
from porter.model.address import Address, Family, family_of
from porter.model.reasons import Candidate, Reason
from porter.policy.problems import disqualifying
from porter.policy.requests import REQUIRE_DUAL_STACK, wanted_families
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
    decisions = _releases_of_gone(state, uid) if service is None else _answer(state, service)
    if not decisions:
        state.pools.consider(uid)
    refusal = decisions[0] if len(decisions) == 1 else None if decisions else state.pools.refusal(uid)
    if service is not None and isinstance(refusal, AllocationRefused):
        _consider_alike(state, service, refusal)
    return decisions


def _consider_alike(state: ClusterState, service: ServiceObserved, refusal: AllocationRefused) -> None:
    """What a plain Service is refused is what others of its kind are refused: they need no question of their own."""
    pools = state.pools
    if pools.of(service.uid) or service.held or service.sharing_key or service.requested_addresses:
        return
    if service.problems or f"{service.namespace}/{service.name}" in pools.table.reserved_for:
        return
    asks = (service.namespace, service.families, service.family_policy, service.requested_pool)
    kind = (asks, pools.orders.matched(service.labels), refusal.reason, refusal.candidates)
    pools.consider_alike(service.uid, kind)


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


def _answer(state: ClusterState, service: ServiceObserved) -> tuple[Decision, ...]:
    claim = _Claim(state, service, moving=True)
    decisions = claim.decide()
    if claim.overdrawn:
        # It keeps what it was to give back, so that its quota has no room from that.
        decisions = _Claim(state, service, moving=False).decide()
    return decisions


class _Claim:
    """One Service's claim while it is decided: what it has, what it is granted, and what stands against it.

    With `moving`, the quota counts as given back what would be replaced; `overdrawn` tells that it was not.
    """

    def __init__(self, state: ClusterState, service: ServiceObserved, *, moving: bool) -> None:
        self._state = state
        self._service = service
        self._wanted = wanted_families(service)
        self._held = state.pools.of(service.uid)
        self._leaving = tuple(one for one in self._held if not self._stays(one)) if moving else ()
        self._asking = Asking(state, service, Budget(state, service.namespace, self._leaving))
        self._adopted: list[Grant] = []
        self._grants: list[Grant] = []
        self._released: list[tuple[Allocation, Reason]] = []
        self._refusal: Refusal | None = None
        self._candidates: tuple[Candidate, ...] = ()

    @property
    def overdrawn(self) -> bool:
        """Whether something was granted in place of what is not given back after all."""
        released = [one for one, _ in self._released]
        return bool(self._grants) and any(one not in released for one in self._leaving)

    def decide(self) -> tuple[Decision, ...]:
        """The decisions, in an order that never leaves the Service without an address that it could have.

        1. What another controller gave is adopted if it is ours to give, and free.
        2. Requested addresses are granted, or refused.
        3. Families that lack an address get one.
        4. What no longer fits the request is released, if all that is asked for in its place is there.
        5. A refusal is told once.
        """
        problem = disqualifying(self._service.problems)
        if problem is not None:
            self._refusal = Refusal(problem.reason, problem.message)
            return tuple(self._refusals())
        self._adopt()
        self._grant_requested()
        self._grant_missing()
        if self._service.family_policy == REQUIRE_DUAL_STACK and self._refusal is not None and not self._held:
            # Both families or none; but what is there already is not taken away.
            self._grants = []
        self._replace()
        released = (_release(self._state, one, why) for one, why in self._released)
        return (*self._given(), *released, *self._refusals())

    def _adopt(self) -> None:
        pools = self._state.pools
        for family in self._wanted:
            if self._has(family):
                continue
            for address in self._service.held:
                pool = pools.table.holding(address) if family_of(address) == family else None
                if pool is None or address in pools.by_address or not self._fits(address):
                    continue
                if kept_for_another(self._state, self._service, pool, address) is not None:
                    continue
                self._adopted.append(Grant(family, address, pool.name, Reason.ADOPTED_FROM_STATUS))
                break

    def _fits(self, address: Address) -> bool:
        """Whether an address is what the Service asks for."""
        service = self._service
        asked = self._asked(family_of(address))
        if asked and address not in asked:
            return False
        pool, pools = service.requested_pool, self._state.pools
        given = any(one.address == address and pools.is_from(one, pool) for one in self._held)
        return not pool or given or pools.in_pool(address, pool)

    def _asked(self, family: Family) -> tuple[Address, ...]:
        """The addresses of a family that the Service requests."""
        return tuple(one for one in self._service.requested_addresses if family_of(one) == family)

    def _stays(self, allocation: Allocation) -> bool:
        return family_of(allocation.address) in self._wanted and self._fits(allocation.address)

    def _has(self, family: Family) -> bool:
        """Whether the Service has, or is granted, an address of a family."""
        given = any(grant.family == family for grant in (*self._adopted, *self._grants))
        return given or any(family_of(one.address) == family for one in self._held)

    def _grant_requested(self) -> None:
        mine = {one.address for one in self._held} | {grant.address for grant in self._adopted}
        for address in self._service.requested_addresses:
            family = family_of(address)
            if address in mine:
                if not self._fits(address):
                    self._refuse(messages.outside_pool(address, self._service.requested_pool))
            elif family not in self._wanted:
                message = messages.wrong_family(address, family, self._wanted)
                self._refuse(Refusal(Reason.FAMILY_UNAVAILABLE, message))
            else:
                answer = requested(self._asking, address)
                if isinstance(answer, Grant):
                    self._grants.append(answer)
                else:
                    self._refuse(answer)

    def _grant_missing(self) -> None:
        asked = {family_of(address) for address in self._service.requested_addresses}
        if not asked.issubset(self._wanted):
            # It asks for what it cannot have: another address instead is not what it asks for either.
            return
        missing = tuple(family for family in self._wanted if family not in asked and not self._has_fitting(family))
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
        one_is_enough = self._service.family_policy != REQUIRE_DUAL_STACK and len(self._wanted) > 1
        if not (one_is_enough and any(self._has(family) for family in self._wanted)) or self._moves():
            self._refuse(search.refusal)

    def _has_fitting(self, family: Family) -> bool:
        held = [one.address for one in self._held if family_of(one.address) == family]
        held += [grant.address for grant in self._adopted if grant.family == family]
        return bool(held) and all(self._fits(address) for address in held)

    def _moves(self) -> bool:
        """Whether something that is held is not what is asked for."""
        return any(not self._fits(one.address) for one in self._held if family_of(one.address) in self._wanted)

    def _refuse(self, why: Refusal | Candidate) -> None:
        if isinstance(why, Candidate):
            self._candidates = (*self._candidates, why)[:MAX_CANDIDATES]
            why = Refusal(why.reason, why.message)
        self._refusal = self._refusal or why

    def _replace(self) -> None:
        for one in self._held:
            family = family_of(one.address)
            if family not in self._wanted:
                if any(self._has(other) for other in self._wanted):
                    self._released.append((one, Reason.FAMILY_DROPPED))
            elif not self._fits(one.address) and self._is_met(family):
                self._released.append((one, Reason.REQUEST_CHANGED))

    def _is_met(self, family: Family) -> bool:
        """Whether the Service has, or is granted, all that it asks for of a family."""
        had = [one.address for one in self._held] + [grant.address for grant in (*self._adopted, *self._grants)]
        fitting = [address for address in had if family_of(address) == family and self._fits(address)]
        return bool(fitting) and set(self._asked(family)).issubset(fitting)

    def _given(self) -> Iterable[Decision]:
        uid, namespace, name = self._service.uid, self._service.namespace, self._service.name
        for grant in self._adopted:
            yield AddressAdopted(uid, namespace, name, grant.address, grant.pool, grant.reason)
        for grant in self._grants:
            # A requested address passed nobody over; the others were found after these candidates.
            passed = () if grant.reason is Reason.REQUESTED_ADDRESS else self._candidates
            _, address, pool, reason, key = grant
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
        if entry is None or entry[0] != refused or self._adopted or self._grants:
            yield refused
