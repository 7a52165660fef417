"""Reading the journal's events for an answer: the newest ones, or those behind a position, filtered."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from porter.app.answer_json import Json, event_json
from porter.events.envelope import BEGINNING, Checkpoint, Envelope
from porter.journal.chain import checkpoint_before
from porter.ports import Journal

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000
_FOLLOW = {"0": False, "false": False, "1": True, "true": True}


class BadQuestion(ValueError):
    """A question that cannot be answered as it was put; the message names the parameter and the mend."""


class NotThere(BadQuestion):
    """A question that is understood, about what is not there: a name that nobody has, a moment that is not kept."""


def check_length(first: int, last: int, most: int) -> None:
    """See that a stretch of the journal is not longer than what may be held at a time; 0 is no bound.

    Raises:
        BadQuestion: it is.
    """
    if most and last - first >= most:
        raise BadQuestion(
            f"that is a stretch of {last - first + 1} events, and a controller holds {most} at a time: ask about a "
            "shorter one, or read the history yourself, with --redis-url URL, or --from FILE of `porter export`"
        )


class EventFilter(NamedTuple):
    """Which events: those behind a position (None: the newest), by type pattern and aggregate, at most `limit`."""

    after: int | None = None
    type: str = ""
    aggregate: str = ""
    limit: int = LIMIT_DEFAULT

    @staticmethod
    def from_query(query: Mapping[str, str]) -> EventFilter:
        """Read `after`, `type` (a pattern such as `Address*`), `aggregate` and `limit`.

        Raises:
            BadQuestion: a number that is none, or out of bounds.
        """
        after = query.get("after", "")
        return EventFilter(
            _number("after", after, 0, None) if after else None,
            query.get("type", ""),
            query.get("aggregate", ""),
            _number("limit", query.get("limit", "") or str(LIMIT_DEFAULT), 1, LIMIT_MAX),
        )

    @staticmethod
    def follows(query: Mapping[str, str]) -> bool:
        """Whether `follow` asks for what is appended later too.

        Raises:
            BadQuestion: neither 0, 1, true nor false.
        """
        follow = query.get("follow", "0")
        if follow not in _FOLLOW:
            raise BadQuestion(f"follow={follow!r} is neither of 0, 1, true and false")
        return _FOLLOW[follow]

    def wants(self, envelope: Envelope) -> bool:
        """Whether an event is asked for."""
        return (
            (self.after is None or envelope.position > self.after)
            and (not self.aggregate or envelope.aggregate == self.aggregate)
            and (not self.type or fnmatch.fnmatchcase(envelope.type, self.type))
        )


async def read_events(journal: Journal, wanted: EventFilter, *, follow: bool = False) -> AsyncIterator[Json]:
    """Yield the wanted events in order; with `follow`, what is appended later too, for ever.

    Without `after` it begins with the newest `limit` events, and looks no further back than the newest baseline.

    Raises:
        JournalError: the journal could not be read; Trimmed: `after` lies before what is left of it.
    """
    checkpoint = await _start(journal, wanted.after)
    newest: deque[Envelope] = deque(maxlen=wanted.limit)
    left = wanted.limit
    async for page in journal.read(checkpoint):
        for commit in page:
            checkpoint = commit.checkpoint
            found = filter(wanted.wants, commit.events)
            if wanted.after is None:
                newest.extend(found)
                continue
            for envelope in found:
                yield event_json(envelope)
                left -= 1
                if left == 0 and not follow:
                    return
    for envelope in newest:
        yield event_json(envelope)
    if not follow:
        return
    async for page in journal.read(checkpoint, follow=True):
        for commit in page:
            for envelope in filter(wanted.wants, commit.events):
                yield event_json(envelope)


async def every_event(journal: Journal) -> AsyncIterator[Json]:
    """Yield every event that is kept, from the first to the head.

    Raises:
        JournalError: the journal could not be read.
    """
    first = await journal.commit_at(1)
    if first is None:
        return
    async for page in journal.read(checkpoint_before(first)):
        for commit in page:
            for envelope in commit.events:
                yield event_json(envelope)


async def _start(journal: Journal, after: int | None) -> Checkpoint:
    """Where to start reading: behind the newest baseline if nothing before it is wanted."""
    baseline = await journal.newest_baseline()
    if baseline is not None and (after is None or after >= baseline.checkpoint.position):
        return baseline.checkpoint
    return BEGINNING


def _number(name: str, text: str, least: int, most: int | None) -> int:
    bounds = f"between {least} and {most}" if most is not None else f"of at least {least}"
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        raise BadQuestion(f"{name}={text!r} is no number {bounds}")
    return int(text)
