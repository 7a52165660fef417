"""The supervisor over stand-in parts: restarts, the pid file, one per directory, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.integration.programs.supervised import PROGRAM, SLEEPER, SOURCE, Supervised, alive, pids, until

RELAYED = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "while True:\n"
    "    subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)  # the relay'])\n",
]
"""A part with a child of its own that it starts again, as ExaBGP does with its relay."""


def part(name: str, command: list[str], turn: int = 1, **more) -> dict:
    return {"name": name, "command": command, "stop_turn": turn, **more}


@pytest.fixture
def start(tmp_path):
    """Start supervisors, each in the same directory unless told otherwise; end them all."""
    running = []

    def starter(parts: list[dict], directory=tmp_path / "state") -> Supervised:
        running.append(Supervised(directory, parts))
        return running[-1]

    yield starter
    for supervised in running:
        supervised.end()


def test_a_killed_part_is_started_again_and_the_pid_file_follows(start):
    up = start([part("one", SLEEPER), part("two", SLEEPER)])
    first, other = up.pid("one"), up.pid("two")
    os.kill(first, signal.SIGKILL)
    killed_s = time.monotonic()
    second = up.pid("one", other_than=first)
    assert time.monotonic() - killed_s < 1.0, "the first restart is immediate"
    assert alive(second)
    assert pids(up.directory)["two"] == other, "the other part is not touched"
    until(lambda: "one ended" in up.said() and "SIGKILL" in up.said(), "the death is told")


def test_a_part_that_dies_at_once_is_restarted_ever_more_slowly(start, tmp_path):
    count = tmp_path / "count"
    up = start([part("dying", [sys.executable, "-c", f"open({str(count)!r}, 'a').write('x'); raise SystemExit(1)"])])
    until(lambda: count.exists() and len(count.read_text()) >= 3, "three starts")
    time.sleep(2.0)
    assert len(count.read_text()) < 12
    assert up.process.poll() is None, "the supervisor goes on"


def test_the_child_of_a_part_is_listed_under_its_own_name(start):
    up = start([part("exabgp", RELAYED, helper="relay")])
    relay = up.pid("relay")
    assert relay != up.pid("exabgp")
    os.kill(relay, signal.SIGKILL)
    assert alive(up.pid("relay", other_than=relay))


def test_the_end_is_clean_and_in_turns(start, tmp_path):
    record = tmp_path / "record"
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        f"    open({str(record)!r}, 'a').write(sys.argv[1] + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    turns = {"redis": 3, "exabgp": 2, "controller": 1}
    up = start([part(name, [sys.executable, "-c", program, name], turn) for name, turn in turns.items()])
    until(lambda: up.said().count("ready") == 3, "all parts are ready")
    children = [up.pid(name) for name in turns]
    assert up.end() == 0
    assert record.read_text().split() == ["controller", "exabgp", "redis"]
    assert not any(alive(child) for child in children)
    assert pids(up.directory) == {}


def test_a_part_that_ignores_the_request_to_end_is_killed_at_the_second_signal(start):
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    up = start([part("stubborn", [sys.executable, "-c", stubborn])])
    until(lambda: "ready" in up.said(), "the part is ready")
    child = up.pid("stubborn")
    up.process.terminate()
    until(lambda: "ending" in up.said(), "the first signal was heard")
    up.process.terminate()
    assert up.process.wait(5) == 0
    assert not alive(child)


def test_a_second_supervisor_on_the_same_directory_is_refused(start):
    first = start([part("one", SLEEPER)])
    child = first.pid("one")
    second = start([part("one", SLEEPER)])
    assert second.process.wait(20) == 1
    assert f"pid {first.process.pid}" in second.said()
    assert "--state-dir" in second.said()
    assert alive(child)
    assert pids(first.directory) == {"one": child}


def test_what_a_killed_supervisor_left_is_ended_by_the_next(start):
    first = start([part("one", SLEEPER), part("exabgp", RELAYED, helper="relay")])
    left = [first.pid("one"), first.pid("exabgp"), first.pid("relay")]
    first.process.kill()
    first.process.wait()
    assert alive(left[0]), "nothing but the next supervisor ends such a stand-in"
    second = start([part("one", SLEEPER), part("exabgp", RELAYED, helper="relay")])
    assert second.pid("one", other_than=left[0]) not in left
    assert not any(alive(pid) for pid in left)


def test_a_process_that_got_an_old_pid_is_left_alone(start, tmp_path):
    first = start([part("one", SLEEPER)])
    bystander = first.pid("one")
    recorded = json.loads((first.directory / "processes.json").read_text())
    recorded["one"][1] -= 1  # The same pid, started at another time: another process.
    second_directory = tmp_path / "other"
    second_directory.mkdir()
    (second_directory / "processes.json").write_text(json.dumps(recorded))
    second = start([part("one", SLEEPER)], second_directory)
    second.pid("one")
    assert alive(bystander)


def test_a_part_that_refuses_its_settings_ends_everything(start):
    up = start([part("one", SLEEPER), part("bad", [sys.executable, "-c", "import sys; sys.exit('no'.__len__())"])])
    assert up.process.wait(20) == 2
    assert "bad refused its settings" in up.said()


def test_a_reader_of_the_output_that_stands_still_holds_nothing_up(tmp_path):
    chatty = "import time\nfor n in range(20000): print('x' * 200, n)\nprint('done', flush=True)\ntime.sleep(600)"
    directory = tmp_path / "state"
    parts = [part("chatty", [sys.executable, "-u", "-c", chatty]), part("one", SLEEPER)]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory), json.dumps(parts)], stdout=subprocess.PIPE, cwd=SOURCE
    ) as process:
        first = until(lambda: pids(directory).get("one"), "a pid")
        until(lambda: (directory / "logs/chatty.log").stat().st_size > 4_000_000, "a long log")
        os.kill(first, signal.SIGKILL)
        until(lambda: pids(directory).get("one") not in (None, first), "a restart while nobody reads the output")
        assert (directory.stat().st_mode & 0o777) == 0o700
        process.terminate()
        assert process.wait(20) == 0
