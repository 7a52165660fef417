"""The steps for decisions about addresses and path identifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.events import decided
from porter.model.address import Address, host_prefix
from porter.projections.cluster import ClusterState


def _path_identifier_assigned(
    state: ClusterState, event: decided.PathIdentifierAssigned, position: int, time_ms: int
) -> None:
    state.ledger.path_identifier_assigned(event)
    state.loc_rib.nodes_changed((event.node,), (position, time_ms))


def _address_given(
    state: ClusterState, event: decided.AddressAllocated | decided.AddressAdopted, position: int, time_ms: int
) -> None:
    state.pools.allocated(event, position, time_ms)
    _holders_changed(state, event.address)


def _address_released(state: ClusterState, event: decided.AddressReleased, position: int, time_ms: int) -> None:
    state.pools.released(event, position, time_ms)
    if event.address not in state.pools.by_address:
        state.ledger.holds.forget(host_prefix(event.address))
    inventory, pool = state.inventory, event.pool
    if ("Pool", pool) in inventory.last_good and pool not in inventory.pools and not state.pools.addresses_from(pool):
        del inventory.last_good["Pool", pool]
    _holders_changed(state, event.address)


def _holders_changed(state: ClusterState, address: Address) -> None:
    state.loc_rib.allocation_changed(address)
    if state.inventory.advertisements:
        # Another holder may be selected by other advertisements, although the next hops are the same.
        state.loc_rib.retell((address,))


def _cool_down_elapsed(state: ClusterState, event: decided.CoolDownElapsed, position: int, _time_ms: int) -> None:
    state.pools.cool_down_elapsed(event, position)


def _allocation_refused(state: ClusterState, event: decided.AllocationRefused, position: int, _time_ms: int) -> None:
    state.pools.refused(event, position)


ADDRESS_STEPS: dict[type, Callable[[ClusterState, Any, int, int], None]] = {
    decided.AddressAllocated: _address_given,
    decided.AddressAdopted: _address_given,
    decided.AddressReleased: _address_released,
    decided.CoolDownElapsed: _cool_down_elapsed,
    decided.AllocationRefused: _allocation_refused,
    decided.PathIdentifierAssigned: _path_identifier_assigned,
}
