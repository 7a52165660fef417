"""The console's questions, each answered by the functions that the commands and the controllers' API share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from porter.app.answer_json import Json
from porter.app.answers import cluster as answers
from porter.app.answers import diff, timeline
from porter.app.answers import routes as route_answers
from porter.app.explain import question as explain_question
from porter.app.explain import service as explain
from porter.app.explain.departed import resolve
from porter.app.history.moments import Moment
from porter.app.history.reading import BadQuestion
from porter.app.history.streams import Streams
from porter.app.incident import direct
from porter.app.read_model import ReadModel
from porter.console import pages
from porter.console.present import Pasts, Present, told_head
from porter.events.envelope import Head
from porter.ports import JournalUnavailable

Query = Mapping[str, str]


class About(NamedTuple):
    """What does not change while the console runs."""

    cluster: str
    source: str
    live: bool
    redacted: bool
    trace_url: str
    version: str


class Then(NamedTuple):
    """The folds that a question is about, and whose outcomes are not kept any more."""

    model: ReadModel
    head: Head | None
    forgotten: tuple[str, ...] = ()


class Books(NamedTuple):
    """All that answers are made from; `present` is None for a file, whose end is a past like any other."""

    about: About
    streams: Streams
    pasts: Pasts
    present: Present | None

    async def then(self, query: Query) -> Then:
        """The folds at the moment `at`, or as they are.

        Raises:
            BadQuestion: the moment is none, or lies outside of what is kept.
            JournalError: the journal could not be read.
        """
        moment = Moment.from_query(query, "at")
        if moment is None and self.present is not None:
            if not self.present.ready.is_set():
                raise JournalUnavailable(self.present.problem)
            return Then(self.present.model(), self.present.head)
        folded = await self.pasts.at(moment)
        return Then(folded.model, folded.head, folded.forgotten)


Answer = Callable[[Books, Query], Awaitable[Json]]


def _of_folds(answer: Callable[[Then, Query, str], Json]) -> Answer:
    async def answered(books: Books, query: Query) -> Json:
        then = await books.then(query)
        return _with_forgotten(answer(then, query, books.about.cluster), then)

    return answered


def _with_forgotten(told: Json, then: Then) -> Json:
    if "problems" in told:
        told["problems"] += direct.forgotten_problems(then.forgotten)
    return told


async def _explain(books: Books, query: Query) -> Json:
    then, journal = await books.then(query), books.streams.journal()
    question = await resolve(then.model, journal, explain_question.Question.from_query(query))
    if not (question.service or question.address):
        return _with_forgotten(await explain.explain(then.model, journal, question), then)
    history = await explain.recall_for(then.model, journal, question)
    # The present went on while the journal was read.
    return _with_forgotten(explain.answer((await books.then(query)).model, question, history), then)


async def _about(books: Books, _query: Query) -> Json:
    told = {**books.about._asdict(), "problem": books.present.problem if books.present is not None else ""}
    told["traceUrl"] = told.pop("trace_url")
    return told


async def _head(books: Books, query: Query) -> Json:
    then = await books.then(query)
    return told_head(then.model, books.present.problem if books.present is not None else "")


async def _routes(books: Books, query: Query) -> Json:
    wanted = route_answers.RouteFilter.from_query(query)
    if not wanted.prefix:
        raise BadQuestion("prefix is missing: routes are told of one prefix at a time; rib gives them page by page")
    return await _of_folds(lambda then, _query, _cluster: route_answers.routes(then.model, wanted))(books, query)


async def _timeline(books: Books, query: Query) -> Json:
    return await timeline.timeline(books.streams, timeline.TimelineQuestion.from_query(query))


class Question(NamedTuple):
    """How a question is answered, and which parameters it takes."""

    answer: Answer
    takes: frozenset[str] = frozenset()


PAGED = frozenset({"at", "limit", "offset", "q", "show"})
AT = frozenset({"at"})

QUESTIONS: Mapping[str, Question] = {
    "about": Question(_about),
    "head": Question(_head, AT),
    "moment": Question(lambda books, query: pages.moment(books.streams, query), AT),
    "status": Question(_of_folds(lambda then, _, cluster: answers.status(then.model, cluster, then.head)), AT),
    "pools": Question(_of_folds(lambda then, _query, _cluster: answers.pools(then.model)), AT),
    "peers": Question(_of_folds(lambda then, _query, _cluster: route_answers.peers(then.model)), AT),
    "services": Question(_of_folds(lambda then, query, _cluster: pages.services(then.model, query)), PAGED),
    "rib": Question(_of_folds(lambda then, query, _cluster: pages.rib(then.model, query)), PAGED),
    "routes": Question(_routes, AT | {"peer", "prefix", "speaker"}),
    "explain": Question(_explain, AT | {"ip", "name", "namespace", "node", "peer", "prefix", "service"}),
    "timeline": Question(_timeline, frozenset({"ip", "limit", "peer", "service", "since", "until"})),
    "diff": Question(lambda books, query: diff.diff(books.streams, query), frozenset({"a", "b"})),
    "events": Question(
        lambda books, query: pages.events(books.streams, query),
        frozenset({"after", "aggregate", "before", "limit", "type"}),
    ),
    "causes": Question(lambda books, query: pages.causes(books.streams, query), frozenset({"position", "stream"})),
}
"""Everything below /api, by name."""


def understood(name: str, query: Query) -> None:
    """Refuse a parameter that a question does not take.

    Raises:
        BadQuestion: the message names it.
    """
    takes = QUESTIONS[name].takes
    for parameter in query:
        if parameter not in takes:
            known = f"takes {', '.join(sorted(takes))}" if takes else "takes none"
            raise BadQuestion(f"the parameter {parameter!r} is not understood; /api/{name} {known}")
