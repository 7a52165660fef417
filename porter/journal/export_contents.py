"""What stands where in an export: how its file is laid out, and what its end says of it.

The file is the magic line, then frames: the length and the CRC-32 of a body (big-endian, 4 bytes each), and the body, a
msgpack array that begins with its kind:

    [0, format, cluster, redacted, source]              the heading; source: what a redacted export was made from
    [1, name, genesis, trimmed position, its hash]      a stream begins; the journal's name is ""
    [2, zlib]                                           about a MiB of commits of that stream, behind their index
    [3, contents, sha256]                               the footer

and at last the length of the footer's frame (big-endian, 4 bytes) and four bytes of magic, so that who opens the file
reads its beginning and its end alone. The index of a frame is a msgpack array [lengths, epochs, last positions, times,
numbers of those that hold a baseline]. A commit stands as the journal holds it, byte by byte: its previous hash and the
codec's array.

The contents are, packed by themselves, [streams, marks, rows]. A stream is [name, genesis, epoch, position, hash,
commits, events]. A mark is [length, sha256] of the heading's frame, and of the one that each stream begins with. The
rows of a stream say of each of its frames of commits: length and SHA-256 of the frame, how many commits and bytes of
commits are in it, position and time of the last one, and [number, position] of those with a baseline. The footer's
SHA-256 is that of the contents: it vouches for every frame, and a frame is held against it when it is read.

Format 1 had no contents, and a SHA-256 over everything: `porter.journal.export_first` reads it.
"""

from __future__ import annotations

import os
import stat
import struct
import weakref
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgpack

from porter.events.envelope import Checkpoint, Head
from porter.journal.frames import FRAME, body_of
from porter.journal.limits import Trim
from porter.ports import Corrupt, JournalMissing, JournalUnavailable

MAGIC = b"porter export 1\n"
"""The line of every format: a release that reads format 1 alone then says that it is another one."""
FORMAT = 2
HEADING, STREAM, COMMITS, FOOTER = range(4)
TRAILER = struct.Struct(">I4s")
END = b"PXE2"
HEADING_BYTES_MAX = 4096
"""The least that is read at the beginning of a file."""


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


class FrameRow(NamedTuple):
    """One frame of commits: `length` bytes with this SHA-256 (b"": whoever opened the file has checked it).

    `size` is what its commits take; `baselines` are number and last position of those that hold one.
    """

    length: int
    sha256: bytes
    commits: int
    size: int
    last: int
    last_ms: int
    baselines: tuple[tuple[int, int], ...]


class StreamContents(NamedTuple):
    """One stream: what its first commit links to, and where its frames of commits begin."""

    sum: StreamSum
    trimmed: Trim
    frames: tuple[tuple[int, FrameRow], ...]


class Contents(NamedTuple):
    """What an export holds. `digest` (hex) is the footer's, and proves all of it."""

    cluster: str
    redacted: bool
    source: Source | None
    digest: str
    streams: tuple[StreamContents, ...]


SOURCE = (str, int, int, str, str)
STREAM_SUM = (str, str, int, int, bytes, int, int)
MARK = (int, bytes)
ROW = (int, bytes, int, int, int, int, tuple)
BASELINE = (int, int)


class Stored(Protocol):
    """The bytes of an export."""

    size: int

    def read(self, start: int, length: int) -> bytes:
        """Some of them; fewer where the file ends.

        Raises:
            JournalUnavailable: the file cannot be read.
        """
        ...


