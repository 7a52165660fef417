"""The entries of a stream that is kept without a server: where each ends, and where its bytes are."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple, Protocol, SupportsIndex, overload

from porter.events.envelope import Checkpoint


class Stored(NamedTuple):
    """One entry: the checkpoint that it ends at, whether it holds a baseline, and where its bytes are."""

    checkpoint: Checkpoint
    baseline: bool
    offset: int
    length: int


class Entries(Protocol):
    """The entries of one stream, in order; with what is looked for in them, which need not touch all of them."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Stored: ...

    @overload
    def __getitem__(self, index: slice, /) -> list[Stored]: ...

    def index_after(self, position: int) -> int:
        """The index of the first entry that ends behind a position."""
        ...

    def newest_baseline(self, at: int) -> Stored | None:
        """The newest entry with a baseline; with `at` other than 0, of those that end at or before it."""
        ...


class EntryList(list[Stored]):
    """`Entries` that are all in memory."""

    def index_after(self, position: int) -> int:
        """See `Entries`."""
        return bisect_right(self, position, key=lambda stored: stored.checkpoint.position)

    def newest_baseline(self, at: int) -> Stored | None:
        """See `Entries`."""
        held = (one for one in reversed(self) if one.baseline and (not at or one.checkpoint.position <= at))
        return next(held, None)
