"""Answers straight from the journal, without a controller: the same folds, so the same answers.

The journal is a server's, or an exported file's.
"""

# A command answers one question, and a second is short: only what that question needs is imported.
# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from porter.app.answer_json import Json
from porter.app.history.moments import Moment
from porter.app.history.reading import EventFilter, read_events
from porter.app.history.streams import Streams
from porter.app.history.time_travel import AsOf, as_of
from porter.journal.chain import paused_gc
from porter.ports import JournalMissing

Answer = Callable[[AsOf, Mapping[str, str], str], Json]
T = TypeVar("T")


def _status(then: AsOf, _query: Mapping[str, str], cluster: str) -> Json:
    from porter.app.answers.cluster import status

    return status(then.model, cluster, then.head)


def _routes(then: AsOf, query: Mapping[str, str], _cluster: str) -> Json:
    from porter.app.answers.routes import RouteFilter, routes

    return routes(then.model, RouteFilter.from_query(query))


def _pools(then: AsOf, _query: Mapping[str, str], _cluster: str) -> Json:
    from porter.app.answers.cluster import pools

    return pools(then.model)


def _services(then: AsOf, _query: Mapping[str, str], _cluster: str) -> Json:
    from porter.app.answers.cluster import services

    return services(then.model)


def _peers(then: AsOf, _query: Mapping[str, str], _cluster: str) -> Json:
    from porter.app.answers.routes import peers

    return peers(then.model)


async def _timeline(streams: Streams, query: Mapping[str, str]) -> Json:
    from porter.app.answers.timeline import TimelineQuestion, timeline

    return await timeline(streams, TimelineQuestion.from_query(query))


async def _diff(streams: Streams, query: Mapping[str, str]) -> Json:
    from porter.app.answers.diff import diff

    return await diff(streams, query)


ANSWERS: dict[str, Answer] = {
    "status": _status,
    "routes": _routes,
    "pools": _pools,
    "services": _services,
    "peers": _peers,
}

HISTORY: dict[str, Callable[[Streams, Mapping[str, str]], Awaitable[Json]]] = {"timeline": _timeline, "diff": _diff}
"""Answers that are about a stretch of the journal and not about one moment."""


class Place(NamedTuple):
    """Where a journal is: in an export (a file, or its content), or at a server, by the cluster's name.

    `archive` is where what was trimmed is read from: a folder, or a controller as http://HOST:PORT, which is given
    what `archive_token` gives each time. Alone it is the whole history, but for the speakers'.
    """

    redis_url: str = ""
    cluster: str = ""
    file: Path | None = None
    content: bytes | None = None
    archive: str = ""
    archive_token: Callable[[], str] = str


class OpenStreams(Streams, Protocol):
    """Streams that are closed after use."""

    async def close(self) -> None: ...


def with_streams(place: Place, job: Callable[[OpenStreams, str], Awaitable[T]]) -> T:
    """Open the streams, run a job on them and the cluster's name, and close them.

    Raises:
        JournalError: the journal could not be read, or there is none of this cluster.
    """

    async def run() -> T:
        streams, cluster = await open_streams(place)
        try:
            return await job(streams, cluster)
        finally:
            await streams.close()

    return asyncio.run(run())


async def open_streams(place: Place) -> tuple[OpenStreams, str]:
    """The streams of a place, and the cluster's name.

    Raises:
        JournalError: the journal could not be read, or there is none of this cluster.
    """
    if place.archive:
        from porter.app.history.archived_streams import ArchivedStreams, archive_alone, shelf_of

        if not place.redis_url and place.file is None and place.content is None:
            alone, named = archive_alone(place.archive, place.archive_token)
            # Only sealed segments tell the name, and a young archive has none yet.
            return alone, named or place.cluster
        shelf = shelf_of(place.archive, place.archive_token)
        streams, cluster = await open_streams(place._replace(archive=""))
        return ArchivedStreams(streams, shelf), cluster
    if place.file is not None or place.content is not None:
        from porter.journal.export import ExportJournals

        exported = ExportJournals(place.file or Path("the export"), place.content)
        return exported, exported.cluster
    from porter.journal.redis import RedisJournals

    journals = RedisJournals(place.redis_url, place.cluster)
    head = None
    try:
        head = await journals.journal().head()
    finally:
        if head is None:
            await journals.close()
    if head is None:
        raise JournalMissing(
            f"there is no journal of the cluster {place.cluster!r} there; name the cluster with --cluster"
        )
    return journals, place.cluster


def ask(question: str, query: Mapping[str, str], place: Place) -> Json:
    """One answer, as of the moment `at` of the query, or the journal's head.

    Raises:
        JournalError: the journal could not be read, or there is none of this cluster.
        BadQuestion: the query is not understood.
    """
    return with_streams(place, lambda streams, cluster: answer(streams, cluster, question, query))


async def answer(streams: Streams, cluster: str, question: str, query: Mapping[str, str]) -> Json:
    """One answer from streams.

    Raises:
        JournalError, BadQuestion: as `ask`.
    """
    with paused_gc():
        return await _answer(streams, cluster, question, query)


async def _answer(streams: Streams, cluster: str, question: str, query: Mapping[str, str]) -> Json:
    if question in HISTORY:
        return await HISTORY[question](streams, query)
    then = await as_of(streams, Moment.from_query(query, "at"))
    if question == "explain":
        # This one asks the journal, too, how it came to what the folds say.
        from porter.app.explain import question as explain_question
        from porter.app.explain import service as explain

        told = await explain.explain(then.model, streams.journal(), explain_question.Question.from_query(query))
    elif question == "doctor":
        from porter.app.doctor.answer import of_journal

        told = await of_journal(streams, cluster, then.model, then.head)
    else:
        told = ANSWERS[question](then, query, cluster)
    if "problems" in told:
        told["problems"] += forgotten_problems(then.forgotten)
    return told


def forgotten_problems(speakers: Sequence[str]) -> list[str]:
    """A sentence for each speaker whose stream does not go back that far."""
    return [
        f"what speaker {name} told by then is not kept any more: its sessions of that time are not known"
        for name in speakers
    ]


def tail(place: Place, query: Mapping[str, str], *, follow: bool) -> Iterator[Json]:
    """The events of the journal, one after another.

    Raises:
        JournalError: the journal could not be read, or there is none of this cluster.
        BadQuestion: the query is not understood.
    """
    wanted = EventFilter.from_query(query)
    yield from stream(place, lambda streams: read_events(streams.journal(), wanted, follow=follow))


def stream(place: Place, items: Callable[[Streams], AsyncIterator[Json]]) -> Iterator[Json]:
    """What comes one after another, for a caller that is not asynchronous.

    Raises:
        JournalError: the journal could not be read, or there is none of this cluster.
    """
    with asyncio.Runner() as runner:
        streams, _ = runner.run(open_streams(place))
        try:
            coming = items(streams)
            while (item := runner.run(_next(coming))) is not None:
                yield item
        finally:
            runner.run(streams.close())


async def _next(items: AsyncIterator[Json]) -> Json:
    return await anext(items, None)
