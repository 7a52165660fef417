"""A look from outside at a router that takes no connection: does its port answer at all?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from porter.bgp.attempts import Verdict
from porter.bgp.session import PeerSession
from porter.bgp.states import DOWN
from porter.model.bgp import SessionSettings

ANSWER_TIMEOUT_S = 5.0
"""Longer than the kernel takes to find out that nobody has an address of its own subnet (3 s)."""


async def probe(settings: SessionSettings) -> Verdict:
    """Connect to a session's peer as the engine would, but for its password, and close at once."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                settings.peer_address, settings.port, local_addr=(settings.local_address, 0)
            )
    except ConnectionRefusedError:
        return Verdict.REFUSED
    except TimeoutError:
        return Verdict.SILENT
    except OSError:
        return Verdict.UNREACHABLE
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Verdict.ACCEPTED


class Lookout:
    """Finds out, for one session at a time, why it is down where the engine does not say it."""

    def __init__(self) -> None:
        self._looking: asyncio.Task[None] | None = None

    def watch(self, sessions: Iterable[PeerSession], now_s: float) -> None:
        """Begin a look at the first session that is due."""
        if self._looking is not None:
            return
        for session in sessions:
            if session.sync is DOWN and session.attempts.due(session.settings, now_s):
                self._looking = asyncio.create_task(self._look(session), name=f"a look at {session.settings.peer}")
                return

    def cancel(self) -> None:
        """End a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self, session: PeerSession) -> None:
        try:
            session.attempts.looked(await probe(session.settings), session.settings)
        finally:
            self._looking = None
