"""Wanted statuses on their way to the objects: what both status writers share.

An object is looked at whenever its wanted or its present status changes. A look compares the two and writes the
difference, so that a status which somebody else overwrote comes back, and nothing is written where nothing differs.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from porter.kube.inventory import ObjectKey, Seen
from porter.ports import Clock, ObjectStatus

_log = structlog.get_logger(__name__)

WRITERS = 8
"""How many objects are worked on at a time; one whose writes fail keeps its writer while it backs off."""

MAX_WRITES_IN_FLIGHT = 2
"""Enough for some two hundred statuses a second. With more, a burst's own creates wait behind its statuses, and the
controllers that answer both run into conflicts: at 8 the API server spent a quarter more CPU time on the same burst."""

REPAIR_INTERVAL_S = 1.0
"""The same status is written again at most this often, whoever keeps overwriting it."""

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 5.0


_backoff = wait_exponential_jitter(multiplier=FIRST_BACKOFF_S, max=LONGEST_BACKOFF_S, jitter=FIRST_BACKOFF_S)


class WriteFailed(Exception):
    """A write that is worth trying again."""


class WantedStatuses(ABC):
    """The port `StatusWriter` less the writing: the newest wanted status per object, one write in flight per object."""

    def __init__(self, leads: Callable[[], bool], clock: Clock) -> None:
        self._leads = leads
        self._clock = clock
        self._wanted: dict[ObjectKey, ObjectStatus] = {}
        self._due: dict[ObjectKey, None] = {}
        self._busy: set[ObjectKey] = set()
        self._written_s: dict[ObjectKey, tuple[ObjectStatus, float]] = {}
        self._writing = asyncio.Semaphore(MAX_WRITES_IN_FLIGHT)
        self._idle: deque[asyncio.Future[None]] = deque()
        """Writers that wait for something to look at: each change wakes one of them, not all."""

    def want(self, status: ObjectStatus) -> None:
        """Queue a status; an older one of the same object that waits is forgotten."""
        plain: Mapping[str, Any] = msgspec.json.decode(msgspec.json.encode(status.status))
        key = ObjectKey(status.kind, status.namespace, status.name)
        self._wanted[key] = status._replace(status=plain)
        self._look_at(key)

    def drop(self) -> None:
        """Forget everything that is wanted: this process leads no more."""
        self._wanted.clear()
        self._due.clear()
        self._written_s.clear()

    async def run(self) -> None:
        """Write what differs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(self._work(), name=f"status writer {number}")

    # ------------------------------------------------------------------------------------------ what adapters provide

    @abstractmethod
    async def _present(self, key: ObjectKey) -> Seen | None:
        """Return what the object says now; None where there is nothing to write to."""

    @abstractmethod
    async def _write(self, wanted: ObjectStatus, present: Seen) -> None:
        """Write one status; return also when it cannot be written and trying again is of no use.

        Raises:
            WriteFailed: it may work later.
        """

    # ------------------------------------------------------------------------------------------------------- inside

    def _look_at(self, key: ObjectKey) -> None:
        if key in self._wanted:
            self._due[key] = None
            while self._idle:
                writer = self._idle.popleft()
                if not writer.done():
                    writer.set_result(None)
                    break

    def _look_later(self, key: ObjectKey, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._look_at, key)

    def _forget(self, key: ObjectKey) -> None:
        self._wanted.pop(key, None)
        self._due.pop(key, None)
        self._written_s.pop(key, None)

    async def _work(self) -> None:
        while True:
            key = next((key for key in self._due if key not in self._busy), None)
            if key is None:
                idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle
                continue
            del self._due[key]
            self._busy.add(key)
            try:
                try:
                    async with self._writing:
                        await self._look(key)
                except WriteFailed as error:
                    await self._look_again(key, error)
            finally:
                # What became due meanwhile is found by this very writer, next.
                self._busy.discard(key)

    async def _look_again(self, key: ObjectKey, failed: WriteFailed | None) -> None:
        """Look until it works, with back-off. Set up after a first failure only: it costs more than most looks do."""
        async for attempt in AsyncRetrying(
            wait=_backoff,
            retry=retry_if_exception_type(WriteFailed),
            before_sleep=_log_failure,
        ):
            with attempt:
                if failed is not None:
                    first, failed = failed, None
                    raise first
                async with self._writing:
                    await self._look(key)

    async def _look(self, key: ObjectKey) -> None:
        """Compare an object's wanted and present status, and write if they differ and this process still leads."""
        wanted = self._wanted.get(key)
        if wanted is None:
            return
        if not self._leads():
            self.drop()
            return
        present = await self._present(key)
        if present is None or present.uid != wanted.uid:
            self._forget(key)
            return
        now_ms = self._clock.wall_ms()
        wanted = wanted._replace(status=with_transition_times(wanted.status, present.status, now_ms))
        if says_so(wanted, present):
            self._settled(key, wanted)
            return
        last, last_s = self._written_s.get(key, (None, 0.0))
        wait_s = last_s + REPAIR_INTERVAL_S - self._clock.monotonic_s()
        if last is self._wanted.get(key) and wait_s > 0:
            self._look_later(key, wait_s)
            return
        if not self._leads():
            self.drop()
            return
        asked = self._wanted.get(key)
        await self._write(wanted, present)
        if asked is not None and self._wanted.get(key) is asked:
            self._written_s[key] = (asked, self._clock.monotonic_s())
            self._settled(key, wanted)

    def _settled(self, key: ObjectKey, wanted: ObjectStatus) -> None:
        """A Service that is to hold nothing is done with: another controller may give it an address next."""
        if not wanted.status or (wanted.kind == "Service" and "loadBalancer" not in wanted.status):
            self._forget(key)


def says_so(wanted: ObjectStatus, present: Seen) -> bool:
    """Whether an object already has the wanted status, labels and annotations (None: absent)."""
    return (
        wanted.status == present.status
        and all(present.labels.get(key) == value for key, value in wanted.labels.items())
        and all(present.annotations.get(key) == value for key, value in wanted.annotations.items())
    )


def with_transition_times(wanted: Mapping[str, Any], present: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Date the conditions: one whose status stays keeps its time (metav1.Condition), others get `now_ms`."""
    if "conditions" not in wanted:
        return dict(wanted)
    before = present.get("conditions")
    known = {each.get("type"): each for each in before if isinstance(each, dict)} if isinstance(before, list) else {}
    now = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = []
    for condition in wanted["conditions"]:
        old = known.get(condition.get("type"), {})
        time = condition.get("lastTransitionTime", now)
        if old.get("status") == condition.get("status"):
            time = old.get("lastTransitionTime", time)
        conditions.append({**condition, "lastTransitionTime": time})
    return {**wanted, "conditions": conditions}


def merge_patch(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Compute the JSON merge patch (RFC 7386) that turns `present` into `wanted`."""
    patch: dict[str, Any] = dict.fromkeys(present.keys() - wanted.keys())
    for key, value in wanted.items():
        before = present.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            below = merge_patch(before, value)
            if below:
                patch[key] = below
        elif value != before:
            patch[key] = value
    return patch


def _log_failure(attempt: RetryCallState) -> None:
    error = attempt.outcome.exception() if attempt.outcome else None
    _log.warning("status not written yet", why=str(error), attempt=attempt.attempt_number)
