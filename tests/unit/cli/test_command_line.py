"""What a person meets: help, wrong usage, exit codes, and programs that load only what they run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

SOURCE = Path(__file__).resolve().parents[3]
NOWHERE = "unix:///nowhere/journal.sock"
CONTROLLER = ("controller", "--manifests", "/tmp", "--redis-url", NOWHERE)


def porter(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "porter", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=SOURCE,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
    )


def modules_after(program: str) -> set[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=SOURCE,
    )
    return set(json.loads(printed.stdout.splitlines()[-1]))


def test_help_names_every_command_and_loads_no_heavy_library():
    helped = porter("--help")
    assert helped.returncode == 0
    for command in (
        "up",
        "controller",
        "speaker",
        "exabgp",
        "demo",
        "crds",
        "drain",
        "migrate",
        "status",
        "routes",
        "journal",
        "explain",
        "pools",
        "services",
        "peers",
        "timeline",
        "diff",
        "export",
        "import",
        "verify",
        "plan",
        "replay",
        "bisect",
        "doctor",
        "collect",
    ):
        assert f"\n  {command} " in helped.stdout
    loaded = modules_after("import porter.cli.main")
    assert not loaded & {"kubernetes", "redis", "aiohttp", "asyncio", "structlog", "rich"}


def test_the_speaker_loads_no_kubernetes_client_and_no_web_server():
    loaded = modules_after(
        "import porter.cli.main, porter.app.process, porter.telemetry.logs, porter.app.speaker.speaker"
    )
    assert not loaded & {"kubernetes", "aiohttp"}


def test_the_supervisor_loads_no_vendor_library():
    loaded = modules_after("import porter.cli.main, porter.app.up.parts")
    assert not loaded & {"kubernetes", "redis", "aiohttp", "structlog", "rich"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("up",), "--kubeconfig FILE and --manifests DIR"),
        (("up", "--manifests", "/nowhere"), "--manifests /nowhere is no folder"),
        (("up", "--kubeconfig", "/nowhere"), "--kubeconfig /nowhere is no file"),
        (("up", "--manifests", "/tmp", "--http", "9179"), "--http '9179' is no HOST:PORT"),
        (("speaker",), "--redis-url is missing"),
        (("controller", "--manifests", "/tmp"), "--redis-url is missing"),
        (("up", "--manifests", "/tmp", "--http", "0.0.0.0:0"), "bind a loopback address"),
        ((*CONTROLLER, "--http", "0.0.0.0:0"), "bind a loopback address"),
        (("up", "--manifests", "/tmp", "--local-address", "bogus"), "--local-address: 'bogus'"),
        ((*CONTROLLER, "--local-address", "bogus"), "--local-address: 'bogus'"),
        (("speaker", "--redis-url", NOWHERE, "--local-address", "bogus"), "--local-address: 'bogus'"),
        (("status", "--server", "https://127.0.0.1:1"), "--server https://127.0.0.1:1 is no HOST:PORT"),
        (("status", "--server", "127.0.0.1:1/v1"), "--server 127.0.0.1:1/v1 is no HOST:PORT"),
        (("demo", "--router", "cisco"), "choose bird, gobgp or exabgp"),
        (("routes", "-o", "xml"), "xml"),
        (("drain", "speaker"), "NAME"),
        (("drain", "node", "n1", "--delay", "ten"), "--delay 'ten' is no duration"),
        (("drain", "speaker", "s1", "--delay", "ten"), "--delay 'ten' is no duration"),
        (("approve", "everything"), "'everything' is no hold"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_option(arguments, told):
    ended = porter(*arguments)
    assert ended.returncode == 2, ended
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["status", "routes", "explain web", "doctor", "journal tail", "drain speaker a"])
def test_a_controller_that_does_not_answer_ends_with_3_and_the_mend(command):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        ended = porter(*command.split(), "--server", address)
    assert ended.returncode == 3, ended
    assert address in ended.stderr
    assert "--server" in ended.stderr


@pytest.mark.parametrize("command", ["status", "journal tail", "drain speaker a"])
def test_an_address_that_is_none_ends_with_3_and_the_mend(command):
    ended = porter(*command.split(), "--server", "foo:bar")
    assert ended.returncode == 3, ended
    assert "foo:bar" in ended.stderr
    assert "Traceback" not in ended.stderr


class Stranger(BaseHTTPRequestHandler):
    """A server that is no controller."""

    def do_GET(self) -> None:
        body = self.server.body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + self.server.missing))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def stranger():
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        server.body, server.missing = b"<html>Welcome</html>", 0
        answering = threading.Thread(target=server.serve_forever, args=(0.02,))
        answering.start()
        yield server
        server.shutdown()
        answering.join()


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b"\xff"])
@pytest.mark.parametrize("command", ["status", "journal tail", "journal tail --follow", "drain speaker a"])
def test_a_server_that_is_no_controller_ends_with_3_and_the_mend(command, body, stranger):
    stranger.body = body
    address = f"127.0.0.1:{stranger.server_port}"
    ended = porter(*command.split(), "--server", address)
    assert ended.returncode == 3, ended
    assert f"what answers at {address} is no Porter controller" in ended.stderr
    assert "--server" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_answer_that_breaks_off_ends_with_3(stranger):
    stranger.missing = 10
    ended = porter("status", "--server", f"127.0.0.1:{stranger.server_port}")
    assert ended.returncode == 3, ended
    assert "Traceback" not in ended.stderr


def test_a_server_may_be_named_by_its_url(stranger):
    position = {"position": 7, "speaker": "a", "drained": True}
    stranger.body = json.dumps(position).encode()
    ended = porter("drain", "speaker", "a", "--server", f"http://127.0.0.1:{stranger.server_port}/")
    assert ended.returncode == 0, ended
    assert "#7" in ended.stdout


@pytest.mark.parametrize("command", ["status", "routes", "explain 192.0.2.1", "journal tail"])
def test_a_journal_that_does_not_answer_ends_with_3(command, tmp_path):
    ended = porter(*command.split(), PORTER_REDIS_URL=f"unix://{tmp_path}/no.sock")
    assert ended.returncode == 3, ended
    assert "Traceback" not in ended.stderr


def test_the_crds_are_printed_as_one_stream():
    printed = porter("crds")
    assert printed.returncode == 0
    names = {document["metadata"]["name"] for document in yaml.safe_load_all(printed.stdout)}
    assert {f"{kind}.network.kubesphere.io" for kind in ("eips", "bgpconfs", "bgppeers")} <= names


def test_the_version_is_that_of_the_package():
    import porter as package

    assert porter("version").stdout == f"porter {package.__version__}\n"


def test_a_clusters_name_that_no_key_can_have_is_wrong_usage():
    ended = porter("status", "--cluster", "a b", "--redis-url", NOWHERE)
    assert ended.returncode == 2
    assert "no name of a cluster" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_a_moment_before_all_time_is_told_in_a_sentence():
    ended = porter("status", "--at", "0001-01-01T00:00:00+14:00", "--redis-url", NOWHERE)
    assert ended.returncode == 2
    assert "is no moment" in ended.stderr
