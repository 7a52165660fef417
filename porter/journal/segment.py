"""A segment of the archive: a stretch of the journal in a file of its own, which is written once and never changed.

The file is the magic line, then frames (`porter.journal.frames`):

    [0, format, cluster, genesis, first position, position before it, the hash of the commit that ends there]
    [1, zlib]                              about a MiB of commits behind their index, each byte by byte as journaled
    [2, epoch, last position, its hash, commits, events, rows, sha256]

and at last the length of the last frame (big-endian, 4 bytes) and four bytes of magic, so that who opens a segment
reads its end alone. A row says of one frame of commits: where it begins, first and last position, first and last time,
and the positions of the commits with a baseline. The SHA-256 is that of all bytes before the last frame.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from porter.events.codec import CodecError, decode_commits
from porter.events.envelope import Checkpoint, Commit
from porter.files import write_atomically
from porter.journal.chain import Chain, checkpoint_before, declares_lost, decode
from porter.journal.frames import (
    FRAME,
    FRAME_BYTES,
    FRAME_COMMITS,
    body_of,
    decompress,
    frame,
    holds_baseline,
    pack,
    unpack,
)
from porter.journal.limits import Trim
from porter.ports import Corrupt, JournalError

MAGIC = b"porter segment 1\n"
END = b"PJS1"
FORMAT = 1
SUFFIX = ".pjs"
HEADING, COMMITS, FOOTER = range(3)
HEADING_BYTES_MAX = 4096
FOOTER_BYTES_MAX = 16 * 1024 * 1024

_TRAILER = struct.Struct(">I4s")


class Row(NamedTuple):
    """What the end of a segment says of one of its frames."""

    offset: int
    first: int
    last: int
    first_ms: int
    last_ms: int
    baselines: tuple[int, ...]


class Segment(NamedTuple):
    """A segment as its heading and its end describe it; `previous` is what its first commit links to."""

    path: Path
    cluster: str
    genesis: str
    first: int
    previous: Trim
    last: Checkpoint
    commits: int
    events: int
    rows: tuple[Row, ...]
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def first_ms(self) -> int:
        """The time of its first commit."""
        return self.rows[0].first_ms

    @property
    def last_ms(self) -> int:
        """The time of its last commit."""
        return self.rows[-1].last_ms

    @property
    def baselines(self) -> tuple[int, ...]:
        """The last positions of the commits that hold a baseline."""
        return tuple(position for row in self.rows for position in row.baselines)


NONE_KNOWN: Mapping[str, Segment] = {}


def file_name(first: int, last: int) -> str:
    """A segment's name: names sort as positions do."""
    return f"{first:020d}-{last:020d}{SUFFIX}"


def write_segment(folder: Path, cluster: str, genesis: str, entries: Sequence[tuple[Commit, bytes]]) -> Segment:
    """Write commits that follow each other, and check what the disk gives back.

    Raises:
        OSError: the disk refused.
        Corrupt: what was written is not what is read.
    """
    commits = [commit for commit, _ in entries]
    before = checkpoint_before(commits[0])
    first, last = commits[0].first_position, commits[-1].checkpoint
    heading = [HEADING, FORMAT, cluster, genesis, first, before.position, before.hash]
    content = bytearray(MAGIC + frame(heading))
    rows: list[Row] = []
    for stretch in _stretches(entries):
        told = [commit for commit, _ in stretch]
        marked = tuple(commit.last_position for commit in told if holds_baseline(commit))
        times = told[0].time_ms, told[-1].time_ms
        rows.append(Row(len(content), told[0].first_position, told[-1].last_position, *times, marked))
        content += frame([COMMITS, pack(told, [blob for _, blob in stretch])])
    events = sum(len(commit.events) for commit in commits)
    footer = frame([FOOTER, *last, len(commits), events, rows, sha256(content).digest()])
    content += footer + _TRAILER.pack(len(footer), END)
    path = folder / file_name(first, last.position)
    write_atomically(path, bytes(content), durable=True)
    written = check_segment(path)
    if written.last != last or written.commits != len(commits):
        raise Corrupt(f"{path} ends at #{written.last.position}, and #{last.position} was written")
    return written


