"""What the journal still tells about decisions: the events at some positions, and what caused them.

The folds keep what is; why it came about stands in the journal alone. It is read from the newest baseline on, or from
the beginning where that is not far, and what is not there any more is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from porter.events.envelope import BEGINNING, Checkpoint, Envelope
from porter.ports import Journal, Trimmed

MAX_EVENTS_READ = 100_000
"""A journal that is longer is read from its newest baseline only: a question must not cost seconds."""

MAX_CAUSES = 8
"""Longest chain of causes that is followed."""

History = Mapping[int, Envelope]
"""Events by position."""


async def recall(journal: Journal, positions: Iterable[int], head: int) -> dict[int, Envelope]:
    """The events at some positions and all that led to them, as far as the journal holds them.

    Args:
        journal: where to read.
        positions: what is asked for; 0 is nobody's.
        head: the position that the question is asked at.

    Raises:
        JournalError: the journal could not be read.
    """
    found: dict[int, Envelope] = {}
    looked_for: set[int] = set()
    for _ in range(MAX_CAUSES):
        wanted = {position for position in positions if 0 < position <= head} - found.keys() - looked_for
        if not wanted:
            break
        looked_for |= wanted
        found |= await _read(journal, wanted, head)
        # Mostly the cause stands among what was read already, or is a fact without a cause.
        positions = [envelope.causation for envelope in found.values()]
    return found


def causes(history: History, position: int) -> tuple[Envelope, ...]:
    """An event and the chain of what led to it, the newest first; empty where the journal does not hold it."""
    chain: list[Envelope] = []
    while position in history and len(chain) < MAX_CAUSES:
        chain.append(history[position])
        position = history[position].causation
    return tuple(chain)


async def _read(journal: Journal, wanted: set[int], head: int) -> dict[int, Envelope]:
    start = await _start(journal, min(wanted), head)
    try:
        return await _read_from(journal, start, wanted)
    except Trimmed:
        baseline = await journal.newest_baseline()
        if baseline is None or start != BEGINNING:
            return {}
        return await _read_from(journal, baseline.checkpoint, wanted)


async def _read_from(journal: Journal, start: Checkpoint, wanted: set[int]) -> dict[int, Envelope]:
    found: dict[int, Envelope] = {}
    last = max(wanted)
    async for page in journal.read(start):
        for commit in page:
            if commit.last_position >= min(wanted):
                found |= {envelope.position: envelope for envelope in commit.events if envelope.position in wanted}
        if page and page[-1].last_position >= last:
            break
    return found


async def _start(journal: Journal, first: int, head: int) -> Checkpoint:
    baseline = await journal.newest_baseline()
    if baseline is not None and (first > baseline.checkpoint.position or head > MAX_EVENTS_READ):
        return baseline.checkpoint
    return BEGINNING
