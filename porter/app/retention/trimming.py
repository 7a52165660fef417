"""What the leader trims from the journal: what lies before a baseline and is archived, where it is too much or old.

1. The journal takes more than it may: all before its newest baseline goes.
2. Or its first event is older than what is kept: all before the newest baseline that is older goes.
3. The baseline is read back and decoded first: who starts at the journal needs it.
4. The archive of this process holds all that goes, in segments that were sealed and read back.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from porter.app.history.follow import folded_from
from porter.app.history.time_travel import baseline_at
from porter.events.decided import BaselineRecorded
from porter.events.envelope import Checkpoint, Commit
from porter.journal.chain import checkpoint_before
from porter.ports import Baseline, Clock, Corrupt, Journal, JournalError
from porter.projections import baseline

CHECK_INTERVAL_S = 2.0
"""How often the journal's size and age are looked at."""

_log = structlog.get_logger(__name__)


class Secures(Protocol):
    """The archive: `porter.app.retention.archiving.Archiver`, of which only this is used."""

    async def secure(self, after: Checkpoint, through: Checkpoint) -> str:
        """Have all between two checkpoints archived; return why it is not, or ""."""
        ...


class Retention:
    """Trims the journal while this process leads. `problem` says why it could not, or is ""."""

    def __init__(self, journal: Journal, archive: Secures, clock: Clock, *, trim_bytes: int, keep_s: int) -> None:
        """Trim above `trim_bytes`, and what is older than `keep_s`; 0 is no bound."""
        self.problem = ""
        self.keep_s = keep_s
        self._journal = journal
        self._archive = archive
        self._clock = clock
        self._trim_bytes = trim_bytes
        self._next_check_s = clock.monotonic_s()
        self._running: asyncio.Task[None] | None = None

    def consider(self) -> None:
        """Look whether something is to be trimmed, beside the leader's own work and never twice at a time."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_check_s or (self._running is not None and not self._running.done()):
            return
        self._next_check_s = now_s + CHECK_INTERVAL_S
        self._running = asyncio.create_task(self._check(), name="retention")

    async def stop(self) -> None:
        """This process leads no more."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None

    async def _check(self) -> None:
        try:
            problem = await self._trim()
        except (JournalError, baseline.UnreadableBaseline) as error:
            problem = str(error)
        if problem and problem != self.problem:
            _log.error("the journal is not trimmed", reason=problem)
        self.problem = problem

    async def _trim(self) -> str:
        """Trim what is due; return why not, or ""."""
        first = await self._journal.commit_at(1)
        if first is None:
            return ""
        found = await self._wanted(first)
        if found is None or found.checkpoint.position <= first.last_position:
            return ""
        if problem := unreadable(found):
            return problem
        begin = await self._journal.commit_at(found.checkpoint.position)
        if begin is None:
            return ""
        after, through = checkpoint_before(first), checkpoint_before(begin)
        if problem := await self._archive.secure(after, through):
            return problem
        gone = await self._journal.trim(found.checkpoint)
        _log.info("the journal was trimmed", through=through.position, commits=gone)
        return ""

    async def _wanted(self, first: Commit) -> Baseline | None:
        """The baseline behind which everything is to stay."""
        newest = await self._journal.newest_baseline()
        if newest is None:
            return None
        if self._trim_bytes and await self._journal.size_bytes() > self._trim_bytes:
            return newest
        oldest_ms = self._clock.wall_ms() - self.keep_s * 1000
        if not self.keep_s or first.time_ms >= oldest_ms:
            return None
        found: Baseline | None = newest
        while found is not None and found.envelope.time_ms >= oldest_ms:
            recorded = found.envelope.payload
            assert isinstance(recorded, BaselineRecorded), "the envelope of a baseline holds one"
            found = await baseline_at(self._journal, baseline.previous(recorded.state))
        return found


def unreadable(found: Baseline) -> str:
    """Why readers could not start from a baseline; "" if they can: it decodes, and gives the same bytes again."""
    recorded = found.envelope.payload
    assert isinstance(recorded, BaselineRecorded), "the envelope of a baseline holds one"
    if recorded.reducer_version not in baseline.OWN_VERSIONS:
        return f"the newest baseline, #{found.envelope.position}, is another release's; the next one is waited for"
    try:
        folded_from(found)
        if baseline.digest(baseline.encode(baseline.decode(recorded.state))) != recorded.digest:
            return f"the baseline at #{found.envelope.position} does not decode to what was encoded"
    except (Corrupt, baseline.UnreadableBaseline) as error:
        return str(error)
    return ""