def _stretches(entries: Sequence[tuple[Commit, bytes]]) -> Iterator[Sequence[tuple[Commit, bytes]]]:
    start = size = 0
    for number, (_, blob) in enumerate(entries):
        size += len(blob)
        if size >= FRAME_BYTES or number - start + 1 >= FRAME_COMMITS:
            yield entries[start : number + 1]
            start, size = number + 1, 0
    if start < len(entries):
        yield entries[start:]


def open_segment(path: Path) -> Segment:
    """Read the heading and the end of a segment, and see that they fit each other and the file's name.

    Raises:
        Corrupt: they do not; nothing between was read.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        heading: Any = ()
        if file.read(len(MAGIC)) == MAGIC:
            heading, _ = _frame_at(file.read(HEADING_BYTES_MAX), 0, path)
        file.seek(max(0, size - _TRAILER.size))
        end = file.read(_TRAILER.size)
        length = _TRAILER.unpack(end)[0] if len(end) == _TRAILER.size and end.endswith(END) else 0
        if not 0 < length <= min(FOOTER_BYTES_MAX, size - _TRAILER.size):
            raise Corrupt(f"{path} has no end: it was cut")
        file.seek(size - _TRAILER.size - length)
        footer, whole = _frame_at(file.read(length), 0, path)
    try:
        kind, format_, cluster, genesis, first, before, hash_ = heading
        ends, epoch, last, last_hash, commits, events, rows, digest = footer
        fits = (kind, format_, ends, whole) == (HEADING, FORMAT, FOOTER, length)
        segment = Segment(
            path,
            cluster,
            genesis,
            first,
            Trim(before, hash_),
            Checkpoint(epoch, last, last_hash),
            commits,
            events,
            tuple(Row(*row) for row in rows),
            digest.hex(),
            size,
        )
        fits = fits and bool(rows) and path.name == file_name(first, last) and _is_typed(segment)
    except (TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"{path} is no segment of Porter's archive: {error}") from error
    if not fits:
        raise Corrupt(f"{path} does not hold #{first} to #{last} in format {FORMAT}, as its name and its end say")
    return segment


def _is_typed(segment: Segment) -> bool:
    """Whether its values are of their types: it may be of another machine's making."""
    previous, last = segment.previous, segment.last
    numbers = [segment.first, previous.position, last.epoch, last.position, segment.commits, segment.events]
    numbers += [number for row in segment.rows for number in (*row[:5], *row.baselines)]
    hashes = isinstance(previous.hash, bytes) and isinstance(last.hash, bytes)
    texts = isinstance(segment.cluster, str) and isinstance(segment.genesis, str)
    return hashes and texts and all(isinstance(number, int) for number in numbers)


def check_segment(path: Path) -> Segment:
    """Read a segment whole: every checksum, the digest, every index, and the chain from its first commit to its last.

    Raises:
        Corrupt: anything does not fit; the message names the file.
        OSError: the file cannot be read.
    """
    segment = open_segment(path)
    raw = path.read_bytes()
    end = len(raw) - _TRAILER.size - _TRAILER.unpack(raw[-_TRAILER.size :])[0]
    if sha256(raw[:end]).hexdigest() != segment.sha256:
        raise Corrupt(f"{path} was changed: its content has another digest than its end says")
    chain, commits, events = Chain(None), 0, 0
    for row in segment.rows:
        stretch, offset = _read_row(raw, row, path)
        try:
            told = list(decode_commits(blob for _, blob in stretch))
        except CodecError as error:
            raise Corrupt(f"{path}: {error}") from error
        if not commits:
            _check_first(segment, told[0])
        for commit in told:
            chain.advance(commit)
        marked = tuple(commit.last_position for commit in told if holds_baseline(commit))
        ends = [commit.checkpoint[:2] for commit in told]
        expected = Row(row.offset, told[0].first_position, ends[-1][1], told[0].time_ms, told[-1].time_ms, marked)
        if row != expected or ends != [position for position, _ in stretch]:
            raise Corrupt(f"{path}: the index at byte {row.offset} does not say what stands there")
        commits, events = commits + len(told), events + sum(len(commit.events) for commit in told)
        end_of_row = offset
    if (commits, events, chain.checkpoint, end_of_row) != (segment.commits, segment.events, segment.last, end):
        raise Corrupt(f"{path} does not end as it says, at #{segment.last.position}")
    return segment


