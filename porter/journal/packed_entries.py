"""The commits of an export where they are: packed in frames, of which only what is asked for is decompressed."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import SupportsIndex, overload

from porter.events.codec import hash_commit
from porter.events.envelope import Checkpoint
from porter.journal.entries import Stored
from porter.journal.frames import decompress, unpack, unpack_index

FRAMES_KEPT = 8
"""How many frames are kept decompressed: time travel reads a few neighbours again and again."""


class Frames:
    """The compressed frames of a file, and the last few of them decompressed."""

    def __init__(self) -> None:
        self.compressed: list[bytes | memoryview] = []
        self._open: OrderedDict[int, tuple[bytes, list[int]]] = OrderedDict()

    def get(self, number: int) -> tuple[bytes, list[int]]:
        """The bytes of a frame, and where in them each commit begins, and the last one ends.

        Raises:
            Corrupt: it does not hold what its index says.
        """
        if number not in self._open:
            told = f"frame {number} of the export"
            raw = decompress(self.compressed[number], told)
            index, offset = unpack(raw, told)
            self._open[number] = raw, list(accumulate(index.lengths, initial=offset))
            if len(self._open) > FRAMES_KEPT:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]


class PackedEntries:
    """`porter.journal.entries.Entries` of an export: of a frame that nobody asks for, only the index is decoded."""

    def __init__(self, frames: Frames) -> None:
        self.last_ms = 0
        """The time of the last commit."""
        self.size_bytes = 0
        """What all commits take."""
        self._frames = frames
        self._numbers: list[int] = []
        self._starts: list[int] = []
        self._epochs: list[int] = []
        self._positions: list[int] = []
        self._baselines: list[int] = []

    def take(self, number: int) -> None:
        """Take note of one frame's commits."""
        index = unpack_index(self._frames.compressed[number], f"frame {number} of the export")
        start = len(self._positions)
        self._numbers.append(number)
        self._starts.append(start)
        self._epochs += index.epochs
        self._positions += index.positions
        self._baselines += [start + row for row in index.baselines]
        self.size_bytes += sum(index.lengths)
        self.last_ms = index.times_ms[-1] if index.times_ms else self.last_ms

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Stored: ...

    @overload
    def __getitem__(self, index: slice, /) -> list[Stored]: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> Stored | list[Stored]:
        if isinstance(index, slice):
            return [self._stored(one) for one in range(*index.indices(len(self)))]
        return self._stored(range(len(self))[index])

    def _stored(self, index: int) -> Stored:
        at = bisect_right(self._starts, index) - 1
        number, row = self._numbers[at], index - self._starts[at]
        raw, offsets = self._frames.get(number)
        offset, end = offsets[row], offsets[row + 1]
        checkpoint = Checkpoint(self._epochs[index], self._positions[index], hash_commit(raw[offset:end]))
        return Stored(checkpoint, _holds(self._baselines, index), number << 32 | offset, end - offset)

    def index_after(self, position: int) -> int:
        """See `porter.journal.entries.Entries`."""
        return bisect_right(self._positions, position)

    def newest_baseline(self, at: int) -> Stored | None:
        """See `porter.journal.entries.Entries`."""
        end = bisect_right(self._baselines, self.index_after(at) - 1) if at else len(self._baselines)
        return self[self._baselines[end - 1]] if end else None

    def baselines(self) -> Iterator[Stored]:
        """Every entry that holds a baseline, the oldest first."""
        return (self[index] for index in self._baselines)


def _holds(ranked: Sequence[int], value: int) -> bool:
    found = bisect_right(ranked, value)
    return found > 0 and ranked[found - 1] == value
