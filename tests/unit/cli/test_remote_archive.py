"""A controller that knows its clients by tokens: its archive is asked with the same one as itself."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from porter.app.answers.verify import verify
from porter.app.incident.direct import with_streams
from porter.cli.asking import history_of, place_of
from porter.cli.groups import Where
from porter.ports import JournalUnavailable
from tests.unit.app.scripted_incident import exported, incident


@pytest.fixture
def controller(tmp_path, monkeypatch):
    """The address of one that hands out an incident, and no segments, to whoever has the token."""

    async def made():
        return await exported(await incident())

    content = {"/v1/export": asyncio.run(made()), "/v1/archive": json.dumps({"segments": []}).encode()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            admitted = self.headers.get("Authorization") == "Bearer good"
            self.send_response(200 if admitted else 401)
            self.end_headers()
            self.wfile.write(content[self.path] if admitted else b"{}")

        def log_message(self, *_args):
            pass

    (tmp_path / "token").write_text("good\n")
    monkeypatch.setenv("PORTER_TOKEN_FILE", str(tmp_path / "token"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_history_of_a_controller_is_read_with_the_token(controller):
    answer = with_streams(history_of({}, Where(server=controller)), lambda streams, _: verify(streams))
    assert answer["problems"] == []


def test_an_archive_that_is_named_is_read_with_the_token(controller, monkeypatch):
    place = place_of(Where(archive=f"http://{controller}"))
    assert with_streams(place, lambda streams, _: streams.journal().head()) is None
    monkeypatch.delenv("PORTER_TOKEN_FILE")
    with pytest.raises(JournalUnavailable, match="401"):
        with_streams(place_of(Where(archive=f"http://{controller}")), lambda streams, _: streams.journal().head())
