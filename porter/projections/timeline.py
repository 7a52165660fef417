"""One history out of several streams: the journal's events, and behind each what the speakers told then.

Every outcome is placed behind a position of the journal:

1. the last event that is not later by its time,
2. but not before the event that it realises,
3. and before the event by which the leader witnessed it; that one is certain, clocks are not.

Within a stream the order is the stream's own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from porter.events.decided import HeadWitnessed
from porter.events.envelope import Envelope


class Told(NamedTuple):
    """One event of the merged history; `stream` is "" for the journal, else the speaker's name."""

    stream: str
    envelope: Envelope


_Place = tuple[int, bool, int, str, int]
"""Behind which position, whether it is an outcome (they come behind the journal's own), time, stream and position."""


def realised(envelope: Envelope) -> int:
    """The position of the journal that an outcome realises; 0 for none."""
    position = getattr(envelope.payload, "position", 0)
    return position if isinstance(position, int) else 0


def merged(journal: Sequence[Envelope], outcomes: Mapping[str, Sequence[Envelope]]) -> list[Told]:
    """Merge a stretch of the journal with the outcomes told meanwhile; both in their own order."""
    placed: list[tuple[_Place, Told]] = [((one.position, False, 0, "", one.position), Told("", one)) for one in journal]
    positions = [one.position for one in journal]
    times_ms = list(accumulate((one.time_ms for one in journal), max))
    before = positions[0] - 1 if positions else 0
    for stream, told in sorted(outcomes.items()):
        witnessed = [
            (one.payload.position, one.position)
            for one in journal
            if isinstance(one.payload, HeadWitnessed) and one.payload.stream == stream
        ]
        seen = [position for position, _ in witnessed]
        anchor, time_ms = before, 0
        for one in told:
            index = bisect_right(times_ms, one.time_ms)
            behind = max(positions[index - 1] if index else before, realised(one))
            witness = bisect_left(seen, one.position)
            if witness < len(witnessed):
                behind = min(behind, witnessed[witness][1] - 1)
            anchor, time_ms = max(anchor, behind), max(time_ms, one.time_ms)
            placed.append(((anchor, True, time_ms, stream, one.position), Told(stream, one)))
    placed.sort(key=lambda each: each[0])
    return [told for _, told in placed]
