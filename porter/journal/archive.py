"""The archive of one journal in a folder: an open segment that grows, and sealed ones that count.

`open.porter` is a journal in a file (`porter.journal.file`): what comes is appended and synced, and a frame that was
torn at its end is dropped when it is opened again. It is sealed into a segment (`porter.journal.segment`), which is
written beside it, synced, and read back before it counts. A crash in between leaves both: what the segment holds is
then dropped from the open one.

What the journal lost, although it is archived, is set aside in `lost`, and what is damaged is renamed: neither is ever
deleted, and neither is read as history. One process writes an archive, which a lock enforces. All of this blocks, and
belongs into a thread.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import IO, TypeVar

from porter.events.envelope import Checkpoint
from porter.files import move_durably, write_atomically
from porter.journal.archive_gaps import Link, check_taken, gaps, loose
from porter.journal.chain import Chain, checkpoint_before, decode
from porter.journal.file import FileStore
from porter.journal.limits import Trim
from porter.journal.segment import (
    SUFFIX,
    Segment,
    check_segment,
    checkpoint_at,
    entries_of,
    file_name,
    list_segments,
    open_segment,
    write_segment,
)
from porter.journal.shelves import FETCHING
from porter.ports import Corrupt, Fork, JournalUnavailable

T = TypeVar("T")

OPEN_NAME = "open.porter"
LOST_FOLDER = "lost"
SEGMENT_BYTES = 8 * 1024 * 1024
"""The open segment is sealed when its commits take so much."""
SEGMENT_COMMITS = 65_536
"""Or when it holds so many of them: a segment is held in memory while it is sealed."""


class Archive:
    """The writer of a folder. `open` first; every other method then works on what it found."""

    def __init__(self, folder: Path, cluster: str) -> None:
        self.folder = folder
        self.segments: list[Segment] = []
        self._cluster = cluster
        self._store = FileStore(folder / OPEN_NAME)
        self._lock: IO[bytes] | None = None
        self._checked: dict[str, bytes] = {}
        """The segments that this process has read whole, and the digest that their files had."""

    def open(self) -> None:
        """Take the folder, and mend what a crash left.

        Raises:
            JournalUnavailable: the folder cannot be written, or another process archives into it.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            for leftover in self.folder.glob(f".*{SUFFIX}.*"):
                leftover.unlink()
            for fetched in self.folder.glob(f"{FETCHING}*"):
                shutil.rmtree(fetched)
            self._list()
            self._open_store()
        except OSError as error:
            raise JournalUnavailable(f"the archive {self.folder} cannot be written: {error.strerror}") from error

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The end of what is archived; None where the next commit is not to follow anything that is."""
        if self._store.entries:
            return self._store.entries[-1].checkpoint
        ends = (one.last for one in reversed(self.segments) if one.last.hash == self._store.trimmed.hash)
        return next(ends, None)

    @property
    def genesis(self) -> str:
        """The identity of the journal whose commits come next; "" where nothing is archived yet."""
        return self._store.genesis or (self.segments[-1].genesis if self.segments else "")

    @property
    def open_commits(self) -> int:
        """How many commits the open segment holds."""
        return len(self._store.entries)

    @property
    def size_bytes(self) -> int:
        """What all of it takes."""
        return sum(one.size for one in self.segments) + self._store.size_bytes()

    @property
    def full(self) -> bool:
        """Whether the open segment is large enough to be sealed."""
        return self._store.size_bytes() >= SEGMENT_BYTES or len(self._store.entries) >= SEGMENT_COMMITS

    def check(self) -> None:
        """See that the folder is still there.

        Raises:
            JournalUnavailable: it is not, or holds another open segment.
        """
        if self._store.genesis and not self._store.in_place:
            raise JournalUnavailable("the open segment is gone; is its volume still mounted?")

    def begin(self, genesis: str, after: Checkpoint) -> None:
        """Go on behind another checkpoint: with a new journal, or behind what can no longer be had."""
        if self._store.entries:
            self.seal()
        self._guard(lambda: self._store.begin(genesis, Trim(after.position, after.hash)))

    def add(self, blobs: Sequence[bytes]) -> None:
        """Archive what follows the checkpoint; durable when this returns.

        Raises:
            JournalUnavailable: the disk takes nothing.
            Corrupt, Fork: the commits do not follow what is archived.
        """
        if self._store.entries:
            chain = Chain(self._store.entries[-1].checkpoint)
        else:
            first, trimmed = decode(blobs[0]), self._store.trimmed
            before = checkpoint_before(first)
            if before.hash != trimmed.hash or before.position < trimmed.position:
                raise Fork(f"#{first.first_position} does not link to #{trimmed.position}, behind which it should come")
            chain = Chain(before)
        commits = chain.decode(blobs)
        self._store.extend(list(zip(commits, blobs, strict=True)))

    def seal(self) -> None:
        """Make a segment of what is open, and read it back.

        Raises:
            JournalUnavailable: the disk refused.
            Corrupt: the disk gave back other bytes; what is open stays so.
        """
        entries = [(decode(blob), blob) for blob in self._blobs()]
        if not entries:
            return
        self._make_way(file_name(entries[0][0].first_position, entries[-1][0].last_position))
        written = self._guard(lambda: write_segment(self.folder, self._cluster, self._store.genesis, entries))
        self._take(written)
        self._store.drop(len(self._store.entries), Trim(written.last.position, written.last.hash))

    def uncovered(self, after: Checkpoint, through: Checkpoint) -> str:
        """Why the sealed segments do not hold all commits behind one checkpoint up to another; "" if they do.

        Each is read again: wholly once in the life of this process, and its digest every time.
        """
        at = after
        while at.position < through.position:
            found = self._behind(at)
            if found is None:
                return f"#{at.position + 1} is not archived"
            try:
                self._reread(found)
                if found.first <= at.position and checkpoint_at(found, at.position).hash != at.hash:
                    return f"{found.path} holds another #{at.position} than the journal"
                if found.last.position >= through.position:
                    there = checkpoint_at(found, through.position)
                    return "" if there.hash == through.hash else f"{found.path} holds another #{through.position}"
            except Corrupt as error:
                self._set_aside(found)
                return str(error)
            except OSError as error:
                return f"{found.path} cannot be read: {error.strerror}"
            at = found.last
        return ""

    def retain(self, *, max_bytes: int, oldest_ms: int, before: int) -> int:
        """Delete the oldest segments while they take too much or are too old; return how many went.

        Only those go that end before a position: what the journal itself still holds stays archived.

        Raises:
            JournalUnavailable: the disk refused.
        """
        gone = 0
        # What was another journal's is older than all of this one's, whatever its positions are.
        for one in sorted(self.segments, key=lambda one: (self._own(one), one.last.position, one.first)):
            large = max_bytes and self.size_bytes > max_bytes
            held = self._own(one) and one.last.position >= before
            if held or not (large or one.last_ms < oldest_ms):
                break
            self._guard(one.path.unlink)
            self._checked.pop(one.name, None)
            self.segments.remove(one)
            gone += 1
        return gone

    def gaps(self) -> list[tuple[int, int]]:
        """The positions between its own journal's segments that it does not hold, as (first, last), the oldest first.

        What lies before the oldest segment was deleted, or was there before this archive. What was copied into the
        folder meanwhile counts.

        Raises:
            JournalError: the folder cannot be read.
        """
        last = self._store.entries[-1].checkpoint.position if self._store.entries else self._store.trimmed.position
        return gaps(self._there(), self._begun, last)

    def loose(self) -> list[Link]:
        """What its own journal's segments link to and it does not hold, the newest first; see `gaps` for what counts.

        Raises:
            JournalError: the folder cannot be read.
        """
        return loose(self._there(), self._begun)

    def take_over(self, segment: Segment, link: Link, origin: str) -> Segment:
        """Take a segment of another archive, which lies on the same volume: it is checked whole, and moved here.

        Raises:
            Corrupt: it is not whole, of another journal, does not hold the commit that is linked to, or tells another
                history than a segment that is here.
            JournalUnavailable: the disk refused.
        """
        checked = self._guard(lambda: check_segment(segment.path))
        told = f"{checked.name} of {origin}"
        if (checked.genesis, checked.cluster) != (self.genesis, self._cluster):
            raise Corrupt(f"{told} is of another journal, {checked.genesis} of the cluster {checked.cluster!r}")
        grows = {one.checkpoint.position: one.checkpoint.hash for one in self._store.entries}
        check_taken(checked, link, told, self._there(), grows)
        self._make_way(checked.name)
        path = self.folder / checked.name
        self._guard(lambda: move_durably(checked.path, path))
        taken = self._guard(lambda: open_segment(path))
        self._take(taken)
        return taken

    def stretches(self) -> Iterator[list[Checkpoint]]:
        """The ends of all commits of the open segment and of each sealed one, the newest segment first.

        Raises:
            Corrupt, OSError: a segment cannot be read.
        """
        if self._store.entries:
            yield [one.checkpoint for one in self._store.entries]
        for segment in reversed(self.segments):
            yield [decode(blob).checkpoint for page in entries_of(segment, 0) for blob in page]

    def cut(self, at: Checkpoint) -> None:
        """Set aside all that lies behind a checkpoint: the journal lost it.

        Raises:
            JournalUnavailable: the disk refused.
        """
        lost, genesis = self.folder / LOST_FOLDER, self.genesis
        self._guard(lambda: lost.mkdir(mode=0o700, exist_ok=True))
        blobs = self._blobs()
        kept = [blob for blob in blobs if decode(blob).last_position <= at.position]
        if len(kept) < len(blobs):
            raw = self._guard((self.folder / OPEN_NAME).read_bytes)
            aside = lost / f"to-{self._store.entries[-1].checkpoint.position}.porter"
            self._guard(lambda: write_atomically(aside, raw, durable=True))
        trimmed = self._store.trimmed if kept else Trim(at.position, at.hash)
        for segment in [one for one in self.segments if one.last.position > at.position]:
            self._cut(segment, at, lost)
        self._list()
        # At once: what is kept may stand nowhere else any more.
        self._guard(lambda: self._store.begin(genesis, trimmed, kept))

    def close(self) -> None:
        """Give the folder back."""
        self._store.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _cut(self, segment: Segment, at: Checkpoint, lost: Path) -> None:
        blobs = [blob for page in entries_of(segment, 0) for blob in page] if segment.first <= at.position else []
        entries = [(commit, blob) for blob in blobs if (commit := decode(blob)).last_position <= at.position]
        if entries:
            self._guard(lambda: write_segment(self.folder, self._cluster, segment.genesis, entries))
        self._guard(lambda: segment.path.replace(lost / segment.name))

    @property
    def _begun(self) -> Trim | None:
        """What the open segment links to."""
        return self._store.trimmed if self._store.genesis else None

    def _there(self) -> list[Segment]:
        """Its own journal's segments, and those among them that somebody copied into the folder meanwhile."""
        found, _ = list_segments(self.folder, {one.name: one for one in self.segments})
        return [one for one in found if self._own(one)]

    def _own(self, segment: Segment) -> bool:
        """Whether a segment is of the journal whose commits come next, and not of one before it on this volume."""
        return segment.genesis == self.genesis

    def _make_way(self, name: str) -> None:
        """Set another journal's segment of a name aside, before this journal's takes its place."""
        former = next((one for one in self.segments if one.name == name and not self._own(one)), None)
        if former is None:
            return
        lost = self.folder / LOST_FOLDER
        self._guard(lambda: lost.mkdir(mode=0o700, exist_ok=True))
        self._guard(lambda: former.path.replace(lost / f"{former.genesis}-{name}"))
        self.segments.remove(former)

    def _behind(self, at: Checkpoint) -> Segment | None:
        """The segment that goes on behind a checkpoint; several may, where one had to be archived anew."""
        for one in reversed(self.segments):
            goes_on = one.first <= at.position or one.previous.hash == at.hash
            if self._own(one) and one.last.position > at.position and goes_on:
                return one
        return None

    def _set_aside(self, damaged: Segment) -> None:
        """Let it count no more; its commits are archived anew, as long as the journal has them."""
        self.segments.remove(damaged)
        self._guard(lambda: damaged.path.replace(damaged.path.with_suffix(f"{SUFFIX}.damaged")))

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self.folder / ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise JournalUnavailable(
                f"another process archives into {self.folder}; give each its own folder"
            ) from error
        self._lock = lock

    def _list(self) -> None:
        self.segments, _ = list_segments(self.folder)
        known = {one.name for one in self.segments}
        for path in self.folder.glob(f"*{SUFFIX}"):
            if path.name not in known:
                path.replace(path.with_suffix(f"{SUFFIX}.damaged"))

    def _open_store(self) -> None:
        path = self.folder / OPEN_NAME
        try:
            self._store.refresh()
        except Corrupt:
            self._store.close()
            path.replace(path.with_suffix(".porter.damaged"))
            self._store.refresh()
        own = [one for one in self.segments if not self._store.genesis or self._own(one)]
        if not own:
            return
        sealed, entries = own[-1], self._store.entries
        if not self._store.genesis or (entries and entries[-1].checkpoint.position <= sealed.last.position):
            self._store.begin(sealed.genesis, Trim(sealed.last.position, sealed.last.hash))

    def _take(self, written: Segment) -> None:
        others = [one for one in self.segments if one.name != written.name]
        self.segments = sorted([*others, written], key=lambda one: (one.last.position, one.first))
        self._checked[written.name] = _digest(written.path)

    def _blobs(self) -> list[bytes]:
        return [self._store.blob(one) for one in self._store.entries]

    def _reread(self, segment: Segment) -> None:
        if segment.name not in self._checked:
            check_segment(segment.path)
            self._checked[segment.name] = _digest(segment.path)
        elif _digest(segment.path) != self._checked[segment.name]:
            raise Corrupt(f"{segment.path} was changed since it was archived")

    @staticmethod
    def _guard(job: Callable[[], T]) -> T:
        try:
            return job()
        except OSError as error:
            raise JournalUnavailable(f"the archive takes nothing now: {error}; see to its volume") from error


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()
