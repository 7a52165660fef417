"""Drains and the blast-radius guard by their commands, against `porter up` over a folder of manifests and a router."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from porter.app.demo.routers import choose_router, free_port
from porter.app.demo.world import NODES, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from porter.model.bgp import GRACEFUL_SHUTDOWN
from tests.integration.programs.supervised import pids, until
from tests.integration.programs.test_up import EVERY_HOP, Place, Up

NAMES = [f"web-{number}" for number in range(6)]
PREFIXES = [f"203.0.113.{number}/32" for number in range(6)]
OPTIONS = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one", "--hold-minimum", "3")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    """Six Services, a listening router, and a running `porter up` that holds three withdrawals and more."""
    directory = tmp_path_factory.mktemp("operations")
    world, router, port = World(directory / "manifests"), choose_router(""), free_port(ROUTER_ADDRESS)
    world.build(port)
    for name in NAMES:
        world.serve(name, list(NODES))
    (directory / "router").mkdir()
    with asyncio.Runner() as runner:
        runner.run(router.start(directory / "router", port))
        here = Place(world, router, runner, Up(world, directory / "state", *OPTIONS), OPTIONS)
        try:
            here.up.wait_ready()
            for prefix in PREFIXES:
                here.wait_route(prefix)
            yield here
        finally:
            here.up.process.terminate()
            here.up.process.wait(30)
            runner.run(router.stop())


def marked(up: Up, prefix: str) -> set[str]:
    """The next hops of a prefix that are confirmed with GRACEFUL_SHUTDOWN."""
    return {
        route["nextHop"]
        for route in up.get("/v1/routes")[1]["routes"]
        if route["prefix"] == prefix
        and route["state"] == "confirmed"
        and GRACEFUL_SHUTDOWN in route["attributes"]["communities"]
    }


def done(up: Up, *arguments: str) -> str:
    ended = up.ask(*arguments)
    assert ended.returncode == 0, ended
    return ended.stdout


def problems(up: Up) -> str:
    ended = up.ask("status")
    assert ended.returncode == 1, ended
    return ended.stderr


def test_a_drained_node_is_marked_first_then_withdrawn_and_brought_back_by_one_command(place):
    up, left = place.up, EVERY_HOP - {NODES["node-1"]}
    assert "leaves service" in done(up, "drain", "node", "node-1", "--delay", "3s", "--why", "disk")
    until(lambda: marked(up, PREFIXES[0]) == {NODES["node-1"]}, "GRACEFUL_SHUTDOWN is announced")
    assert place.routes()[PREFIXES[0]] == EVERY_HOP
    for prefix in PREFIXES:
        place.wait_route(prefix, left)
    assert "`porter uncordon node node-1` ends it" in problems(up)
    assert "drained   node node-1 by loopback:127.0.0.1" in up.ask("status").stdout
    done(up, "uncordon", "node", "node-1")
    for prefix in PREFIXES:
        place.wait_route(prefix)
    assert up.ask("status").returncode == 0


def test_the_last_next_hop_stays_until_it_is_forced_away(place):
    up = place.up
    for name in NODES:
        done(up, "drain", "node", name, "--delay", "0s")
    until(lambda: "still the last next hop" in problems(up), "the status says so")
    assert place.routes()[PREFIXES[0]] == EVERY_HOP
    done(up, "drain", "node", "node-1", "--force")
    place.wait_route(PREFIXES[0], EVERY_HOP - {NODES["node-1"]})
    for name in NODES:
        done(up, "undrain", "node", name)
    place.wait_route(PREFIXES[0])


def test_a_drained_service_is_withdrawn_and_keeps_its_address(place):
    up = place.up
    done(up, "drain", "service", "shop/web-2", "--delay", "1s")
    until(lambda: marked(up, PREFIXES[2]) == EVERY_HOP, "GRACEFUL_SHUTDOWN is announced")
    place.wait_route(PREFIXES[2], frozenset())
    (told,) = [each for each in up.get("/v1/services")[1]["services"] if each["service"]["name"] == "web-2"]
    assert [one["address"] for one in told["allocations"]] == ["203.0.113.2"]
    done(up, "drain", "service", "shop/web-2", "--undo")
    place.wait_route(PREFIXES[2])


@pytest.mark.parametrize("killed", ["controller", "speaker"])
def test_a_mass_loss_is_held_over_a_restart_and_goes_when_it_is_approved(place, killed):
    up = place.up
    for name in NAMES:
        place.world.serve(name, [])
    until(lambda: up.get("/v1/status")[1].get("holds"), "the withdrawals are held")
    before = pids(up.directory)[killed]
    os.kill(before, signal.SIGKILL)
    until(lambda: pids(up.directory).get(killed, before) != before, f"{killed} starts again")
    up.wait_ready()
    (hold,) = up.get("/v1/status")[1]["holds"]
    assert (hold["held"], hold["cause"]) == (len(NAMES), "NoReadyEndpoint")
    assert {prefix: place.routes()[prefix] for prefix in PREFIXES} == dict.fromkeys(PREFIXES, EVERY_HOP)
    assert f"`porter approve {hold['hold']}`" in problems(up)
    done(up, "approve", f"#{hold['hold']}", "--why", "planned")
    for prefix in PREFIXES:
        place.wait_route(prefix, frozenset())
    for name in NAMES:
        place.world.serve(name, list(NODES))
    for prefix in PREFIXES:
        place.wait_route(prefix)


def test_names_that_nobody_knows_are_told(place):
    for command in ("drain node nosuch", "uncordon node node-1", "drain service shop/nosuch", "approve 1"):
        ended = place.up.ask(*command.split())
        assert ended.returncode == 1, command
        assert "known" in ended.stderr
