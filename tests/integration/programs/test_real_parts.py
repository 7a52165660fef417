"""The supervisor over a real journal server and a real ExaBGP with its relay."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from porter.bgp.configuration import render
from porter.journal.embedded import EmbeddedServer
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings
from tests.integration.programs.supervised import Supervised, alive, pids, until


@pytest.fixture
def directory(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return state


@pytest.fixture
def server(directory) -> EmbeddedServer:
    embedded = EmbeddedServer(directory / "redis")
    embedded.prepare()
    return embedded


@pytest.fixture
def start(directory, server):
    running = []

    def starter() -> Supervised:
        parts = [
            {"name": "redis", "command": server.command(), "stop_turn": 2},
            {
                "name": "exabgp",
                "command": [sys.executable, "-m", "porter", "exabgp", "--state-dir", str(directory)],
                "stop_turn": 1,
                "helper": "relay",
            },
        ]
        running.append(Supervised(directory, parts))
        return running[-1]

    yield starter
    for supervised in running:
        supervised.end()


def answers(server: EmbeddedServer, command: bytes) -> bytes:
    """One exchange with the journal's server, in its own protocol; empty while it does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(server.socket))
            connection.sendall(command + b"\r\n")
            return connection.recv(4096)
        except OSError:
            return b""


def configure(directory) -> None:
    """Write what a speaker would write: one session, with a router that is not there."""
    session = SessionSettings(
        peer=PeerKey("absent"),
        peer_address=Address("127.0.0.2"),
        peer_as=64512,
        local_as=64500,
        router_id=Address("127.0.0.1"),
        local_address=Address("127.0.0.1"),
        port=1,
    )
    (directory / "exabgp.conf").write_text(render([session], lambda _: None, directory / "relay.sock"))


def test_exabgp_waits_for_its_configuration_and_its_relay_is_listed(start, directory):
    up = start()
    waiting = up.pid("exabgp")
    assert "relay" not in pids(directory)
    configure(directory)
    relay = up.pid("relay")
    assert pids(directory)["exabgp"] == waiting, "ExaBGP takes the place of the process that waited"
    assert "relay.py" in Path(f"/proc/{relay}/cmdline").read_text()


def test_killed_parts_come_back_and_the_journal_keeps_what_it_acknowledged(start, directory, server):
    configure(directory)
    up = start()
    until(lambda: answers(server, b"SET kept 1") == b"+OK\r\n", "the server answers")
    redis, exabgp, relay = up.pid("redis"), up.pid("exabgp"), up.pid("relay")
    os.kill(relay, signal.SIGKILL)
    second = up.pid("relay", other_than=relay)
    assert pids(directory)["exabgp"] == exabgp, "ExaBGP outlives its relay"
    os.kill(exabgp, signal.SIGKILL)
    until(lambda: pids(directory).get("relay") not in (None, second), "a relay of the new ExaBGP")
    until(lambda: not alive(second), "the relay of the dead ExaBGP is gone")
    os.kill(redis, signal.SIGKILL)
    up.pid("redis", other_than=redis)
    until(lambda: answers(server, b"GET kept") == b"$1\r\n1\r\n", "the value is still there")


def test_exabgp_and_the_journal_outlive_a_killed_supervisor_until_the_next_one(start, directory, server):
    configure(directory)
    first = start()
    until(lambda: answers(server, b"SET kept 1") == b"+OK\r\n", "the server answers")
    left = {name: first.pid(name) for name in ("redis", "exabgp", "relay")}
    first.process.kill()
    first.process.wait()
    assert all(alive(pid) for pid in left.values())
    assert answers(server, b"GET kept") == b"$1\r\n1\r\n"
    second = start()
    for name, pid in left.items():
        assert second.pid(name, other_than=pid) != pid
        assert not alive(pid)
    until(lambda: answers(server, b"GET kept") == b"$1\r\n1\r\n", "the value is still there")
    assert second.end() == 0
    assert answers(server, b"PING") == b""
