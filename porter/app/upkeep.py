"""What the leader journals about the journal: the heads of the speakers' streams, baselines; and what it trims."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from porter.app.streams import SpeakerStreams
from porter.events.catalogue import Event
from porter.events.decided import BaselineRecorded
from porter.events.envelope import Checkpoint
from porter.ports import Clock, Journal
from porter.projections import baseline
from porter.projections.cluster import ClusterState

BASELINE_INTERVAL_EVENTS = 20_000
TRIM_ABOVE_BYTES = 512 * 1024 * 1024
"""The journal's size limit: beyond it, what lies before the newest baseline is trimmed."""
WITNESS_INTERVAL_S = 30.0

_log = structlog.get_logger(__name__)


class Upkeep:
    """Says what is due; the leader appends it as it appends everything."""

    def __init__(self, journal: Journal, speakers: SpeakerStreams, clock: Clock) -> None:
        self._journal = journal
        self._speakers = speakers
        self._clock = clock
        self._next_witness_s = clock.monotonic_s() + WITNESS_INTERVAL_S
        self._witnessed: frozenset[Event] = frozenset()

    def heads(self) -> Sequence[Event]:
        """The speakers' heads that are not witnessed yet, every `WITNESS_INTERVAL_S`."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_witness_s:
            return []
        self._next_witness_s = now_s + WITNESS_INTERVAL_S
        heads = list(self._speakers.witnessed())
        fresh = [event for event in heads if event not in self._witnessed]
        self._witnessed = frozenset(heads)
        return fresh

    def baseline(self, state: ClusterState) -> BaselineRecorded | None:
        """The baseline of a state, where `BASELINE_INTERVAL_EVENTS` came since the last one."""
        if state.ledger.position - state.ledger.baseline_position < BASELINE_INTERVAL_EVENTS:
            return None
        encoded = baseline.encode(state)
        return BaselineRecorded(baseline.layout(state), baseline.digest(encoded), encoded)

    async def recorded(self, recorded: BaselineRecorded, before: Checkpoint) -> None:
        """A baseline is durable: trim what lies before it, where the journal is over its size limit."""
        _log.info("baseline recorded", position=before.position + 1, bytes=len(recorded.state))
        if await self._journal.size_bytes() > TRIM_ABOVE_BYTES:
            dropped = await self._journal.trim(before)
            _log.warning("the journal exceeded its size limit and was trimmed", before=before.position, entries=dropped)
