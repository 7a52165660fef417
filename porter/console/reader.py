"""The thread that reads: it folds and answers, so that the server's own loop never waits for either."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from porter import __version__
from porter.app.history.archived_streams import ArchivedStreams
from porter.app.incident.direct import OpenStreams, open_streams
from porter.console.present import RETRY_S, Pasts, Present, told_head
from porter.console.questions import QUESTIONS, About, Books, Query, understood
from porter.console.settings import ConsoleSettings
from porter.journal.export import ExportJournals
from porter.ports import JournalError, JournalUnavailable

ANSWERED_AT_ONCE = 4
WAITING_MAX = 64
"""Most questions that wait for their turn; beyond, they are refused."""
ANSWER_S = 60.0
CLOSE_S = 5.0

T = TypeVar("T")


TOO_LONG = {
    "diff": "the comparison takes more than {limit} s and was given up: compare moments that lie closer together, or "
    "have `porter diff A B` take its time, with the same --redis-url or --from",
}
TOO_LONG_OTHERS = "the answer takes more than {limit} s and was given up: ask about less, or about a later moment"


class TooLong(Exception):
    """An answer was given up; the message says what to do instead."""


class Busy(Exception):
    """Too many questions wait already."""


class Reader:
    """Answers questions, in a thread with a loop of its own. `changed` is called there."""

    def __init__(self, settings: ConsoleSettings, changed: Callable[[], None]) -> None:
        self._settings = settings
        self._changed = changed
        self._books: Books | None = None
        self._problem = "the journal was not opened yet"
        self._waiting = 0
        self._turns = asyncio.Semaphore(ANSWERED_AT_ONCE)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="reader", daemon=True)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start reading. A file is opened before this returns; a server that is away is waited for.

        Raises:
            JournalError: the file is none, or is damaged.
        """
        self._thread.start()
        if self._settings.file is not None:
            await self._there(self._open())
        else:
            self._loop.call_soon_threadsafe(self._begin)

    async def answer(self, name: str, query: Query) -> bytes:
        """One answer as JSON.

        Raises:
            BadQuestion: the question is not understood.
            JournalError: the journal could not be read.
            TooLong: it takes more than `ANSWER_S`.
            Busy: too many ask.
        """
        understood(name, query)
        if self._waiting >= WAITING_MAX:
            raise Busy(f"{WAITING_MAX} questions wait already; try again in a moment")
        self._waiting += 1
        try:
            return await self._there(self._answer(name, query))
        finally:
            self._waiting -= 1

    async def told(self) -> Mapping[str, Any]:
        """What live pages are told of the present."""
        return await self._there(self._told())

    async def close(self) -> None:
        """Stop reading."""
        async with asyncio.timeout(CLOSE_S):
            await self._there(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, CLOSE_S)

    async def _there(self, job: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(job, self._loop))

    # ------------------------------------------------------------------------------------------- in the thread

    def _begin(self) -> None:
        self._running = self._loop.create_task(self._run())

    async def _run(self) -> None:
        while self._books is None:
            try:
                await self._open()
            except JournalError as error:
                self._problem = str(error)
                self._changed()
                await asyncio.sleep(RETRY_S)
        assert self._books.present is not None, "only a server's journal is followed"
        await self._books.present.run()

    async def _open(self) -> None:
        streams, cluster = await open_streams(self._settings.place)
        inner = streams.inner if isinstance(streams, ArchivedStreams) else streams
        if isinstance(inner, ExportJournals):
            # Who opens a damaged file is to learn it here, and not from the one page that needs the damaged frame.
            await asyncio.to_thread(inner.check)
        redacted = isinstance(inner, ExportJournals) and inner.redacted
        live = self._settings.file is None
        about = About(cluster, _source(self._settings), live, redacted, self._settings.trace_url, __version__)
        present = Present(streams, self._changed) if live else None
        self._books = Books(about, streams, Pasts(streams, closed=not live), present)

    async def _answer(self, name: str, query: Query) -> bytes:
        if self._books is None:
            raise JournalUnavailable(self._problem)
        try:
            async with asyncio.timeout(ANSWER_S), self._turns:
                answer = await QUESTIONS[name].answer(self._books, query)
        except TimeoutError as error:
            raise TooLong(TOO_LONG.get(name, TOO_LONG_OTHERS).format(limit=f"{ANSWER_S:.0f}")) from error
        return json.dumps(answer, ensure_ascii=False).encode()

    async def _told(self) -> Mapping[str, Any]:
        if self._books is None:
            return {"position": 0, "time": "", "outcomes": 0, "problem": self._problem}
        present = self._books.present
        if present is None:
            return told_head((await self._books.pasts.at(None)).model, "")
        return told_head(present.model(), present.problem)

    async def _end(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._books is not None:
            streams: OpenStreams = self._books.streams  # type: ignore[assignment]
            await streams.close()


def _source(settings: ConsoleSettings) -> str:
    """Where the history comes from, without user and password."""
    if settings.file is not None:
        return settings.file.name
    parts = urlsplit(settings.redis_url)
    return parts.netloc.rpartition("@")[2] or parts.path
