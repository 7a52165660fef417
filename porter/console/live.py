"""Server-sent events: every open page is told when something changed; a slow one is told the newest alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

CLIENTS_MAX = 32
"""Most pages that are kept up to date at a time."""
GATHERING_S = 0.1
"""Changes of so long a time are told as one."""
HEARTBEAT_S = 15.0
"""Proxies end what is silent."""
WRITE_S = 10.0
"""A client that does not take what it is sent for so long is gone."""
RETRY_MS = 2000
"""When a browser connects again."""

Told = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives what is to be told of the present."""


class Live:
    """Tells clients of the present; `changed` may be called from any thread, as often as it likes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._clients: set[asyncio.Event] = set()
        self._posted = False

    def changed(self) -> None:
        """Something changed."""
        if not self._posted:
            self._posted = True
            # The loop is closed while the program ends.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._posted = False
        for client in self._clients:
            client.set()

    async def serve(self, request: web.Request, told: Told) -> web.StreamResponse:
        """Answer one client for as long as it stays."""
        if len(self._clients) >= CLIENTS_MAX:
            raise web.HTTPServiceUnavailable(text=f"{CLIENTS_MAX} pages are live already; close one, or reload pages")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        news = asyncio.Event()
        news.set()
        self._clients.add(news)
        try:
            await response.prepare(request)
            await self._tell(response, news, told)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._clients.discard(news)
        return response

    async def _tell(self, response: web.StreamResponse, news: asyncio.Event, told: Told) -> None:
        await _write(response, f"retry: {RETRY_MS}\n\n")
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                await _write(response, ": still here\n\n")
                continue
            await asyncio.sleep(GATHERING_S)
            # What comes from here on is told in the next round.
            news.clear()
            await _write(response, f"event: head\ndata: {json.dumps(await told())}\n\n")


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(text.encode())
