"""What a command ends with: 1 for what is not there, 2 for what is not understood, 3 for who does not answer."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from porter.cli import main
from porter.journal.export import ExportJournals
from porter.model.reasons import Problem
from tests.unit.app.scripted_incident import exported, incident
from tests.unit.projections.story import pool

SOURCE = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    async def made() -> bytes:
        return await exported(await incident())

    path = tmp_path_factory.mktemp("exit-codes") / "incident.porter-export"
    path.write_bytes(asyncio.run(made()))
    return path


@pytest.fixture
def ends(monkeypatch, capsys):
    """Runs a command line; the code that it ends with, and what it says of it."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["porter", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("routes", 0, ""),
        ("routes --speaker nosuch", 1, "no speaker 'nosuch' is known"),
        ("routes --peer nosuch", 1, "no BgpPeer 'nosuch' is known"),
        ("routes --prefix web", 2, "prefix=web"),
        ("routes --at 999", 2, "at=#999 lies behind the head, #"),
        ("routes --at noon", 2, "is no moment"),
        ("routes --at=-999999d", 2, "--at"),
        ("timeline --since=-99999999999d", 2, "--since"),
        ("timeline --since 22 --until 15", 2, "write the earlier moment first"),
        ("replay --since 20 --to 10", 2, "write the earlier moment first"),
        ("status --at=", 2, "it is empty"),
        ("journal cat -o json", 0, ""),
        ("journal cat -o yaml", 2, "JSON lines only"),
        ("timeline --peer tor-a", 0, ""),
        ("timeline --peer nosuch", 1, "no BgpPeer 'nosuch' is known; known: tor-a"),
        ("timeline --peer nosuch -o json", 1, "no BgpPeer 'nosuch' is known"),
        ("timeline --service shop/web --since 20", 0, ""),
        ("timeline --service shop/nosuch", 1, "no Service shop/nosuch"),
        ("timeline --service web", 2, "NAMESPACE/NAME"),
        ("timeline --ip web", 2, "ip=web"),
        ("explain nosuch", 1, "no node nosuch"),
        ("explain a/b/c", 2, "NAMESPACE/NAME"),
        ("diff 9 4", 2, "behind b"),
        ("diff 4 999", 2, "b=#999 lies behind the head, #"),
        ("journal show 999", 1, "does not hold #999"),
        ("plan --node-down nosuch", 1, "no Node of that name"),
        ("plan --peer-down nosuch", 1, "no BgpPeer of that name"),
        ("plan --delete eip/nosuch", 1, "nothing of that name"),
        ("plan --delete web", 2, "names no object"),
        ("bisect --assert 1+", 2, "no expression of CEL"),
        ("verify", 0, ""),
    ],
)
def test_every_command_tells_what_is_not_there_from_what_is_not_understood(ends, file, command, code, told):
    ended = ends(*command.split(), "--from", file)
    assert (ended[0], told in ended[1]) == (code, True), ended


class Refusing(BaseHTTPRequestHandler):
    """A controller that refuses everything with the status in the question's path."""

    def do_GET(self) -> None:
        body = b'{"message": "refused as told"}'
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def refusing():
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        answering = threading.Thread(target=server.serve_forever, args=(0.02,))
        answering.start()
        yield server
        server.shutdown()
        answering.join()


@pytest.mark.parametrize(("status", "code"), [(400, 2), (300, 2), (401, 1), (403, 1), (404, 1), (500, 3), (503, 3)])
def test_a_controllers_refusal_ends_as_the_same_one_of_the_journal(ends, refusing, status, code):
    refusing.status = status
    for command in ("status", "timeline", "journal cat"):
        ended = ends(*command.split(), "--server", f"127.0.0.1:{refusing.server_port}")
        assert (ended[0], "refused as told" in ended[1]) == (code, True), ended


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("status --archive /nowhere/archive", 2, "--archive /nowhere/archive is no folder"),
        ("verify --archive {empty}", 1, "holds no archive"),
        ("verify --archive {empty} --from {file}", 1, "holds no archive"),
        ("status --archive {empty}", 3, "the archive at --archive {empty} cannot be read: there is no journal there"),
        ("status --archive http://127.0.0.1:1", 3, "the archive at --archive http://127.0.0.1:1 cannot be read"),
    ],
)
def test_an_archive_that_is_none_is_named(ends, file, tmp_path, command, code, told):
    names = {"empty": tmp_path, "file": file}
    ended = ends(*command.format(**names).split())
    assert (ended[0], told.format(**names) in ended[1], "redis" in ended[1]) == (code, True, False), ended


