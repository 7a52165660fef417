"""A controller's HTTP side: health, answers from the folds, the journal's events, and operators' actions.

Who may ask is decided in `porter.app.http.access`; outside of a cluster, where nobody can be authenticated, only
loopback addresses are bound. Every answer is computed by `porter.app.answers.cluster`, which the commands share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from porter.app.answer_json import Json
from porter.app.answers import cluster as answers
from porter.app.answers import diff, timeline
from porter.app.answers import routes as route_answers
from porter.app.doctor.answer import of_controller
from porter.app.explain import question as explain_question
from porter.app.explain import service as explain
from porter.app.history.archived_streams import ArchivedStreams
from porter.app.history.moments import Moment
from porter.app.history.reading import BadQuestion, EventFilter, NotThere, read_events
from porter.app.history.streams import Streams
from porter.app.http import actions
from porter.app.http.access import USER, guard
from porter.app.http.segments import SegmentsServed, UnknownSegment
from porter.app.http.turns import RETRY_AFTER, Turns, busy
from porter.app.incident import direct
from porter.app.incident.export import EXPORT_BYTES_MAX, export_bytes
from porter.app.metrics import exposition as metrics
from porter.app.read_model import ReadModel
from porter.app.settings import InvalidSettings, Settings
from porter.app.settings_check import check_http
from porter.app.upgrade import answer as reader_answers
from porter.app.view import View
from porter.events.decided import OperatorAction
from porter.files import write_atomically
from porter.ports import Access, JournalError, JournalUnavailable
from porter.telemetry.metrics import expose

BODY_BYTES_MAX = 64 * 1024
FOLLOWERS_MAX = 32
BINARY = "application/octet-stream"
STRETCH_EVENTS_MAX = 100_000
"""The longest stretch of the journal that an answer is made from: each of its events takes about a KiB meanwhile."""
REDACTED_BYTES_MAX = 4 * 1024 * 1024
"""Of an export that is redacted here: all of it is decoded for that. `porter export --redact` does it where it runs."""
ADDRESS_FILE = "http"
"""In the state directory: the address that was bound, for the commands (and for port 0)."""
SHUTDOWN_S = 1.0
HEAD_TIMEOUT_S = 1.0
"""Metrics are answered without the journal, too."""

PARAMETERS: Mapping[str, frozenset[str]] = {
    "status": frozenset({"at"}),
    "routes": frozenset({"at", "peer", "prefix", "speaker"}),
    "pools": frozenset({"at"}),
    "services": frozenset({"at"}),
    "peers": frozenset({"at"}),
    "explain": frozenset({"at", "ip", "name", "namespace", "node", "peer", "prefix", "service"}),
    "diff": frozenset({"a", "b"}),
    "doctor": frozenset(),
    "export": frozenset({"redact", "since"}),
    "readers": frozenset(),
    "archive": frozenset(),
    "segment": frozenset({"name"}),
    "timeline": frozenset({"follow", "ip", "limit", "peer", "service", "since", "until"}),
    "events": frozenset({"after", "aggregate", "follow", "limit", "type"}),
    "drain": frozenset(),
    "approve": frozenset(),
    "forget": frozenset(),
}
"""What may stand in the query of each route under /v1; anything else is refused, and never quietly left out."""

ACTIONS = frozenset({"drain", "approve", "forget"})
"""Those that are POSTs."""

REFUSALS: Mapping[type[Exception], int] = {
    BadQuestion: 400,
    NotThere: 404,
    explain_question.Unknown: 404,
    explain_question.Ambiguous: 300,
    actions.NotKnown: 404,
    UnknownSegment: 404,
    actions.NotPossible: 409,
}

TOLD_HEADERS = ("WWW-Authenticate", RETRY_AFTER)
"""What a refusal says beside its sentence."""

_log = structlog.get_logger(__name__)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The routes over one controller's view and the journal that it reads."""

    def __init__(self, settings: Settings, view: View, streams: Streams, access: Access | None = None) -> None:
        self._settings = settings
        self._access = access
        self._view = view
        self._streams = streams
        self._journal = streams.journal()
        self._segments = SegmentsServed(settings.archive_directory)
        self._looking_back = Turns()
        self._followers = 0

    def application(self) -> web.Application:
        """The aiohttp application; limits and errors are the same for every route."""
        app = web.Application(middlewares=[_errors_as_json, guard(self._access)], client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)
        for name in sorted(PARAMETERS.keys() - ACTIONS):
            app.router.add_get(f"/v1/{name}", _understood(name, self._answered(name)))
        for name in sorted(ACTIONS):
            app.router.add_post(f"/v1/{name}", _understood(name, getattr(self, name)))
        return app

    def _answered(self, name: str) -> Answer:
        """The answer from the folds as they stand; with `at=`, from the journal as it stood."""
        present: Answer = getattr(self, name)

        async def answered(request: web.Request) -> web.StreamResponse:
            if not request.query.get("at"):
                return await present(request)
            async with self._looking_back:
                return _json(await direct.answer(self._streams, self._settings.cluster, name, request.query))

        return answered

    async def livez(self, _request: web.Request) -> web.StreamResponse:
        """The process answers."""
        return _json({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.StreamResponse:
        """200 while every part is ok; with `sessions=all` every session must be Established too."""
        sessions = request.query.get("sessions", "")
        if sessions not in ("", "all"):
            raise _bad_request(f"sessions={sessions!r} is unknown; the one value is all")
        answer = route_answers.readiness(self._view.parts(), self._view.read_model(), all_sessions=sessions == "all")
        return _json(answer, 200 if answer["ready"] else 503)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The metrics in Prometheus' text format, or in OpenMetrics where the request accepts that."""
        view, end = self._view, await self._journal_end()
        told = view.kept.archiver.standing if view.kept is not None else None
        kept = metrics.KeptSizes(*end[1:], self._settings.journal_max_bytes, told)
        about = metrics.Self(view.leading, view.parts(), view.untold(), end[0], time.time_ns() // 1_000_000, kept)
        measured = metrics.measured(self._view.read_model(), about)
        body, content_type = expose(measured, request.headers.get("Accept", ""), self._view.instruments)
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def _journal_end(self) -> tuple[int | None, int]:
        """The position of the journal's end, and its size in bytes; None and 0 where its server does not say."""
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head, size = await self._journal.head(), await self._journal.size_bytes()
        except (JournalError, TimeoutError):
            return None, 0
        return (0 if head is None else head.position), size

    async def status(self, _request: web.Request) -> web.StreamResponse:
        """The whole in one page."""
        return _json(answers.status(self._view.read_model(), self._settings.cluster, self._view.head))

    async def routes(self, request: web.Request) -> web.StreamResponse:
        """Every route, by `peer=`, `prefix=` and `speaker=`."""
        return _json(route_answers.routes(self._view.read_model(), route_answers.RouteFilter.from_query(request.query)))

    async def pools(self, _request: web.Request) -> web.StreamResponse:
        """Every pool with what is used of it."""
        return _json(answers.pools(self._view.read_model()))

    async def services(self, _request: web.Request) -> web.StreamResponse:
        """Every Service of ours with its allocations, or the reason why it has none."""
        return _json(answers.services(self._view.read_model()))

    async def peers(self, _request: web.Request) -> web.StreamResponse:
        """Every session of every peer."""
        return _json(route_answers.peers(self._view.read_model()))

    async def readers(self, _request: web.Request) -> web.StreamResponse:
        """Who follows the journal, and which events are held back for whom."""
        return _json(reader_answers.readers(self._view.read_model(), self._view.readers))

    async def explain(self, request: web.Request) -> web.StreamResponse:
        """Why what `service=`, `ip=`, `prefix=`, `node=`, `peer=`, or the bare `name=` names is as it is."""
        asked = explain_question.Question.from_query(request.query)
        async with self._looking_back:
            return _json(await explain.explain_live(self._view.read_model, self._journal, asked))

    async def doctor(self, _request: web.Request) -> web.StreamResponse:
        """What is wrong, where, and the mend."""
        return _json(await of_controller(self._view, self._streams, self._settings.cluster))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The journal's newest events, or those behind `after=`; with `follow=1` one per line, as they come."""
        wanted = EventFilter.from_query(request.query)
        if not EventFilter.follows(request.query):
            return _json({"events": [event async for event in read_events(self._journal, wanted)]})
        return await self._followed(request, read_events(self._journal, wanted, follow=True))

    async def timeline(self, request: web.Request) -> web.StreamResponse:
        """One history of all streams, between moments and about a subject; with `follow=1` what comes, one per line."""
        question = timeline.TimelineQuestion.from_query(request.query)
        if EventFilter.follows(request.query):
            await timeline.check_followed(self._streams, question, events_max=STRETCH_EVENTS_MAX)
            return await self._followed(request, timeline.follow(self._streams, question))
        async with self._looking_back:
            return _json(await timeline.timeline(self._streams, question, events_max=STRETCH_EVENTS_MAX))

    async def diff(self, request: web.Request) -> web.StreamResponse:
        """What changed from `a=` to `b=`."""
        async with self._looking_back:
            return _json(await diff.diff(self._streams, request.query, events_max=STRETCH_EVENTS_MAX))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The history as the file of `porter export`, from the newest baseline before `since=`; see there."""
        redact = request.query.get("redact", "0")
        if redact not in {"0", "1"}:
            raise _bad_request(f"redact={redact!r} is neither 0 nor 1")
        since = Moment.from_query(request.query, "since")
        streams = self._streams
        if since is None and isinstance(streams, ArchivedStreams):
            # Who wants all reads what is archived a segment at a time.
            streams = streams.inner
        async with self._looking_back:
            _, content = await export_bytes(
                streams,
                self._settings.cluster,
                since,
                redact=redact == "1",
                max_bytes=REDACTED_BYTES_MAX if redact == "1" else EXPORT_BYTES_MAX,
            )
        headers = {"Content-Type": BINARY, "Cache-Control": "no-store"}
        return web.Response(body=content, headers=headers)

    async def archive(self, _request: web.Request) -> web.StreamResponse:
        """The sealed segments of this controller's archive."""
        async with self._looking_back:
            return _json({"segments": await self._segments.listing()})

    async def segment(self, request: web.Request) -> web.StreamResponse:
        """One segment of the archive, `name=`, byte by byte."""
        path = await self._segments.path(request.query.get("name", ""))
        return web.FileResponse(path, headers={"Content-Type": BINARY, "Cache-Control": "no-store"})

    async def _followed(self, request: web.Request, items: AsyncIterator[Json]) -> web.StreamResponse:
        if self._followers >= FOLLOWERS_MAX:
            raise busy(f"{FOLLOWERS_MAX} clients follow already")
        self._followers += 1
        try:
            return await self._follow(request, items)
        finally:
            self._followers -= 1

    async def _follow(self, request: web.Request, items: AsyncIterator[Json]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for item in items:
                await response.write(json.dumps(item).encode() + b"\n")
        return response

    async def drain(self, request: web.Request) -> web.StreamResponse:
        """Take a speaker, a node or a Service out of service, or end that; see `porter.app.http.actions.drain`."""
        return await self._act(request, actions.drain)

    async def approve(self, request: web.Request) -> web.StreamResponse:
        """Let what is held be withdrawn: `{"hold": .., "why": ..}`."""
        return await self._act(request, actions.approval)

    async def forget(self, request: web.Request) -> web.StreamResponse:
        """Count a reader of the journal as gone for good: `{"reader": "speaker/one"}`. Nothing is journaled by it."""
        name = (await _json_body(request)).get("reader", "")
        reading = self._view.readers
        if reading is None or not isinstance(name, str) or not await reading.readers.forget(name):
            known = [] if reading is None else list(reading.readers.live())
            raise actions.NotKnown(route_answers.not_known("reader", str(name), known))
        _log.warning("a reader is forgotten", reader=name, by=request[USER])
        return _json({"reader": name})

    async def _act(
        self, request: web.Request, read: Callable[[Mapping[str, Any], str, ReadModel], OperatorAction]
    ) -> web.StreamResponse:
        """Have the leader journal an action upon something that is known; answer its position."""
        body = await _json_body(request)
        action = read(body, request[USER], self._view.read_model())
        if self._view.act is None:
            leader = self._view.leader() or "another process"
            raise web.HTTPConflict(text=f"this controller does not lead; ask the leader, {leader}")
        try:
            return _json(actions.answer(action, await self._view.act(action)))
        except (JournalError, OverflowError) as error:
            raise web.HTTPServiceUnavailable(
                text=f"the leader changed or the journal is away; ask again ({error})"
            ) from error


async def serve(settings: Settings, view: View, streams: Streams, access: Access | None = None) -> None:
    """Answer HTTP until cancelled.

    Raises:
        InvalidSettings: `--http` does not parse, is taken, or is open to other machines outside of a cluster.
    """
    check_http(settings)
    host, port = settings.http_address()
    runner = web.AppRunner(
        Api(settings, view, streams, access).application(), access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise InvalidSettings(
                f"--http {settings.http} cannot be bound ({error.strerror or error}); "
                "another controller may run here: give each its own address"
            ) from error
        bound = _address_text(*runner.addresses[0][:2])
        _write_address(settings.directory / ADDRESS_FILE, bound)
        _log.info("answering HTTP", address=bound)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _errors_as_json(request: web.Request, handler: Answer) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = _json({"message": error.text or error.reason}, error.status)
        response.headers.update({name: error.headers[name] for name in TOLD_HEADERS if name in error.headers})
        return response
    except (BadQuestion, actions.NotKnown, actions.NotPossible) as error:
        return _json({"message": str(error)}, REFUSALS[type(error)])
    except JournalUnavailable as error:
        return _json({"message": f"the journal is unavailable: {error}"}, 503)
    except JournalError as error:
        return _json({"message": f"the journal cannot be read: {error}"}, 500)


def _understood(name: str, handler: Answer) -> Answer:
    """Refuse a query with a parameter that this route does not take, or that stands there twice."""
    taken = PARAMETERS[name]
    takes = f"takes {', '.join(sorted(taken))}" if taken else "takes none"

    async def asked(request: web.Request) -> web.StreamResponse:
        for parameter in request.query:
            if parameter not in taken:
                raise _bad_request(f"the parameter {parameter!r} is not understood; /v1/{name} {takes}")
            if len(request.query.getall(parameter)) > 1:
                raise _bad_request(f"the parameter {parameter!r} is given more than once")
        return await handler(request)

    return asked


def _json(answer: object, status: int = 200) -> web.Response:
    return web.json_response(answer, status=status, headers={"Cache-Control": "no-store"})


def _bad_request(message: str) -> BadQuestion:
    return BadQuestion(message)


async def _json_body(request: web.Request) -> Mapping[str, Any]:
    # A page in a browser can post forms to any address without asking, but not this type.
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send the action as application/json")
    try:
        body = await request.json()
    except ValueError as error:
        raise _bad_request(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise _bad_request('the body is no JSON object; send one like {"speaker": "a", "why": "maintenance"}')
    return body


def _address_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _write_address(path: Path, address: str) -> None:
    write_atomically(path, f"{address}\n".encode(), durable=False)
