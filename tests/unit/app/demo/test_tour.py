"""The demo's own instruments: what it says of a router must be true, above all when a route was lost."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from porter.app.demo import routers
from porter.app.demo.listening_rib import ListeningRib
from porter.app.demo.tour import run_demo
from porter.app.demo.watch import RibWatch
from porter.app.settings import InvalidSettings

PREFIX = "203.0.113.0/32"
HOPS = frozenset({"192.0.2.11", "192.0.2.12"})


def state(word: str) -> str:
    return json.dumps({"type": "state", "neighbor": {"state": word}})


def update(**parts) -> str:
    return json.dumps({"type": "update", "neighbor": {"message": {"update": parts}}})


def announced(hop: str, path: str, prefix: str = PREFIX) -> str:
    return update(announce={"ipv4 unicast": {hop: [{"nlri": prefix, "path-information": path}]}})


END_OF_RIB = json.dumps({"type": "update", "neighbor": {"message": {"eor": {"afi": "ipv4", "safi": "unicast"}}}})


def fed(*lines: str) -> ListeningRib:
    rib = ListeningRib()
    for line in lines:
        rib.feed(line)
    return rib


def test_paths_of_one_prefix_add_up_and_are_withdrawn_one_by_one():
    rib = fed(announced("192.0.2.11", "0.0.0.1"), announced("192.0.2.12", "0.0.0.2"))
    assert rib.routes() == {PREFIX: HOPS}
    rib.feed(update(withdraw={"ipv4 unicast": [{"nlri": PREFIX, "path-information": "0.0.0.1"}]}))
    assert rib.routes() == {PREFIX: frozenset({"192.0.2.12"})}


def test_a_session_that_goes_down_leaves_its_routes_until_end_of_rib():
    before = (announced("192.0.2.11", "0.0.0.1"), announced("192.0.2.12", "0.0.0.2"), state("down"))
    assert fed(*before, state("up")).routes() == {PREFIX: HOPS}
    assert fed(*before, state("up"), announced("192.0.2.11", "0.0.0.1"), END_OF_RIB).routes() == {
        PREFIX: frozenset({"192.0.2.11"})
    }


class Fake:
    """A router whose RIB the test sets."""

    name = "fake"
    look_every_s = 0.0

    def __init__(self) -> None:
        self.held: routers.Routes = {}

    async def routes(self) -> routers.Routes:
        return dict(self.held)


@contextlib.asynccontextmanager
async def watching(router: Fake):
    watch = RibWatch(router)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()


async def looks(watch: RibWatch, count: int = 3) -> None:
    target = watch.looks + count
    async with watch._looked:
        await watch._looked.wait_for(lambda: watch.looks >= target)


async def test_a_next_hop_that_is_missing_for_one_look_is_a_loss():
    router = Fake()
    async with watching(router) as watch:
        router.held = {PREFIX: HOPS}
        await watch.until(PREFIX, HOPS, 5)
        await looks(watch)
        assert watch.losses == []
        router.held = {PREFIX: frozenset({"192.0.2.11"})}
        await looks(watch)
        router.held = {PREFIX: HOPS}
        await looks(watch)
        assert watch.losses[0].missing == {"192.0.2.12"}
        assert watch.losses[0].prefix == PREFIX


async def test_a_route_that_is_to_go_is_no_loss():
    router = Fake()
    async with watching(router) as watch:
        router.held = {PREFIX: HOPS}
        await watch.until(PREFIX, HOPS, 5)
        gone = asyncio.create_task(watch.until(PREFIX, frozenset(), 5))
        await asyncio.sleep(0)
        router.held = {}
        await gone
        await looks(watch)
        assert watch.losses == []


async def test_waiting_for_a_route_has_an_end():
    async with watching(Fake()) as watch:
        with pytest.raises(TimeoutError):
            await watch.until(PREFIX, HOPS, 0.05)


def test_birds_answer_is_read_by_prefix_and_next_hop():
    answer = [
        "1007-203.0.113.0/32       unreachable [porter 20:42:03.809 from 127.0.0.1] * (100) [AS64500i]",
        "1008-\tType: BGP univ",
        "1012-\tBGP.origin: IGP",
        " \tBGP.next_hop: 192.0.2.11",
        "1007-                     unreachable [porter 20:42:03.809 from 127.0.0.1] (100) [AS64500i]",
        "1012-\tBGP.next_hop: 192.0.2.12",
        "1007-203.0.113.1/32       unreachable [porter 20:42:03.809 from 127.0.0.1] * (100) [AS64500i]",
        "1012-\tBGP.next_hop: 192.0.2.11",
    ]
    assert routers.read_bird(answer) == {PREFIX: HOPS, "203.0.113.1/32": frozenset({"192.0.2.11"})}


def test_a_router_that_is_not_installed_is_refused_and_the_listening_one_is_always_there(monkeypatch):
    monkeypatch.setattr(routers, "_find", lambda _program: "")
    assert routers.choose_router("").name == "ExaBGP"
    with pytest.raises(InvalidSettings, match="--router bird is not installed"):
        routers.choose_router("bird")
    with pytest.raises(InvalidSettings, match="choose bird, gobgp or exabgp"):
        routers.choose_router("cisco")


async def test_a_folder_too_deep_for_sockets_is_refused_with_the_mend(tmp_path, monkeypatch):
    deep = tmp_path / ("deep" * 25)
    with pytest.raises(InvalidSettings, match="shorter --state-dir"):
        await run_demo(directory=deep, say=print)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(InvalidSettings, match="TMPDIR"):
        await run_demo(say=print)
