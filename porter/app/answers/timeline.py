"""One history of the cluster: what the API said, what was decided, what reached the routers, and who led.

1. Find the stretch of the journal between two moments, and the state at its begin.
2. Read it, and each speaker's stream between the same times; merge them (`porter.projections.timeline`).
3. Keep what concerns the subject, and tell each event in a few words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from typing import NamedTuple

from porter.app.answer_json import Json, event_json
from porter.app.answers.outcome_causes import ByOutcome, outcome_causes
from porter.app.answers.routes import not_known
from porter.app.answers.sentences import Teller, lane
from porter.app.history.moments import Moment, position_of, refuse_future
from porter.app.history.reading import LIMIT_MAX, BadQuestion, NotThere, check_length
from porter.app.history.streams import Streams
from porter.app.history.subject import Concerned, Subject
from porter.app.history.time_travel import FOREVER_MS, fold_to
from porter.events.catalogue import Event
from porter.events.decided import BaselineRecorded, HeadSigned, HeadWitnessed
from porter.events.envelope import BEGINNING, Checkpoint, Envelope
from porter.events.routed import HeadSeen
from porter.journal.chain import checkpoint_before
from porter.ports import Journal, JournalError, JournalMissing
from porter.projections.cluster import ClusterState
from porter.projections.timeline import Told, merged, realised

LIMIT_DEFAULT = 1000
UNASKED_MAX = 20_000
"""How far back it goes by itself, in events of the journal: a question must not cost seconds. `since` goes further."""
WAITING_MAX = 1024
"""Most events that wait for a slow follower; then the streams are not read on."""
TIMES_KEPT = 10_000
"""How many of the newest events a follower remembers the times of."""
NOT_TOLD: tuple[type, ...] = (BaselineRecorded, HeadWitnessed, HeadSigned, HeadSeen)
"""The journal's own upkeep."""

FACT_KINDS = {
    "node": "Node",
    "namespace": "Namespace",
    "pool": "Pool",
    "conf": "Conf",
    "peer": "Peer",
    "advertisement": "Advertisement",
    "servicerange": "ServiceRange",
}


class TimelineQuestion(NamedTuple):
    """Which stretch, about what, and at most how many events, the newest ones."""

    since: Moment | None = None
    until: Moment | None = None
    subject: Subject = Subject()
    limit: int = LIMIT_DEFAULT

    @staticmethod
    def from_query(query: Mapping[str, str]) -> TimelineQuestion:
        """Read `since`, `until`, `service`, `ip`, `peer` and `limit`.

        Raises:
            BadQuestion: one of them is malformed.
        """
        limit = query.get("limit", "") or str(LIMIT_DEFAULT)
        if not limit.isdecimal() or not 1 <= int(limit) <= LIMIT_MAX:
            raise BadQuestion(f"limit={limit!r} is no number between 1 and {LIMIT_MAX}")
        since, until = Moment.from_query(query, "since"), Moment.from_query(query, "until")
        return TimelineQuestion(since, until, Subject.from_query(query), int(limit))


class _Stretch(NamedTuple):
    """The positions from first to last, and the times from since until (not included)."""

    first: int
    last: int
    since_ms: int
    until_ms: int


async def timeline(streams: Streams, question: TimelineQuestion, *, events_max: int = 0) -> Json:
    """The history of a stretch, of at most `events_max` events of the journal; 0 is no bound.

    Raises:
        BadQuestion: the stretch lies outside of what is kept, or is too long.
        JournalError: a stream could not be read.
    """
    journal = streams.journal()
    stretch = await _stretch(journal, question)
    check_length(stretch.first, stretch.last, events_max)
    before = await _state_before(journal, stretch.first)
    state = before or ClusterState.empty()
    events = await _events(journal, stretch)
    outcomes = {name: await _outcomes(streams.speaker(name), stretch) for name in await streams.speakers()}
    told = [one for one in merged(events, outcomes) if not isinstance(one.envelope.payload, NOT_TOLD)]
    concerned = Concerned(question.subject, state, events)
    teller, times = Teller(before_of(state)), {one.position: one for one in events}
    wanted = [number for number, one in enumerate(told) if concerned.holds(one)]
    shown = wanted[-question.limit :]
    summaries = _summaries(told, teller, frozenset(shown))
    problems = _unknown(question.subject, before, told)
    causes = await outcome_causes(told, shown, before, events) if before is not None else {}
    return {
        "position": stretch.last,
        "first": stretch.first,
        "left": max(0, len(wanted) - question.limit),
        "entries": [entry(told[number], summaries[number], times, causes) for number in shown],
        "problems": problems,
    }