class InMemory:
    """An export that is in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    def read(self, start: int, length: int) -> bytes:
        """See `Stored`."""
        return self.content[start : start + length]


class OnDisk:
    """An export in a file, of which only what is asked for is read."""

    def __init__(self, path: Path, file: int) -> None:
        """`file` is open, and closed when this goes."""
        self.size = os.fstat(file).st_size
        self._path, self._file = path, file
        weakref.finalize(self, os.close, file)

    def read(self, start: int, length: int) -> bytes:
        """See `Stored`."""
        try:
            return os.pread(self._file, length, start)
        except OSError as error:
            raise JournalUnavailable(f"{self._path} cannot be read: {error.strerror}") from error


def stored_at(path: Path) -> Stored:
    """The bytes of a file; what is no file, such as a pipe, is read whole.

    Raises:
        JournalMissing: it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return OnDisk(path, file)
        with os.fdopen(file, "rb") as pipe:
            return InMemory(pipe.read())
    except OSError as error:
        raise JournalMissing(f"{path} cannot be read: {error.strerror}; name a file of `porter export`") from error


def typed(row: Any, types: Sequence[Any]) -> Any:
    """The row, which a file of somebody else's making may hold in any form.

    Raises:
        ValueError: its values are not of these types, or not as many.
    """
    if not isinstance(row, tuple) or len(row) != len(types) or not all(map(isinstance, row, types)):
        raise ValueError(f"a row of {len(types)} values is another")
    return row


class Heading(NamedTuple):
    """How an export begins; `end` is where its first stream does."""

    format: int
    cluster: str
    redacted: bool
    source: Source | None
    end: int


def read_heading(stored: Stored, path: Path) -> Heading:
    """How the file begins.

    Raises:
        Corrupt: it is no export, or of a format that this release does not read.
        TypeError, ValueError: its values are others.
    """
    raw = stored.read(0, HEADING_BYTES_MAX)
    if not raw.startswith(MAGIC):
        raise Corrupt(f"{path} is no export of Porter: it does not begin with {MAGIC!r}")
    if len(raw) < len(MAGIC) + FRAME.size:
        raise Corrupt(f"{path} has no heading; it was cut")
    length = FRAME.size + FRAME.unpack_from(raw, len(MAGIC))[0]
    content = content_of(stored.read(len(MAGIC), min(length, stored.size)), f"the frame at byte {len(MAGIC)}", path)
    if len(content) != 5 or content[0] != HEADING:
        raise Corrupt(f"{path} has no heading; it was cut")
    if content[1] not in (1, FORMAT):
        raise Corrupt(f"{path} is of format {content[1]!r}, and this release reads formats 1 and {FORMAT}")
    _, format_, cluster, is_redacted, source = typed(content, (int, int, str, bool, tuple | None))
    made_from = Source._make(typed(source, SOURCE)) if source is not None else None
    return Heading(format_, cluster, is_redacted, made_from, len(MAGIC) + length)


def content_of(raw: bytes | memoryview, told: str, path: Path) -> Any:
    """What a frame holds; `told` names it in messages.

    Raises:
        Corrupt: it was changed or cut.
    """
    body = memoryview(raw)[FRAME.size :]
    if len(raw) < FRAME.size or FRAME.unpack_from(raw) != (len(body), zlib.crc32(body)):
        raise Corrupt(f"{path} was changed or cut: {told} has another checksum")
    return body_of(body, f"{path}: {told}")


