"""`porter bisect`: the first position at which an assertion fails, found by halving.

It is looked for between a moment at which the assertion holds and one at which it does not. Where it changes more than
once in between, one of the changes from true to false is found.
"""

from __future__ import annotations

from porter.app.answer_json import Json, event_json
from porter.app.answers.timeline import TimelineQuestion, timeline
from porter.app.history.causes import causes, recall
from porter.app.history.moments import Moment, position_of
from porter.app.history.streams import Streams
from porter.app.history.time_travel import as_of
from porter.app.incident.assertions import Assertion
from porter.app.incident.direct import ANSWERS
from porter.ports import JournalMissing


async def bisect(
    streams: Streams, cluster: str, assertion: Assertion, since: Moment | None, until: Moment | None
) -> Json:
    """Where the assertion begins to fail, and what happened there; position 0 where it holds at the end.

    Raises:
        BadQuestion: the moments lie outside of what is kept, or the assertion cannot be evaluated.
        JournalError: a stream could not be read.
    """
    journal = streams.journal()
    head, earliest = await journal.head(), await journal.commit_at(1)
    if head is None or earliest is None:
        raise JournalMissing("there is no journal there")
    first = earliest.last_position if since is None else await position_of(journal, since, "since")
    last = head.position if until is None else await position_of(journal, until, "until", open_ended=True)
    probes = 0

    async def holds(position: int) -> bool:
        nonlocal probes
        probes += 1
        then = await as_of(streams, Moment(position))
        answers = {name: ANSWERS[name](then, {}, cluster) for name in assertion.names}
        return assertion.holds({name: one if name == "status" else one[name] for name, one in answers.items()})

    found = 0
    if not await holds(last):
        low, found = first, last
        if not await holds(first):
            low, found = first, first
        while found - low > 1:
            middle = (low + found) // 2
            if await holds(middle):
                low = middle
            else:
                found = middle
    return {
        "assert": assertion.text,
        "first": first,
        "last": last,
        "probes": probes,
        "position": found,
        "holdsBefore": bool(found) and found > first,
        **await _told(streams, found),
    }


async def _told(streams: Streams, position: int) -> dict[str, Json]:
    """The event at a position and what caused it, and what the speakers told before the next."""
    if not position:
        return {"entries": [], "causes": []}
    moment = Moment(position)
    entries = (await timeline(streams, TimelineQuestion(moment, moment)))["entries"]
    history = await recall(streams.journal(), [position], position)
    return {"entries": entries, "causes": [event_json(one) for one in causes(history, position)[1:]]}
