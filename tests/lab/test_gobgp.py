"""GoBGP as the engine, on the whole path: what BFD finds ends its sessions, and its own faults cost no route.

The faults that both engines have are tried by `python -m tests.lab.gobgp_engine`.
"""

import time
from collections.abc import Iterator

import pytest

from tests.lab import scenario
from tests.lab.fault_world import World, world_in
from tests.lab.faults import Fault, Spell, try_faults
from tests.lab.gobgp_engine import BACK_WITHIN_S, BOTH_ENDS, OPTIONS, OWN_FAULTS, daemons
from tests.lab.lab import Lab
from tests.lab.test_bfd import GONE_WITHIN_S, TIMERS, dead_path, wait_watched

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

FLEET_SIZE = 20


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    """Porter over GoBGP, with BFD to both routers and some Services."""
    with world_in(lab, FLEET_SIZE, options=OPTIONS, bfd=TIMERS) as made:
        yield made


@pytest.mark.parametrize("fault", OWN_FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_fault_of_its_own_costs_no_route(world: World, fault: Fault) -> None:
    result, evidence = try_faults(world, fault.name, Spell(), fault)
    assert result.losses == [], evidence


# In this order: new daemons of a router that restarted a short while before cannot know a second restart of it.
@pytest.mark.parametrize("alone", [False, True], ids=["router-and-daemons", "router"])
def test_bird_loses_no_route_when_it_restarts_itself(world: World, alone: bool) -> None:
    """A router that restarts waits for those alone that did not restart: it is looked at before it is called."""
    daemon, graceful = BOTH_ENDS[1]
    result, evidence = try_faults(world, graceful.name, Spell(), *([graceful] if alone else [daemon, graceful]))
    assert result.next_hops_lost("bird") == 0, evidence


def test_a_dead_path_costs_a_second_and_no_other_session(world: World) -> None:
    lab, porter, expected = world.lab, world.up, world.fleet.expected
    for router in lab.routers:
        router.set_bfd(porter.address)
    scenario.wait_sessions(lab, porter, timeout_s=BACK_WITHIN_S)
    wait_watched(lab, porter)
    scenario.wait_routed(lab, expected, BACK_WITHIN_S)
    for broken, whole in (lab.routers, lab.routers[::-1]):
        before = {prefix: len(whole.kernel.events_of(prefix)) for prefix in expected}
        processes = set(daemons(porter))
        with dead_path(broken, porter):
            began_s = time.monotonic()
            gone_s = max(broken.kernel.wait_gone(prefix, GONE_WITHIN_S) for prefix in expected) - began_s
            said = scenario.wait_condition(
                lab,
                "BgpPeer",
                broken.name,
                lambda one: one["type"] == "Ready" and one["status"] == "False",
                "the session is down",
            )
            assert "BFD" in said["message"]
        opened_s = time.monotonic()
        scenario.wait_routed(lab, expected, BACK_WITHIN_S)
        print(f"{broken.name}: gone after {gone_s:.2f} s, back after {time.monotonic() - opened_s:.2f} s")
        assert len(processes - set(daemons(porter))) == 1, "only that session's daemon was ended"
        wait_watched(lab, porter)
        assert {prefix: len(whole.kernel.events_of(prefix)) for prefix in expected} == before
