"""`porter up --engine gobgp`: a Service is routed from end to end, and stays routed when parts die."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import pytest

from porter.app.demo.routers import choose_router, free_port
from porter.app.demo.world import NODES, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from tests.integration.programs.supervised import alive, pids, until
from tests.integration.programs.test_up import READY_S, Place, Up

PREFIX = "203.0.113.0/32"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of manifests, a listening router, and a running `porter up` over GoBGP."""
    if shutil.which("gobgpd") is None:
        pytest.skip("gobgpd not installed; apt-get install gobgpd")
    directory = tmp_path_factory.mktemp("gobgp")
    world, router, port = World(directory / "manifests"), choose_router(""), free_port(ROUTER_ADDRESS)
    world.build(port)
    world.serve("web", list(NODES))
    (directory / "router").mkdir()
    with asyncio.Runner() as runner:
        runner.run(router.start(directory / "router", port))
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one", "--engine", "gobgp")
        here = Place(world, router, runner, Up(world, directory / "state", *options), options)
        try:
            yield here
        finally:
            here.up.process.terminate()
            here.up.process.wait(30)
            runner.run(router.stop())


def daemons(place: Place) -> list[int]:
    return [int(file.read_text()) for file in sorted((place.up.directory / "gobgp").glob("*.pid"))]


def test_a_service_is_routed_and_confirmed(place):
    place.up.wait_ready()
    place.wait_route(PREFIX)
    assert set(pids(place.up.directory)) == {"controller", "speaker", "gobgp", "redis"}
    assert len(daemons(place)) == 1
    folder = place.up.directory / "gobgp"
    assert (folder.stat().st_mode & 0o777) == 0o700
    assert all((socket.stat().st_mode & 0o077) == 0 for socket in folder.glob("*.sock"))
    until(
        lambda: {route["state"] for route in place.up.get("/v1/routes")[1]["routes"]} == {"confirmed"},
        "confirmed routes",
    )


@pytest.mark.parametrize("victim", ["speaker", "gobgp", "daemon", "speaker and daemon"])
def test_no_prefix_is_lost_when_a_part_is_killed(place, victim):
    place.up.wait_ready()
    place.wait_route(PREFIX)
    parts, former = pids(place.up.directory), daemons(place)
    if "speaker" in victim:
        os.kill(parts["speaker"], signal.SIGKILL)
    if victim == "gobgp":
        os.kill(parts["gobgp"], signal.SIGKILL)
    if "daemon" in victim:
        os.kill(former[0], signal.SIGKILL)
    lost = []
    place.world.serve(f"after-{victim.replace(' ', '-')}", list(NODES))

    def two_routes() -> bool:
        routes = place.routes()
        if not routes.get(PREFIX):
            lost.append(routes)
        return len([hops for prefix, hops in routes.items() if "." in prefix and len(hops) == len(NODES)]) > 1

    until(two_routes, "the next Service is routed", READY_S)
    if victim == "gobgp":
        until(lambda: pids(place.up.directory).get("gobgp", 0) not in (0, parts["gobgp"]), "another keeper", READY_S)
    assert lost == []
    if "daemon" not in victim:
        assert daemons(place) == former
    place.world.remove(f"after-{victim.replace(' ', '-')}")
    until(lambda: set(place.routes()) == {PREFIX}, "the Service is gone", READY_S)


def test_its_end_takes_the_daemons_with_it_and_no_route(place):
    place.up.wait_ready()
    place.wait_route(PREFIX)
    left = daemons(place)
    place.up.process.terminate()
    place.up.process.wait(30)
    until(lambda: not any(alive(pid) for pid in left), "no daemon is left")
    assert set(place.routes()) == {PREFIX}
