"""A stream without a server: the rules of the scripts in Python, for the implementations in memory and in a file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from porter.events.codec import commit_of, encode_commit
from porter.events.decided import BaselineRecorded
from porter.events.envelope import BEGINNING, GENESIS_HASH, Checkpoint, Commit, Draft, Head
from porter.journal.chain import Chain, MissingPositions, check_claim, decode, entry_id, paused_gc, short
from porter.journal.entries import Entries, Stored
from porter.journal.limits import LOOK_INTERVAL_S, StreamSize, Trim
from porter.ports import (
    Baseline,
    Claim,
    Clock,
    Conflict,
    Fenced,
    ForeignJournal,
    Fork,
    JournalError,
    JournalMissing,
    JournalUnavailable,
    Trimmed,
)

PAGE_COMMITS = 512


NOTHING_TRIMMED = Trim(0, GENESIS_HASH)


class Store(Protocol):
    """Where one stream is kept. Entries are in order; their bytes are had by `blob`."""

    name: str
    genesis: str
    trimmed: Trim

    @property
    def entries(self) -> Entries:
        """What the stream holds."""
        ...

    def refresh(self) -> None:
        """Take note of what others wrote.

        Raises:
            JournalUnavailable: the store is away.
        """
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other writers out; implies `refresh`."""
        ...

    def blob(self, stored: Stored) -> bytes:
        """The bytes of one entry."""
        ...

    def blobs(self, first: int, end: int) -> Iterable[bytes]:
        """The bytes of the entries from an index up to another, or as many as there are."""
        ...

    def start(self, genesis: str) -> None:
        """Begin the stream anew, empty."""
        ...

    def add(self, commit: Commit, blob: bytes) -> None:
        """Append one entry durably, or not at all."""
        ...

    def drop(self, count: int, trimmed: Trim) -> None:
        """Drop the first entries."""
        ...

    def identity(self) -> str:
        """What changes when the store is another one."""
        ...

    def size_bytes(self) -> int:
        """The size of the stream."""
        ...

    async def wait(self, timeout_s: float) -> None:
        """Wait until something may have been appended."""
        ...