def _summaries(told: Sequence[Told], teller: Teller, shown: Container[int]) -> dict[int, str]:
    """What is shown, in a few words; the teller sees all, since each event is told by what it changed."""
    summaries = {}
    for number, (stream, envelope) in enumerate(told):
        if number in shown:
            summaries[number] = teller.tell(stream, envelope)
        else:
            teller.see(stream, envelope.payload)
    return summaries


def _unknown(subject: Subject, before: ClusterState | None, told: Sequence[Told]) -> list[str]:
    """The names of the question that nobody had in the stretch, each as a sentence; none where that is not known."""
    if before is None:
        return []
    named = {one.envelope.aggregate for one in told}
    inventory, problems = before.inventory, []
    if subject.service and subject.service not in inventory.service_uids and f"service/{subject.service}" not in named:
        problems.append(f"no Service {subject.service} of Porter's is known in this time; see `porter services`")
    if subject.peer and subject.peer not in inventory.peers and f"peer/{subject.peer}" not in named:
        known = {*inventory.peers, *(name.removeprefix("peer/") for name in named if name.startswith("peer/"))}
        problems.append(not_known("BgpPeer", subject.peer, known))
    return problems


def entry(told: Told, summary: str, times: Mapping[int, Envelope], causes: ByOutcome | None = None) -> Json:
    """One event of the history; `causes` are those of outcomes."""
    stream, envelope = told
    cause = (causes or {}).get((stream, envelope.position), 0) if stream else envelope.causation
    realises = realised(envelope) if stream else 0
    because = times.get(cause or realises)
    return {
        "stream": stream,
        "lane": lane(stream, envelope.payload),
        **event_json(envelope),
        "cause": cause,
        "realises": realises,
        "causeType": because.type if because is not None else "",
        "afterMs": max(0, envelope.time_ms - because.time_ms) if because is not None else None,
        "summary": summary,
    }


async def check_followed(streams: Streams, question: TimelineQuestion, *, events_max: int = 0) -> None:
    """See that a question can be followed, before anything is sent.

    Raises:
        BadQuestion: as `timeline`; or it is to end somewhere.
        JournalError: the journal could not be read.
    """
    if question.until is not None:
        raise BadQuestion("until is a moment, and follow goes on beyond any; leave one of them out")
    stretch = await _stretch(streams.journal(), question)
    check_length(stretch.first, stretch.last, events_max)


async def follow(streams: Streams, question: TimelineQuestion) -> AsyncIterator[Json]:
    """The history so far, then what comes: each stream in its order, as it comes.

    Raises:
        BadQuestion: as `timeline`; or it is to end somewhere.
        JournalError: a stream could not be read.
    """
    await check_followed(streams, question)
    sources = {"": streams.journal(), **{name: streams.speaker(name) for name in await streams.speakers()}}
    queue: asyncio.Queue[Told | JournalError] = asyncio.Queue(WAITING_MAX)
    heads = {name: await journal.head() for name, journal in sources.items()}
    known: set[tuple[str, int]] = set()
    for one in (await timeline(streams, question))["entries"]:
        known.add((one["stream"], one["position"]))
        yield one
    tasks = [
        asyncio.create_task(_pump(queue, name, sources[name], BEGINNING if head is None else head.checkpoint))
        for name, head in heads.items()
    ]
    state = await _present(sources[""])
    teller, times = Teller(before_of(state)), dict[int, Envelope]()
    concerned = Concerned(question.subject, state, [])
    try:
        while True:
            told = await queue.get()
            if isinstance(told, JournalError):
                raise told
            if isinstance(told.envelope.payload, NOT_TOLD):
                continue
            # What came while the history was read stands in it already.
            fresh = (told.stream, told.envelope.position) not in known
            if not told.stream:
                times[told.envelope.position] = told.envelope
                concerned.learn(told.envelope)
                times.pop(told.envelope.position - TIMES_KEPT, None)
            summary = teller.tell(told.stream, told.envelope)
            if fresh and concerned.holds(told):
                yield entry(told, summary, times)
    finally:
        for task in tasks:
            task.cancel()


