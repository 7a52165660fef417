"""The folds as of an earlier moment: the journal up to a position, and every speaker's stream up to the same time.

1. Find the newest baseline that lies before the position, else begin at the first event.
2. Fold up to the position, and not beyond.
3. Fold each speaker's stream: all that the leader had witnessed by then, and what lies before the journal's next event
   and realises nothing that came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from porter.app.history.follow import Folded, folded_from
from porter.app.history.moments import Moment, position_of
from porter.app.history.reading import NotThere
from porter.app.history.streams import Streams
from porter.app.read_model import ReadModel
from porter.events.decided import BaselineRecorded
from porter.events.envelope import BEGINNING, Envelope, Head
from porter.ports import Baseline, Journal, JournalMissing, Trimmed
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from porter.projections.sessions import Sessions, evolve_sessions

FOREVER_MS = 1 << 62


class AsOf(NamedTuple):
    """The folds at a position, the end of the last commit in them, and the time that the next event came at."""

    model: ReadModel
    head: Head
    until_ms: int
    forgotten: tuple[str, ...] = ()
    """The speakers of whom nothing is kept from that time any more: their streams are bounded."""


async def as_of(streams: Streams, moment: Moment | None, name: str = "at") -> AsOf:
    """Fold up to a moment; None is the present head.

    Raises:
        NotThere: the moment lies before what is kept, or behind the head.
        JournalError: the journal could not be read.
    """
    journal = streams.journal()
    head = await journal.head()
    if head is None:
        raise JournalMissing("there is no journal there")
    position = head.position if moment is None else await position_of(journal, moment, name)
    folded, until_ms = await fold_to(journal, position)
    if moment is not None and moment.time_ms:
        until_ms = min(until_ms, moment.time_ms + 1)
    sessions = await sessions_until(streams, folded.state, until_ms)
    forgotten = await _forgotten(streams, until_ms)
    return AsOf(ReadModel(folded.state, sessions), Head(head.genesis, *folded.checkpoint), until_ms, forgotten)


async def fold_to(journal: Journal, position: int) -> tuple[Folded, int]:
    """The state at a position, and the time of the commit behind it (`FOREVER_MS` where there is none).

    Raises:
        NotThere: nothing from which it could be folded is kept.
        JournalError: the journal could not be read.
    """
    found = await baseline_before(journal, position)
    state, checkpoint = folded_from(found) if found is not None else Folded(ClusterState.empty(), BEGINNING)
    try:
        async for page in journal.read(checkpoint):
            for commit in page:
                if commit.first_position > position:
                    return Folded(state, checkpoint), commit.time_ms
                if commit.last_position > position:
                    state = fold(state, commit.events[: position - commit.first_position + 1])
                    return Folded(state, commit.checkpoint), commit.time_ms
                state = fold(state, commit.events)
                checkpoint = commit.checkpoint
    except Trimmed as error:
        raise NotThere(f"#{position} cannot be told any more: no baseline before it is kept ({error})") from error
    return Folded(state, checkpoint), FOREVER_MS


async def baseline_before(journal: Journal, position: int) -> Baseline | None:
    """The newest baseline at or before a position; where the journal does not know it, each names the one before it.

    Raises:
        JournalError: the journal could not be read.
    """
    found = await journal.newest_baseline(position)
    while found is not None and found.checkpoint.position > position:
        recorded = found.envelope.payload
        assert isinstance(recorded, BaselineRecorded), "the envelope of a baseline holds one"
        try:
            earlier = baseline.previous(recorded.state)
        except baseline.UnreadableBaseline:
            return None
        found = await baseline_at(journal, earlier)
    return found


async def baseline_at(journal: Journal, position: int) -> Baseline | None:
    """The baseline that is the event at a position; None where it is not kept, or there is none (0).

    Raises:
        JournalError: the journal could not be read.
    """
    commit = await journal.commit_at(position) if position else None
    if commit is None or commit.first_position > position:
        return None
    envelope = commit.events[position - commit.first_position]
    return Baseline(envelope, commit.checkpoint)


async def sessions_until(streams: Streams, state: ClusterState, until_ms: int) -> Sessions:
    """Every speaker's stream, folded as far as it had come when the state was the present one.

    Raises:
        JournalError: a stream could not be read.
    """
    sessions = Sessions.empty()
    for name in await streams.speakers():
        witnessed = state.ledger.witnessed.get(name)
        least = witnessed.position if witnessed is not None else 0
        async for page in streams.speaker(name).read(BEGINNING):
            told = [envelope for commit in page for envelope in commit.events]
            kept = told if until_ms == FOREVER_MS else list(_before(told, least, until_ms, state.ledger.position))
            for envelope in kept:
                sessions = evolve_sessions(sessions, name, envelope)
            if len(kept) < len(told):
                break
    return sessions


def _before(told: Iterable[Envelope], least: int, until_ms: int, position: int) -> Iterator[Envelope]:
    """The outcomes up to the first that came later than a time and a position of the journal; `least` are certain."""
    for envelope in told:
        realises = getattr(envelope.payload, "position", 0)
        if envelope.position > least and (envelope.time_ms >= until_ms or realises > position):
            return
        yield envelope


async def _forgotten(streams: Streams, until_ms: int) -> tuple[str, ...]:
    found = []
    for name in await streams.speakers():
        first = await streams.speaker(name).commit_at(1)
        if first is not None and first.first_position > 1 and first.time_ms >= until_ms:
            found.append(name)
    return tuple(found)
