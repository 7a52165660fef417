"""One more peer of a running speaker: FRR again, by an IPv6 session. Nobody else notices, and it gets every route."""

import time

from tests.lab.fault_world import ADDED_FROM, World
from tests.lab.faults import Result
from tests.lab.waiting import NotInTime, eventually

FILLED_WITHIN_S = 20.0
GONE_WITHIN_S = 30.0
ADDED = "another peer is added, frr"


def add_peer(world: World) -> Result:
    """Add the peer, wait until it has every prefix, and take it away; the time runs from its addition.

    A peer that does not get all of them has the time ``inf``.
    """
    expected = world.fleet.expected
    whole = {prefix: len(hops) for prefix, hops in expected.items()}
    with world.lab.watch(expected, only_count=True) as watch:
        began_s = time.monotonic()
        world.add_peer()
        try:
            eventually(lambda: world.lab.frr.received(ADDED_FROM) >= len(expected), "all prefixes", FILLED_WITHIN_S)
            took_s = time.monotonic() - began_s
        except NotInTime:
            took_s = float("inf")
        world.remove_peer()
        eventually(lambda: ADDED_FROM not in world.lab.frr.established(), "its session is gone", GONE_WITHIN_S)
        consistency = world.wait_consistent()
    consistency.router_s["frr"] = took_s
    return Result(ADDED, watch.losses, whole, consistency)
