"""A BgpAdvertisement among the manifests of `porter up`, as a router sees it."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from porter.app.demo.routers import BirdRouter, choose_router, free_port
from porter.app.demo.world import NODES, POOL, POOL_CIDR, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from tests.integration.programs.supervised import until
from tests.integration.programs.test_up import READY_S, Up

HOST = "203.0.113.0/32"


class Place:
    """A folder of manifests, a BIRD, and what it has received."""

    def __init__(self, directory: Path, runner: asyncio.Runner, router: BirdRouter) -> None:
        self.control = directory / "router" / "bird.ctl"
        self.world = World(directory / "manifests")
        port = free_port(ROUTER_ADDRESS)
        self.world.build(port)
        self.world.serve("web", list(NODES))
        self.control.parent.mkdir()
        runner.run(router.start(self.control.parent, port))

    def advertises(self, **spec: Any) -> None:
        """Write the one advertisement."""
        self.world._write(
            "advertisement",
            {
                "apiVersion": "network.kubesphere.io/v1alpha2",
                "kind": "BgpAdvertisement",
                "metadata": {"name": "edge"},
                "spec": spec,
            },
        )

    def received(self) -> dict[str, set[tuple[str, str]]]:
        """The MED and the communities of each prefix's paths."""
        shown = subprocess.run(
            ["birdc", "-s", str(self.control), "show", "route", "all"], capture_output=True, text=True, check=False
        )
        found: dict[str, set[tuple[str, str]]] = {}
        prefix = ""
        for block in re.split(r"\n(?=\S*\s+(?:unicast|unreachable))", shown.stdout):
            if match := re.search(r"^(\S+/\d+)\s", block, re.MULTILINE):
                prefix = match.group(1)
            fields = dict(re.findall(r"BGP\.(\w+): (.*)", block))
            if "next_hop" in fields:
                found.setdefault(prefix, set()).add((fields.get("med", ""), fields.get("community", "").strip()))
        return found


@pytest.fixture
def place(tmp_path):
    router = choose_router("bird")
    assert isinstance(router, BirdRouter)
    with asyncio.Runner() as runner:
        here = Place(tmp_path, runner, router)
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one")
        up = Up(here.world, tmp_path / "state", *options)
        try:
            yield here, up
        finally:
            up.process.terminate()
            up.process.wait(30)
            runner.run(router.stop())


def test_an_advertisement_is_followed_through_edits_and_typing_errors(place):
    here, up = place

    def receives(wanted: dict[str, set[tuple[str, str]]]) -> None:
        until(lambda: here.received() == wanted, f"{wanted}; the router has {here.received()}", READY_S)

    up.wait_ready()
    receives({HOST: {("", "")}})
    here.advertises(eips=[POOL], communities=["64500:20"], med=5)
    receives({HOST: {("5", "(64500,20)")}})
    here.advertises(eips=[POOL], communities=["64500:20"], med="five")
    status = here.world.folder / ".status"
    until(lambda: any("spec.med" in path.read_text() for path in status.glob("BgpAdvertisement*")), "it is told")
    assert here.received() == {HOST: {("5", "(64500,20)")}}
    here.advertises(eips=[POOL], communities=["64500:21"], aggregationLength=28)
    receives({POOL_CIDR: {("", "(64500,21)")}})
    here.advertises(eips=["other"])
    receives({})
    (here.world.folder / "advertisement.yaml").unlink()
    receives({HOST: {("", "")}})
