"""Answers straight from the journal, without a controller: the same folds, so the same answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from porter.app import answers, explain, route_answers
from porter.app.answer_json import Json
from porter.app.events import EventFilter, read_events
from porter.app.follow import from_newest_baseline, up_to_head
from porter.app.settings import Settings
from porter.app.view import ReadModel
from porter.events.envelope import BEGINNING, Head
from porter.journal.redis import RedisJournals
from porter.ports import Journal, JournalMissing
from porter.projections.sessions import Sessions, evolve_sessions

Answer = Callable[[ReadModel, Mapping[str, str], Settings, Head], Json]

ANSWERS: dict[str, Answer] = {
    "status": lambda model, _query, settings, head: answers.status(model, settings.cluster, head),
    "routes": lambda model, query, _settings, _head: route_answers.routes(
        model, route_answers.RouteFilter.from_query(query)
    ),
    "pools": lambda model, _query, _settings, _head: answers.pools(model),
    "services": lambda model, _query, _settings, _head: answers.services(model),
    "peers": lambda model, _query, _settings, _head: route_answers.peers(model),
}


def ask(question: str, query: Mapping[str, str], settings: Settings) -> Json:
    """One answer as of the journal's present head.

    Raises:
        JournalError: the journal could not be read, or there is none of this cluster.
        BadQuestion: the query is not understood.
    """

    async def asked() -> Json:
        journals = RedisJournals(settings.redis_url, settings.cluster)
        try:
            head = await _head(journals.journal(), settings.cluster)
            model = await read_model(journals)
            if question == "explain":
                # This one asks the journal, too, how it came to what the folds say.
                return await explain.explain(model, journals.journal(), explain.Question.from_query(query))
        finally:
            await journals.close()
        return ANSWERS[question](model, query, settings, head)

    return asyncio.run(asked())


async def read_model(journals: RedisJournals) -> ReadModel:
    """Fold the journal from its newest baseline, and every speaker's stream as far as it is kept."""
    journal = journals.journal()
    folded = await up_to_head(journal, await from_newest_baseline(journal))
    sessions = Sessions.empty()
    for name in await journals.speakers():
        async for page in journals.speaker(name).read(BEGINNING):
            for commit in page:
                for envelope in commit.events:
                    sessions = evolve_sessions(sessions, name, envelope)
    return ReadModel(folded.state, sessions)


def tail(redis_url: str, cluster: str, query: Mapping[str, str], *, follow: bool) -> Iterator[Json]:
    """The events of the journal, one after another.

    Raises:
        JournalError: the journal could not be read, or there is none of this cluster.
        BadQuestion: the query is not understood.
    """
    wanted = EventFilter.from_query(query)
    with asyncio.Runner() as runner:
        journals = RedisJournals(redis_url, cluster)
        try:
            runner.run(_head(journals.journal(), cluster))
            events = read_events(journals.journal(), wanted, follow=follow)
            while (event := runner.run(_next(events))) is not None:
                yield event
        finally:
            runner.run(journals.close())


async def _next(events: AsyncIterator[Json]) -> Json:
    return await anext(events, None)


async def _head(journal: Journal, cluster: str) -> Head:
    head = await journal.head()
    if head is None:
        raise JournalMissing(f"there is no journal of the cluster {cluster!r} there; name the cluster with --cluster")
    return head