def started(*arguments: object, **streams: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "porter", *map(str, arguments)],
        cwd=SOURCE,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        stdout=streams.get("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("command", ["timeline", "journal cat", "export -o -"])
def test_a_closed_pipe_ends_it_silently(file, command):
    reading, writing = os.pipe()
    os.close(reading)
    ended = started(*command.split(), "--from", file, stdout=writing)
    os.close(writing)
    _, said = ended.communicate(timeout=60)
    assert (ended.returncode, said) == (141, b"")


def test_ctrl_c_ends_with_130_and_without_a_word(file):
    # It waits for Enter after each event.
    stepping = subprocess.Popen(
        [sys.executable, "-m", "porter", "replay", "--step", "--from", str(file)],
        cwd=SOURCE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert stepping.stdout is not None
    assert stepping.stdout.readline()
    stepping.send_signal(signal.SIGINT)
    _, said = stepping.communicate(timeout=60)
    assert (stepping.returncode, said) == (130, b"")


@pytest.fixture(scope="module")
def broken_pool(tmp_path_factory):
    async def made() -> bytes:
        it = await incident()
        problem = Problem("PoolInvalid", "spec.address", "'999.1.1.1/28' is no address")
        await it.says(pool("public", "192.0.2.0-192.0.2.0", problems=(problem,)))
        return await exported(it)

    path = tmp_path_factory.mktemp("broken-pool") / "incident.porter-export"
    path.write_bytes(asyncio.run(made()))
    return path


def test_a_pool_that_cannot_be_used_is_a_finding_of_status_and_pools_and_a_line_of_diff(
    monkeypatch, capsys, broken_pool
):
    for command in ("status", "pools"):
        monkeypatch.setattr(sys, "argv", ["porter", command, "--from", str(broken_pool)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        told = capsys.readouterr()
        assert (ended.value.code, "0 (cannot be used)" in told.out) == (1, True)
        assert "Eip public cannot be used: spec.address: '999.1.1.1/28'" in told.err
    head = int(asyncio.run(ExportJournals(broken_pool).journal().head()).position)
    monkeypatch.setattr(sys, "argv", ["porter", "diff", str(head - 2), "--from", str(broken_pool)])
    with pytest.raises(SystemExit):
        main.main()
    assert "usable, default → broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    ["status --at", "explain shop/web --at", "timeline --since", "diff", "diff 4", "export -o /dev/null --since"],
)
def test_a_moment_that_is_yet_to_come_is_wrong_usage_and_the_head_is_named(ends, file, command):
    code, told = ends(*command.split(), "2199-01-01T00:00:00Z", "--from", file)
    assert (code, "2199-01-01T00:00:00.000Z is yet to come: it lies behind the head, #" in told) == (2, True), told


def test_a_stretch_may_end_later_than_the_head(ends, file):
    for command in ("timeline --until", "replay --to"):
        assert ends(*command.split(), "2199-01-01T00:00:00Z", "--from", file)[0] == 0


def test_a_replay_that_is_ended_early_tells_the_state_at_the_last_event_that_it_showed(monkeypatch, capsys, file):
    monkeypatch.setattr(sys, "argv", ["porter", "replay", "--step", "--from", str(file)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n\n"))
    with pytest.raises(SystemExit):
        main.main()
    *shown, last = capsys.readouterr().out.splitlines()
    journal = [line.split()[1] for line in shown if line.split()[1].startswith("#")]
    assert len(shown) == 4
    assert last.startswith(f"at {journal[-1]}: ")


def test_what_a_speaker_realises_is_told_as_its_cause_only_where_one_event_led_to_it(monkeypatch, capsys, file):
    monkeypatch.setattr(sys, "argv", ["porter", "timeline", "--service", "shop/web", "--from", str(file)])
    with pytest.raises(SystemExit):
        main.main()
    lines = capsys.readouterr().out.splitlines()
    (withdrawn,) = [line for line in lines if "RoutesWithdrawn" in line]
    assert withdrawn.endswith("  cause #15 EndpointsObserved, 12 ms")
    synced = [line for line in lines if "RibSynced" in line]
    assert synced
    assert all("  realises #" in line and "Observed" not in line for line in synced)


def test_a_replay_is_told_in_json_lines(monkeypatch, capsys, file):
    monkeypatch.setattr(sys, "argv", ["porter", "replay", "-o", "json", "--from", str(file)])
    with pytest.raises(SystemExit):
        main.main()
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"EpochStarted", "RoutesWithdrawn"} <= {one["type"] for one in events}
