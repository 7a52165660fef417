"""A moment of the cluster's history: a position of the journal, or a time, and how one becomes the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

from porter.app.answer_json import time_json
from porter.app.history.reading import BadQuestion, NotThere
from porter.events.envelope import Head
from porter.journal.clock import SYSTEM_CLOCK
from porter.ports import Journal

EARLIEST_YEAR = 1900
"""What lies near the year 1 cannot be written in every zone, and was before any journal."""

CLOCKS_APART_MS = 60_000
"""The clocks of who asks, who answers and who wrote the journal may be so far apart."""


class Moment(NamedTuple):
    """A position, or a time where the position is 0."""

    position: int = 0
    time_ms: int = 0

    @staticmethod
    def from_query(query: Mapping[str, str], name: str) -> Moment | None:
        """Read a parameter: `41877`, `#41877`, or a time by RFC 3339; None where it is absent or empty.

        Raises:
            BadQuestion: it is neither.
        """
        text = query.get(name, "").strip()
        if not text:
            return None
        number = text.removeprefix("#")
        if number.isdecimal():
            if int(number) < 1:
                raise BadQuestion(f"{name}={text}: positions count from 1")
            return Moment(int(number))
        try:
            # A plus sign that was not escaped arrives as a space.
            time = dt.datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        except ValueError as error:
            raise BadQuestion(
                f"{name}={text!r} is neither a position like 41877 nor a time like 2026-11-25T16:43:02Z"
            ) from error
        if time.tzinfo is None:
            raise BadQuestion(f"{name}={text!r} names no zone; write one like 2026-11-25T16:43:02Z")
        if time.year < EARLIEST_YEAR:
            raise BadQuestion(f"{name}={text!r} lies before any journal; the earliest year is {EARLIEST_YEAR}")
        return Moment(0, int(time.timestamp() * 1000))


async def position_of(journal: Journal, moment: Moment, name: str, *, open_ended: bool = False) -> int:
    """The position of the last event at a moment.

    A time is looked for as in a sorted list; where a new leader's clock was behind, it is one of the moments. With
    `open_ended` a time may be yet to come: what lies behind the end of a stretch is of no harm.

    Raises:
        BadQuestion: the moment is yet to come.
        NotThere: it lies before what is kept of the journal.
        JournalError: the journal could not be read.
    """
    head, first = await journal.head(), await journal.commit_at(1)
    if head is None or first is None:
        raise NotThere("the journal is empty; nothing can be told of any moment")
    if moment.position or not open_ended:
        await refuse_future(journal, head, moment, name)
    if moment.position:
        if moment.position < first.first_position:
            raise NotThere(f"{name}=#{moment.position} lies before {_first(first.first_position, first.time_ms)}")
        return moment.position
    if moment.time_ms < first.time_ms:
        when = time_json(moment.time_ms)
        raise NotThere(f"{name}={when} lies before {_first(first.first_position, first.time_ms)}")
    low, high = first.last_position, head.position
    while low < high:
        middle = (low + high + 1) // 2
        commit = await journal.commit_at(middle)
        if commit is None or commit.time_ms > moment.time_ms:
            # The commit may begin before the middle.
            high = min(middle, commit.first_position if commit is not None else middle) - 1
        else:
            low = commit.last_position
    return low


async def refuse_future(journal: Journal, head: Head, moment: Moment, name: str) -> None:
    """See that a moment is not yet to come, by the head and, for a time, by this machine's clock: nobody can answer as
    of then. A cluster whose clock is ahead is asked about by its own times.

    Raises:
        BadQuestion: it is; the message names the head.
        JournalError: the journal could not be read.
    """
    now_ms = SYSTEM_CLOCK.wall_ms() + CLOCKS_APART_MS
    if moment.position <= head.position and moment.time_ms <= now_ms:
        return
    newest = await journal.commit_at(head.position)
    head_ms = newest.time_ms if newest is not None else 0
    where = f"the head, #{head.position} of {time_json(head_ms)}; nothing is known of later than that"
    if moment.position:
        raise BadQuestion(f"{name}=#{moment.position} lies behind {where}")
    if moment.time_ms > head_ms + CLOCKS_APART_MS:
        raise BadQuestion(f"{name}={time_json(moment.time_ms)} is yet to come: it lies behind {where}")


def _first(position: int, time_ms: int) -> str:
    return f"the first position that is kept, #{position} of {time_json(time_ms)}"
