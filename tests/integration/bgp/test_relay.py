"""The relay as ExaBGP runs it: a process between two pipes and a socket."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from porter.bgp import relay

PATIENCE_S = 10


class Harness:
    """Stands for ExaBGP on the pipes, and for the speaker on the socket."""

    def __init__(self, directory):
        self.path = str(directory / "relay.sock")
        self.server = None
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", relay.__file__, self.path],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        os.set_blocking(self.process.stdin.fileno(), False)

    def listen(self):
        self.server = socket.socket(socket.AF_UNIX)
        Path(self.path).unlink(missing_ok=True)
        self.server.bind(self.path)
        self.server.listen()
        self.server.settimeout(PATIENCE_S)

    def accept(self):
        connection, _ = self.server.accept()
        connection.settimeout(PATIENCE_S)
        lines = connection.makefile("r", encoding="ascii")
        name, _, hello = lines.readline().partition(" ")
        assert name == "hello"
        return connection, lines, json.loads(hello)

    def say(self, data: bytes):
        """Write as ExaBGP does, but give up instead of hanging where it would hang."""
        deadline = time.monotonic() + PATIENCE_S
        while data:
            assert time.monotonic() < deadline, "the relay does not drain"
            _, writable, _ = select.select([], [self.process.stdin], [], 0.1)
            if writable:
                data = data[os.write(self.process.stdin.fileno(), data) :]

    def command(self) -> str:
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        assert readable
        return self.process.stdout.readline().decode()


@pytest.fixture
def harness(tmp_path):
    harness = Harness(tmp_path)
    yield harness
    harness.process.kill()
    harness.process.wait()
    harness.process.stdin.close()
    harness.process.stdout.close()
    if harness.server is not None:
        harness.server.close()


def test_lines_pass_both_ways_and_the_hello_tells_who_is_there(harness):
    harness.listen()
    connection, lines, hello = harness.accept()
    assert hello["relay_pid"] == harness.process.pid
    assert hello["engine_pid"] == os.getpid()
    assert hello["boot"] == relay.boot_id(os.getpid())
    assert hello["dropped"] is False
    connection.sendall(b"show neighbor json\n")
    assert harness.command() == "show neighbor json\n"
    harness.say(b"[]\ndone\n")
    assert [lines.readline(), lines.readline()] == ["[]\n", "done\n"]


def test_it_drains_without_a_speaker_and_says_what_it_dropped(harness):
    harness.say(b"done\n" * 100_000)
    harness.listen()
    _, lines, hello = harness.accept()
    assert hello["dropped"] is True
    harness.say(b"later\n")
    while (line := lines.readline()) != "later\n":
        assert line == "done\n"


def test_a_speaker_that_does_not_read_loses_its_connection_and_exabgp_does_not_wait(harness):
    harness.listen()
    connection, _, _ = harness.accept()
    harness.say(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * (relay.MAX_TO_SPEAKER_BYTES // 100 + 40_000))
    connection.close()
    _, lines, hello = harness.accept()
    assert hello["dropped"] is True
    harness.say(b"later\n")
    while (line := lines.readline()) != "later\n":
        assert len(line) == 100, "half a line"


def test_it_survives_the_speaker_and_forwards_no_half_line(harness):
    harness.listen()
    connection, _, _ = harness.accept()
    connection.sendall(b"whole\nha")
    assert harness.command() == "whole\n"
    connection.close()
    connection, _, hello = harness.accept()
    assert hello["relay_pid"] == harness.process.pid
    connection.sendall(b"next\n")
    assert harness.command() == "next\n"


def test_it_tells_how_many_answers_are_still_to_come(harness):
    harness.listen()
    connection, lines, hello = harness.accept()
    assert hello["unanswered"] == 0
    connection.sendall(b"one\ntwo\nthree\nfour\n")
    for _ in range(4):
        harness.command()
    harness.say(b"text\ndone\nerror\n")
    assert [lines.readline() for _ in range(3)] == ["text\n", "done\n", "error\n"]
    lines.close()
    connection.close()
    _, _, hello = harness.accept()
    assert hello["unanswered"] == 2


def test_a_byte_outside_of_ascii_never_reaches_exabgp(harness):
    harness.listen()
    connection, _, _ = harness.accept()
    connection.sendall("announce \u00fc\n".encode())
    assert connection.recv(1) == b""
    connection, _, _ = harness.accept()
    connection.sendall(b"plain\n")
    assert harness.command() == "plain\n"


def test_it_ends_with_exabgp(harness):
    harness.process.stdin.close()
    assert harness.process.wait(PATIENCE_S) == 0


def test_it_is_small(harness):
    harness.listen()
    harness.accept()
    status = Path(f"/proc/{harness.process.pid}/status").read_text().splitlines()
    resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert resident_kb < 16 * 1024
    harness.process.send_signal(signal.SIGTERM)
    harness.process.wait(PATIENCE_S)


def test_the_last_agreement_of_each_neighbour_is_told_to_whoever_connects(harness):
    def agreed(peer: str, number: int) -> str:
        return (
            f'{{ "counter": {number}, "type": "negotiated", "neighbor": {{ "address": {{ "peer": "{peer}" }}, '
            f'"negotiated": {{ "hold_time": {number} }} }} }}\n'
        )

    harness.listen()
    connection, lines, _ = harness.accept()
    harness.say("".join([agreed("a", 1), agreed("b", 2), '{ "type": "state" }\n', agreed("a", 3)]).encode())
    while lines.readline() != agreed("a", 3):
        pass
    for _ in range(2):
        lines.close()
        connection.close()
        connection, lines, _ = harness.accept()
        assert [lines.readline(), lines.readline()] == [agreed("b", 2), agreed("a", 3)]
