"""The protocol itself drops routes: with two speakers on two links none is lost, with one all are back within 5 s."""

from collections.abc import Iterator

import pytest

from tests.lab import dropped_routes
from tests.lab.fault_world import World, check_in_time, world_in
from tests.lab.faults import Result
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    """A world with a hold time that is soon over."""
    with world_in(lab, dropped_routes.FLEET_SIZE, timers=dropped_routes.TIMERS) as made:
        yield made


def test_hold_time_expired_with_one_speaker(world: World) -> None:
    check_back(dropped_routes.let_hold_time_expire(world))


@pytest.mark.parametrize("number", [0, 1], ids=["frr", "bird"])
def test_router_restarted_plainly(world: World, number: int) -> None:
    result = dropped_routes.restart_plainly(world, number)
    check_back(result)
    other = world.lab.routers[1 - number].name
    assert not [loss for loss in result.losses if loss.router == other], f"{other} lost routes, too"


def test_hold_time_expired_with_two_speakers(world: World) -> None:
    added = dropped_routes.add_speaker(world)
    result = dropped_routes.let_hold_time_expire(world, added)
    assert not result.losses, result.losses[:10]


def check_back(result: Result) -> None:
    """Everything was back in time."""
    print(f"{result.name}: consistent after {result.consistency.router_s}")
    check_in_time(result.consistency)
