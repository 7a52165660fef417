"""`porter verify`: whether a history is whole, as an answer that names everything that is not.

1. Every stream: each commit links to the one before it, positions go on, epochs begin as they must, and the stream ends
   where its head (an export's: its footer) says.
2. Every baseline of the journal equals the fold of what stands before it.
3. Every head of a speaker's stream that the leader witnessed is in that stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from porter.app.answer_json import Json, as_json
from porter.app.streams import Streams
from porter.events.decided import BaselineRecorded, EpochStarted, HeadWitnessed
from porter.events.envelope import BEGINNING, Commit, Envelope
from porter.journal.chain import checkpoint_before
from porter.journal.export import ExportJournals
from porter.ports import Journal, JournalError, JournalUnavailable
from porter.projections import baseline
from porter.projections.cluster import ClusterState, OutOfOrder, UnknownEvent, fold

JOURNAL = "journal"
PROBLEMS_MAX = 100
"""Most defects that are told one by one."""


@dataclass(slots=True)
class _Findings:
    problems: list[str] = field(default_factory=list)
    streams: list[Json] = field(default_factory=list)
    baselines: int = 0
    witnessed: int = 0

    def add(self, stream: str, message: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"{stream}: {message}")


async def verify(streams: Streams) -> Json:
    """Read everything, and tell what is there and what is wrong with it.

    Raises:
        JournalUnavailable: the server does not answer.
    """
    found = _Findings()
    hashes: dict[str, dict[int, str]] = {}
    for name in await streams.speakers():
        reader = _SpeakerReader()
        await _read(found, streams.speaker(name), f"speaker {name}", name, reader)
        hashes[name] = reader.hashes
    journal = _JournalReader(found, hashes)
    await _read(found, streams.journal(), JOURNAL, "", journal)
    head = next((one for one in found.streams if not one["stream"]), {"position": 0, "hash": ""})
    exported = streams if isinstance(streams, ExportJournals) else None
    return {
        "position": head["position"],
        "hash": head["hash"],
        "streams": found.streams,
        "baselines": found.baselines,
        "witnessed": found.witnessed,
        "digest": exported.digest if exported is not None else "",
        "redacted": exported is not None and exported.redacted,
        "source": as_json(exported.source) if exported is not None and exported.source is not None else None,
        "problems": found.problems,
    }


class _SpeakerReader:
    """Remembers the hash at the end of each commit."""

    def __init__(self) -> None:
        self.hashes: dict[int, str] = {}

    def take(self, commit: Commit) -> None:
        self.hashes[commit.last_position] = commit.hash.hex()


class _JournalReader:
    """Folds the journal, and holds each baseline and each witnessed head against what is there."""

    def __init__(self, found: _Findings, hashes: Mapping[str, Mapping[int, str]]) -> None:
        self._found, self._hashes = found, hashes
        self._state: ClusterState | None = None
        self._broken = False

    def take(self, commit: Commit) -> None:
        if self._state is None and commit.first_position == 1:
            self._state = ClusterState.empty()
        folded = 0
        for number, envelope in enumerate(commit.events):
            if isinstance(envelope.payload, BaselineRecorded):
                self._fold(commit.events[folded:number])
                folded = number
                self._baseline(envelope, envelope.payload)
            elif isinstance(envelope.payload, HeadWitnessed):
                self._witnessed(envelope, envelope.payload)
        self._fold(commit.events[folded:])

    def _fold(self, envelopes: Sequence[Envelope]) -> None:
        if self._state is None or self._broken or not envelopes:
            return
        try:
            self._state = fold(self._state, envelopes)
        except (UnknownEvent, OutOfOrder) as error:
            self._broken = True
            self._found.add(JOURNAL, f"cannot be folded beyond #{envelopes[0].position}: {error}")

    def _baseline(self, envelope: Envelope, recorded: BaselineRecorded) -> None:
        self._found.baselines += 1
        told = f"the baseline at #{envelope.position}"
        try:
            if baseline.digest(recorded.state) != recorded.digest:
                self._found.add(JOURNAL, f"{told} does not match its own digest")
                return
            if self._broken or recorded.reducer_version not in baseline.READABLE_VERSIONS:
                # What another release folded is that release's to check.
                return
            if self._state is None:
                self._state = baseline.decode(recorded.state)
            elif baseline.digest(baseline.encode(self._state)) != recorded.digest:
                self._found.add(JOURNAL, f"{told} is not what the events before it fold to")
        except baseline.UnreadableBaseline as error:
            self._found.add(JOURNAL, f"{told} cannot be read: {error}")

    def _witnessed(self, envelope: Envelope, head: HeadWitnessed) -> None:
        self._found.witnessed += 1
        there = self._hashes.get(head.stream, {}).get(head.position)
        # What the stream does not hold any more cannot be checked any more.
        if there is not None and there != head.hash:
            self._found.add(
                f"speaker {head.stream}", f"#{head.position} has another hash than #{envelope.position} witnessed"
            )


async def _read(
    found: _Findings, journal: Journal, told: str, name: str, reader: _SpeakerReader | _JournalReader
) -> None:
    commits = events = first = 0
    last: Commit | None = None
    try:
        head, earliest = await journal.head(), await journal.commit_at(1)
        if head is None or earliest is None:
            found.add(told, "there is none")
            return
        first = earliest.first_position
        start = BEGINNING if name else checkpoint_before(earliest)
        async for page in journal.read(start):
            for commit in page:
                commits, events, last = commits + 1, events + len(commit.events), commit
                begun = commit.events[0].payload
                if isinstance(begun, EpochStarted) and begun.genesis != head.genesis:
                    found.add(told, f"#{commit.first_position} begins an epoch of another genesis, {begun.genesis}")
                reader.take(commit)
        if last is None or last.last_position < head.position:
            found.add(told, f"ends at #{last.last_position if last else 0}, and its head says #{head.position}")
        elif last.last_position == head.position and last.hash != head.hash:
            found.add(told, f"#{head.position} has another hash than the head")
    except JournalUnavailable:
        raise
    except JournalError as error:
        found.add(told, str(error))
    found.streams.append(
        {
            "stream": name,
            "commits": commits,
            "events": events,
            "first": first,
            "position": last.last_position if last is not None else 0,
            "hash": last.hash.hex() if last is not None else "",
        }
    )
