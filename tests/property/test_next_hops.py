"""Since when a next hop is there, read back from the journal, is what watching every event would have told."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from porter.app.history.next_hops import Since, routes_of, since
from porter.app.history.route_watch import HopKey
from porter.events import decided
from porter.events.envelope import Draft
from porter.journal.memory import MemoryJournals
from porter.model.address import Address, prefix_address
from porter.ports import Claim, Journal
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve
from tests.property.operations import apply, operations
from tests.property.world import World

RECORD = ("record",)
histories = st.lists(st.one_of(operations, operations, operations, st.just(RECORD)), min_size=5, max_size=40)


def recorded(world: World) -> decided.BaselineRecorded:
    state = baseline.encode(world.state)
    return decided.BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(state), state)


def by_hand(world: World) -> dict[tuple[Address, HopKey], int]:
    state, joined = ClusterState.empty(), dict[tuple[Address, HopKey], int]()
    for envelope in world.journal:
        state = evolve(state, envelope)
        there = {
            (prefix_address(prefix), HopKey(hop.node, hop.address))
            for prefix, route in state.loc_rib.routes.items()
            for hop in route.next_hops
        }
        joined = {each: joined.get(each, envelope.position) for each in there}
    return joined


async def written(world: World) -> Journal:
    journal = MemoryJournals(writer="a").journal()
    first, *others = world.journal
    await journal.claim(Claim("g", 1, None, 1, recovering=False, holder="a"), [Draft(first.payload)], time_ms=0)
    for envelope in others:
        commit = await journal.append([Draft(envelope.payload)], time_ms=envelope.time_ms)
        assert commit.last_position == envelope.position
    return journal


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_the_journal_tells_since_when_each_next_hop_is_there(history):
    world = World()
    world.start()
    for operation in history:
        if operation == RECORD:
            world.journals(recorded(world))
        else:
            apply(world, operation)
            world.settles()
    wanted = by_hand(world)
    found = asyncio.run(told_by_the_journal(world))
    told = {(address, key): one.position for address, keys in found.items() for key, one in keys.items()}
    # Beyond a few baselines back nothing is told, and nothing else.
    assert told.items() <= wanted.items()
    if history.count(RECORD) < 3:
        assert told == wanted


async def told_by_the_journal(world: World) -> Since:
    addresses = [prefix_address(prefix) for prefix in world.state.loc_rib.routes]
    return await since(await written(world), routes_of(world.state, addresses))