async def _present(journal: Journal) -> ClusterState:
    head = await journal.head()
    return (await fold_to(journal, head.position))[0].state if head is not None else ClusterState.empty()


async def _pump(queue: asyncio.Queue[Told | JournalError], stream: str, journal: Journal, after: Checkpoint) -> None:
    try:
        async for page in journal.read(after, follow=True):
            for commit in page:
                for envelope in commit.events:
                    await queue.put(Told(stream, envelope))
    except JournalError as error:
        await queue.put(error)


async def _stretch(journal: Journal, question: TimelineQuestion) -> _Stretch:
    head, earliest = await journal.head(), await journal.commit_at(1)
    if head is None or earliest is None:
        raise JournalMissing("there is no journal there")
    first, since_ms, last, until_ms = earliest.first_position, 0, head.position, FOREVER_MS
    if question.until is not None:
        last = await position_of(journal, question.until, "until", open_ended=True)
    if question.since is not None and question.since.position:
        first = await position_of(journal, question.since, "since")
        commit = await journal.commit_at(first)
        since_ms = commit.time_ms if commit is not None else 0
    elif question.since is not None:
        await refuse_future(journal, head, question.since, "since")
        since_ms = question.since.time_ms
        if since_ms > earliest.time_ms:
            first = 1 + await position_of(journal, Moment(0, since_ms - 1), "since")
    elif last - UNASKED_MAX >= first:
        first = last - UNASKED_MAX + 1
        commit = await journal.commit_at(first)
        since_ms = commit.time_ms if commit is not None else 0
    if question.until is not None:
        behind = await journal.commit_at(last + 1)
        until_ms = question.until.time_ms + 1 if question.until.time_ms else FOREVER_MS
        if behind is not None:
            until_ms = min(until_ms, behind.time_ms)
    _check_order(question, first, last)
    return _Stretch(first, last, since_ms, until_ms)


def _check_order(question: TimelineQuestion, first: int, last: int) -> None:
    """Raises BadQuestion where the stretch ends before it begins; one in which nothing happened is none of these."""
    since, until = question.since, question.until
    if since is None or until is None:
        return
    if since.time_ms and until.time_ms:
        if since.time_ms > until.time_ms:
            raise BadQuestion("since is later than until; write the earlier moment first")
    elif first > last + (1 if since.time_ms or until.time_ms else 0):
        raise BadQuestion(f"since is #{first}, behind until, #{last}; write the earlier moment first")


async def _state_before(journal: Journal, first: int) -> ClusterState | None:
    """The state that a stretch begins with; None where it is trimmed away: changes are told from the first event on."""
    if first == 1:
        return ClusterState.empty()
    if await journal.commit_at(first - 1) is None:
        return None
    try:
        return (await fold_to(journal, first - 1))[0].state
    except NotThere:
        return None


async def _events(journal: Journal, stretch: _Stretch) -> list[Envelope]:
    events: list[Envelope] = []
    begin = await journal.commit_at(stretch.first)
    if begin is None:
        return events
    async for page in journal.read(checkpoint_before(begin)):
        for commit in page:
            events += [one for one in commit.events if stretch.first <= one.position <= stretch.last]
        if page and page[-1].last_position >= stretch.last:
            break
    return events


async def _outcomes(journal: Journal, stretch: _Stretch) -> Sequence[Envelope]:
    found: list[Envelope] = []
    async for page in journal.read(BEGINNING):
        for commit in page:
            if stretch.since_ms <= commit.time_ms < stretch.until_ms:
                found += [one for one in commit.events if realised(one) <= stretch.last]
    return found


def before_of(state: ClusterState) -> Callable[[Event], Event | None]:
    """What was known of a thing when the stretch began."""

    def before(payload: Event) -> Event | None:
        kind, _, name = payload.aggregate.partition("/")
        if type(payload).__name__ == "EndpointsObserved":
            return state.inventory.get("Endpoints", name)
        if type(payload).__name__ == "ServiceObserved":
            return state.inventory.get("Service", name)
        if type(payload).__name__.endswith("Observed") and kind in FACT_KINDS:
            return state.inventory.get(FACT_KINDS[kind], name)
        return None

    return before
