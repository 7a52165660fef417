"""A journal that reads through to its archive: what was trimmed from the stream is read from segments.

The segments that count are those from which the commits lead, link by link, to where the stream begins today: the
archive of a journal that was lost as a whole stays on its volume, but is another history.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import NamedTuple

from porter.events.decided import BaselineRecorded
from porter.events.envelope import BEGINNING, GENESIS_HASH, Checkpoint, Commit, Draft, Head
from porter.journal.chain import Chain, checkpoint_before, decode
from porter.journal.segment import Segment, entries_of
from porter.journal.shelves import Shelf, Shelved
from porter.ports import Baseline, Claim, Corrupt, Fork, Journal, JournalError, JournalUnavailable, Trimmed

TRIMMED_MEANWHILE_MAX = 3
"""How often a reader goes back to the archive because the stream was trimmed just before it got there."""


class Run(NamedTuple):
    """The segments that lead to the edge, oldest first, and the edge: what the first entry of the stream links to."""

    segments: tuple[Shelved, ...]
    edge: Checkpoint


class ArchivedJournal:
    """`porter.ports.Journal` for readers, over a stream and a shelf of segments.

    The stream may be the archive's own open segment, which may be empty: then the last segment ends the journal.
    """

    def __init__(self, live: Journal, shelf: Shelf) -> None:
        self._live = live
        self._shelf = shelf

    async def head(self) -> Head | None:
        """See `porter.ports.Journal`."""
        head = await self._live.head()
        if head is not None:
            return head
        last = await self._last()
        return Head(last.genesis, *last.last) if last is not None else None

    async def server_identity(self) -> str:
        """See `porter.ports.Journal`."""
        return await self._live.server_identity()

    async def claim(self, claim: Claim, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """See `porter.ports.Journal`; nothing is written through an archive."""
        del claim, drafts, time_ms
        raise JournalError("an archive is read, and nothing is written through it")

    async def append(self, drafts: Sequence[Draft], *, time_ms: int = 0) -> Commit:
        """See `porter.ports.Journal`; nothing is written through an archive."""
        del drafts, time_ms
        raise JournalError("an archive is read, and nothing is written through it")

    async def trim(self, before: Checkpoint) -> int:
        """See `porter.ports.Journal`; nothing is written through an archive."""
        del before
        raise JournalError("an archive is read, and nothing is written through it")

    async def read(self, after: Checkpoint, *, follow: bool = False) -> AsyncGenerator[Sequence[Commit], None]:
        """See `porter.ports.Journal`; trimmed is only what the archive does not hold either."""
        stuck = 0
        while True:
            entered = after
            async for page in self._trimmed_pages(after):
                yield [commit for commit, _ in page]
                after = page[-1][0].checkpoint
            start = await self._start_of_live(after)
            if start is None:
                return
            try:
                async for commits in self._live.read(start, follow=follow):
                    yield commits
                    after = commits[-1].checkpoint if commits else after
                return
            except Trimmed:
                # The leader trims while this reads: what went meanwhile is archived.
                stuck = stuck + 1 if after == entered else 0
                if stuck > TRIMMED_MEANWHILE_MAX:
                    raise

    async def blobs(self, after: Checkpoint) -> AsyncGenerator[Sequence[bytes], None]:
        """See `porter.ports.Journal`."""
        async for page in self._trimmed_pages(after):
            yield [blob for _, blob in page]
            after = page[-1][0].checkpoint
        start = await self._start_of_live(after)
        if start is None:
            return
        try:
            async for blobs in self._live.blobs(start):
                yield blobs
                start = None
        except Trimmed:
            if start is None:
                raise
            # As above; what was handed out already is not known by its checkpoint, and is not asked for again.
            async for blobs in self.blobs(after):
                yield blobs

    async def newest_baseline(self, at: int = 0) -> Baseline | None:
        """See `porter.ports.Journal`."""
        found = await self._live.newest_baseline(at)
        if found is not None and (not at or found.checkpoint.position <= at):
            return found
        run = await self.run()
        for shelved in reversed(run.segments):
            if at and shelved.first > at:
                continue
            segment = await asyncio.to_thread(self._shelf.segment, shelved)
            for position in reversed(segment.baselines):
                commit = None if at and position > at else await asyncio.to_thread(_commit_at, segment, position)
                if commit is not None:
                    return _baseline_of(commit)
        return found

    async def commit_at(self, position: int) -> Commit | None:
        """See `porter.ports.Journal`."""
        found = await self._live.commit_at(position)
        if found is not None and found.first_position <= position:
            return found
        for shelved in (await self.run()).segments:
            if shelved.last >= position:
                segment = await asyncio.to_thread(self._shelf.segment, shelved)
                earlier = await asyncio.to_thread(_commit_at, segment, position)
                if earlier is not None and (found is None or earlier.last_position < found.first_position):
                    return earlier
        return found

    async def size_bytes(self) -> int:
        """See `porter.ports.Journal`."""
        return await self._live.size_bytes()

    async def close(self) -> None:
        """See `porter.ports.Journal`."""
        await self._live.close()

    async def _last(self) -> Segment | None:
        """The segment that ends the archive: of several histories on one volume, that of the newest one."""
        listing = await asyncio.to_thread(self._shelf.listing)
        inner = {one.previous_hash for one in listing}
        ends = [await asyncio.to_thread(self._shelf.segment, one) for one in listing if one.last_hash not in inner]
        return max(ends, key=lambda one: (one.last_ms, one.last.position), default=None)

    async def _edge(self) -> Checkpoint | None:
        """What the first entry of the stream links to; None where the stream is empty."""
        first = await self._live.commit_at(1)
        return checkpoint_before(first) if first is not None else None

    async def run(self) -> Run:
        """The segments that count, and the edge that they lead to."""
        edge = await self._edge()
        listing = await asyncio.to_thread(self._shelf.listing)
        if edge is None:
            last = await self._last()
            edge = last.last if last is not None else BEGINNING
        found = await asyncio.to_thread(linked, listing, edge, looking_into(self._shelf))
        if edge.position and not found:
            # What was sealed since the shelf was listed has been trimmed meanwhile.
            listing = await asyncio.to_thread(lambda: self._shelf.listing(anew=True))
            found = await asyncio.to_thread(linked, listing, edge, looking_into(self._shelf))
        return Run(found, edge)

    async def _start_of_live(self, after: Checkpoint) -> Checkpoint | None:
        """From where the stream goes on; None where it has nothing more."""
        edge = await self._edge()
        if edge is None:
            return None
        # Positions that are declared lost lie between a segment's end and the entry that links to it.
        return edge if after.hash == edge.hash else after

    async def _trimmed_pages(self, after: Checkpoint) -> AsyncGenerator[list[tuple[Commit, bytes]], None]:
        """What lies behind a checkpoint, up to the edge of the stream."""
        edge = await self._edge()
        if edge is not None and (after.position >= edge.position or after.hash == edge.hash):
            return
        run = await self.run()
        if not run.segments:
            if after.position >= run.edge.position:
                return
            raise Trimmed(
                f"the journal was trimmed beyond #{after.position}, and {self._shelf.told} does not hold what follows"
            )
        chain: Chain | None = None
        for shelved in run.segments:
            if shelved.last <= after.position:
                continue
            segment = await asyncio.to_thread(self._shelf.segment, shelved)
            if chain is None:
                chain = self._entered(segment, after)
            async for page in _pages(segment, chain):
                kept = [each for each in page if each[0].last_position <= run.edge.position]
                if kept:
                    yield kept
                if len(kept) < len(page):
                    break
        if chain is None or not self._reaches(chain, run.edge):
            raise Fork(
                f"{self._shelf.told} ends at #{chain.position if chain else after.position}, "
                f"and the journal begins behind another #{run.edge.position}"
            )

    def _entered(self, segment: Segment, after: Checkpoint) -> Chain:
        """The chain of a reader that enters a segment behind a checkpoint."""
        if segment.previous.hash == after.hash:
            return Chain(after)
        if after.position < segment.first - 1 or after == BEGINNING:
            raise Trimmed(
                f"{self._shelf.told} begins behind #{segment.previous.position}; "
                f"what follows #{after.position} is neither there nor in the journal"
            )
        return Chain(after)

    @staticmethod
    def _reaches(chain: Chain, edge: Checkpoint) -> bool:
        # A segment may end behind the edge; its commits up to there have been handed out.
        return chain.hash == edge.hash or chain.position > edge.position


class _Entries:
    """The frames of a segment behind a position, read where nobody waits for the disk."""

    def __init__(self, segment: Segment, after: int) -> None:
        self._pages: Iterator[list[bytes]] = entries_of(segment, after)

    async def next(self) -> list[bytes] | None:
        try:
            return await asyncio.to_thread(next, self._pages, None)
        except OSError as error:
            raise JournalUnavailable(f"a segment of the archive went while it was read: {error}") from error


async def _pages(segment: Segment, chain: Chain) -> AsyncGenerator[list[tuple[Commit, bytes]], None]:
    entries = _Entries(segment, chain.position)
    while (blobs := await entries.next()) is not None:
        yield list(zip(chain.decode(blobs), blobs, strict=True))


def _commit_at(segment: Segment, position: int) -> Commit | None:
    try:
        page = next(entries_of(segment, position - 1), None)
    except OSError as error:
        raise JournalUnavailable(f"a segment of the archive went while it was read: {error}") from error
    return decode(page[0]) if page else None


def _baseline_of(commit: Commit) -> Baseline:
    for envelope in reversed(commit.events):
        if isinstance(envelope.payload, BaselineRecorded):
            return Baseline(envelope, commit.checkpoint)
    raise Corrupt(f"#{commit.last_position} holds no baseline, though its segment says so")


def looking_into(shelf: Shelf) -> Callable[[Shelved, int, str], bool]:
    """Says whether a commit of a segment ends at a position with a hash (hex), and not one of another history."""

    def holds(shelved: Shelved, position: int, hash_: str) -> bool:
        commit = _commit_at(shelf.segment(shelved), position)
        return commit is not None and (commit.last_position, commit.hash.hex()) == (position, hash_)

    return holds


def linked(
    listing: Sequence[Shelved], edge: Checkpoint, holds: Callable[[Shelved, int, str], bool]
) -> tuple[Shelved, ...]:
    """The segments that lead to the edge, by the hashes that they say; of those that overlap only what is needed."""
    ending: dict[str, Shelved] = {}
    for one in listing:
        there = ending.get(one.last_hash)
        if there is None or one.first < there.first:
            ending[one.last_hash] = one
    run: list[Shelved] = []
    position, hash_ = edge.position, edge.hash.hex()
    while position:
        # The one that ends where the next one begins; else one that reaches beyond, and begins earliest.
        over = sorted((one for one in listing if one.first <= position <= one.last), key=lambda one: one.first)
        found = ending.get(hash_) or next((one for one in over if holds(one, position, hash_)), None)
        if found is None or (run and found.first >= run[-1].first):
            break
        run.append(found)
        position, hash_ = found.first - 1, found.previous_hash
        if hash_ == GENESIS_HASH.hex():
            break
    return tuple(reversed(run))
