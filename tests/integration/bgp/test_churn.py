"""Two thousand random operations over sixty prefixes at each router: no ghost, no missing route, no wrong next hop.

This is where ExaBGP's orders of sending would show: operations on one prefix come close together all the time.
`PORTER_CHURN_SEEDS=20` has it run with so many seeds.
"""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from porter.events.routed import DriftFound, PeerUnsynced
from porter.model.address import Address
from porter.model.bgp import PathAttributes, PeerKey, RouteKey
from tests.integration.bgp.lab import ADDRESS, key, settings, until

OPERATIONS = 2000
PREFIXES = [f"10.9.4.{number}/32" for number in range(40)] + [f"fd09:4::{number:x}/128" for number in range(1, 21)]
HOPS4 = [f"10.77.0.{number}" for number in (11, 12, 13, 14)]
HOPS6 = [f"fd77::{number}" for number in (11, 12, 13)]
PAUSES_S = (0, 0, 0.001, 0.004)
SEEDS = range(7, 7 + int(os.environ.get("PORTER_CHURN_SEEDS", "3")))

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("seed", SEEDS)
async def test_churn_leaves_no_ghost(started, seed):
    routers = {
        "bird": started.bird("bird", ADDRESS(2)),
        "plain": started.bird("plain", ADDRESS(3), add_path=False),
        "frr": started.frr("frr", ADDRESS(4)),
        "gobgp": started.gobgp("gobgp", ADDRESS(5)),
    }
    speaker = started.speaker
    await speaker.publisher.configure([settings(name, router.address) for name, router in routers.items()])
    wanted: dict[str, dict[RouteKey, PathAttributes]] = {name: {} for name in routers}
    for name in routers:
        speaker.want(name, {})
    await speaker.live(*routers)
    chance = random.Random(seed)
    started_s = time.monotonic()
    for number in range(OPERATIONS):
        for name, routes in wanted.items():
            route = change(chance, routes, add_path=name != "plain")
            speaker.want(name, routes, frozenset([route]))
        if number % 3 == 0:
            await asyncio.sleep(chance.choice(PAUSES_S))
    for name, router in routers.items():
        await router.holds(wanted[name])
        await until(lambda name=name: speaker.publisher.confirmed(PeerKey(name)) == wanted[name], "all confirmed")
        assert (await speaker.publisher.held())[PeerKey(name)].keys() == wanted[name].keys()
    print(f"seed {seed}: {len(routers)} x {OPERATIONS} operations in {time.monotonic() - started_s:.2f} s")
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced | DriftFound)]


def change(chance: random.Random, routes: dict[RouteKey, PathAttributes], *, add_path: bool) -> RouteKey:
    """Announce, replace or withdraw one route; which one."""
    prefix = chance.choice(PREFIXES)
    hop = chance.choice(HOPS6 if ":" in prefix else HOPS4)
    route = key(prefix, hop if add_path else "")
    if route in routes and chance.random() < 0.5:
        del routes[route]
    else:
        routes[route] = PathAttributes(Address(hop), chance.choice([None, 5]))
    return route
