"""`porter plan --with-version`: the cluster's own history, decided again by this build.

The journal is folded as it stands, and wherever the leader of then decided, this build is asked too:

1. Fold what is no decision.
2. At the first decision of a commit, take the Services that this build would ask about, in its order.
3. For each Service that something was decided about, compare with what `decide` says at that position.
4. Fold what was decided then, whatever this build says: history goes on as it was.

What this build would decide and nobody did is told when it stood so for `OWED_MS`, or stands so at the end. Adoptions
of a first start or a recovery are left out: they rest on what speakers reported, which is not in the journal. So are
the guard's holds and what is due by time, which rest on settings and clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from porter import __version__
from porter.allocator.decide import decide, unsettled
from porter.allocator.path_identifiers import assign
from porter.app.answer_json import Json, time_json
from porter.app.answers.sentences import Teller
from porter.app.history.follow import Folded, folded_from
from porter.app.history.moments import Moment, position_of
from porter.app.history.streams import Streams
from porter.app.history.time_travel import baseline_before
from porter.events.catalogue import Event
from porter.events.decided import (
    AddressAdopted,
    AddressAllocated,
    AddressReleased,
    AllocationRefused,
    EpochStarted,
    PathIdentifierAssigned,
)
from porter.events.envelope import BEGINNING, MAX_EVENTS_PER_COMMIT, Commit, Envelope
from porter.ports import Journal, JournalMissing, Trimmed
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve

OWED_MS = 10_000
"""A leader decides within milliseconds; if it is deposed in between, its successor lists everything first."""
DIFFERENCES_MAX = 1_000
"""Most differences that are told one by one; all are counted."""

Decided = AddressAllocated | AddressAdopted | AddressReleased | AllocationRefused
_DECIDED = (AddressAllocated, AddressAdopted, AddressReleased, AllocationRefused)


class Difference(NamedTuple):
    """One decision that this build would make otherwise. `then` and `now` are sentences; "" is nothing at all."""

    position: int
    time_ms: int
    service: str
    kind: str
    """`answer`, `order` (it would be decided before another one), or `missing` (nothing was decided then)."""
    then: str
    now: str


class Owed(NamedTuple):
    """What this build would have decided at a position, and was not decided so far."""

    position: int
    time_ms: int
    service: str
    now: str


@dataclass(slots=True)
class _Redeciding:
    """Goes through a history commit by commit."""

    state: ClusterState
    after: int
    """What lies at this position or before is folded and not decided again."""
    differences: list[Difference] = field(default_factory=list)
    found: int = 0
    decisions: int = 0
    reworded: int = 0
    skipped: int = 0
    events: int = 0
    owed: dict[str, Owed] = field(default_factory=dict)

    def commit(self, commit: Commit) -> None:
        """Fold one commit, and compare its decisions."""
        if isinstance(commit.events[0].payload, EpochStarted):
            # A leader that ended may have left something to its successor.
            self.owed.clear()
        events = commit.events
        first = next((index for index, one in enumerate(events) if isinstance(one.payload, _DECIDED)), len(events))
        for envelope in events[:first]:
            if isinstance(envelope.payload, PathIdentifierAssigned):
                self._identifier(envelope)
            self._fold(envelope)
        rest = events[first:]
        asked = list(unsettled(self.state, MAX_EVENTS_PER_COMMIT - first)) if rest else []
        for uid, group in groupby(rest, lambda one: getattr(one.payload, "uid", "")):
            self._group(uid, list(group), asked)
        if commit.last_position > self.after and len(events) < MAX_EVENTS_PER_COMMIT // 2:
            self._owe(commit)

    def _fold(self, envelope: Envelope) -> None:
        self.state = evolve(self.state, envelope)
        self.events += envelope.position > self.after

    def _identifier(self, envelope: Envelope) -> None:
        if envelope.position <= self.after:
            return
        self.decisions += 1
        now = tuple(assign(self.state))
        if envelope.payload not in now:
            told = ", ".join(_said((one,)) for one in now)
            self._differs(envelope, envelope.aggregate, "answer", _said((envelope.payload,)), told)

    def _group(self, uid: str, group: Sequence[Envelope], asked: list[str]) -> None:
        """Compare what was decided about one Service in one commit; fold it."""
        compared = group[0].position > self.after and isinstance(group[0].payload, _DECIDED)
        if compared and not self.state.ledger.open:
            self.skipped += len(group)
        elif compared:
            self._compare(uid, group, asked)
        for envelope in group:
            self._fold(envelope)

    def _compare(self, uid: str, group: Sequence[Envelope], asked: list[str]) -> None:
        self.decisions += len(group)
        self.owed.pop(uid, None)
        while asked and asked[0] != uid and uid in asked:
            earlier = decide(self.state, asked.pop(0))
            if earlier:
                self._differs(group[0], _service(earlier[0]), "order", "", f"first: {_said(earlier)}")
        if asked and asked[0] == uid:
            del asked[0]
        then = tuple(one.payload for one in group)
        now = decide(self.state, uid)
        if now == then:
            return
        if [_substance(one) for one in now] == [_substance(one) for one in then]:
            self.reworded += 1
            return
        self._differs(group[0], _service(then[0]), "answer", _said(then), _said(now))

    def _owe(self, commit: Commit) -> None:
        """What this build has to say behind a commit that had room for it."""
        still = {}
        for uid in unsettled(self.state, MAX_EVENTS_PER_COMMIT):
            decisions = decide(self.state, uid)
            if decisions:
                since = self.owed.get(uid)
                now = _said(decisions)
                position, time_ms = (since.position, since.time_ms) if since else (commit.last_position, commit.time_ms)
                still[uid] = Owed(position, time_ms, _service(decisions[0]), now)
        for uid, one in list(still.items()):
            if commit.time_ms - one.time_ms > OWED_MS and one.position:
                self._missing(one)
                # Told once; a position of 0 is told no more.
                still[uid] = one._replace(position=0)
        self.owed = still

    def finish(self) -> None:
        """What is owed at the end of the history stays owed."""
        for one in self.owed.values():
            if one.position:
                self._missing(one)

    def _missing(self, one: Owed) -> None:
        self._add(Difference(one.position, one.time_ms, one.service, "missing", "", one.now))

    def _differs(self, at: Envelope, service: str, kind: str, then: str, now: str) -> None:
        self._add(Difference(at.position, at.time_ms, service, kind, then, now))

    def _add(self, difference: Difference) -> None:
        self.found += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(difference)


async def redecided(streams: Streams, since: Moment | None) -> Json:
    """Decide the history behind a moment again, or all that is kept of it.

    Raises:
        BadQuestion: the moment lies before what is kept, or behind the head.
        JournalError: the journal could not be read.
    """
    journal = streams.journal()
    head = await journal.head()
    if head is None:
        raise JournalMissing("there is no journal there")
    begin = 0 if since is None else await position_of(journal, since, "since")
    folded = await _start(journal, begin)
    going = _Redeciding(folded.state, max(begin, folded.checkpoint.position))
    first, releases = going.after + 1, dict[str, None]()
    async for page in journal.read(folded.checkpoint):
        for commit in page:
            begins = commit.events[0].payload
            if isinstance(begins, EpochStarted) and begins.version:
                releases[begins.version] = None
            going.commit(commit)
    going.finish()
    return {
        "release": __version__,
        "first": first,
        "last": head.position,
        "releases": list(releases),
        "events": going.events,
        "decisions": going.decisions,
        "reworded": going.reworded,
        "skipped": going.skipped,
        "differing": going.found,
        "differences": [_difference(one) for one in sorted(going.differences)],
    }


async def _start(journal: Journal, position: int) -> Folded:
    """The newest baseline before a position, else the first event, else the oldest baseline that is kept."""
    found = await baseline_before(journal, position) if position else None
    if found is not None:
        return folded_from(found)
    try:
        async for _ in journal.read(BEGINNING):
            break
    except Trimmed:
        found = await journal.newest_baseline()
        while found is not None:
            earlier = await baseline_before(journal, found.checkpoint.position - 1)
            if earlier is None:
                return folded_from(found)
            found = earlier
        raise
    return Folded(ClusterState.empty(), BEGINNING)


def _difference(one: Difference) -> Json:
    return {
        "position": one.position,
        "time": time_json(one.time_ms),
        "service": one.service,
        "kind": one.kind,
        "then": one.then,
        "now": one.now,
    }


def _substance(decision: Event) -> tuple[object, ...]:
    """What a decision does, without the words that it is told in."""
    if isinstance(decision, AllocationRefused):
        return (decision.uid, decision.reason)
    if isinstance(decision, AddressAllocated):
        return (AddressAllocated, *decision._replace(candidates=()))
    return (type(decision), *decision)


def _service(decision: Event) -> str:
    return decision.aggregate.removeprefix("service/")


def _said(decisions: Sequence[Event]) -> str:
    """Decisions in a few words, with their reasons."""
    if not decisions:
        return ""
    return "; ".join(
        f"{type(one).__name__} {Teller().tell('', Envelope(0, 0, 0, 0, '', '', one))}" for one in decisions
    )
