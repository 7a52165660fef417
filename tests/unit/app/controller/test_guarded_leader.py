"""The leader holds withdrawals before any reader can see them, and takes the next steps of drains in their time."""

from __future__ import annotations

import asyncio

import pytest

from porter.allocator.withdrawals import Rule
from porter.events import decided, observed
from porter.model.bgp import LEAVING
from tests.unit.app.leading import World
from tests.unit.projections.story import endpoints, node, pool, service

SIZE = 30
RULE = Rule(share_percent=25, minimum=8, bound_ms=600_000, local_bound_ms=5_000)
NAMES = [f"s{number:02}" for number in range(SIZE)]


@pytest.fixture
async def world():
    world = World(RULE)
    world.objects.put(node(1), node(2), pool("p", "192.0.2.0-192.0.2.99", default=True))
    for number, name in enumerate(NAMES):
        world.objects.put(service(name, created_ms=number), endpoints(name, "n1"))
    async with world.leader() as leading:
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE)
    return world


async def least_routes(world: World) -> int:
    """The fewest routes that a reader ever had, once it had all."""
    counts = [len(routes) for _, routes in await world.followed()]
    return min(counts[counts.index(SIZE) :])


def held(leading) -> int:
    return len(leading.state.ledger.holds.routes)


async def test_a_mass_loss_is_held_before_any_reader_sees_it_and_goes_when_it_is_approved(world):
    async with world.leader() as leading:
        for name in NAMES:
            world.objects.put(endpoints(name))
            await asyncio.sleep(0.01)
        await world.until(lambda: held(leading) == SIZE)
        await world.until(lambda: len(leading.state.loc_rib.lost) == SIZE)
        (hold,) = leading.state.ledger.holds.open
        assert await least_routes(world) == SIZE
        assert world.view.act is not None
        await world.view.act(decided.WithdrawalApproved(hold, "ada", "planned"))
        await world.until(lambda: not leading.state.loc_rib.routes)
    assert [event.hold for event in await world.events(decided.WithdrawalHeld, decided.WithdrawalApproved)] == [
        hold
    ] * 2


async def test_a_new_leader_holds_what_it_finds_gone_when_it_lists(world):
    world.objects.take(*(("Endpoints", f"shop/{name}") for name in NAMES[:20]))
    async with world.leader() as leading:
        assert held(leading) == 20
        await world.until(lambda: len(leading.state.loc_rib.lost) == 20)
    assert await least_routes(world) == SIZE
    async with world.leader() as leading:
        assert held(leading) == 20, "a restart forgets nothing"
        assert len(leading.state.loc_rib.routes) == SIZE
        world.objects.put(*(endpoints(name, "n2") for name in NAMES[:20]))
        await world.until(lambda: not leading.state.ledger.holds.open)
        assert len(leading.state.loc_rib.routes) == SIZE
    assert len(await world.events(decided.HoldEnded)) == 1
    assert await least_routes(world) == SIZE


async def test_a_list_without_nodes_is_held_with_all_their_next_hops(world):
    world.objects.take(("Node", "n1"), ("Node", "n2"))
    async with world.leader() as leading:
        assert held(leading) == SIZE
        assert [hop.node for hop in leading.state.loc_rib.routes["192.0.2.0/32"].next_hops] == ["n1", "n2"]
    assert await least_routes(world) == SIZE


async def test_a_hold_ends_with_its_bound(world):
    async with world.leader() as leading:
        world.objects.put(*(endpoints(name) for name in NAMES))
        await world.until(lambda: held(leading) == SIZE)
        world.clock.added_s = 601
        await world.until(lambda: not leading.state.loc_rib.routes)
    assert len(await world.events(decided.HoldExpired)) == 1


async def test_deleted_services_are_never_held(world):
    async with world.leader() as leading:
        for name in NAMES[:20]:
            world.objects.put(endpoints(name))
        await world.until(lambda: held(leading) == 20)
        world.objects.take(*((kind, f"shop/{name}") for name in NAMES[:20] for kind in ("Endpoints", "Service")))
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE - 20)
        await world.until(lambda: not leading.state.ledger.holds.open)
    async with world.leader() as leading:
        world.objects.take(*((kind, f"shop/{name}") for name in NAMES for kind in ("Service", "Endpoints")))
        await world.until(lambda: not leading.state.loc_rib.routes)
    assert len(await world.events(decided.WithdrawalHeld)) == 1


async def test_a_few_losses_go_soon_and_what_comes_back_at_once_is_no_loss(world):
    async with world.leader() as leading:
        world.objects.put(endpoints("s00"), endpoints("s01"))
        await asyncio.sleep(0.1)
        world.objects.put(endpoints("s01", "n2"))
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE - 1)
        world.objects.put(service("s02", created_ms=2, labels=(("a", "b"),)), endpoints("s02"))
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE - 2)
    assert await world.events(decided.WithdrawalHeld) == []
    assert [event for event in await world.events(observed.EndpointsObserved) if event == endpoints("s01")] == []


async def test_a_drain_takes_its_second_step_when_its_delay_is_over(world):
    async with world.leader() as leading:
        assert world.view.act is not None
        await world.view.act(decided.NodeDrained("n1", "n1", "ada", "", 200))
        assert [hop.standing for hop in leading.state.loc_rib.everyone["IPv4"]] == [1, 0]
        await world.until(lambda: len(leading.state.loc_rib.everyone["IPv4"]) == 1)
        await world.view.act(decided.ServiceDrained("s00", "shop", "s00", "ada", "", 3_600_000))
    world.clock.added_s = 3601
    async with world.leader() as leading:
        await world.until(lambda: len(leading.state.loc_rib.routes) == SIZE - 1)
    commits = await world.commits()
    steps = {type(event.payload): event for commit in commits for event in commit.events}
    over, begun = steps[decided.NodeDrainElapsed], steps[decided.NodeDrained]
    assert over.causation == begun.position
    assert over.time_ms >= begun.time_ms + 200


async def test_the_next_leader_takes_the_second_step_of_a_speakers_drain(world):
    async with world.leader() as leading:
        await world.view.act(decided.SpeakerDrained("s1", "ada", "memory", 3_600_000))
        assert leading.state.ledger.maintenance.speaker_standing("s1") == LEAVING
    world.clock.added_s = 3601
    async with world.leader() as leading:
        await world.until(lambda: leading.state.ledger.maintenance.withdrawn_speakers == {"s1"})
        await world.view.act(decided.SpeakerUndrained("s1", "ada", ""))
        assert leading.state.ledger.maintenance.speakers == {}
    (begun,) = await world.events(decided.SpeakerDrained)
    (over,) = await world.events(decided.SpeakerDrainElapsed)
    assert (begun.delay_ms, over.speaker) == (3_600_000, "s1")


async def test_a_cordoned_node_is_drained_where_that_is_set(world):
    world.cordon_delay_ms = 0
    async with world.leader() as leading:
        world.objects.put(node(1, cordoned=True))
        await world.until(lambda: len(leading.state.loc_rib.everyone["IPv4"]) == 1)
        world.objects.put(node(1))
        await world.until(lambda: not leading.state.ledger.maintenance.nodes)
        assert len(leading.state.loc_rib.everyone["IPv4"]) == 2
