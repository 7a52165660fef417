"""The commits of an export where they are: packed in frames, of which only what is asked for is read."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple, SupportsIndex, overload

from porter.events.codec import hash_commit
from porter.events.envelope import Checkpoint
from porter.journal.entries import Stored as Entry
from porter.journal.export_contents import FrameRow, Stored, StreamContents, check_frame, named, packed_of
from porter.journal.frames import FRAME, Index, decompress, unpack
from porter.ports import Corrupt

FRAMES_KEPT = 8
"""How many frames are kept decompressed: time travel reads a few neighbours again and again."""
KEPT_BYTES_MAX = 64 * 1024 * 1024
"""And no more than so much of them: a frame may be one large baseline. The newest is kept whatever it takes."""


class Opened(NamedTuple):
    """A frame decompressed: its bytes, where in them each commit begins and the last one ends, and its index."""

    raw: bytes
    offsets: Sequence[int]
    told: Index


class Frames:
    """The frames of a file, and the last few of them decompressed."""

    def __init__(self, stored: Stored, path: Path) -> None:
        self._stored, self._path = stored, path
        self._rows: list[tuple[int, FrameRow]] = []
        self._open: OrderedDict[int, Opened] = OrderedDict()

    def add(self, rows: Iterable[tuple[int, FrameRow]]) -> range:
        """Take note of where a stream's frames begin; return their numbers."""
        first = len(self._rows)
        self._rows += rows
        return range(first, len(self._rows))

    def get(self, number: int) -> Opened:
        """One frame.

        Raises:
            Corrupt: it does not hold what its index, or the file's footer, says.
        """
        if number not in self._open:
            opened = self._read(number)
            self._make_room(len(opened.raw))
            self._open[number] = opened
        self._open.move_to_end(number)
        return self._open[number]

    def check(self) -> None:
        """Hold every frame against the footer.

        Raises:
            Corrupt: one was changed.
        """
        for number in range(len(self._rows)):
            self._framed(number)

    def _make_room(self, size: int) -> None:
        size += sum(len(one.raw) for one in self._open.values())
        while self._open and (len(self._open) >= FRAMES_KEPT or size > KEPT_BYTES_MAX):
            size -= len(self._open.popitem(last=False)[1].raw)

    def _framed(self, number: int) -> bytes:
        start, row = self._rows[number]
        framed = self._stored.read(start, row.length)
        # Format 1 says nothing of a frame; all of such a file was held against its digest when it was opened.
        if row.sha256:
            check_frame(framed, (row.length, row.sha256), f"frame {number}", self._path)
        return framed

    def _read(self, number: int) -> Opened:
        _, row = self._rows[number]
        told = f"frame {number} of {self._path}"
        packed = packed_of(memoryview(self._framed(number))[FRAME.size :])
        if packed is None:
            raise Corrupt(f"{told} holds no commits")
        raw = decompress(packed, told, commits_bytes=row.size)
        index, offset = unpack(raw, told)
        held = tuple((each, index.positions[each]) for each in index.baselines)
        told_by_index = (len(index.lengths), sum(index.lengths), index.positions[-1], index.times_ms[-1], held)
        if told_by_index != row[2:]:
            raise Corrupt(f"{told} does not hold what the footer says")
        return Opened(raw, list(accumulate(index.lengths, initial=offset)), index)


class PackedEntries:
    """`porter.journal.entries.Entries` of an export: a frame that nobody asks for is not read."""

    def __init__(self, frames: Frames, contents: StreamContents) -> None:
        rows = [row for _, row in contents.frames]
        self.last_ms = rows[-1].last_ms if rows else 0
        """The time of the last commit."""
        self.size_bytes = sum(row.size for row in rows)
        """What all commits take."""
        self._frames = frames
        self._sum = contents.sum
        self._numbers = frames.add(contents.frames)
        self._starts = list(accumulate((row.commits for row in rows), initial=0))
        """Which commit of the stream is the first one of each frame, and how many there are."""
        self._lasts = [row.last for row in rows]
        held = [
            (start + number, at) for start, row in zip(self._starts, rows, strict=False) for number, at in row.baselines
        ]
        self._baselines = [index for index, _ in held]
        self._baseline_positions = [at for _, at in held]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Entry: ...

    @overload
    def __getitem__(self, index: slice, /) -> list[Entry]: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self._stored(one) for one in range(*index.indices(len(self)))]
        return self._stored(range(len(self))[index])

    def _stored(self, index: int) -> Entry:
        at = bisect_right(self._starts, index) - 1
        raw, offsets, told = self._frames.get(self._numbers[at])
        row = index - self._starts[at]
        offset, end = offsets[row], offsets[row + 1]
        checkpoint = Checkpoint(told.epochs[row], told.positions[row], hash_commit(raw[offset:end]))
        if index == self._starts[-1] - 1 and checkpoint != self._sum.head.checkpoint:
            raise Corrupt(f"{named(self._sum)} of the export does not end where the footer says")
        return Entry(checkpoint, _holds(self._baselines, index), self._numbers[at] << 32 | offset, end - offset)

    def blobs(self, first: int, end: int) -> Iterator[bytes]:
        """The bytes of the entries from an index up to another, or as many as there are."""
        first, end = max(0, first), min(end, len(self))
        while first < end:
            at = bisect_right(self._starts, first) - 1
            raw, offsets, _ = self._frames.get(self._numbers[at])
            start = self._starts[at]
            through = min(end, self._starts[at + 1])
            for offset, after in pairwise(offsets[first - start : through - start + 1]):
                yield raw[offset:after]
            first = through

    def index_after(self, position: int) -> int:
        """See `porter.journal.entries.Entries`."""
        at = bisect_right(self._lasts, position)
        if at == len(self._lasts):
            return len(self)
        return self._starts[at] + bisect_right(self._frames.get(self._numbers[at]).told.positions, position)

    def newest_baseline(self, at: int) -> Entry | None:
        """See `porter.journal.entries.Entries`."""
        end = bisect_right(self._baseline_positions, at) if at else len(self._baselines)
        return self[self._baselines[end - 1]] if end else None

    def baselines(self) -> Iterator[Entry]:
        """Every entry that holds a baseline, the oldest first."""
        return (self[index] for index in self._baselines)


def _holds(ranked: Sequence[int], value: int) -> bool:
    found = bisect_right(ranked, value)
    return found > 0 and ranked[found - 1] == value
