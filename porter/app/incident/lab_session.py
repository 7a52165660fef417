"""A session of a moment: an ExaBGP of its own, in a folder of its own, with one router, and gone with its context."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import tenacity

from porter.app.clock import SystemClock
from porter.bgp.engine import exabgp_command, wait_for_configuration
from porter.bgp.publisher import ExaBgpPublisher
from porter.model.bgp import Negotiated, SessionSettings

UP_TIMEOUT_S = 40.0
SENT_TIMEOUT_S = 30.0
POLL_S = 0.02
END_TIMEOUT_S = 5.0
CANCEL_AGAIN_S = END_TIMEOUT_S + 1.0
"""Longer than the engine takes to end, which a second cancellation would cut short."""
ENGINE_LOG_LINES = 20
"""How much of ExaBGP's own log is told where the session does not come up."""


class NoSession(Exception):
    """The router does not take the session, or not the routes; the message says what was heard of it."""


class Router:
    """The user's router behind an ExaBGP of ours."""

    def __init__(self, publisher: ExaBgpPublisher, settings: SessionSettings, log: Path) -> None:
        self.publisher = publisher
        self.peer = settings.peer
        self.name = f"{settings.peer_address} port {settings.port}"
        self._log = log

    async def established(self) -> Negotiated:
        """Wait for the session.

        Raises:
            NoSession: it does not come up in time.
        """
        with contextlib.suppress(tenacity.RetryError):
            return await _within(UP_TIMEOUT_S)(self._negotiated)
        view = self.publisher.peers().get(self.peer)
        reason = view.reason if view is not None and view.reason else "it did not answer"
        raise NoSession(f"{self.name} does not take a session within {UP_TIMEOUT_S:.0f} s: {reason}{self._logged()}")

    async def has(self, routes: int) -> None:
        """Wait until everything that is desired was sent, and nothing else is announced.

        Raises:
            NoSession: the session went, or does not take them in time.
        """
        with contextlib.suppress(tenacity.RetryError):
            await _within(SENT_TIMEOUT_S)(self._is_live, routes)
            return
        view = self.publisher.peers().get(self.peer)
        told = (
            f"{view.state}, {view.sync}, {view.confirmed} of {view.desired} sent" if view is not None else "it is gone"
        )
        raise NoSession(
            f"{self.name} does not take {routes} paths within {SENT_TIMEOUT_S:.0f} s: {told}{self._logged()}"
        )

    async def _negotiated(self) -> Negotiated | None:
        view = self.publisher.peers().get(self.peer)
        return view.negotiated if view is not None else None

    async def _is_live(self, routes: int) -> bool:
        view = self.publisher.peers().get(self.peer)
        if view is None or view.negotiated is None or view.sync != "LIVE":
            return False
        return view.desired == routes and len(self.publisher.confirmed(self.peer)) == routes

    def _logged(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-ENGINE_LOG_LINES:] if self._log.exists() else []
        return "".join(f"\n  exabgp: {line}" for line in lines)


def _within(timeout_s: float) -> tenacity.AsyncRetrying:
    """Asks again until the answer is one."""
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_result(lambda answer: not answer),
        wait=tenacity.wait_fixed(POLL_S),
        stop=tenacity.stop_after_delay(timeout_s),
    )


@asynccontextmanager
async def session_with(folder: Path, settings: SessionSettings, speaker: str) -> AsyncIterator[Router]:
    configuration, log = folder / "exabgp.conf", folder / "exabgp.log"
    publisher = ExaBgpPublisher(
        speaker=speaker, socket_path=folder / "relay.sock", configuration_path=configuration, clock=SystemClock()
    )
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(publisher.run(), name="publisher"),
            tasks.create_task(_drained(publisher), name="outcomes"),
            tasks.create_task(_engine(configuration, log), name="exabgp"),
        ]
        try:
            await publisher.configure((settings,))
            yield Router(publisher, settings, log)
        finally:
            await _cancelled(running)


async def _cancelled(running: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: before Python 3.12 a cancellation that meets the end of its wait is lost."""
    pending = set(running)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


async def _drained(publisher: ExaBgpPublisher) -> None:
    """Outcomes are nobody's here."""
    while True:
        await publisher.outcomes()


async def _engine(configuration: Path, log: Path) -> None:
    """An ExaBGP that ends with this process, however that ends; started again where it ends by itself."""
    await wait_for_configuration(configuration)
    command = exabgp_command(configuration)
    with _appended(log) as output:
        while True:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "porter.app.process", str(os.getpid()), *command.arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **command.environment},
            )
            try:
                await process.wait()
            finally:
                await _ended(process)
            await asyncio.sleep(POLL_S)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextmanager
def _appended(log: Path) -> Iterator[int]:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
