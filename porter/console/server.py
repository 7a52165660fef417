"""The console's HTTP side: files of the page, answers, and live news. It reads, and has nothing that writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from aiohttp import web

from porter.app.explain.question import Unknown
from porter.app.history.reading import BadQuestion
from porter.app.settings import InvalidSettings
from porter.console.live import Live
from porter.console.questions import QUESTIONS
from porter.console.reader import Busy, Reader, TooLong
from porter.console.settings import ConsoleSettings, host_and_port
from porter.ports import JournalError, JournalUnavailable
from porter.projections.fold import OutOfOrder, UnknownEvent

STATIC = Path(__file__).parent / "static"
PAGES = ("/", "/services", "/rib", "/timeline", "/journal", "/compare")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SHUTDOWN_S = 1.0
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

# Everything comes from here, nothing is inline, and no text can become markup or code: names are other people's input.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

TOLD: tuple[tuple[type[Exception], int, str], ...] = (
    (Unknown, 404, "{}"),
    (BadQuestion, 400, "{}"),
    (JournalUnavailable, 503, "the journal is unavailable: {}"),
    (JournalError, 500, "the journal cannot be read: {}"),
    (UnknownEvent, 500, "the journal cannot be folded: {}; is this console older than the controllers?"),
    (OutOfOrder, 500, "the journal cannot be folded: {}; `porter verify` tells where it is damaged"),
    (Busy, 503, "{}"),
    (TooLong, 504, "{}"),
)
"""What an answer can end with that is told in a sentence; the first that fits counts."""

_log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Console:
    """The routes over one reader."""

    def __init__(self, settings: ConsoleSettings, reader: Reader, live: Live) -> None:
        self._settings = settings
        self._reader = reader
        self._live = live
        self._files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._guarded, _errors_as_json], client_max_size=0)
        app.on_response_prepare.append(_with_headers)
        app.router.add_get("/livez", livez)
        app.router.add_get("/api/live", self.live)
        app.router.add_get("/api/{name}", self.answer)
        app.router.add_get("/static/{name}", self.file)
        for path in PAGES:
            app.router.add_get(path, self.page)
        return app

    async def page(self, _request: web.Request) -> web.StreamResponse:
        """The one page; what it shows stands in its address."""
        return _file("index.html", self._files["index.html"])

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file of the page, by name."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound(text=f"there is no file {name}")
        return _file(name, self._files[name])

    async def live(self, request: web.Request) -> web.StreamResponse:
        """News of the present, as server-sent events."""
        return await self._live.serve(request, self._reader.told)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        name, query = request.match_info["name"], request.query
        if name not in QUESTIONS:
            raise web.HTTPNotFound(text=f"there is no question {name!r}; known: {', '.join(sorted(QUESTIONS))}")
        if len(set(query)) != len(query):
            raise BadQuestion("a parameter is given more than once")
        body = await self._reader.answer(name, {key: value for key, value in query.items() if value})
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what a foreign page in this browser asks.

        A name of its own that resolves to a loopback address would make it the same origin (DNS rebinding), so that
        the name that was asked for has to be one of this machine's.
        """
        if not self._settings.behind_proxy and _hostname(request.host) not in LOOPBACK_HOSTS:
            return _refused(
                f"the console is asked for as {request.host!r}; use http://localhost:PORT (see --behind-proxy)", 403
            )
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.path.startswith("/api/"):
            return _refused("another site's page asks; open the console itself", 403)
        return await handler(request)


async def livez(_request: web.Request) -> web.StreamResponse:
    """The process answers."""
    return web.json_response({"status": "ok"})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refused(error.text or error.reason, error.status)
    except tuple(kind for kind, _, _ in TOLD) as error:
        status, text = next((status, text) for kind, status, text in TOLD if isinstance(error, kind))
        return _refused(text.format(error), status)


async def _with_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _refused(message: str, status: int) -> web.Response:
    return web.json_response({"message": message}, status=status, headers={"Cache-Control": "no-store"})


def _file(name: str, content: bytes) -> web.Response:
    kind = TYPES[Path(name).suffix]
    headers = {"Cache-Control": "no-cache"}
    return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)


def _hostname(host: str) -> str:
    """The host of a `Host` header, without its port."""
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0].lower()


async def run_console(settings: ConsoleSettings, say: Callable[[str], None]) -> None:
    """Serve until cancelled; `say` is told the address once it is bound.

    Raises:
        InvalidSettings: the settings contradict themselves, or an address cannot be bound.
        JournalError: the file is none, or is damaged.
    """
    settings.check()
    live = Live()
    reader = Reader(settings, live.changed)
    await reader.start()
    runners = [web.AppRunner(Console(settings, reader, live).application(), **_QUIET)]  # type: ignore[arg-type]
    addresses = [("--listen", settings.listen)]
    if settings.health:
        runners.append(web.AppRunner(_health(), **_QUIET))  # type: ignore[arg-type]
        addresses.append(("--health", settings.health))
    try:
        for runner, (option, address) in zip(runners, addresses, strict=True):
            await runner.setup()
            await _bind(runner, option, address)
        host, port = runners[0].addresses[0][:2]
        say(f"http://{'localhost' if host in ('127.0.0.1', '::1') else host}:{port}/")
        await asyncio.Event().wait()
    finally:
        for runner in runners:
            await runner.cleanup()
        await reader.close()


_QUIET = {"access_log": None, "shutdown_timeout": SHUTDOWN_S, "handler_cancellation": True}


def _health() -> web.Application:
    app = web.Application()
    app.router.add_get("/livez", livez)
    return app


async def _bind(runner: web.AppRunner, option: str, address: str) -> None:
    host, port = host_and_port(address, option)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise InvalidSettings(f"{option} {address} cannot be bound ({error.strerror or error})") from error
    _log.info("answering HTTP", address=address, option=option)
