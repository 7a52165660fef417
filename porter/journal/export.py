"""A cluster's history in one file: the journal, every speaker's stream, and a footer that proves them whole.

The file is the magic line, then frames: the length and the CRC-32 of a body (big-endian, 4 bytes each), and the body, a
msgpack array that begins with its kind:

    [0, format, cluster, redacted, source]              the heading; source: what a redacted export was made from
    [1, name, genesis, trimmed position, its hash]      a stream begins; the journal's name is ""
    [2, zlib]                                           about a MiB of commits of that stream, behind their index
    [3, streams, sha256]                                the footer, which ends the file

The index is a msgpack array [lengths, epochs, last positions, times, numbers of those that hold a baseline]: it spares
who opens the file the decoding of every commit. A commit stands as the journal holds it, byte by byte: its previous
hash and the codec's array. The footer's streams are [name, genesis, epoch, position, hash, commits, events], and its
SHA-256 is that of all bytes before it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgpack

from porter.events.envelope import Checkpoint, Commit, Head
from porter.journal.chain import decode
from porter.journal.clock import SYSTEM_CLOCK
from porter.journal.entries import Stored
from porter.journal.frames import FRAME, FRAME_BYTES, FRAME_COMMITS, frame, pack
from porter.journal.limits import SPEAKER_STREAM_ENTRIES, Trim
from porter.journal.local import NOTHING_TRIMMED, LocalJournal
from porter.journal.packed_entries import Frames, PackedEntries
from porter.ports import Corrupt, JournalError, JournalMissing

MAGIC = b"porter export 1\n"
FORMAT = 1
HEADING, STREAM, COMMITS, FOOTER = range(4)


class Source(NamedTuple):
    """What a redacted export was made from: the head of the original journal, and the digest of its export."""

    genesis: str
    epoch: int
    position: int
    hash: str
    digest: str


class StreamSum(NamedTuple):
    """One stream as the footer sums it up."""

    name: str
    genesis: str
    epoch: int
    position: int
    hash: bytes
    commits: int
    events: int

    @property
    def head(self) -> Head:
        """The end of the stream."""
        return Head(self.genesis, self.epoch, self.position, self.hash)


SOURCE = (str, int, int, str, str)
STREAM_SUM = (str, str, int, int, bytes, int, int)


def typed(row: Any, types: Sequence[Any]) -> Any:
    """The row, which a file of somebody else's making may hold in any form.

    Raises:
        ValueError: its values are not of these types, or not as many.
    """
    if not isinstance(row, tuple) or len(row) != len(types) or not all(map(isinstance, row, types)):
        raise ValueError(f"a row of {len(types)} values is another")
    return row


class ExportWriter:
    """Writes an export: `begin` a stream, `add` its commits, and so on; `finish` writes the footer."""

    def __init__(self, file: BinaryIO, cluster: str, *, redacted: bool = False, source: Source | None = None) -> None:
        self._file = file
        self._digest = sha256()
        self._sums: list[StreamSum] = []
        self._begun: tuple[str, str] | None = None
        self._pending: list[tuple[Commit, bytes]] = []
        self._pending_bytes = 0
        self._counts = [0, 0]
        self._last = Checkpoint(0, 0, b"")
        self._write(MAGIC)
        self._frame([HEADING, FORMAT, cluster, redacted, source])

    @property
    def position(self) -> int:
        """The last position that was added to the present stream."""
        return self._last.position

    def begin(self, name: str, genesis: str, trimmed: Trim = NOTHING_TRIMMED) -> None:
        """Begin a stream: "" is the journal."""
        self._end()
        self._begun, self._counts, self._last = (name, genesis), [0, 0], Checkpoint(0, 0, b"")
        self._frame([STREAM, name, genesis, *trimmed])

    def add(self, blobs: Iterable[bytes]) -> None:
        """Add commits to the stream that was begun."""
        for blob in blobs:
            commit = decode(blob)
            self._pending.append((commit, blob))
            self._pending_bytes += len(blob)
            self._counts[0] += 1
            self._counts[1] += len(commit.events)
            self._last = commit.checkpoint
            if self._pending_bytes >= FRAME_BYTES or len(self._pending) >= FRAME_COMMITS:
                self._flush()

    def finish(self) -> str:
        """Write the footer; return its digest (hex)."""
        self._end()
        digest = self._digest.digest()
        self._frame([FOOTER, self._sums, digest])
        return digest.hex()

    def _end(self) -> None:
        self._flush()
        if self._begun is not None:
            last, (commits, events) = self._last, self._counts
            self._sums.append(StreamSum(*self._begun, last.epoch, last.position, last.hash, commits, events))
            self._begun = None

    def _flush(self) -> None:
        if not self._pending:
            return
        commits, blobs = zip(*self._pending, strict=True)
        self._frame([COMMITS, pack(commits, blobs)])
        self._pending, self._pending_bytes = [], 0

    def _frame(self, content: list[Any]) -> None:
        self._write(frame(content))

    def _write(self, raw: bytes) -> None:
        self._digest.update(raw)
        self._file.write(raw)


class ExportStore:
    """One stream of an export, as `porter.journal.local.Store` that nobody writes to."""

    def __init__(self, path: Path, frames: Frames, name: str, genesis: str, trimmed: Trim) -> None:
        self.name = f"{name or 'the journal'} of {path}"
        self.genesis = genesis
        self.entries = PackedEntries(frames)
        self.trimmed = trimmed
        self._frames = frames

    def refresh(self) -> None:
        """See `porter.journal.local.Store`."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `porter.journal.local.Store`."""
        if self.name:
            raise JournalError(f"{self.name} is an export, and nothing is written into it")
        yield

    def blob(self, stored: Stored) -> bytes:
        """See `porter.journal.local.Store`."""
        offset = stored.offset & 0xFFFFFFFF
        return self._frames.get(stored.offset >> 32)[0][offset : offset + stored.length]

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
        Corrupt: the file is none of `porter export`, or was changed: its frames, footer and digest do not agree.
        JournalMissing: there is no such file.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        self.cluster = ""
        self.redacted = False
        self.source: Source | None = None
        self.digest = ""
        self.sums: tuple[StreamSum, ...] = ()
        self._frames = Frames()
        self._stores: dict[str, ExportStore] = {}
        try:
            self._load(path.read_bytes() if content is None else content)
        except OSError as error:
            raise JournalMissing(f"{path} cannot be read: {error.strerror}; name a file of `porter export`") from error
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise Corrupt(f"{path} holds something else than `porter export` writes: {error}") from error

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

    def checkpoints(self, name: str) -> Iterator[Checkpoint]:
        """Where each commit of a stream ends, as the index of the file says."""
        entries = self._stores[name].entries
        for index in range(len(entries)):
            yield entries[index].checkpoint

    async def close(self) -> None:
        """Nothing is held open."""

    def _stream(self, name: str, *, bound: int) -> LocalJournal:
        return LocalJournal(self._stores[name], writer="", clock=SYSTEM_CLOCK, max_bytes=0, bound=bound)

    def _load(self, raw: bytes) -> None:
        store: ExportStore | None = None
        whole = _is_whole(raw)
        frames = self._framed(raw, whole=whole)
        heading: Any
        _, heading = next(frames, (0, (None,)))
        if len(heading) != 5 or heading[0] != HEADING:
            raise Corrupt(f"{self.path} has no heading; it was cut")
        if heading[1] != FORMAT:
            raise Corrupt(f"{self.path} is of format {heading[1]!r}, and this release reads format {FORMAT}")
        _, _, self.cluster, self.redacted, source = typed(heading, (int, int, str, bool, tuple | None))
        self.source = Source._make(typed(source, SOURCE)) if source is not None else None
        for start, content in frames:
            if content[0] == STREAM:
                _, name, genesis, position, hash_ = typed(content, (int, str, str, int, bytes))
                store = ExportStore(self.path, self._frames, name, genesis, Trim(position, hash_))
                if name in self._stores:
                    raise Corrupt(f"{self.path} holds the stream {name!r} twice")
                self._stores[name] = store
            elif content[0] == COMMITS and store is not None:
                self._frames.compressed.append(typed(content, (int, bytes | memoryview))[1])
                store.entries.take(len(self._frames.compressed) - 1)
            elif content[0] == FOOTER:
                _, sums, digest = typed(content, (int, tuple, bytes))
                self.sums = tuple(StreamSum._make(typed(one, STREAM_SUM)) for one in sums)
                if not whole and sha256(memoryview(raw)[:start]).digest() != digest:
                    raise Corrupt(f"{self.path} was changed: its content has another digest than its footer says")
                self._check(digest)
                return
            else:
                raise Corrupt(f"{self.path}: byte {start} begins a frame of an unknown kind")
        raise Corrupt(f"{self.path} has no footer; it was cut, or is still being written")

    def _framed(self, raw: bytes, *, whole: bool) -> Iterator[tuple[int, Any]]:
        view = memoryview(raw)
        if not raw.startswith(MAGIC):
            raise Corrupt(f"{self.path} is no export of Porter: it does not begin with {MAGIC!r}")
        start = len(MAGIC)
        while start < len(raw):
            if start + FRAME.size > len(raw):
                raise Corrupt(f"{self.path} ends within a frame, at byte {start}")
            length, checksum = FRAME.unpack_from(raw, start)
            body = view[start + FRAME.size : start + FRAME.size + length]
            if len(body) != length or (not whole and zlib.crc32(body) != checksum):
                raise Corrupt(f"{self.path} was changed or cut: the frame at byte {start} has another checksum")
            end = start + FRAME.size + length
            try:
                packed = _packed(body)
                content = (COMMITS, packed) if packed is not None else msgpack.unpackb(body, use_list=False)
                kind = content[0]
            except Exception as error:  # Damaged bytes fail in more ways than msgpack documents.
                raise Corrupt(f"{self.path}: the frame at byte {start} does not decode: {error}") from error
            if kind == FOOTER and end != len(raw):
                raise Corrupt(f"{self.path} goes on behind its footer, at byte {end}")
            yield start, content
            start = end

    def _check(self, digest: bytes) -> None:
        self.digest = digest.hex()
        if [one.name for one in self.sums] != list(self._stores) or "" not in self._stores:
            raise Corrupt(f"{self.path} does not hold the streams that its footer names")
        for one in self.sums:
            entries = self._stores[one.name].entries
            last = entries[-1].checkpoint if entries else Checkpoint(0, 0, b"")
            if last != one.head.checkpoint or len(entries) != one.commits:
                raise Corrupt(f"{self._stores[one.name].name} does not end where the footer says, at {one.position}")


def _packed(body: memoryview) -> memoryview | None:
    """The packed commits of a frame where they stand, so that a large file is held once; None for another frame."""
    if len(body) < 3 or body[0] != 0x92 or body[1] != COMMITS:
        return None
    # A msgpack array of two: the kind, and bytes whose length takes one, two or four bytes itself.
    start = 3 + {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(body[2], len(body))
    return body[start:] if start < len(body) and int.from_bytes(body[3:start]) == len(body) - start else None


def _is_whole(raw: bytes) -> bool:
    """Whether the footer's digest is that of all bytes before it: no frame needs a look at its checksum then."""
    view, last, start = memoryview(raw), 0, len(MAGIC)
    while start + FRAME.size <= len(view):
        last, start = start, start + FRAME.size + FRAME.unpack_from(view, start)[0]
    if start != len(view) or not last:
        return False
    body = view[last + FRAME.size :]
    try:
        kind, _, digest = msgpack.unpackb(body, use_list=False)
    except Exception:  # noqa: BLE001 -- whatever is wrong with it is told when the frames are read.
        return False
    sound = kind == FOOTER and zlib.crc32(body) == FRAME.unpack_from(view, last)[1]
    return sound and bool(sha256(view[:last]).digest() == digest)
