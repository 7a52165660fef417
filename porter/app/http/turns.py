"""Questions about the past take turns: each folds the journal anew, beside the leader's own work."""

from __future__ import annotations

import asyncio
from types import TracebackType

from aiohttp import web

LOOKING_BACK_MAX = 2
"""How many questions are answered from the journal at a time."""
WAITING_MAX = 16
"""How many more may wait for their turn; whoever comes then is told to come again."""
RETRY_AFTER = "Retry-After"
RETRY_AFTER_S = 5
"""What they are told: by then some of those who wait have had their turn."""


def busy(why: str) -> web.HTTPServiceUnavailable:
    """The refusal of a question that may be asked again in a moment (RFC 9110, section 10.2.3)."""
    return web.HTTPServiceUnavailable(text=f"{why}; ask again in a moment", headers={RETRY_AFTER: str(RETRY_AFTER_S)})


class Turns:
    """An asynchronous context that few may be in at a time, and few may wait for.

    Raises:
        HTTPServiceUnavailable: enough wait already.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(LOOKING_BACK_MAX)
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._free.locked() and self._waiting >= WAITING_MAX:
            raise busy(f"{self._waiting} questions about the past wait already")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.release()
