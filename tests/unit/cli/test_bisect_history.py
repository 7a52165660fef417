"""`porter bisect` at a controller fetches the history from its --since on, and answers as if it had fetched all."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

from porter.app.history.moments import Moment
from porter.app.history.reading import EventFilter, read_events
from porter.app.incident.export import export_bytes
from porter.cli import main
from tests.unit.app.scripted_incident import exported, incident

pytest.importorskip("celpy", reason="no cel-python: install the extra porter[bisect]")


class Controller:
    """One that hands out the scripted incident by the functions of a real one, and remembers what was asked."""

    def __init__(self, it) -> None:
        self.streams = it.streams
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.bytes = 0

    def answer(self, path: str, query: dict[str, str]) -> bytes:
        self.asked.append((path, query))
        content = asyncio.run(self._answer(path, query))
        self.bytes += len(content)
        return content

    async def _answer(self, path: str, query: dict[str, str]) -> bytes:
        if path == "/v1/export":
            return (await export_bytes(self.streams, "porter", Moment.from_query(query, "since")))[1]
        if path == "/v1/events":
            wanted = EventFilter.from_query(query)
            return json.dumps({"events": [one async for one in read_events(self.streams.journal(), wanted)]}).encode()
        assert path == "/v1/archive"
        return b'{"segments": []}'


@pytest.fixture
def controller():
    made = Controller(asyncio.run(incident()))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            content = made.answer(parts.path, dict(parse_qsl(parts.query)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        made.place = ("--server", f"127.0.0.1:{server.server_port}")
        yield made
        server.shutdown()


@pytest.fixture
def bisects(monkeypatch, capsys):
    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["porter", "bisect", "-o", "json", *arguments])
        with pytest.raises(SystemExit):
            main.main()
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("since", ["20", "1970-01-01T12:00:09Z"])
def test_only_what_lies_behind_its_begin_is_fetched(controller, bisects, tmp_path, since):
    asked = ("--assert", "size(services) < 2", "--since", since)
    told = bisects(*asked, *controller.place)
    path, query = controller.asked[0]
    assert (path, query["since"].startswith(since.removesuffix("Z"))) == ("/v1/export", True)
    file = tmp_path / "whole.porter-export"
    whole = asyncio.run(exported(asyncio.run(incident())))
    file.write_bytes(whole)
    assert told == bisects(*asked, "--from", str(file))
    assert told["position"] == 21
    assert controller.bytes < len(whole)


def test_causes_that_lie_before_it_are_told_too(controller, bisects):
    asked = ("--assert", "size(routes) >= 2", "--since", "14", "--until", "15")
    told = bisects(*asked, *controller.place)
    assert (told["position"], [one["position"] for one in told["causes"]][:1]) == (15, [14])


def test_without_a_begin_all_of_it_is_looked_through(controller, bisects):
    told = bisects("--assert", "size(services) < 2", *controller.place)
    assert told["first"] == 1
    assert controller.asked[0] == ("/v1/export", {})
