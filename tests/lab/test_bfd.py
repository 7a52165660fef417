"""BFD between a speaker and both routers: a dead path costs a second, not a hold time; a dead daemon costs no decision.

The routers end a session whose BFD is down by themselves, and forget its routes although they help with graceful
restart: what BFD finds down is the path, not a speaker that restarts.
"""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.lab import programs, scenario
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.routers import BFD_INTERVAL_MS, BFD_MULTIPLIER, Router
from tests.lab.scenario import Fleet
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

FLEET_SIZE = 5
GONE_WITHIN_S = 5.0
"""A second of BFD, and what a busy machine adds; the hold time is 90 s."""
BACK_WITHIN_S = 40.0
UP_WITHIN_S = 30.0
WALL = """
table inet wall {
  chain input { type filter hook input priority 0; ip saddr %s drop; }
  chain output { type filter hook output priority 0; ip daddr %s drop; }
}
"""
TIMERS = {
    "enabled": True,
    "receiveInterval": BFD_INTERVAL_MS,
    "transmitInterval": BFD_INTERVAL_MS,
    "detectMultiplier": BFD_MULTIPLIER,
}


@pytest.fixture(scope="module")
def porter(lab: Lab) -> Iterator[Porter]:
    """Porter with a session to both routers, whose paths BFD watches from both ends."""
    started = lab.porter()
    for router in lab.routers:
        router.set_bfd(started.address)
    scenario.configure(lab, bfd=TIMERS)
    started.start()
    scenario.wait_sessions(lab, started)
    wait_watched(lab, started)
    yield started
    lab.reset()


@pytest.fixture(scope="module")
def fleet(lab: Lab, porter: Porter) -> Fleet:
    """Some Services that nothing is done to."""
    return scenario.launch_fleet(lab, FLEET_SIZE)


def wait_watched(lab: Lab, porter: Porter) -> None:
    for router in lab.routers:
        eventually(lambda router=router: porter.address in router.bfd_up(), f"{router.name}: BFD is up", UP_WITHIN_S)  # type: ignore[misc]
        scenario.wait_condition(
            lab,
            "BgpPeer",
            router.name,
            lambda one: one["type"] == "BfdUp" and one["status"] == "True",
            "BFD watches the path",
        )


@contextlib.contextmanager
def dead_path(router: Router, porter: Porter) -> Iterator[None]:
    """Nothing passes between a router and a speaker any more, and nobody says a word about it."""
    nft = programs.find("nft")
    router.namespace.run(nft, "-f", "-", stdin=WALL % (porter.address, porter.address))
    try:
        yield
    finally:
        router.namespace.run(nft, "delete", "table", "inet", "wall")


@pytest.mark.parametrize("number", [0, 1], ids=["frr", "bird"])
def test_a_dead_path_costs_a_second_and_no_other_router_notices(
    lab: Lab, porter: Porter, fleet: Fleet, number: int
) -> None:
    broken, whole = lab.routers[number], lab.routers[1 - number]
    scenario.wait_routed(lab, fleet.expected, scenario.SETTLED_WITHIN_S)
    before = {prefix: len(whole.kernel.events_of(prefix)) for prefix in fleet.expected}

    with dead_path(broken, porter):
        began_s = time.monotonic()
        gone_s = max(broken.kernel.wait_gone(prefix, GONE_WITHIN_S) for prefix in fleet.expected) - began_s
        said = scenario.wait_condition(
            lab,
            "BgpPeer",
            broken.name,
            lambda one: one["type"] == "Ready" and one["status"] == "False",
            "the session is down",
        )
        assert "BFD" in said["message"]
        # Longer than the kernel waits before it repeats an attempt to connect.
        time.sleep(8)
    opened_s = time.monotonic()
    scenario.wait_routed(lab, fleet.expected, BACK_WITHIN_S)
    print(f"{broken.name}: gone after {gone_s:.2f} s, back after {time.monotonic() - opened_s:.2f} s")
    wait_watched(lab, porter)
    assert {prefix: len(whole.kernel.events_of(prefix)) for prefix in fleet.expected} == before


def test_a_dead_daemon_ends_no_session_of_ours(lab: Lab, porter: Porter, fleet: Fleet) -> None:
    """The routers are told not to listen to BFD: what is left is what Porter itself does about it."""
    for router in lab.routers:
        router.set_bfd()
    for router in lab.routers:
        scenario.wait_condition(
            lab,
            "BgpPeer",
            router.name,
            lambda one: one["type"] == "BfdUp" and one.get("reason") == "BfdDown",
            "the router answers no BFD",
        )
    scenario.wait_sessions(lab, porter, timeout_s=BACK_WITHIN_S)
    scenario.wait_routed(lab, fleet.expected, BACK_WITHIN_S)
    with lab.watch(fleet.expected):
        killed = porter.kill("bfd")
        porter.wait_restarted("bfd", killed)
        time.sleep(2)
    for router in lab.routers:
        router.set_bfd(porter.address)
    wait_watched(lab, porter)
    scenario.wait_routed(lab, fleet.expected, BACK_WITHIN_S)


def test_routers_that_listen_to_bfd_have_their_routes_back_after_a_daemon_died(
    lab: Lab, porter: Porter, fleet: Fleet
) -> None:
    wait_watched(lab, porter)
    scenario.wait_routed(lab, fleet.expected, BACK_WITHIN_S)
    began_s = time.monotonic()
    killed = porter.kill("bfd")
    porter.wait_restarted("bfd", killed)
    # The routers may not have noticed yet.
    time.sleep(2 * BFD_INTERVAL_MS * BFD_MULTIPLIER / 1000)
    scenario.wait_routed(lab, fleet.expected, BACK_WITHIN_S)
    print(f"routes are there {time.monotonic() - began_s:.2f} s after BIRD died")
    wait_watched(lab, porter)
    assert "BFD found the path" not in str(porter.json("/v1/peers"))
