"""How a command asks a controller: one address of a name for the whole command, and no more than it needs."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from porter.app.incident.direct import with_streams
from porter.cli.asking import ask, history_of, place_of, present_of
from porter.cli.client import pinned
from porter.cli.exits import Unreachable
from porter.cli.groups import Where
from tests.unit.app.scripted_incident import exported, incident

NAME = "porter-controller.example"


class Handler(BaseHTTPRequestHandler):
    """One controller of several; each says who it is, and all hand out one history."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        place = self.server.server_address[0]
        bodies = {
            "/v1/status": json.dumps({"controller": place}).encode(),
            "/v1/events": json.dumps({"events": [{"position": 21}]}).encode(),
            "/v1/export": self.server.history,
            "/v1/archive": b'{"segments": []}',
        }
        body = bodies[self.path.partition("?")[0]]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def controllers(monkeypatch):
    """Two controllers behind one name, whose addresses come in another order each time, as a DNS server gives them."""

    async def made() -> bytes:
        return await exported(await incident())

    with ExitStack() as stack:
        first = stack.enter_context(ThreadingHTTPServer(("127.0.0.2", 0), Handler))
        second = stack.enter_context(ThreadingHTTPServer(("127.0.0.3", first.server_port), Handler))
        history = asyncio.run(made())
        for server in (first, second):
            server.asked, server.history = [], history
            answering = threading.Thread(target=server.serve_forever, args=(0.02,))
            answering.start()
            stack.callback(answering.join)
            stack.callback(server.shutdown)
        order, resolve = itertools.cycle((first, second)), socket.getaddrinfo

        def resolved(host, port, *arguments, **named):
            if host != NAME:
                return resolve(host, port, *arguments, **named)
            one = next(order)
            other = second if one is first else first
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (server.server_address[0], port)) for server in (one, other)
            ]

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        pinned.cache_clear()
        yield first, second
        pinned.cache_clear()


def stopped(*servers) -> None:
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_name_with_several_addresses_is_asked_at_one_of_them_throughout(controllers):
    first, second = controllers
    where = Where(server=f"{NAME}:{first.server_port}")
    answers = [ask("status", {}, where)["controller"] for _ in range(5)]
    with_streams(history_of({}, where), lambda streams, _: streams.journal().run())
    archive = place_of(Where(archive=f"http://{NAME}:{first.server_port}/")).archive
    assert len(set(answers)) == 1
    assert archive == f"http://{answers[0]}:{first.server_port}"
    (asked,) = (one.asked for one in (first, second) if one.asked)
    assert [path for path, _ in asked] == ["/v1/status"] * 5 + ["/v1/export", "/v1/archive"]
    # A proxy in between still sees whom the person named.
    assert {host for path, host in asked if path != "/v1/archive"} == {where.server}


def test_of_several_addresses_one_that_answers_is_asked(controllers):
    first, second = controllers
    stopped(first)
    answer = ask("status", {}, Where(server=f"{NAME}:{second.server_port}"))
    assert answer["controller"] == second.server_address[0]


def test_who_does_not_answer_is_told_by_name_and_address(controllers):
    first, second = controllers
    stopped(first, second)
    with pytest.raises(Unreachable, match=rf"answers at {NAME}:\d+ \(127\.0\.0\.[23]:\d+\)"):
        ask("status", {}, Where(server=f"{NAME}:{first.server_port}"))


def test_a_plan_upon_the_present_fetches_the_newest_baseline_and_what_lies_behind_it(controllers):
    first, second = controllers
    place = present_of(Where(server=f"{NAME}:{first.server_port}"))
    assert place.content == first.history
    (asked,) = (one.asked for one in (first, second) if one.asked)
    assert [path for path, _ in asked] == ["/v1/events?limit=1", "/v1/export?since=21"]
