"""A set of unsigned numbers as disjoint intervals: dense sets, of which pools are ones, cost next to nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class NumberSet:
    """Numbers in merged, sorted, inclusive intervals. Look-ups take O(log n) of the number of gaps.

    Since the lowest free address is always taken, what is used stays dense, also in a pool of 2^64 addresses.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        """Start with sorted intervals that neither touch nor overlap."""
        given = tuple(intervals)
        self._starts: list[int] = [first for first, _ in given]
        self._ends: list[int] = [last for _, last in given]

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number <= self._ends[index]

    def add(self, number: int) -> None:
        """Put a number in; one that is in already changes nothing."""
        starts, ends = self._starts, self._ends
        index = bisect_right(starts, number)
        if index and number <= ends[index - 1]:
            return
        joins_left = index > 0 and ends[index - 1] == number - 1
        joins_right = index < len(starts) and starts[index] == number + 1
        if joins_left and joins_right:
            ends[index - 1] = ends[index]
            del starts[index], ends[index]
        elif joins_left:
            ends[index - 1] = number
        elif joins_right:
            starts[index] = number
        else:
            starts.insert(index, number)
            ends.insert(index, number)

    def discard(self, number: int) -> None:
        """Take a number out; one that is not in changes nothing."""
        starts, ends = self._starts, self._ends
        index = bisect_right(starts, number) - 1
        if index < 0 or number > ends[index]:
            return
        first, last = starts[index], ends[index]
        if first == last:
            del starts[index], ends[index]
        elif number == first:
            starts[index] = number + 1
        elif number == last:
            ends[index] = number - 1
        else:
            ends[index] = number - 1
            starts.insert(index + 1, number + 1)
            ends.insert(index + 1, last)

    def lowest_free(self, first: int, last: int) -> int | None:
        """The lowest number from `first` to `last` that is not in the set."""
        index = bisect_right(self._starts, first) - 1
        if index >= 0 and first <= self._ends[index]:
            first = self._ends[index] + 1
        return first if first <= last else None

    def between(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The intervals, cut to what lies from `first` to `last`."""
        index = max(0, bisect_right(self._starts, first) - 1)
        while index < len(self._starts) and self._starts[index] <= last:
            if self._ends[index] >= first:
                yield max(first, self._starts[index]), min(last, self._ends[index])
            index += 1

    def intervals(self) -> tuple[tuple[int, int], ...]:
        """The intervals, for comparison."""
        return tuple(zip(self._starts, self._ends, strict=True))
