"""`porter verify`: whether a history is whole, as an answer that names everything that is not.

1. Every stream: each commit links to the one before it, positions go on, epochs begin as they must, and the stream ends
   where its head (an export's: its footer) says.
2. Every baseline of the journal equals the fold of what stands before it.
3. Every head of a speaker's stream that the leader witnessed is in that stream, and every head of the journal that a
   speaker saw in the journal.
4. Every head that the leader signed is one of the journal's; with public keys also: each is signed by one of them.
5. Every segment of an archive is whole, and those that are there lead to the journal without a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from porter.app.answer_json import Json, as_json
from porter.app.history.archived_streams import ArchivedStreams
from porter.app.history.streams import Streams
from porter.events.decided import BaselineRecorded, EpochStarted, HeadSigned, HeadWitnessed
from porter.events.envelope import BEGINNING, GENESIS_HASH, Commit, Envelope
from porter.events.routed import HeadSeen
from porter.journal.archive import OPEN_NAME
from porter.journal.chain import checkpoint_before
from porter.journal.export import ExportJournals
from porter.journal.frames import holds_baseline
from porter.journal.segment import check_segment, list_segments
from porter.journal.shelves import FolderShelf
from porter.ports import Journal, JournalError, JournalUnavailable
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import OutOfOrder, UnknownEvent, fold

JOURNAL = "journal"
ARCHIVE = "archive"
PROBLEMS_MAX = 100
"""Most defects that are told one by one."""


@dataclass(slots=True)
class _Findings:
    exported: ExportJournals | None
    problems: list[str] = field(default_factory=list)
    streams: list[Json] = field(default_factory=list)
    baselines: int = 0
    witnessed: int = 0
    seen: int = 0
    signed: int = 0
    signed_position: int = 0
    segments: int = 0

    def add(self, stream: str, message: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"{stream}: {message}")


class Checks(Protocol):
    """`porter.journal.signing.Verifier`, of which only this is used."""

    def problem(self, genesis: str, signed: HeadSigned) -> str:
        """What is wrong with a signature; "" for nothing."""
        ...


async def verify(streams: Streams, signatures: Checks | None = None) -> Json:
    """Read everything, and tell what is there and what is wrong with it.

    Signatures are checked only where `signatures` says by which keys.

    Raises:
        JournalUnavailable: the server does not answer.
    """
    inner = streams.inner if isinstance(streams, ArchivedStreams) else streams
    exported = inner if isinstance(inner, ExportJournals) else None
    found = _Findings(exported)
    if isinstance(streams, ArchivedStreams):
        await _archive(found, streams)
    hashes: dict[str, dict[int, str]] = {}
    seen: list[tuple[str, HeadSeen]] = []
    for name in await streams.speakers():
        reader = _SpeakerReader()
        await _read(found, streams.speaker(name), f"speaker {name}", name, reader)
        hashes[name] = reader.hashes
        seen += [(name, one) for one in reader.seen]
    there = await _genesis(streams)
    journal = _JournalReader(found, hashes, seen, there, signatures)
    await _read(found, streams.journal(), JOURNAL, "", journal)
    head = next((one for one in found.streams if not one["stream"]), {"position": 0, "hash": ""})
    if signatures is not None and not found.signed:
        found.add(JOURNAL, "no head is signed, so that the public key proves nothing; is --signing-key set?")
    return {
        "position": head["position"],
        "hash": head["hash"],
        "streams": found.streams,
        "baselines": found.baselines,
        "witnessed": found.witnessed,
        "seen": found.seen,
        "signed": found.signed,
        "signedPosition": found.signed_position,
        "signaturesChecked": signatures is not None,
        "segments": found.segments,
        "digest": exported.digest if exported is not None else "",
        "redacted": exported is not None and exported.redacted,
        "source": as_json(exported.source) if exported is not None and exported.source is not None else None,
        "problems": found.problems,
    }


async def _genesis(streams: Streams) -> str:
    try:
        head = await streams.journal().head()
    except JournalUnavailable:
        raise
    except JournalError:
        # What is wrong there is told when it is read.
        return ""
    return head.genesis if head is not None else ""


async def _archive(found: _Findings, streams: ArchivedStreams) -> None:
    """Read every segment whole, and see that they lead to the journal."""
    shelf = streams.shelf
    try:
        if isinstance(shelf, FolderShelf):
            _, wrong = await asyncio.to_thread(list_segments, shelf.folder)
            for problem in wrong:
                found.add(ARCHIVE, problem)
        listing = await asyncio.to_thread(shelf.listing)
        for one in listing:
            found.segments += 1
            try:
                segment = await asyncio.to_thread(shelf.segment, one)
                await asyncio.to_thread(check_segment, segment.path)
            except (JournalError, OSError) as error:
                found.add(ARCHIVE, str(error))
        run = await streams.journal().run()
    except JournalUnavailable:
        raise
    except JournalError as error:
        found.add(ARCHIVE, str(error))
        return
    if not listing and isinstance(shelf, FolderShelf) and not (shelf.folder / OPEN_NAME).exists():
        found.add(ARCHIVE, f"{shelf.told} holds no archive: neither a segment nor {OPEN_NAME}; is it the right folder?")
        return
    if not run.edge.position:
        return
    if not run.segments:
        found.add(ARCHIVE, f"no segment leads to #{run.edge.position}, behind which the journal begins")
        return
    first = run.segments[0]
    earlier = [one for one in listing if one.last < first.first]
    # Before the first commit of all there may be the archive of a journal that was lost.
    if earlier and first.previous_hash != GENESIS_HASH.hex():
        found.add(ARCHIVE, f"#{earlier[-1].last + 1} to #{first.first - 1} are missing between its segments")


class _Index:
    """Sees that the file says of each commit where it ends, and whether it holds a baseline: by that it is found."""

    def __init__(self, found: _Findings, told: str, name: str) -> None:
        self._found, self._told = found, told
        self._behind = found.exported.trimmed(name).position if found.exported is not None else 0
        self._rows = found.exported.index(name) if found.exported is not None else None

    def take(self, commit: Commit) -> None:
        # What comes from an archive stands in no export.
        if self._rows is None or commit.last_position <= self._behind:
            return
        if next(self._rows, None) != (commit.checkpoint, holds_baseline(commit)):
            self._found.add(self._told, f"the file's index says something else than #{commit.last_position}")
            self._rows = None


class _SpeakerReader:
    """Remembers the hash at the end of each commit, and what the speaker saw of the journal."""

    def __init__(self) -> None:
        self.hashes: dict[int, str] = {}
        self.seen: list[HeadSeen] = []

    def take(self, commit: Commit) -> None:
        self.hashes[commit.last_position] = commit.hash.hex()
        self.seen += [one.payload for one in commit.events if isinstance(one.payload, HeadSeen)]


class _JournalReader:
    """Folds the journal, and holds each baseline and each head that somebody saw or signed against what is there."""

    def __init__(
        self,
        found: _Findings,
        hashes: Mapping[str, Mapping[int, str]],
        seen: Iterable[tuple[str, HeadSeen]],
        genesis: str,
        signatures: Checks | None,
    ) -> None:
        self._found, self._hashes, self._signatures = found, hashes, signatures
        self._seen: dict[int, list[tuple[str, HeadSeen]]] = {}
        for name, head in seen:
            self._seen.setdefault(head.position, []).append((name, head))
        self._genesis = genesis
        self._state: ClusterState | None = None
        self._broken = False

    def take(self, commit: Commit) -> None:
        if self._state is None and commit.first_position == 1:
            self._state = ClusterState.empty()
        for name, head in self._seen.get(commit.last_position, ()):
            self._found.seen += 1
            # A redacted export cannot tell the new hashes in the speakers' streams.
            if head.hash and head.hash != commit.hash.hex():
                self._found.add(JOURNAL, f"#{head.position} has another hash than the speaker {name} saw")
        folded = 0
        for number, envelope in enumerate(commit.events):
            if isinstance(envelope.payload, BaselineRecorded):
                self._fold(commit.events[folded:number])
                folded = number
                self._baseline(envelope, envelope.payload)
            elif isinstance(envelope.payload, HeadWitnessed):
                self._witnessed(envelope, envelope.payload)
            elif isinstance(envelope.payload, HeadSigned):
                self._signed(commit, envelope, envelope.payload)
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
            elif recorded.reducer_version not in baseline.OWN_VERSIONS:
                # It was encoded otherwise; that it can be read is all that this release can tell.
                baseline.decode(recorded.state)
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

    def _signed(self, commit: Commit, envelope: Envelope, head: HeadSigned) -> None:
        self._found.signed += 1
        told = f"the head #{head.position} that #{envelope.position} signs"
        if envelope is not commit.events[0] or head.position >= envelope.position:
            self._found.add(JOURNAL, f"{told} is not where the journal ended then")
        elif head.hash and head.hash != commit.previous_hash.hex():
            self._found.add(JOURNAL, f"{told} has another hash than it says")
        problem = ""
        if self._signatures is not None and not head.signature:
            # Whoever makes a chain anew could leave it out, as a redacted export does.
            problem = "carries no signature, so that the public key proves nothing; a redacted export has none"
        elif self._signatures is not None:
            problem = self._signatures.problem(self._genesis, head)
        if problem:
            self._found.add(JOURNAL, f"{told} {problem}")
        else:
            self._found.signed_position = head.position


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
        index = _Index(found, told, name)
        async for page in journal.read(start):
            for commit in page:
                commits, events, last = commits + 1, events + len(commit.events), commit
                begun = commit.events[0].payload
                if isinstance(begun, EpochStarted) and begun.genesis != head.genesis:
                    found.add(told, f"#{commit.first_position} begins an epoch of another genesis, {begun.genesis}")
                reader.take(commit)
                index.take(commit)
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
