"""A controller's archive: it follows the journal into segments on its own volume, leader or not.

The journal holds what is not archived yet, so that nothing waits for the archive, and nothing but trimming depends on
it. Where its volume is missing, full or broken, `problem` says so, trimming stops, and it is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import structlog

from porter.events.envelope import BEGINNING, Checkpoint, Head
from porter.journal.archive import Archive
from porter.journal.chain import checkpoint_before
from porter.ports import Clock, Fork, Journal, JournalError, JournalUnavailable, Trimmed

INTERVAL_S = 1.0
"""How often it takes what came: one write and one sync for all of it."""
WRITE_BYTES = 1024 * 1024
"""While it catches up, it writes so much at a time."""
GAPS_EVERY_S = 60.0
"""How often it looks for what it does not hold: somebody may have copied segments of another archive into it."""
SEAL_AGE_S = 3600.0
"""What is open for so long is sealed, however little it is."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class ArchiveFailed(Exception):
    """The archive's volume does not do what it should; the message says what, and the mend."""


class Standing(NamedTuple):
    """What an archive holds: the position that it reaches, its sealed segments, the bytes of all of it, and the
    positions in between that it does not hold, as (first, last)."""

    position: int
    segments: int
    bytes: int
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def lacks(self) -> str:
        """What it does not hold, in words; "" where it is whole."""
        if not self.gaps:
            return ""
        first, last = self.gaps[-1]
        more = f", and {len(self.gaps) - 1} more stretches" if len(self.gaps) > 1 else ""
        return f"#{first} to #{last} are missing in this archive{more}"


