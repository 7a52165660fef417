"""The steps of the cluster's fold for drains and holds: what each of these events does to the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.events import decided
from porter.model.address import prefix_address
from porter.projections.cluster import ClusterState
from porter.projections.holds import OF_FACTS
from porter.projections.loc_rib import Stamp

_ServiceEvent = decided.ServiceDrained | decided.ServiceDrainElapsed | decided.ServiceUndrained
_EndOfHold = decided.WithdrawalApproved | decided.HoldExpired | decided.HoldEnded


def _node_drained(state: ClusterState, event: decided.NodeDrained, position: int, time_ms: int) -> None:
    state.ledger.maintenance.node_drained(event, position, time_ms)
    state.loc_rib.nodes_changed((event.node,), (position, time_ms))


def _node_drain_elapsed(state: ClusterState, event: decided.NodeDrainElapsed, position: int, time_ms: int) -> None:
    state.ledger.maintenance.node_drain_elapsed(event.node)
    state.loc_rib.nodes_changed((event.node,), (position, time_ms))


def _node_undrained(state: ClusterState, event: decided.NodeUndrained, position: int, time_ms: int) -> None:
    state.ledger.maintenance.nodes.pop(event.node, None)
    state.loc_rib.nodes_changed((event.node,), (position, time_ms))


def _service_drained(state: ClusterState, event: decided.ServiceDrained, position: int, time_ms: int) -> None:
    if event.uid in state.inventory.services:
        state.ledger.maintenance.service_drained(event, position, time_ms)
        _service_changed(state, event, (position, time_ms))


def _service_drain_elapsed(
    state: ClusterState, event: decided.ServiceDrainElapsed, position: int, time_ms: int
) -> None:
    state.ledger.maintenance.service_drain_elapsed(event.uid)
    _service_changed(state, event, (position, time_ms))


def _service_undrained(state: ClusterState, event: decided.ServiceUndrained, position: int, time_ms: int) -> None:
    state.ledger.maintenance.services.pop(event.uid, None)
    _service_changed(state, event, (position, time_ms))


def _speaker_drained(state: ClusterState, event: decided.SpeakerDrained, position: int, time_ms: int) -> None:
    # No route of the Loc-RIB changes: what a speaker's own paths are worth is asked for by its Adj-RIB-Out.
    state.ledger.maintenance.speaker_drained(event, position, time_ms)


def _speaker_drain_elapsed(
    state: ClusterState, event: decided.SpeakerDrainElapsed, _position: int, _time_ms: int
) -> None:
    state.ledger.maintenance.speaker_drain_elapsed(event.speaker)


def _speaker_undrained(state: ClusterState, event: decided.SpeakerUndrained, _position: int, _time_ms: int) -> None:
    state.ledger.maintenance.speakers.pop(event.speaker, None)


def _withdrawal_held(state: ClusterState, event: decided.WithdrawalHeld, _position: int, time_ms: int) -> None:
    # The next hops at this position: whatever takes them away comes behind it.
    routes = state.loc_rib.routes
    of_facts = event.cause in OF_FACTS
    kept = {prefix: () if of_facts else routes[prefix].next_hops for prefix in event.prefixes if prefix in routes}
    state.ledger.holds.held(event, time_ms, kept)


def _hold_ended(
    state: ClusterState,
    event: decided.WithdrawalApproved | decided.HoldExpired | decided.HoldEnded,
    _position: int,
    time_ms: int,
) -> None:
    settles = isinstance(event, decided.WithdrawalApproved)
    for prefix in state.ledger.holds.ends(event.hold, time_ms, settles=settles):
        state.loc_rib.allocation_changed(prefix_address(prefix))


def _service_changed(state: ClusterState, event: _ServiceEvent, stamp: Stamp) -> None:
    if event.uid in state.inventory.services:
        state.loc_rib.policy_changed(f"{event.namespace}/{event.name}", event.uid, stamp)


DRAIN_AND_HOLD_STEPS: dict[type, Callable[[Any, Any, int, int], None]] = {
    decided.NodeDrained: _node_drained,
    decided.NodeDrainElapsed: _node_drain_elapsed,
    decided.NodeUndrained: _node_undrained,
    decided.ServiceDrained: _service_drained,
    decided.ServiceDrainElapsed: _service_drain_elapsed,
    decided.ServiceUndrained: _service_undrained,
    decided.SpeakerDrained: _speaker_drained,
    decided.SpeakerDrainElapsed: _speaker_drain_elapsed,
    decided.SpeakerUndrained: _speaker_undrained,
    decided.WithdrawalHeld: _withdrawal_held,
    decided.WithdrawalApproved: _hold_ended,
    decided.HoldExpired: _hold_ended,
    decided.HoldEnded: _hold_ended,
}
