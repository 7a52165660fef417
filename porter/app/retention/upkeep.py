"""What the leader journals about the journal: the heads of the speakers' streams, baselines, and its signed head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from porter.app.history.speaker_streams import SpeakerStreams
from porter.app.retention.trimming import Retention
from porter.events.catalogue import Event
from porter.events.decided import BaselineRecorded, HeadSigned
from porter.events.envelope import Head
from porter.ports import Clock
from porter.projections import baseline
from porter.projections.cluster import ClusterState

BASELINE_INTERVAL_EVENTS = 20_000
"""Most events without a baseline."""
BASELINE_LEAST_EVENTS = 5_000
SERVICES_PER_EVENT = 3
"""Between the two it is an event for every three Services: to fold one event takes as long as to decode one or two
Services out of a baseline, so that most of a start is the baseline itself, and neither its writer nor the journal is
burdened with it more often than that helps."""
WITNESS_INTERVAL_S = 30.0
SIGN_INTERVAL_S = 60.0

_log = structlog.get_logger(__name__)


class Signs(Protocol):
    """`porter.journal.signing.Signer`, of which only this is used."""

    def sign(self, head: Head) -> HeadSigned:
        """The event that says and proves where the journal ended."""
        ...


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a leader keeps its journal; without a signer no head is signed, without a retention nothing is trimmed."""

    retention: Retention | None = None
    signer: Signs | None = None
    baseline_events: int = BASELINE_INTERVAL_EVENTS
    sign_interval_s: float = SIGN_INTERVAL_S


NOT_KEPT = Keeping()
"""Neither trimmed nor signed."""


def baseline_interval(state: ClusterState, most: int) -> int:
    """After how many events the next baseline is due: after `most`, or earlier where there is less to record."""
    return min(most, max(BASELINE_LEAST_EVENTS, len(state.inventory.services) // SERVICES_PER_EVENT))


class Upkeep:
    """Says what is due; the leader appends it as it appends everything."""

    def __init__(self, speakers: SpeakerStreams, clock: Clock, keeping: Keeping) -> None:
        self._speakers = speakers
        self._clock = clock
        self._keeping = keeping
        now_s = clock.monotonic_s()
        self._next_witness_s = now_s + WITNESS_INTERVAL_S
        self._witnessed: frozenset[Event] = frozenset()
        self._baseline_s = now_s
        self._next_signature_s = now_s
        self._signed = 0
        self._own = 0
        """How many events were made here since the last signature: they alone are no reason for another."""

    def heads(self) -> Sequence[Event]:
        """The speakers' heads that are not witnessed yet, every `WITNESS_INTERVAL_S`."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_witness_s:
            return []
        self._next_witness_s = now_s + WITNESS_INTERVAL_S
        heads = list(self._speakers.witnessed())
        fresh = [event for event in heads if event not in self._witnessed]
        self._witnessed = frozenset(heads)
        self._own += len(fresh)
        return fresh

    def baseline(self, state: ClusterState) -> BaselineRecorded | None:
        """The baseline of a state, where enough came since the last one; or anything, and the last one is old.

        Where the journal is kept for a time, nothing older than that goes without a baseline of about that age.
        """
        since = state.ledger.position - state.ledger.baseline_position
        retention, now_s = self._keeping.retention, self._clock.monotonic_s()
        keep_s = retention.keep_s if retention is not None else 0
        old = keep_s and since > 1 + self._own and now_s - self._baseline_s >= keep_s / 2
        if since < baseline_interval(state, self._keeping.baseline_events) and not old:
            return None
        encoded = baseline.encode(state)
        self._baseline_s = now_s
        self._own += 1
        _log.info("baseline recorded", position=state.ledger.position + 1, bytes=len(encoded))
        return BaselineRecorded(baseline.layout(state), baseline.digest(encoded), encoded)

    def signature(self, head: Head | None) -> HeadSigned | None:
        """The head, signed, where something new was journaled since the last signature."""
        signer, now_s = self._keeping.signer, self._clock.monotonic_s()
        if signer is None or head is None or now_s < self._next_signature_s:
            return None
        if head.position - self._signed <= self._own:
            return None
        self._next_signature_s = now_s + self._keeping.sign_interval_s
        self._signed, self._own = head.position, 1
        return signer.sign(head)

    def trim(self) -> None:
        """Have the journal trimmed, where that is due."""
        if self._keeping.retention is not None:
            self._keeping.retention.consider()

    async def stop(self) -> None:
        """The epoch ends."""
        if self._keeping.retention is not None:
            await self._keeping.retention.stop()