def packed_of(body: memoryview) -> memoryview | None:
    """The packed commits in the body of a frame, where they stand; None for another frame."""
    if len(body) < 3 or body[0] != 0x92 or body[1] != COMMITS:
        return None
    # A msgpack array of two: the kind, and bytes whose length takes one, two or four bytes itself.
    start = 3 + {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(body[2], len(body))
    return body[start:] if start < len(body) and int.from_bytes(body[3:start]) == len(body) - start else None


def read_contents(stored: Stored, heading: Heading, path: Path) -> Contents:
    """What the end of the file says of it, held against where its frames have to stand.

    Raises:
        Corrupt: they do not fit each other; frames of commits were not read.
        TypeError, ValueError: the values in it are others.
    """
    end = stored.size - TRAILER.size
    trailer = stored.read(end, TRAILER.size) if end > heading.end else b""
    length, magic = TRAILER.unpack(trailer) if len(trailer) == TRAILER.size else (0, b"")
    if magic != END or not 0 < length <= end - heading.end:
        raise Corrupt(f"{path} has no footer; it was cut, or is still being written")
    footer = content_of(stored.read(end - length, length), "its footer", path)
    _, packed, digest = typed(footer, (int, bytes, bytes))
    if footer[0] != FOOTER or sha256(packed).digest() != digest:
        raise Corrupt(f"{path} was changed: its footer has another digest than it says")
    sums, marks, rows = typed(msgpack.unpackb(packed, use_list=False), (tuple, tuple, tuple))
    if not len(sums) == len(rows) == len(marks) - 1:
        raise ValueError("its footer does not say of every stream where it stands")
    of_heading, *begins = [typed(mark, MARK) for mark in marks]
    if any(mark[0] <= FRAME.size for mark in begins):
        raise ValueError("its footer describes a frame that cannot be")
    at = len(MAGIC)
    check_frame(stored.read(at, heading.end - at), of_heading, "its heading", path)
    at, streams = heading.end, list[StreamContents]()
    for one, mark, frames in zip(sums, begins, rows, strict=True):
        stream = StreamSum._make(typed(one, STREAM_SUM))
        raw = stored.read(at, min(mark[0], stored.size))
        told = f"the beginning of {named(stream)}"
        check_frame(raw, mark, told, path)
        begin = typed(content_of(raw, told, path), (int, str, str, int, bytes))
        if begin[:3] != (STREAM, stream.name, stream.genesis):
            raise Corrupt(f"{path} holds another stream where its footer names {named(stream)}")
        at += mark[0]
        framed = tuple(_offsets(at, [_row(frame) for frame in typed((frames,), (tuple,))[0]]))
        at += sum(row.length for _, row in framed)
        streams.append(StreamContents(stream, Trim(*begin[3:]), framed))
    if at != end - length:
        raise Corrupt(f"{path} does not hold the frames that its footer names")
    check_streams(streams, path)
    return Contents(heading.cluster, heading.redacted, heading.source, digest.hex(), tuple(streams))


def check_frame(raw: bytes, mark: tuple[int, bytes], told: str, path: Path) -> None:
    """Hold a frame against its length and its SHA-256 as the footer says them.

    Raises:
        Corrupt: it is another.
    """
    if len(raw) != mark[0] or sha256(raw).digest() != mark[1]:
        raise Corrupt(f"{path} was changed: {told} has another digest than the footer says")


def check_streams(streams: Sequence[StreamContents], path: Path) -> None:
    """See that the journal is among the streams, each is there once, and as long as it is said to be.

    Raises:
        Corrupt: it is not so.
    """
    names = [one.sum.name for one in streams]
    if "" not in names or len(set(names)) != len(names):
        raise Corrupt(f"{path} does not hold the journal, and each stream once")
    for one in streams:
        rows = [row for _, row in one.frames]
        ends = rows[-1].last if rows else 0
        empty = rows or one.sum.head.checkpoint == Checkpoint(0, 0, b"")
        if sum(row.commits for row in rows) != one.sum.commits or ends != one.sum.position or not empty:
            raise Corrupt(f"{named(one.sum)} of {path} does not end where the footer says, at {one.sum.position}")
        if any(later.last <= earlier.last for earlier, later in pairwise(rows)):
            raise Corrupt(f"{named(one.sum)} of {path} is not in order")


def named(stream: StreamSum) -> str:
    """A stream in words."""
    return stream.name or "the journal"


def _row(raw: Any) -> FrameRow:
    row = FrameRow._make(typed(raw, ROW))
    baselines = tuple(typed(one, BASELINE) for one in row.baselines)
    if row.length <= FRAME.size or row.commits < 1 or not all(0 <= number < row.commits for number, _ in baselines):
        raise ValueError("its footer describes a frame that cannot be")
    return row._replace(baselines=baselines)


def _offsets(start: int, rows: Sequence[FrameRow]) -> Iterator[tuple[int, FrameRow]]:
    for row in rows:
        yield start, row
        start += row.length
