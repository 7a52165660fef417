"""Half a journal lost under a stopped leader, and two controllers over one folder, with real parts and a router."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
import redis

from porter.app.demo.world import NODES
from tests.integration.programs.supervised import SOURCE, pids, until

# The same place as the suite of `porter up`: a folder, a router, and a running `up`.
from tests.integration.programs.test_up import EVERY_HOP, READY_S, Place, Up, _address, place, up

__all__ = ["place", "up"]

NOTICED_S = 4.0


def server_of(up: Up) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(up.directory / "redis" / "journal.sock"))


def holders(up: Up) -> dict[str, str]:
    """Address by Service, as the leader says."""
    services = up.get("/v1/services")[1]["services"]
    return {one["service"]["name"]: one["allocations"][0]["address"] for one in services if one["allocations"]}


def routed(up: Up, place: Place) -> dict[str, str]:
    """Wait until every Service's address is routed and nothing else is; return the holders."""

    def exact() -> dict[str, str]:
        if up.get("/readyz?sessions=all")[0] != 200:
            return {}
        held = holders(up)
        wanted = {f"{address}/32" for address in held.values()}
        there = {prefix for prefix, hops in place.routes().items() if hops == EVERY_HOP}
        return held if wanted == there == set(place.routes()) else {}

    return until(exact, "exactly the held addresses are routed", READY_S)


@pytest.mark.parametrize("half", ["head", "stream"])
def test_half_a_lost_journal_costs_no_address_and_leaves_no_ghost(place, up, half):
    server, key = server_of(up), "{porter:porter}:j"
    for name in ("a", "b", "c"):
        place.world.serve(f"{half}-{name}", list(NODES))
    until(lambda: len(holders(up)) == 4, "four Services hold an address", READY_S)
    before = routed(up, place)
    assert len(set(before.values())) == 4
    place.world.remove(f"{half}-a")
    until(lambda: f"{half}-a" not in holders(up), "the first is gone", READY_S)
    leader = pids(up.directory)["controller"]
    os.kill(leader, signal.SIGSTOP)
    try:
        server.delete(f"{key}:h" if half == "head" else key)
        place.world.remove(f"{half}-c")
        # The speaker must notice, more than once, before anybody recovers.
        time.sleep(NOTICED_S)
    finally:
        os.kill(leader, signal.SIGCONT)
    until(lambda: f"{half}-c" not in holders(up), "the deletion meanwhile is found", READY_S)
    after = routed(up, place)
    assert after[f"{half}-b"] == before[f"{half}-b"]
    assert after["web"] == before["web"]
    place.world.serve(f"{half}-d", list(NODES))
    until(lambda: _address(up, f"{half}-d"), "a new Service is served", READY_S)
    final = routed(up, place)
    assert len(set(final.values())) == len(final)
    by_journal = up.run("routes", "-o", "json", "--redis-url", f"unix://{up.directory}/redis/journal.sock").stdout
    assert all(f'"{address}/32"' in by_journal for address in final.values())
    assert f'"{before[f"{half}-c"]}/32"' not in by_journal or before[f"{half}-c"] in final.values()
    for name in ("b", "d"):
        place.world.remove(f"{half}-{name}")
    until(lambda: len(holders(up)) == 1, "cleaned up", READY_S)


def test_a_second_controller_over_the_folder_stands_by(place, up, tmp_path):
    url = f"unix://{up.directory}/redis/journal.sock"
    other = subprocess.Popen(
        up.command(
            *("controller", "--manifests", str(place.world.folder), "--redis-url", url, "--name", "two"),
            *("--state-dir", str(tmp_path / "two"), "--http", "127.0.0.1:0"),
        ),
        cwd=SOURCE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until((tmp_path / "two" / "http").exists, "the second controller answers", READY_S)
        epoch = up.get("/v1/status")[1]["epoch"]
        time.sleep(3.0)
        assert up.get("/v1/status")[1]["epoch"] == epoch
        assert up.get("/v1/status")[1]["leader"]["holder"] == "one"
    finally:
        other.terminate()
        other.wait(30)
