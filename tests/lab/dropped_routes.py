"""Where the protocol itself drops routes: the hold time runs out, or a router restarts without graceful restart.

With two speakers on two links no route is lost; with one, all are back soon after the session is.
"""

import time

from tests.lab import scenario
from tests.lab.fault_world import World
from tests.lab.faults import PORTER_PORT, Result
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

FLEET_SIZE = 50
HOLD_TIME_S = 9
TIMERS = {"config": {"holdTime": str(HOLD_TIME_S)}}
EXPIRED_WITHIN_S = HOLD_TIME_S + 6.0
BACK_WITHIN_S = 120.0
SECOND_SPEAKER = 3


def add_speaker(world: World) -> Porter:
    """A second speaker on a link of its own, with routes at both routers, until the lab is reset."""
    added = world.lab.porter(SECOND_SPEAKER).start()
    scenario.wait_sessions(world.lab, world.up, added)
    for router in world.lab.routers:
        eventually(
            lambda router=router: all(  # type: ignore[misc]
                {peer for peer, _ in router.rib(prefix)} == {world.up.address, added.address}
                for prefix in world.fleet.expected
            ),
            f"{router.name} has every route of both speakers",
            BACK_WITHIN_S,
        )
    return added


def let_hold_time_expire(world: World, *others: Porter) -> Result:
    """Cut the first speaker's link until the routers have given its sessions up, and mend it."""
    network, expected = world.lab.network, world.fleet.expected
    left = {porter.address for porter in others}
    with world.lab.watch(expected, only_count=True) as watch:
        network.cut(PORTER_PORT)
        for router in world.lab.routers:
            router.wait_sessions(left, EXPIRED_WITHIN_S)
        network.mend(PORTER_PORT)
        for router in world.lab.routers:
            router.wait_sessions({world.up.address, *left}, BACK_WITHIN_S)
        consistency = world.wait_consistent()
    whole = {prefix: len(hops) for prefix, hops in expected.items()}
    speakers = "one speaker" if not others else "two speakers on two links"
    return Result(f"hold time expired, {speakers}", watch.losses, whole, consistency)


def restart_plainly(world: World, number: int) -> Result:
    """A router restarts and knows nothing of before; the time runs from its session's return."""
    router, expected = world.lab.routers[number], world.fleet.expected
    with world.lab.watch(expected, only_count=True) as watch:
        router.restart()
        eventually(lambda: world.up.address in router.established(), "the session is back", BACK_WITHIN_S)
        began_s = time.monotonic()
        scenario.wait_routed(world.lab, expected, BACK_WITHIN_S)
        back_s = time.monotonic() - began_s
        consistency = world.wait_consistent()
    consistency.router_s[router.name] = max(consistency.router_s[router.name], back_s)
    whole = {prefix: len(hops) for prefix, hops in expected.items()}
    return Result(f"plain restart of the router, {router.name}", watch.losses, whole, consistency)
