"""The steps of the cluster's fold for what the journal says about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter.events import decided, observed
from porter.projections.cluster import ClusterState
from porter.projections.ledger import WitnessedHead


def _epoch_started(state: ClusterState, event: decided.EpochStarted, position: int, _time_ms: int) -> None:
    state.ledger.epoch_starts(event, position)
    state.pools.ask_again()


def _recovery_completed(state: ClusterState, _event: object, _position: int, _time_ms: int) -> None:
    state.ledger.recovering = False
    state.pools.ask_again()


def _inventory_synced(state: ClusterState, _event: object, _position: int, _time_ms: int) -> None:
    state.ledger.synced = True
    state.pools.ask_again()


def _positions_lost(state: ClusterState, event: decided.PositionsLost, _position: int, _time_ms: int) -> None:
    state.ledger.positions_lost(event)


def _baseline_recorded(state: ClusterState, _event: object, position: int, _time_ms: int) -> None:
    state.ledger.baseline_position = position


def _schema_activated(state: ClusterState, event: decided.SchemaActivated, _position: int, _time_ms: int) -> None:
    state.ledger.schema_activated(event)


def _head_witnessed(state: ClusterState, event: decided.HeadWitnessed, _position: int, _time_ms: int) -> None:
    state.ledger.witnessed[event.stream] = WitnessedHead(event.epoch, event.position, event.hash)


JOURNAL_STEPS: dict[type, Callable[[ClusterState, Any, int, int], None]] = {
    observed.InventorySynced: _inventory_synced,
    decided.EpochStarted: _epoch_started,
    decided.PositionsLost: _positions_lost,
    decided.RecoveryCompleted: _recovery_completed,
    decided.BaselineRecorded: _baseline_recorded,
    decided.SchemaActivated: _schema_activated,
    decided.HeadWitnessed: _head_witnessed,
    decided.HeadSigned: lambda *_: None,  # A proof for readers: nothing follows from it.
}