def _check_first(segment: Segment, commit: Commit) -> None:
    before = checkpoint_before(commit)
    told = Trim(before.position, before.hash)
    lost = segment.first - 1, segment.previous.position + 1
    gap = lost[1] <= lost[0] and not declares_lost((one.payload for one in commit.events), lost[1], lost[0])
    if commit.first_position != segment.first or told != segment.previous or gap:
        raise Corrupt(f"{segment.path} does not begin as it says, at #{segment.first}")


def entries_of(segment: Segment, after: int) -> Iterator[list[bytes]]:
    """The commits of a segment that end behind a position, a frame at a time.

    Raises:
        Corrupt: a frame was changed.
        OSError: the file cannot be read.
    """
    with segment.path.open("rb") as file:
        for row in segment.rows:
            if row.last <= after:
                continue
            file.seek(row.offset)
            heading = file.read(FRAME.size)
            raw = heading + file.read(FRAME.unpack(heading)[0] if len(heading) == FRAME.size else 0)
            stretch, _ = _read_row(raw, row._replace(offset=0), segment.path)
            yield [blob for (_, position), blob in stretch if position > after]


def checkpoint_at(segment: Segment, position: int) -> Checkpoint:
    """The checkpoint of a commit of a segment.

    Raises:
        Corrupt: none ends there.
    """
    for page in entries_of(segment, position - 1):
        commit = decode(page[0])
        if commit.last_position == position:
            return commit.checkpoint
        break
    raise Corrupt(f"no commit of {segment.path} ends at #{position}")


def _read_row(raw: bytes, row: Row, path: Path) -> tuple[list[tuple[tuple[int, int], bytes]], int]:
    """The commits of the frame of a row, each with epoch and last position; and where the frame ends."""
    content, end = _frame_at(raw, row.offset, path)
    if len(content) != 2 or content[0] != COMMITS:
        raise Corrupt(f"{path}: no commits stand at byte {row.offset}, where #{row.first} should be")
    told = f"the frame of #{row.first} in {path}"
    packed = decompress(content[1], told)
    index, offset = unpack(packed, told)
    found = []
    for epoch, position, length in zip(index.epochs, index.positions, index.lengths, strict=True):
        found.append(((epoch, position), packed[offset : offset + length]))
        offset += length
    return found, end


def _frame_at(raw: bytes, start: int, path: Path) -> tuple[Any, int]:
    """The content of the frame that begins there, and where it ends."""
    body = b""
    if start + FRAME.size <= len(raw):
        length, checksum = FRAME.unpack_from(raw, start)
        body = raw[start + FRAME.size : start + FRAME.size + length]
    if not body or len(body) != length or zlib.crc32(body) != checksum:
        raise Corrupt(f"{path} was changed or cut: the frame at byte {start} has another checksum")
    return body_of(body, f"{path}: the frame at byte {start}"), start + FRAME.size + len(body)


def list_segments(folder: Path, known: Mapping[str, Segment] = NONE_KNOWN) -> tuple[list[Segment], list[str]]:
    """The segments of a folder by where they end, and what is wrong with those that cannot be opened.

    Those that are known by name are not opened again: a segment never changes.

    Raises:
        JournalError: the folder cannot be read.
    """
    found, wrong = [], []
    try:
        paths = sorted(folder.glob(f"*{SUFFIX}"))
    except OSError as error:
        raise JournalError(f"{folder} cannot be read: {error.strerror}") from error
    for path in paths:
        try:
            found.append(known.get(path.name) or open_segment(path))
        except (Corrupt, OSError) as error:
            wrong.append(str(error))
    return sorted(found, key=lambda one: (one.last.position, one.first)), wrong
