"""Two thousand random operations over sixty prefixes at each router: by Porter, and by ExaBGP driven naively.

This is where ExaBGP's orders of sending show: operations on one prefix come close together all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from porter.bgp.configuration import render
from porter.model.address import Address
from porter.model.bgp import PathAttributes, PeerKey, RouteKey
from tests.integration.bgp.lab import (
    ADDRESS,
    Bird,
    Engine,
    Frr,
    GoBgp,
    Router,
    Speaker,
    addresses_of_a_test,
    expected,
    key,
    settings,
    until,
)

OPERATIONS = 2000
PREFIXES = [f"10.9.4.{number}/32" for number in range(40)] + [f"fd09:4::{number:x}/128" for number in range(1, 21)]
HOPS4 = [f"10.77.0.{number}" for number in (11, 12, 13, 14)]
HOPS6 = [f"fd77::{number}" for number in (11, 12, 13)]
PAUSES_S = (0, 0, 0.001, 0.004)
FIRST_SEED = 7
WITHOUT_ADD_PATH = "plain"
SESSION_WITHIN_S = 30.0
QUIET_S = 3.0
QUIET_WITHIN_S = 60.0
GOBGP_API_PORT = 21700
DRAIN = """#!/bin/sh
# What runs in the background has its own standard input taken away.
exec 3<&0
cat <&3 >/dev/null &
exec cat "$1"
"""
"""ExaBGP's API process: lines of a pipe are its commands; its answers are read and believed."""

Routes = dict[RouteKey, PathAttributes]
Change = tuple[str, RouteKey, Routes]


class Differences(NamedTuple):
    """In how many paths a router differs from what it should have, after all has come to rest."""

    ghosts: int
    missing: int
    wrong: int


def differences(router: Router, routes: Routes) -> Differences:
    """What a router has too much, lacks, or has with another next hop."""
    table, wanted = router.table(), expected(routes)
    both = table.keys() & wanted.keys()
    return Differences(
        len(table.keys() - wanted.keys()),
        len(wanted.keys() - table.keys()),
        sum(table[each] != wanted[each] for each in both),
    )


def change(chance: random.Random, routes: Routes, *, add_path: bool) -> RouteKey:
    """Announce, replace or withdraw one route; which one."""
    prefix = chance.choice(PREFIXES)
    hop = chance.choice(HOPS6 if ":" in prefix else HOPS4)
    route = key(prefix, hop if add_path else "")
    if route in routes and chance.random() < 0.5:
        del routes[route]
    else:
        routes[route] = PathAttributes(Address(hop), chance.choice([None, 5]))
    return route


async def churn(seed: int, wanted: Mapping[str, Routes]) -> AsyncIterator[Change]:
    """Yield each operation as it happens: the peer, the key that changed, and all routes of that peer."""
    chance = random.Random(seed)
    for number in range(OPERATIONS):
        for name, routes in wanted.items():
            yield name, change(chance, routes, add_path=name != WITHOUT_ADD_PATH), routes
        if number % 3 == 0:
            await asyncio.sleep(chance.choice(PAUSES_S))


# --------------------------------------------------------------------------------------------------- ExaBGP, naively


@contextlib.contextmanager
def routers_in(folder: Path) -> Iterator[dict[str, Router]]:
    """Every router, as the churn's test has them."""
    addresses_of_a_test()
    made: dict[str, Router] = {}
    try:
        made["bird"] = Bird(folder, "bird", ADDRESS(2)).start()
        made[WITHOUT_ADD_PATH] = Bird(folder, WITHOUT_ADD_PATH, ADDRESS(3)).start(add_path=False)
        made["frr"] = Frr(folder, "frr", ADDRESS(4)).start()
        made["gobgp"] = GoBgp(folder, "gobgp", ADDRESS(5)).start(api_port=GOBGP_API_PORT)
        yield made
    finally:
        for router in made.values():
            router.stop()