class LocalJournal:
    """`porter.ports.Journal` on a store. With `bound`, only about so many entries are kept."""

    def __init__(self, store: Store, *, writer: str, clock: Clock, max_bytes: int, bound: int = 0) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._max_bytes = max_bytes
        self._bound = bound
        self._tail: Head | None = None

    async def head(self) -> Head | None:
        """See `porter.ports.Journal`."""
        self._store.refresh()
        return self._head()

    async def server_identity(self) -> str:
        """See `porter.ports.Journal`."""
        self._store.refresh()
        return self._store.identity()

    async def claim(self, claim: Claim, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """See `porter.ports.Journal`."""
        self._tail = None
        with self._store.exclusive():
            head = self._head()
            self._check_claim(claim, head)
            previous = head.checkpoint if head else BEGINNING
            check_claim(claim, drafts, previous.position)
            commit, blob = self._encode(drafts, claim.first_position, claim.epoch, previous.hash, time_ms)
            if head is None:
                self._store.start(claim.genesis)
            self._store.add(commit, blob)
        self._tail = Head(claim.genesis, claim.epoch, commit.last_position, commit.hash)
        return commit

    async def append(self, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """See `porter.ports.Journal`."""
        tail = self._tail
        if tail is None:
            raise Fenced(f"this writer holds no epoch of {self._store.name}; claim one before appending")
        with self._store.exclusive():
            self._check_append(tail)
            self._check_size(drafts)
            commit, blob = self._encode(drafts, tail.position + 1, tail.epoch, tail.hash, time_ms)
            self._store.add(commit, blob)
            self._bound_entries()
        self._tail = Head(tail.genesis, tail.epoch, commit.last_position, commit.hash)
        return commit

    async def read(self, after: Checkpoint, *, follow: bool = False) -> AsyncGenerator[Sequence[Commit], None]:
        """See `porter.ports.Journal`. Of a bounded stream, BEGINNING is the first entry that is left."""
        store = self._store
        store.refresh()
        if not store.entries:
            raise JournalMissing(f"there is no stream {store.name}; a leader (or its speaker) must claim it first")
        genesis, end = store.genesis, store.entries[-1].checkpoint.position
        chain = Chain(None if self._bound and after == BEGINNING else after)
        with paused_gc(chain):
            while page := self._page(chain, genesis):
                yield page
                if chain.position >= end:
                    break
        while follow:
            page = self._page(chain, genesis)
            if not page:
                await store.wait(LOOK_INTERVAL_S)
                page = self._page(chain, genesis)
            yield page

    async def blobs(self, after: Checkpoint) -> AsyncGenerator[Sequence[bytes], None]:
        """See `porter.ports.Journal`."""
        store = self._store
        async for page in self.read(after):
            last = self._index_after(page[-1].last_position)
            yield list(store.blobs(last - len(page), last))

    async def newest_baseline(self, at: int = 0) -> Baseline | None:
        """See `porter.ports.Journal`."""
        self._store.refresh()
        stored = self._store.entries.newest_baseline(at)
        if stored is None:
            return None
        commit = decode(self._store.blob(stored))
        envelope = next(e for e in reversed(commit.events) if isinstance(e.payload, BaselineRecorded))
        return Baseline(envelope, commit.checkpoint)

    async def commit_at(self, position: int) -> Commit | None:
        """See `porter.ports.Journal`."""
        self._store.refresh()
        index = self._index_after(position - 1)
        return decode(self._store.blob(self._store.entries[index])) if index < len(self._store.entries) else None

    async def trim(self, before: Checkpoint) -> int:
        """See `porter.ports.Journal`."""
        with self._store.exclusive():
            entries = self._store.entries
            index = self._index_after(before.position) - 1
            if index < 0 or entries[index].checkpoint != before:
                raise JournalError(f"{entry_id(before)} ({short(before.hash)}) is no commit of {self._store.name}")
            if not any(stored.baseline for stored in entries[index:]):
                raise JournalError(
                    f"{self._store.name} is trimmed only behind a recorded baseline; {entry_id(before)} is not"
                )
            if index:
                self._store.drop(index, Trim(*entries[index - 1].checkpoint[1:]))
            return index

    async def size(self) -> StreamSize:
        """How large the stream is; for the alarm, and for deciding when to record a baseline."""
        self._store.refresh()
        return StreamSize(len(self._store.entries), self._store.size_bytes(), self._max_bytes)

    async def size_bytes(self) -> int:
        """See `porter.ports.Journal`."""
        return (await self.size()).bytes

    async def close(self) -> None:
        """See `porter.ports.Journal`."""
        self._tail = None

    def _head(self) -> Head | None:
        store = self._store
        return Head(store.genesis, *store.entries[-1].checkpoint) if store.entries else None

    def _encode(
        self, drafts: Sequence[Draft], first: int, epoch: int, previous: bytes, time_ms: int
    ) -> tuple[Commit, bytes]:
        time_ms, writer = time_ms or self._clock.wall_ms(), self._writer
        blob = encode_commit(
            drafts, first_position=first, epoch=epoch, time_ms=time_ms, writer=writer, previous_hash=previous
        )
        return commit_of(drafts, blob, first_position=first, epoch=epoch, time_ms=time_ms, writer=writer), blob

    def _check_claim(self, claim: Claim, head: Head | None) -> None:
        name = self._store.name
        if head is None:
            if not claim.recovering and (claim.head is not None or claim.first_position != 1):
                raise JournalMissing(f"{name} is missing; claim it for recovery")
            if claim.head is not None:
                raise JournalMissing(f"{name} is empty, and the claim was made against {claim.head}; read it again")
            return
        if head.genesis != claim.genesis:
            raise ForeignJournal(
                f"{name} has genesis {head.genesis}, and this cluster's is {claim.genesis}; "
                f"give the right place, or another --cluster name"
            )
        if head.epoch >= claim.epoch or claim.head != head:
            raise Fenced(f"{name} is at {entry_id(head.checkpoint)}, another head than the claim's; read it again")

    def _check_append(self, tail: Head) -> None:
        head, name = self._head(), self._store.name
        if head == tail:
            return
        self._tail = None
        expected = f"{entry_id(tail.checkpoint)} ({short(tail.hash)})"
        if head is None:
            raise JournalMissing(f"{name} is gone, and this writer had written up to {expected}; recover it")
        found = f"{entry_id(head.checkpoint)} ({short(head.hash)})"
        if head.genesis == tail.genesis and head.epoch > tail.epoch:
            raise Fenced(f"{name} is at {found}: a newer epoch than this writer's {tail.epoch} was claimed")
        if head.genesis == tail.genesis and head.epoch == tail.epoch and head.position != tail.position:
            raise Conflict(f"{name} is at {found}, and this writer expected {expected}; read it again and claim")
        raise Fork(f"{name} is at {found}, another history than this writer's {expected}; recover it")

    def _check_size(self, drafts: Sequence[Draft]) -> None:
        if self._bound or self._store.size_bytes() <= self._max_bytes:
            return
        if not any(type(draft.payload) is BaselineRecorded for draft in drafts):
            raise JournalUnavailable(
                f"{self._store.name} is larger than {self._max_bytes} bytes; record a baseline and trim it, "
                f"or raise the limit"
            )

    def _bound_entries(self) -> None:
        """Drop the oldest entries, some at a time, since a file is written anew for it."""
        surplus = len(self._store.entries) - self._bound
        if self._bound and surplus > max(100, self._bound // 10):
            self._store.drop(surplus, Trim(*self._store.entries[surplus - 1].checkpoint[1:]))

    def _index_after(self, position: int) -> int:
        return self._store.entries.index_after(position)

    def _page(self, chain: Chain, genesis: str) -> list[Commit]:
        """The next commits behind the chain, after a look at whether it still is the same stream."""
        store = self._store
        store.refresh()
        if not store.entries:
            raise JournalMissing(f"{store.name} was emptied after position {chain.position}")
        if store.genesis != genesis:
            raise ForeignJournal(f"{store.name} has genesis {store.genesis} now, and had {genesis} when it was opened")
        index = self._index_after(chain.position)
        if chain.started:
            self._check_start(chain, index)
        try:
            return chain.decode(store.blobs(index, index + PAGE_COMMITS))
        except MissingPositions:
            if self._bound or store.trimmed.position > chain.position:
                raise self._trimmed(chain.position) from None
            raise

    def _check_start(self, chain: Chain, index: int) -> None:
        """The checkpoint must be the entry before the next one, or what the first entry left links to."""
        store, after = self._store, chain.checkpoint
        if store.trimmed.position > after.position:
            raise self._trimmed(after.position)
        found = store.entries[index - 1].checkpoint if index else None
        if found == after or (found is None and store.trimmed == Trim(after.position, after.hash)):
            return
        raise Fork(
            f"the checkpoint {entry_id(after)} ({short(after.hash)}) is not in {store.name}, "
            f"which ends at {entry_id(store.entries[-1].checkpoint)}"
        )

    def _trimmed(self, position: int) -> Trimmed:
        return Trimmed(f"{self._store.name} was trimmed beyond position {position}; start from the newest baseline")
