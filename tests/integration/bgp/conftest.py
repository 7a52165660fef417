"""A speaker, its ExaBGP and routers for each test, and all of them gone afterwards."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.integration.bgp.lab import (
    ADDRESS6,
    Bird,
    Engine,
    Frr,
    GoBgp,
    GoBgpEngine,
    Router,
    Speaker,
    addresses_of_a_test,
    programs,
)

_api_ports = itertools.count(21790)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.fixture
async def started(lab):
    """A speaker and a supervised ExaBGP, with no peer yet."""
    addresses_of_a_test()
    lab.speaker = Speaker(lab.directory)
    lab.engine = Engine(lab.directory / "exabgp.conf")
    supervisor = asyncio.create_task(lab.engine.run())
    yield lab
    supervisor.cancel()
    await asyncio.gather(supervisor, return_exceptions=True)
    await lab.end()


@pytest.fixture(params=["exabgp", "gobgp"])
async def engine_lab(lab, request):
    """The same with each of the engines in turn."""
    if request.param == "gobgp" and (missing := programs("gobgpd")):
        pytest.skip(f"{', '.join(missing)} not installed; apt-get install gobgpd")
    addresses_of_a_test()
    lab.speaker = Speaker(lab.directory, engine=request.param)
    engine = GoBgpEngine(lab.directory) if request.param == "gobgp" else Engine(lab.directory / "exabgp.conf")
    lab.engine = engine
    supervisor = asyncio.create_task(engine.run())
    yield lab
    if request.param == "gobgp":
        await lab.speaker.crash()
    supervisor.cancel()
    await asyncio.gather(supervisor, return_exceptions=True)
    await lab.end()


class Lab:
    """What one test has."""

    def __init__(self, directory):
        self.directory = directory
        self.routers: list[Router] = []
        self.speaker: Speaker
        self.engine: Engine | GoBgpEngine

    async def end(self):
        """Everything is gone."""
        await self.speaker.crash()
        for router in self.routers:
            router.stop()
        ADDRESS6.remove()

    def bird(self, name, address, **options):
        return self._router(Bird, ("bird", "birdc"), name, address, **options)

    def gobgp(self, name, address, **options):
        return self._router(GoBgp, ("gobgpd", "gobgp"), name, address, api_port=next(_api_ports), **options)

    def frr(self, name, address, **options):
        return self._router(Frr, ("bgpd", "vtysh"), name, address, **options)

    def _router(self, kind, needed, name, address, **options):
        if missing := programs(*needed):
            pytest.skip(f"{', '.join(missing)} not installed; apt-get install bird2 gobgpd frr")
        router = kind(self.directory, name, address)
        self.routers.append(router)
        return router.start(**options)
