"""A speaker's stream of outcomes: claimed anew by every incarnation, and never in the speaker's way.

`add` only queues. `run` claims the stream, commits what waits (up to 128 events, or what came within 2 ms), and starts
over when the server was away or the stream was emptied. What waits longer than the buffer holds is dropped, oldest
first, and `OutcomesDropped` says how many, in the place where they were.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from porter.events.catalogue import Event
from porter.events.codec import Unencodable
from porter.events.decided import EpochStarted, PositionsLost
from porter.events.envelope import GENESIS_HASH, MAX_EVENTS_PER_COMMIT, Draft, Head
from porter.events.routed import OutcomesDropped
from porter.events.schema import version_to_write
from porter.journal.chain import short
from porter.ports import Claim, Fenced, Journal, JournalError, JournalMissing, JournalUnavailable

MAX_BUFFERED_EVENTS = 20_000
"""Outcomes that wait while the server is away."""

MAX_HELD_EVENTS = 1_000
"""Outcomes that no reader knew so far; each is replaced by the next about the same."""

GATHER_S = 0.002
"""How long a commit waits for company."""
COMMIT_INTERVAL_S = 0.05
"""Commits follow each other no faster while they are not full. No route and no decision waits for an outcome, and each
commit costs the leader, which follows this stream, as much as this process."""

RETRY_MAX_S = 1.0
FENCED_WAIT_S = 5.0
"""Two speakers of one name would else claim the stream from one another without a pause."""

CLOSE_TIMEOUT_S = 1.0
"""How long the last outcomes may take when the speaker ends."""

_backoff_s = wait_random_exponential(multiplier=0.05, max=RETRY_MAX_S)

_log = structlog.get_logger(__name__)


class OutcomeStream:
    """Journals the outcomes of one speaker. One task runs `run`; any task of the same loop may `add`."""

    def __init__(
        self,
        journal: Journal,
        holder: str,
        *,
        version: str = "",
        max_buffered_events: int = MAX_BUFFERED_EVENTS,
        activated: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """`activated` gives what the journal's readers agreed upon, see `porter.events.schema`."""
        self._journal = journal
        self._holder = holder
        self._version = version
        self._limit = max_buffered_events
        self._activated = activated
        self._held: dict[tuple[type, str], Draft] = {}
        """What nobody may write yet: the newest of each type about each thing."""
        self._waiting: deque[Draft] = deque()
        self._sending: tuple[Draft, ...] = ()
        self._dropped = 0
        self._arrived = asyncio.Event()
        self._sent = asyncio.Event()
        self._claimed = False
        self._committed_s = float("-inf")
        self._head: Head | None = None
        """The end of what this process has written, or found when it claimed."""

    @property
    def waiting(self) -> int:
        """How many outcomes are not journaled yet."""
        return len(self._waiting) + len(self._sending)

    def add(self, events: Sequence[Event], *, causation: int = 0, correlation: str = "", traceparent: str = "") -> None:
        """Queue outcomes; never blocks. `causation` is the journal's position that they realise."""
        for event in events:
            draft = Draft(event, causation, correlation, traceparent)
            if version_to_write(self._activated(), type(event).__name__):
                self._waiting.append(draft)
            elif len(self._held) < MAX_HELD_EVENTS:
                self._held[type(event), event.aggregate] = draft
        surplus = len(self._waiting) - self._limit
        if surplus > 0:
            for _ in range(surplus):
                self._waiting.popleft()
            if not self._dropped:
                _log.warning("outcomes are dropped: the journal is away for too long", limit=self._limit)
            self._dropped += surplus
        self._arrived.set()

    def release(self) -> None:
        """Queue what was held back and may be written by now; to be called now and then."""
        for key, draft in list(self._held.items()):
            if version_to_write(self._activated(), key[0].__name__):
                del self._held[key]
                self._waiting.append(draft)
                self._arrived.set()

    async def drained(self) -> None:
        """Wait until everything that was added is journaled."""
        while self.waiting or self._dropped:
            self._sent.clear()
            await self._sent.wait()

    async def run(self) -> None:
        """Journal what is added until cancelled; what waits then has `CLOSE_TIMEOUT_S` to get in."""
        try:
            while True:
                try:
                    await self._step()
                except JournalError as error:
                    await self._step_again(error)
        except asyncio.CancelledError:
            await self._finish()
            raise

    async def _step_again(self, failed: JournalError | None) -> None:
        """Step until it works, after a first failure."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(JournalError), wait=_wait_s, before_sleep=self._interrupted
        ):
            with attempt:
                if failed is not None:
                    first, failed = failed, None
                    raise first
                await self._step()

    async def _step(self) -> None:
        """Claim where that is needed, and journal one commit.

        A commit whose outcome is unknown is sent again as it was, under the same epoch, so that it gets in once. Any
        other refusal means that the stream is not what this process wrote: it is claimed again.
        """
        try:
            if not self._claimed:
                await self._claim()
            await self._commit_next()
        except JournalUnavailable:
            raise
        except JournalError:
            self._claimed = False
            raise

    def _interrupted(self, state: RetryCallState) -> None:
        """Say once that outcomes wait, not at every attempt."""
        if state.attempt_number == 1:
            error = state.outcome.exception() if state.outcome else None
            _log.warning("the outcome stream is interrupted; outcomes wait", reason=str(error))

    async def _finish(self) -> None:
        """Journal the last outcomes, if the server takes them at once."""
        if not self._claimed:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self.waiting:
                    await self._commit_next(gather=False)
        except (JournalError, TimeoutError) as error:
            _log.warning("the last outcomes are not journaled", events=self.waiting, reason=str(error))

    async def _claim(self) -> None:
        """Start an epoch behind the stream's head; or, where it was lost, beyond what this process has written."""
        known = self._head
        try:
            head = await self._journal.head()
        except JournalMissing as error:
            head, known = None, _further(known, error.last_known)
        if known is not None and head is not None and known.genesis and known.genesis != head.genesis:
            known = None
        behind = known is not None and (head is None or head.position < known.position)
        last = head.position if head else 0
        first = known.position + 1 if known is not None and behind else last + 1
        genesis = (head.genesis if head else known.genesis if known else "") or uuid.uuid4().hex
        epoch = 1 + max(head.epoch if head else 0, known.epoch if known else 0)
        previous_hash = head.hash if head else GENESIS_HASH
        started = EpochStarted(
            genesis, self._holder, last, previous_hash.hex(), recovering=behind, version=self._version
        )
        drafts = [Draft(started)]
        if first > last + 1:
            drafts.append(Draft(PositionsLost(last + 1, first - 1, "the server lost the end of this stream")))
        claim = Claim(genesis, epoch, head, first, behind, self._holder)
        commit = await self._journal.claim(claim, drafts)
        self._head = Head(genesis, commit.epoch, commit.last_position, commit.hash)
        self._claimed = True
        _log.info("outcome stream claimed", epoch=epoch, position=first, hash=short(commit.hash), recovering=behind)

    async def _commit_next(self, *, gather: bool = True) -> None:
        """Wait for outcomes and journal up to 128 of them."""
        if not self._sending:
            while not self._waiting and not self._dropped:
                self._arrived.clear()
                await self._arrived.wait()
            if gather and len(self._waiting) < MAX_EVENTS_PER_COMMIT:
                since_s = asyncio.get_running_loop().time() - self._committed_s
                await asyncio.sleep(max(GATHER_S, COMMIT_INTERVAL_S - since_s))
            self._take()
        head = self._head
        assert head is not None, "outcomes are committed after the claim"
        try:
            commit = await self._journal.append(self._sending)
        except Unencodable as error:
            _log.error("outcomes that have no encoding are dropped", events=len(self._sending), reason=str(error))
            self._dropped += len(self._sending)
            self._sending = ()
            return
        self._sending = ()
        self._committed_s = asyncio.get_running_loop().time()
        self._head = Head(head.genesis, commit.epoch, commit.last_position, commit.hash)
        self._sent.set()

    def _take(self) -> None:
        drafts = []
        if self._dropped:
            drafts.append(Draft(OutcomesDropped(self._dropped)))
            self._dropped = 0
        while self._waiting and len(drafts) < MAX_EVENTS_PER_COMMIT:
            draft = self._waiting.popleft()
            version = version_to_write(self._activated(), type(draft.payload).__name__)
            drafts.append(draft._replace(version=version))
        self._sending = tuple(drafts)


def _further(one: Head | None, other: Head | None) -> Head | None:
    """The later of two heads, under the genesis that is known."""
    if one is None or other is None:
        return one or other
    later = max(one, other, key=lambda head: (head.epoch, head.position))
    return later._replace(genesis=one.genesis or other.genesis)


def _wait_s(state: RetryCallState) -> float:
    """Short with a growing, random part; long where a process of the same name has claimed this speaker's stream."""
    if state.outcome is not None and isinstance(state.outcome.exception(), Fenced):
        return FENCED_WAIT_S
    return _backoff_s(state)
