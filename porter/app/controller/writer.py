"""The leader's hand on the journal: claim an epoch, append to it, and see that it is still this epoch's.

A failed append is tried again, as the same commit: whether it got in is the journal's own matter to find out.
"""

from __future__ import annotations

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from porter.app.controller.batch import Batch
from porter.app.controller.start import Beginning
from porter.app.view import View
from porter.events.envelope import Commit, Head
from porter.ports import Clock, Conflict, Fenced, Fork, Journal, JournalUnavailable

HEAD_CHECK_INTERVAL_S = 1.0
GIVE_UP_S = 8.0
"""A leader that cannot append for this long gives the Lease up: another one may reach the server."""

_log = structlog.get_logger(__name__)


class Writer:
    """What one epoch writes; `head` is its end, None before the epoch is claimed."""

    def __init__(self, journal: Journal, clock: Clock, view: View) -> None:
        self.head: Head | None = None
        self.next_check_s = 0.0
        """When (monotonic) the head is to be looked at again."""
        self._journal = journal
        self._clock = clock
        self._view = view

    async def claim(self, beginning: Beginning) -> Commit:
        """Begin an epoch; return its first commit.

        Raises:
            Fenced, Conflict, JournalUnavailable: as `Journal.claim` does.
        """
        time_ms = self._clock.wall_ms()
        commit = await self._journal.claim(beginning.claim, beginning.drafts, time_ms=time_ms)
        self._committed(beginning.claim.genesis, commit)
        return commit

    async def append(self, batch: Batch) -> Commit:
        """Make a batch durable; return its commit.

        Raises:
            Fenced, Conflict, Fork: as `Journal.append` does; also where the commit ends elsewhere than the batch.
            JournalUnavailable: the server stayed away for `GIVE_UP_S`.
        """
        assert self.head is not None
        try:
            commit = await self._journal.append(batch.drafts, time_ms=batch.time_ms)
        except JournalUnavailable as error:
            commit = await self._append_again(batch, error)
        if commit.last_position != batch.position - 1:
            raise Conflict(f"the commit ends at #{commit.last_position}, but #{batch.position - 1} was folded")
        self._committed(self.head.genesis, commit)
        return commit

    async def check(self) -> None:
        """Once in `HEAD_CHECK_INTERVAL_S`: is the journal still the one that this epoch wrote?

        Raises:
            Fenced: another process claimed an epoch.
            Fork: it is not.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self.next_check_s:
            return
        self.next_check_s = now_s + HEAD_CHECK_INTERVAL_S
        try:
            head = await self._journal.head()
        except JournalUnavailable as error:
            self._unavailable(str(error))
            return
        assert self.head is not None
        if head is not None and head.genesis == self.head.genesis and head.epoch > self.head.epoch:
            raise Fenced(f"epoch {head.epoch} was claimed, and this leader's is {self.head.epoch}")
        if head != self.head:
            raise Fork(f"the journal's head is {head}, but this leader wrote {self.head}")
        self._view.journal_problem = ""

    async def _append_again(self, batch: Batch, failed: JournalUnavailable | None) -> Commit:
        """Append what did not get in at once. A retrying costs as much as an append: it is set up when it is needed."""
        commit: Commit
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(JournalUnavailable),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            stop=stop_after_delay(GIVE_UP_S),
            before_sleep=lambda retry: self._unavailable(str(retry.outcome.exception()) if retry.outcome else ""),
            reraise=True,
        ):
            with attempt:
                if failed is not None:
                    first, failed = failed, None
                    raise first
                commit = await self._journal.append(batch.drafts, time_ms=batch.time_ms)
        return commit

    def _unavailable(self, reason: str) -> None:
        self._view.journal_problem = reason
        _log.warning("the journal is unavailable; everything announced stays announced", reason=reason)

    def _committed(self, genesis: str, commit: Commit) -> None:
        self.head = Head(genesis, commit.epoch, commit.last_position, commit.hash)