async def by_exabgp(seed: int) -> dict[str, Differences]:
    """ExaBGP alone: a line for each operation, written as it happens."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with routers_in(folder) as routers:
            pipe = folder / "commands"
            os.mkfifo(pipe)
            # Open for reading as well, so that it never breaks.
            writer = os.open(pipe, os.O_RDWR)
            drain = folder / "drain"
            drain.write_text(DRAIN)
            drain.chmod(0o755)
            sessions = [settings(each, router.address) for each, router in routers.items()]
            configuration = re.sub(
                r"run [^;]*;", f"run {drain} {pipe};", render(sessions, lambda _: None, folder / "none")
            )
            (folder / "exabgp.conf").write_text(configuration.replace("  manual-eor true;\n", ""))
            supervisor = asyncio.create_task(Engine(folder / "exabgp.conf").run())
            try:
                return await _written(seed, routers, writer)
            finally:
                supervisor.cancel()
                await asyncio.gather(supervisor, return_exceptions=True)
                os.close(writer)


async def _written(seed: int, routers: dict[str, Router], writer: int) -> dict[str, Differences]:
    wanted: dict[str, Routes] = {each: {} for each in routers}
    # A route that stays shows that a session is up, and takes the place of the first batch.
    for each, router in routers.items():
        first = key("10.9.5.1/32", "" if each == WITHOUT_ADD_PATH else HOPS4[0])
        wanted[each][first] = PathAttributes(Address(HOPS4[0]))
        _write(writer, _line(router, first, wanted[each]))
    for each, router in routers.items():
        await router.holds(wanted[each], SESSION_WITHIN_S)
    async for each, route, routes in churn(seed, wanted):
        await asyncio.to_thread(_write, writer, _line(routers[each], route, routes))
    await _quiet(routers)
    return {each: differences(router, wanted[each]) for each, router in routers.items()}


async def _quiet(routers: dict[str, Router]) -> None:
    """Wait until no router's table changes any more."""
    deadline_s = time.monotonic() + QUIET_WITHIN_S
    before: object = None
    since_s = time.monotonic()
    while time.monotonic() - since_s < QUIET_S:
        assert time.monotonic() < deadline_s, f"the tables still change after {QUIET_WITHIN_S} s"
        now = [router.table() for router in routers.values()]
        if now != before:
            before, since_s = now, time.monotonic()
        await asyncio.sleep(0.2)


def _write(writer: int, line: str) -> None:
    os.write(writer, f"{line}\n".encode())


def _line(router: Router, route: RouteKey, routes: Routes) -> str:
    path = f" path-information {route.path_id}" if route.path_id else ""
    attributes = routes.get(route)
    if attributes is None:
        return f"neighbor {router.address} withdraw route {route.prefix} next-hop {_hop_of(route)}{path}"
    med = "" if attributes.med is None else f" med {attributes.med}"
    return f"neighbor {router.address} announce route {route.prefix} next-hop {attributes.next_hop}{path}{med}"


def _hop_of(route: RouteKey) -> str:
    """A withdrawal's next hop means nothing, but has to be there."""
    return HOPS6[0] if ":" in route.prefix else HOPS4[0]


# ------------------------------------------------------------------------------------------------------------- Porter


async def by_publisher(seed: int) -> dict[str, Differences]:
    """Porter's publisher: each operation is desired as it happens."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with routers_in(folder) as routers:
            speaker = Speaker(folder)
            supervisor = asyncio.create_task(Engine(folder / "exabgp.conf").run())
            try:
                return await published(seed, speaker, routers)
            finally:
                supervisor.cancel()
                await asyncio.gather(supervisor, return_exceptions=True)
                await speaker.crash()


async def published(seed: int, speaker: Speaker, routers: Mapping[str, Router]) -> dict[str, Differences]:
    """Have a speaker do all operations, and wait until it says that they are done."""
    await speaker.publisher.configure([settings(name, router.address) for name, router in routers.items()])
    wanted: dict[str, Routes] = {name: {} for name in routers}
    for name in routers:
        speaker.want(name, {})
    await speaker.live(*routers)
    async for name, route, routes in churn(seed, wanted):
        speaker.want(name, routes, frozenset([route]))
    for name in routers:
        await until(lambda name=name: speaker.publisher.confirmed(PeerKey(name)) == wanted[name], f"{name}: confirmed")
        held = await speaker.publisher.held()
        assert held[PeerKey(name)].keys() == wanted[name].keys(), f"ExaBGP holds something else for {name}"
    await _quiet(dict(routers))
    return {name: differences(router, wanted[name]) for name, router in routers.items()}
