"""A cluster's history in one file: the journal, every speaker's stream, and a footer that proves them whole.

How it is laid out is told by `porter.journal.export_contents`. The beginning and the end are read when it is opened,
and a frame of commits when it is asked for: what an answer rests on was held against the footer. All of it is held
against the footer, and the chain, by `porter verify`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from porter.events.envelope import Checkpoint, Commit
from porter.journal.clock import SYSTEM_CLOCK
from porter.journal.entries import Stored as Entry
from porter.journal.export_contents import (
    FORMAT,
    Contents,
    InMemory,
    Source,
    StreamContents,
    StreamSum,
    named,
    read_contents,
    read_heading,
    stored_at,
)
from porter.journal.export_contents import Stored as StoredBytes
from porter.journal.limits import SPEAKER_STREAM_ENTRIES, Trim
from porter.journal.local import LocalJournal
from porter.journal.packed_entries import Frames, PackedEntries
from porter.ports import Corrupt, JournalError


class ExportStore:
    """One stream of an export, as `porter.journal.local.Store` that nobody writes to."""

    def __init__(self, path: Path, frames: Frames, contents: StreamContents) -> None:
        self.name = f"{named(contents.sum)} of {path}"
        self.genesis = contents.sum.genesis
        self.entries = PackedEntries(frames, contents)
        self.trimmed = contents.trimmed
        self._frames = frames

    def refresh(self) -> None:
        """See `porter.journal.local.Store`."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `porter.journal.local.Store`."""
        if self.name:
            raise JournalError(f"{self.name} is an export, and nothing is written into it")
        yield

    def blob(self, stored: Entry) -> bytes:
        """See `porter.journal.local.Store`."""
        offset = stored.offset & 0xFFFFFFFF
        return self._frames.get(stored.offset >> 32).raw[offset : offset + stored.length]

    def blobs(self, first: int, end: int) -> Iterator[bytes]:
        """See `porter.journal.local.Store`."""
        return self.entries.blobs(first, end)

    def start(self, genesis: str) -> None:
        """See `porter.journal.local.Store`."""
        del genesis
        raise AssertionError("nothing is written into an export")

    def add(self, commit: Commit, blob: bytes) -> None:
        """See `porter.journal.local.Store`."""
        del commit, blob
        raise AssertionError("nothing is written into an export")

    def drop(self, count: int, trimmed: Trim) -> None:
        """See `porter.journal.local.Store`."""
        del count, trimmed
        raise AssertionError("nothing is written into an export")

    def identity(self) -> str:
        """See `porter.journal.local.Store`."""
        return self.name

    def size_bytes(self) -> int:
        """See `porter.journal.local.Store`."""
        return self.entries.size_bytes

    async def wait(self, timeout_s: float) -> None:
        """See `porter.journal.local.Store`."""
        await asyncio.sleep(timeout_s)


class ExportJournals:
    """The streams of an exported file; see `porter.journal.redis.RedisJournals`.

    Raises:
        Corrupt: the file is none of `porter export`, or was changed: its beginning and its end do not agree. A frame
            that was changed raises this when it is read.
        JournalMissing: there is no such file.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        stored = stored_at(path) if content is None else InMemory(content)
        try:
            contents, stored = _opened(stored, path)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise Corrupt(f"{path} holds something else than `porter export` writes: {error}") from error
        self.cluster: str = contents.cluster
        self.redacted: bool = contents.redacted
        self.source: Source | None = contents.source
        self.digest: str = contents.digest
        self.sums: tuple[StreamSum, ...] = tuple(one.sum for one in contents.streams)
        self._frames = Frames(stored, path)
        self._stores = {one.sum.name: ExportStore(path, self._frames, one) for one in contents.streams}

    @staticmethod
    def from_bytes(content: bytes) -> ExportJournals:
        """The streams of an export that is in memory.

        Raises:
            Corrupt: as the class.
        """
        return ExportJournals(Path("the export"), content)

    @property
    def time_ms(self) -> int:
        """The time of the newest event in any stream."""
        return max((store.entries.last_ms for store in self._stores.values()), default=0)

    def journal(self) -> LocalJournal:
        """The cluster's journal."""
        return self._stream("", bound=0)

    def speaker(self, name: str) -> LocalJournal:
        """One speaker's stream of outcomes."""
        return self._stream(name, bound=SPEAKER_STREAM_ENTRIES)

    async def speakers(self) -> tuple[str, ...]:
        """The names of all speakers whose streams the file holds, sorted."""
        return tuple(sorted(name for name in self._stores if name))

    def trimmed(self, name: str) -> Trim:
        """What the first commit of a stream links to."""
        return self._stores[name].trimmed

    def entries(self, name: str) -> Iterator[tuple[Checkpoint, bytes]]:
        """Every commit of a stream ("" is the journal) as its bytes, with the checkpoint that it ends at."""
        store = self._stores[name]
        for index in range(len(store.entries)):
            stored = store.entries[index]
            yield stored.checkpoint, store.blob(stored)

    def baselines(self, name: str) -> Iterator[Checkpoint]:
        """Where each commit of a stream that holds a baseline ends, the oldest first."""
        for stored in self._stores[name].entries.baselines():
            yield stored.checkpoint

    def index(self, name: str) -> Iterator[tuple[Checkpoint, bool]]:
        """Where each commit of a stream ends, and whether it holds a baseline, as the file's index says."""
        entries = self._stores[name].entries
        for number in range(len(entries)):
            stored = entries[number]
            yield stored.checkpoint, stored.baseline

    def check(self) -> None:
        """Read every frame, for who would rather know of a change now than in an answer later.

        Raises:
            Corrupt: one was changed.
        """
        self._frames.check()

    async def close(self) -> None:
        """Nothing is held open."""

    def _stream(self, name: str, *, bound: int) -> LocalJournal:
        return LocalJournal(self._stores[name], writer="", clock=SYSTEM_CLOCK, max_bytes=0, bound=bound)


def _opened(stored: StoredBytes, path: Path) -> tuple[Contents, StoredBytes]:
    heading = read_heading(stored, path)
    if heading.format == FORMAT:
        return read_contents(stored, heading, path), stored
    from porter.journal.export_first import read_first  # noqa: PLC0415 -- few files are so old.

    # What was held against its digest once has to stay as it was.
    raw = stored.read(0, stored.size)
    return read_first(raw, heading, path), InMemory(raw)