class Archiver:
    """Runs one archive. `problem` is "" while all is well; `standing` is what the metrics tell."""

    def __init__(self, journal: Journal, archive: Archive, clock: Clock, *, keep_s: int, max_bytes: int) -> None:
        """`keep_s` and `max_bytes` bound what is kept; 0 is no bound. What the journal still holds is always kept."""
        self.problem = "the archive is not open yet"
        self.standing = Standing(0, 0, 0)
        self.folder = archive.folder
        self._journal = journal
        self._archive = archive
        self._clock = clock
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._is_open = False
        self._open_since_s = 0.0
        self._gaps: tuple[tuple[int, int], ...] = ()
        self._looked: tuple[int, float] | None = None
        """How many segments there were when gaps were looked for, and when that was."""
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Archive until cancelled."""
        try:
            while True:
                async with self._lock:
                    await self._try(self._step)
                await asyncio.sleep(INTERVAL_S)
        finally:
            self._archive.close()

    async def secure(self, after: Checkpoint, through: Checkpoint) -> str:
        """Have all that lies between two checkpoints sealed and read back; return why it is not, or ""."""
        async with self._lock:
            reason = "the archive could not be brought up to there"

            async def step() -> None:
                nonlocal reason
                await self._step()
                await self._do(self._archive.seal)
                reason = await self._do(lambda: self._archive.uncovered(after, through))
                if reason:
                    # Something is missing or damaged that the journal still holds.
                    _log.warning("the archive is made anew from the journal", reason=reason, after=after.position)
                    await self._do(lambda: self._archive.begin(self._archive.genesis, after))
                self._tell()

            await self._try(step)
            return self.problem or reason

    async def use(self, job: Callable[[Archive], T]) -> T:
        """Do something with the archive, beside nothing else.

        Raises:
            ArchiveFailed: it is not open, or the job failed.
        """
        async with self._lock:
            if not self._is_open:
                raise ArchiveFailed(f"{self.folder}: {self.problem}")
            done = await self._do(lambda: job(self._archive))
            self._tell()
            return done

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except ArchiveFailed as error:
            if str(error) != self.problem:
                _log.error("the journal is not archived, and therefore not trimmed", reason=str(error))
            self.problem = str(error)
            self._archive.close()
            self._is_open = False
        except JournalError as error:
            # What is wrong with the journal is for others to say.
            _log.debug("the journal cannot be read for the archive", reason=str(error))
        else:
            if self.problem:
                _log.info("the journal is archived", folder=str(self.folder), position=self.standing.position)
            self.problem = ""

    async def _step(self) -> None:
        """Take what came since the last time, seal what is due, and delete what is too old or too much."""
        if not self._is_open:
            await self._do(self._archive.open)
            self._is_open = True
        await self._do(self._archive.check)
        head = await self._journal.head()
        if head is None:
            return
        try:
            await self._take(head)
        except Trimmed as error:
            # Another leader trimmed while this archive was away; its own archive has what is missing here.
            _log.warning("what was trimmed meanwhile is missing in this archive", reason=str(error))
            await self._begin(head)
            await self._take(head)
            self._looked = None
        except Fork as error:
            _log.error("the journal lost what is archived; that is set aside", reason=str(error))
            await self._set_lost_aside(head)
            await self._take(head)
        await self._seal_old()
        first = await self._journal.commit_at(1)
        oldest_ms = self._clock.wall_ms() - self._keep_s * 1000 if self._keep_s else 0
        before = first.first_position if first is not None else 0
        await self._do(lambda: self._archive.retain(max_bytes=self._max_bytes, oldest_ms=oldest_ms, before=before))
        await self._look_for_gaps()
        self._tell()

    async def _look_for_gaps(self) -> None:
        now_s, segments = self._clock.monotonic_s(), len(self._archive.segments)
        if self._looked is not None and self._looked[0] == segments and now_s - self._looked[1] < GAPS_EVERY_S:
            return
        self._gaps, self._looked = tuple(await self._do(self._archive.gaps)), (segments, now_s)

    async def _take(self, head: Head) -> None:
        at = self._archive.checkpoint
        if at is None or self._archive.genesis != head.genesis:
            at = await self._begin(head)
        if at == head.checkpoint:
            return
        waiting: list[bytes] = []
        size = 0
        async for blobs in self._journal.blobs(at):
            waiting += blobs
            size += sum(map(len, blobs))
            if size >= WRITE_BYTES:
                await self._add(waiting)
                waiting, size = [], 0
        if waiting:
            await self._add(waiting)

    async def _add(self, blobs: list[bytes]) -> None:
        if not self._archive.open_commits:
            self._open_since_s = self._clock.monotonic_s()
        await self._do(lambda: self._archive.add(blobs))
        if self._archive.full:
            await self._do(self._archive.seal)
        self._tell()

    async def _seal_old(self) -> None:
        if self._archive.open_commits and self._clock.monotonic_s() - self._open_since_s >= SEAL_AGE_S:
            await self._do(self._archive.seal)

    async def _begin(self, head: Head) -> Checkpoint:
        """Go on with the first commit that the journal holds."""
        first = await self._journal.commit_at(1)
        if first is None:
            raise JournalUnavailable("the journal is empty now")
        before = checkpoint_before(first)
        await self._do(lambda: self._archive.begin(head.genesis, before))
        return before

    async def _set_lost_aside(self, head: Head) -> None:
        """Find the last commit that the archive and the journal share, and cut the archive there."""
        first = await self._journal.commit_at(1)
        if first is None:
            return
        edge = checkpoint_before(first)
        stretches = await self._do(self._archive.stretches)
        while (stretch := await self._do(lambda: next(stretches, None))) is not None:
            if edge == BEGINNING and stretch[-1].position < first.first_position:
                break
            shared = [one for one in stretch if one.hash == edge.hash]
            kept = [one for one in stretch if one.position >= first.last_position]
            low, high = -1, len(kept) - 1
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if await self._has(kept[middle]) else (low, middle - 1)
            if low >= 0 or shared:
                at = kept[low] if low >= 0 else shared[-1]
                await self._do(lambda: self._archive.cut(at))  # noqa: B023 -- it is called before the loop goes on.
                return
        await self._begin(head)

    async def _has(self, checkpoint: Checkpoint) -> bool:
        commit = await self._journal.commit_at(checkpoint.position)
        return commit is not None and commit.last_position == checkpoint.position and commit.hash == checkpoint.hash

    async def _do(self, job: Callable[[], T]) -> T:
        """Do what blocks in a thread; whatever goes wrong there is the archive's fault."""
        working = asyncio.ensure_future(asyncio.to_thread(job))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            # A thread cannot be stopped: nobody else may use the archive before it is through.
            await asyncio.wait([working])
            raise
        except (JournalError, OSError) as error:
            raise ArchiveFailed(f"{self.folder}: {error}") from error

    def _tell(self) -> None:
        at, archive = self._archive.checkpoint, self._archive
        self.standing = Standing(at.position if at else 0, len(archive.segments), archive.size_bytes, self._gaps)
