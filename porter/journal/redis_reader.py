"""Reading a stream: pages of checked commits, and a look at the server's head about once a second.

A reader catches up by XRANGE up to the head that it saw first, asking for the next page before it hands out the
present one, so that the server works while the commits are folded. Then it follows by XREAD. The look at the head
happens while busy and while idle: XREAD waits in silence on a stream that was emptied, shortened or replaced.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from porter.events.codec import hash_commit
from porter.events.envelope import BEGINNING, Checkpoint, Commit, Head
from porter.journal.chain import Chain, MissingPositions, entry_id, paused_gc, short
from porter.journal.limits import LOOK_INTERVAL_S
from porter.journal.link import Link, Reply
from porter.journal.redis_head import ServerHead, StreamKeys, fetch_head, fetch_identity
from porter.ports import Corrupt, ForeignJournal, Fork, JournalMissing, Trimmed

PAGE_BYTES = 1024 * 1024
PAGE_ENTRIES_MIN = 16
PAGE_ENTRIES_MAX = 1024
"""The server is asked for as many entries as make about PAGE_BYTES, judged by the page before it."""

PAGE_COMMITS = 64
"""As many commits are decoded and handed out at a time: they are folded while they are in the processor's cache."""


class RedisReader:
    """One pass over a stream behind a checkpoint. It has a connection of its own, since XREAD occupies it."""

    def __init__(self, link: Link, keys: StreamKeys, *, bounded: bool) -> None:
        self._link = link
        self._keys = keys
        self._bounded = bounded
        self._chain = Chain(BEGINNING)
        self._head = Head("", 0, 0, b"")
        self._identity = ""
        self._looked_s = 0.0
        self._page_entries = PAGE_ENTRIES_MAX
        self.blobs: list[bytes] = []
        """The bytes of the page that was yielded last."""

    async def pages(self, after: Checkpoint, *, follow: bool) -> AsyncGenerator[Sequence[Commit], None]:
        """Yield what `porter.ports.Journal.read` promises."""
        try:
            await self._enter(after)
            with paused_gc(self._chain):
                async with aclosing(self._catch_up()) as pages:
                    async for page in pages:
                        yield page
            while follow:
                yield await self._next_page()
        finally:
            await self._link.close()

    async def _enter(self, after: Checkpoint) -> None:
        """Find the checkpoint in the stream, and remember whose stream it is."""
        server = await fetch_head(self._link, self._keys)
        head = server.whole(self._keys)
        if head is None:
            raise JournalMissing(
                f"there is no stream {self._keys.stream}; a leader (or its speaker) must claim it first"
            )
        self._head = head
        self._identity = await fetch_identity(self._link)
        self._looked_s = time.monotonic()
        if after == BEGINNING:
            if self._bounded:
                self._chain = Chain(None)
                return
            if server.trim is not None:
                raise self._trimmed(after)
        else:
            await self._find(self._link, after, server, head)
        self._chain = Chain(after)

    async def _find(self, link: Link, after: Checkpoint, server: ServerHead, head: Head) -> None:
        """Make sure that the checkpoint is in the stream, or is what its first entry links to."""
        id_ = entry_id(after)
        entries = await link.ask("XRANGE", self._keys.stream, id_, id_)
        if entries:
            found = hash_commit(_blob(entries[0]))
            if found != after.hash:
                raise Fork(f"entry {id_} has hash {short(found)}, and the checkpoint says {short(after.hash)}")
            return
        if server.trim is not None and server.trim.position == after.position and server.trim.hash == after.hash:
            return
        if server.trims(after) or (self._bounded and await self._starts_behind(link, after)):
            raise self._trimmed(after)
        raise Fork(f"the checkpoint {id_} is not in {self._keys.stream}, which ends at {entry_id(head.checkpoint)}")

    async def _starts_behind(self, link: Link, after: Checkpoint) -> bool:
        first = await link.ask("XRANGE", self._keys.stream, "-", "+", "COUNT", 1)
        return bool(first) and _id_position(first[0]) > after.position

    def _trimmed(self, after: Checkpoint) -> Trimmed:
        return Trimmed(
            f"{self._keys.stream} was trimmed beyond position {after.position}; start from the newest baseline"
        )

    async def _catch_up(self) -> AsyncGenerator[Sequence[Commit], None]:
        """Page through to the head that was there at the start."""
        await self._request()
        while True:
            entries = await self._link.receive()
            short_page = len(entries) < self._page_entries
            done = short_page or _id_position(entries[-1]) >= self._head.position
            self._size_page(entries)
            if not done:
                await self._request(entries[-1][0].decode())
            for start in range(0, len(entries), PAGE_COMMITS):
                yield await self._checked(entries[start : start + PAGE_COMMITS], asked=not done)
            if done and self._chain.beyond is not None:
                raise self._chain.beyond
            if done and self._chain.position < self._head.position:
                raise Corrupt(
                    f"{self._keys.stream} ends at position {self._chain.position}, "
                    f"and its head says {self._head.position}; it was cut while being read"
                )
            if done:
                return
            if self._look_is_due():
                await self._look_between_pages()

    async def _look_between_pages(self) -> None:
        """Look at the head while a page is on its way: on a connection of its own, seldom enough."""
        link = Link(self._link.url)
        try:
            await self._look(link)
        finally:
            await link.close()

    async def _request(self, last_id: str = "") -> None:
        chain = self._chain
        start = f"({last_id}" if last_id else (f"({entry_id(chain.checkpoint)}" if chain.position else "-")
        await self._link.send("XRANGE", self._keys.stream, start, "+", "COUNT", self._page_entries)

    def _size_page(self, entries: Sequence[Reply]) -> None:
        if entries:
            mean_bytes = sum(len(_blob(entry)) for entry in entries[::16]) / len(entries[::16])
            self._page_entries = max(PAGE_ENTRIES_MIN, min(PAGE_ENTRIES_MAX, int(PAGE_BYTES / mean_bytes)))

    async def _next_page(self) -> Sequence[Commit]:
        """Wait for what is appended next, at most until a look at the head is due."""
        wait_s = self._looked_s + LOOK_INTERVAL_S - time.monotonic()
        if wait_s <= 0:
            await self._look(self._link)
            wait_s = LOOK_INTERVAL_S
        after = entry_id(self._chain.checkpoint)
        reply = await self._link.call(
            "XREAD",
            "COUNT",
            self._page_entries,
            "BLOCK",
            max(1, int(wait_s * 1000)),
            "STREAMS",
            self._keys.stream,
            after,
        )
        if reply is None:
            await self._look(self._link)
            return ()
        entries = reply[0][1]
        return await self._checked(entries, asked=False)

    async def _checked(self, entries: Sequence[Reply], *, asked: bool) -> list[Commit]:
        chain = self._chain
        before = chain.checkpoint
        self.blobs = [_blob(entry) for entry in entries]
        try:
            commits = chain.decode(self.blobs)
        except MissingPositions:
            if asked:
                await self._link.receive()
            if self._bounded or (await fetch_head(self._link, self._keys)).trims(before):
                raise self._trimmed(before) from None
            raise
        if chain.beyond is not None:
            entries, self.blobs = entries[: len(commits)], self.blobs[: len(commits)]
        if commits and entries[-1][0].decode() != entry_id(chain.checkpoint):
            raise Corrupt(f"entry {entries[-1][0].decode()} holds the commit {entry_id(chain.checkpoint)}")
        return commits

    def _look_is_due(self) -> bool:
        return time.monotonic() - self._looked_s >= LOOK_INTERVAL_S

    async def _look(self, link: Link) -> None:
        """Compare the server's head and identity with what was read.

        Raises:
            JournalMissing: emptied. ForeignJournal: another genesis. Fork: shortened, or another history.
        """
        server = await fetch_head(link, self._keys)
        head = server.whole(self._keys)
        if head is None:
            raise JournalMissing(f"{self._keys.stream} was emptied after position {self._chain.position}")
        if head.genesis != self._head.genesis:
            raise ForeignJournal(
                f"{self._keys.stream} has genesis {head.genesis} now, and had {self._head.genesis} when it was opened"
            )
        read = self._chain.checkpoint
        if head.position < read.position or (head.position == read.position and head.hash != read.hash):
            raise Fork(
                f"{self._keys.stream} ends at {entry_id(head.checkpoint)} ({short(head.hash)}), "
                f"and {entry_id(read)} ({short(read.hash)}) was read from it"
            )
        identity = await fetch_identity(link)
        if identity != self._identity and read.position and read != head.checkpoint:
            await self._find(link, read, server, head)
        self._identity = identity
        self._looked_s = time.monotonic()


def _blob(entry: Reply) -> bytes:
    blob: bytes = entry[1][1]
    return blob


def _id_position(entry: Reply) -> int:
    return int(entry[0].partition(b"-")[2])
