"""The fold of the cluster's journal: `evolve(state, envelope) -> state`.

The hot path of every process: a journal of a million events is folded at start-up. Each event type has one step,
found in a table by type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from porter.events.envelope import Envelope
from porter.projections.cluster import ClusterState
from porter.projections.steps.addresses import ADDRESS_STEPS
from porter.projections.steps.bgp_objects import BGP_OBJECT_STEPS
from porter.projections.steps.drains_and_holds import DRAIN_AND_HOLD_STEPS
from porter.projections.steps.journal import JOURNAL_STEPS
from porter.projections.steps.objects import OBJECT_STEPS
from porter.projections.steps.services import SERVICE_STEPS

INDEX_INTERVAL_EVENTS = 4096
"""How often what waits for the indexes is held against its limit."""

_STEPS: dict[type, Callable[[ClusterState, Any, int, int], None]] = {
    **SERVICE_STEPS,
    **OBJECT_STEPS,
    **ADDRESS_STEPS,
    **BGP_OBJECT_STEPS,
    **JOURNAL_STEPS,
    **DRAIN_AND_HOLD_STEPS,
}


class UnknownEvent(Exception):
    """The journal holds an event that this fold does not know: it stops there, it never skips."""


class OutOfOrder(Exception):
    """An event was applied twice, or after a later one."""


def evolve(state: ClusterState, envelope: Envelope) -> ClusterState:
    """Apply one event; consumes the state.

    Raises:
        UnknownEvent: the journal's reducer has no step for this type.
        OutOfOrder: the event's position is not beyond the last applied one.
    """
    return fold(state, (envelope,))


def fold(state: ClusterState, envelopes: Iterable[Envelope]) -> ClusterState:
    """Apply events in order; consumes the state.

    Raises:
        UnknownEvent, OutOfOrder: as `evolve`; the state must not be used any more.
    """
    steps = _STEPS
    ledger = state.ledger
    first = last = ledger.position
    epoch, time_ms = ledger.epoch, ledger.time_ms
    for position, epoch, time_ms, _, _, _, payload in envelopes:  # noqa: B007 - the last ones are kept below
        step = steps.get(type(payload))
        if step is None:
            raise UnknownEvent(
                f"#{position} is a {type(payload).__name__}, which does not belong into the cluster's journal or is "
                "newer than this program; upgrade it, or point it at the journal and not at a speaker's stream"
            )
        if position <= last:
            raise OutOfOrder(f"#{position} comes after #{last}; each position is applied once, in order")
        last = position
        step(state, payload, position, time_ms)
    ledger.position, ledger.epoch, ledger.time_ms = last, epoch, time_ms
    if last // INDEX_INTERVAL_EVENTS != first // INDEX_INTERVAL_EVENTS:
        # What nobody asked about yet must not pile up without end.
        state.pools.bound_touched()
        state.loc_rib.bound_dirty()
    return state
