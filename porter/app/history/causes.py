"""What the journal still tells about decisions: the events at some positions, and what caused them.

The folds keep what is; why it came about stands in the journal alone. What is not there any more is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from porter.events.envelope import Envelope
from porter.ports import Journal

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
        wanted = {position for position in positions if 0 < position <= head} - looked_for
        if not wanted:
            break
        looked_for |= wanted
        for position in sorted(wanted):
            envelope = await event_at(journal, position)
            if envelope is not None:
                found[position] = envelope
        positions = [envelope.causation for envelope in found.values()]
    return found


async def event_at(journal: Journal, position: int) -> Envelope | None:
    """The event at a position, or None where it was lost, trimmed, or is not there yet.

    Raises:
        JournalError: the journal could not be read.
    """
    commit = await journal.commit_at(position)
    if commit is None or position < commit.first_position:
        return None
    return commit.events[position - commit.first_position]


def causes(history: History, position: int) -> tuple[Envelope, ...]:
    """An event and the chain of what led to it, the newest first; empty where the journal does not hold it."""
    chain: list[Envelope] = []
    while position in history and len(chain) < MAX_CAUSES:
        chain.append(history[position])
        position = history[position].causation
    return tuple(chain)
