"""The journal in this process's memory: for tests and simulations, with the faults that a server has.

A `MemoryServer` stands for the server. Several `MemoryJournals` on one server are several processes on one Redis.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from porter.events.decided import BaselineRecorded
from porter.events.envelope import Commit
from porter.journal.clock import SYSTEM_CLOCK
from porter.journal.entries import EntryList, Stored
from porter.journal.limits import MAX_STREAM_BYTES, SPEAKER_STREAM_ENTRIES, Trim
from porter.journal.local import NOTHING_TRIMMED, LocalJournal
from porter.journal.names import check_name
from porter.ports import CONTROLLER, SPEAKER, Clock, Declaration, Declared, JournalUnavailable


class MemoryStore:
    """One stream in memory."""

    def __init__(self, server: MemoryServer, name: str) -> None:
        self._server = server
        self.name = name
        self.genesis = ""
        self.entries = EntryList()
        self.trimmed = NOTHING_TRIMMED
        self._blobs: dict[int, bytes] = {}
        self._bytes = 0
        self._changed = asyncio.Event()

    def refresh(self) -> None:
        """See `porter.journal.local.Store`."""
        if self._server.down:
            raise JournalUnavailable(f"the server in memory is down: {self._server.down}")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `porter.journal.local.Store`."""
        self.refresh()
        yield

    def blob(self, stored: Stored) -> bytes:
        """See `porter.journal.local.Store`."""
        return self._blobs[stored.checkpoint.position]

    def blobs(self, first: int, end: int) -> Iterator[bytes]:
        """See `porter.journal.local.Store`."""
        return map(self.blob, self.entries[first:end])

    def start(self, genesis: str) -> None:
        """See `porter.journal.local.Store`."""
        self.clear()
        self.genesis = genesis

    def add(self, commit: Commit, blob: bytes) -> None:
        """See `porter.journal.local.Store`."""
        baseline = any(isinstance(envelope.payload, BaselineRecorded) for envelope in commit.events)
        self._blobs[commit.last_position] = blob
        self._bytes += len(blob)
        self.entries.append(Stored(commit.checkpoint, baseline, 0, len(blob)))
        self._wake()

    def drop(self, count: int, trimmed: Trim) -> None:
        """See `porter.journal.local.Store`."""
        self._forget(slice(None, count))
        self.trimmed = trimmed

    def identity(self) -> str:
        """See `porter.journal.local.Store`."""
        return self._server.identity

    def size_bytes(self) -> int:
        """See `porter.journal.local.Store`."""
        return self._bytes

    async def wait(self, timeout_s: float) -> None:
        """See `porter.journal.local.Store`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    def clear(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self._forget(slice(None))
        self.trimmed = NOTHING_TRIMMED
        self._wake()

    def cut(self, commits: int) -> None:
        """Lose the last commits, as a power cut may."""
        self._forget(slice(len(self.entries) - commits, None))
        self._wake()

    def _forget(self, which: slice) -> None:
        for stored in self.entries[which]:
            del self._blobs[stored.checkpoint.position]
            self._bytes -= stored.length
        del self.entries[which]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class MemoryServer:
    """What several `MemoryJournals` share. Set `down` to a reason, and nothing is answered."""

    def __init__(self) -> None:
        self.down = ""
        self.identity = uuid.uuid4().hex
        self.readers: dict[str, Declared] = {}
        self._stores: dict[str, MemoryStore] = {}

    def store(self, name: str) -> MemoryStore:
        """The store of one stream, made when it is first asked for."""
        return self._stores.setdefault(name, MemoryStore(self, name))

    def names(self) -> list[str]:
        """The names of the streams that hold something."""
        return [name for name, store in self._stores.items() if store.entries]

    def flush(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self.readers.clear()
        for store in self._stores.values():
            store.clear()

    def restart(self) -> None:
        """Become another process, with the same data."""
        self.identity = uuid.uuid4().hex


class MemoryReaders:
    """`porter.ports.Readers` in a `MemoryServer`."""

    def __init__(self, server: MemoryServer, speakers: Callable[[], Awaitable[tuple[str, ...]]]) -> None:
        self._server = server
        self._speakers = speakers

    async def declare(self, name: str, declaration: Declaration) -> None:
        """See `porter.ports.Readers`."""
        self._refresh()
        known = self._server.readers.get(name, Declared(None))
        self._server.readers[name] = Declared(declaration, known.beat + 1)

    async def declared(self) -> Mapping[str, Declared]:
        """See `porter.ports.Readers`."""
        self._refresh()
        undeclared = {f"{SPEAKER}/{name}": Declared(None) for name in await self._speakers()}
        return {**undeclared, **self._server.readers}

    async def forget(self, name: str) -> None:
        """See `porter.ports.Readers`."""
        known = (await self.declared()).get(name)
        if known is None:
            return
        self._server.readers[name] = known._replace(forgotten=True)
        if name.startswith(f"{CONTROLLER}/"):
            del self._server.readers[name]

    def _refresh(self) -> None:
        if self._server.down:
            raise JournalUnavailable(f"the server in memory is down: {self._server.down}")


class MemoryJournals:
    """The streams of one cluster in a `MemoryServer`; see `porter.journal.redis.RedisJournals`."""

    def __init__(
        self,
        cluster: str = "porter",
        *,
        server: MemoryServer | None = None,
        writer: str = "",
        clock: Clock = SYSTEM_CLOCK,
        max_bytes: int = MAX_STREAM_BYTES,
        speaker_entries: int = SPEAKER_STREAM_ENTRIES,
    ) -> None:
        self.server = server or MemoryServer()
        self._cluster = check_name(cluster)
        self._writer = writer
        self._clock = clock
        self._max_bytes = max_bytes
        self._speaker_entries = speaker_entries

    def journal(self) -> LocalJournal:
        """The cluster's journal."""
        return self._stream("j")

    def speaker(self, name: str) -> LocalJournal:
        """One speaker's stream of outcomes."""
        return self._stream(f"s:{check_name(name)}", bound=self._speaker_entries)

    async def speakers(self) -> tuple[str, ...]:
        """The names of all speakers that claimed their stream here, sorted."""
        prefix = f"{self._cluster}:s:"
        return tuple(sorted(n.removeprefix(prefix) for n in self.server.names() if n.startswith(prefix)))

    def readers(self) -> MemoryReaders:
        """Where the readers of the journal declare themselves."""
        return MemoryReaders(self.server, self.speakers)

    async def check(self, unsafe: frozenset[str] = frozenset()) -> list[object]:
        """Memory promises nothing, and says so to nobody: it is for tests."""
        del unsafe
        return []

    async def close(self) -> None:
        """Nothing is held open."""

    def _stream(self, name: str, *, bound: int = 0) -> LocalJournal:
        return LocalJournal(
            self.server.store(f"{self._cluster}:{name}"),
            writer=self._writer,
            clock=self._clock,
            max_bytes=self._max_bytes,
            bound=bound,
        )
