"""Adoption: what Services and speakers still hold becomes theirs in the journal, before anything is decided.

Used before the first `InventorySynced` of a genesis, where the journal knows nothing yet, and in recovery, where
it may know something old. What a Service holds by its status is evidence; what a speaker still announces counts for a
Service that holds nothing by its status; the position in a Service's annotation only ranks claims that have
evidence, because a tenant can write it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from porter.events.decided import AddressAdopted, AddressReleased
from porter.events.observed import ServiceObserved
from porter.model.address import Address, Family, InvalidAddress, family_of, parse_address
from porter.model.reasons import Reason
from porter.policy.sharing import why_not_shared
from porter.projections.cluster import ClusterState
from porter.projections.pools import Allocation

Report = tuple[str, str, str, str]
"""An address that a speaker still announces, and the namespace, name and UID of the Service it announces it for."""

Adoption = AddressAdopted | AddressReleased


def adopt(state: ClusterState, reports: Iterable[Report]) -> tuple[Adoption, ...]:
    """The adoptions for the present inventory, each after the release of whoever the journal had wrongly.

    The order of claims: by status, those with the highest decision first, then the older Services; then the speakers'
    reports, by address. No address gets two owners, but Services that may share it. An address that lies in no
    pool is adopted too, for the pool "".
    """
    claims = _Claims(state)
    services = state.inventory.services.values()
    for service in sorted(services, key=_rank):
        for address in service.held:
            claims.by_status(service, address)
    known = state.inventory.services
    reported = {(text, uid) for text, _, _, uid in reports if uid in known}
    for text, uid in sorted(reported, key=lambda one: (one[0], _rank(known[one[1]]))):
        claims.by_report(known[uid], text)
    return tuple(claims.adoptions)


def _rank(service: ServiceObserved) -> tuple[int, int, str, str, str]:
    return (-service.held_decision, service.created_ms, service.namespace, service.name, service.uid)


class _Claims:
    """Who holds what while claims are heard: the fold's holders, with the adoptions so far on top."""

    def __init__(self, state: ClusterState) -> None:
        self.adoptions: list[Adoption] = []
        self._state = state
        self._services = state.inventory.services
        self._holders: dict[Address, dict[str, Allocation | None]] = {
            address: {one.uid: one for one in holders} for address, holders in state.pools.by_address.items()
        }
        self._addresses: defaultdict[str, set[Address]] = defaultdict(set)
        for uid, allocations in state.pools.by_uid.items():
            self._addresses[uid].update(one.address for one in allocations)
        self._won: defaultdict[Address, set[str]] = defaultdict(set)
        """The Services whose claim by status was heard and stands."""

    def by_status(self, service: ServiceObserved, address: Address) -> None:
        """Hear the claim of a Service that holds an address by its status."""
        if any(not self._may_share(service, other, address) for other in self._won[address]):
            return
        if any(self._outranks(uid, service, address) for uid in self._holders.get(address, {})):
            return
        self._won[address].add(service.uid)
        if service.uid in self._holders.get(address, {}):
            return
        for uid in tuple(self._holders.get(address, {})):
            if uid not in self._won[address] and not self._holds_by_status_and_shares(service, uid, address):
                self._release(address, uid)
        self._forget_stale(service, family_of(address))
        self._adopt(service, address, Reason.ADOPTED_FROM_STATUS)

    def by_report(self, service: ServiceObserved, text: str) -> None:
        """Hear a speaker that still announces an address for a Service."""
        try:
            address = parse_address(text)
        except InvalidAddress:
            return
        family = family_of(address)
        if any(family_of(one) == family for one in (*service.held, *self._addresses[service.uid])):
            return
        if any(not self._may_share(service, other, address) for other in self._won[address]):
            return
        for uid in tuple(self._holders.get(address, {})):
            if uid in self._won[address]:
                continue
            if uid in self._services:
                # The journal gave it to a Service that is still there: that outweighs a speaker's memory.
                return
            self._release(address, uid)
        self._won[address].add(service.uid)
        self._adopt(service, address, Reason.ADOPTED_FROM_SPEAKER)

    def _outranks(self, uid: str, service: ServiceObserved, address: Address) -> bool:
        """Whether the journal's holder stands: its status says so too, and no newer decision speaks for another."""
        other = self._services.get(uid)
        if other is None or address not in other.held or self._may_share(service, uid, address):
            return False
        return other.held_decision >= service.held_decision

    def _may_share(self, service: ServiceObserved, uid: str, address: Address) -> bool:
        other = self._services.get(uid)
        if uid == service.uid:
            return True
        allowed = self._state.pools.table.sharing_namespaces(address)
        return other is not None and not why_not_shared(service, other, address, allowed)

    def _holds_by_status_and_shares(self, service: ServiceObserved, uid: str, address: Address) -> bool:
        other = self._services.get(uid)
        return other is not None and address in other.held and self._may_share(service, uid, address)

    def _forget_stale(self, service: ServiceObserved, family: Family) -> None:
        """Release what the journal remembers for the Service, but its status has replaced."""
        for address in sorted(self._addresses[service.uid]):
            if family_of(address) == family and address not in service.held:
                self._release(address, service.uid)

    def _release(self, address: Address, uid: str) -> None:
        held = self._holders[address].pop(uid)
        self._addresses[uid].discard(address)
        if held is None:
            raise AssertionError(f"{address} was adopted for {uid} and is now taken back: claims are ranked wrongly")
        self.adoptions.append(
            AddressReleased(uid, held.namespace, held.name, address, held.pool, Reason.SUPERSEDED_IN_RECOVERY)
        )

    def _adopt(self, service: ServiceObserved, address: Address, reason: Reason) -> None:
        pool = self._state.pools.table.holding(address)
        name = pool.name if pool is not None else ""
        if service.requested_pool and service.held_decision and reason is Reason.ADOPTED_FROM_STATUS:
            # It was our decision: then it was given from the pool that is named, whatever became of that pool.
            name = service.requested_pool
        self._holders.setdefault(address, {})[service.uid] = None
        self._addresses[service.uid].add(address)
        self.adoptions.append(AddressAdopted(service.uid, service.namespace, service.name, address, name, reason))
