"""No address has two owners, and nobody loses one that it claims, under random histories."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from porter.allocator.decide import unsettled
from porter.model.address import Address
from porter.projections.number_set import NumberSet
from tests.property.operations import apply, operations
from tests.property.world import World

histories = st.lists(operations, min_size=5, max_size=40)
unhurried = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def addresses(world: World) -> dict[str, frozenset[Address]]:
    return {fact.uid: world.state.pools.addresses_of(fact.uid) for fact in world.services().values()}


@unhurried
@given(histories)
def test_an_address_has_one_owner_and_indexes_are_what_they_are_computed_from(history: list[tuple[Any, ...]]) -> None:
    world = World()
    world.start()
    for operation in history:
        apply(world, operation)
        world.check()
    world.settles()
    world.check()
    assert unsettled(world.state, 10) == ()
    assert not any(uid not in world.state.inventory.services for uid in world.state.pools.by_uid)


def given_from_the_named_pool(world: World, uid: str) -> bool:
    """Whether all that a Service holds is of the pool that it names, if it names one."""
    pool = world.state.inventory.services[uid].requested_pool
    return not pool or all(one.pool == pool for one in world.state.pools.of(uid))


@unhurried
@given(histories)
def test_only_its_own_edit_takes_an_address_from_a_service(history: list[tuple[Any, ...]]) -> None:
    world = World()
    world.start()
    for operation in history:
        before = addresses(world)
        apply(world, operation)
        settled_before = addresses(world)
        named = {uid: given_from_the_named_pool(world, uid) for uid in settled_before}
        world.settles()
        after = addresses(world)
        assert all(before[uid] <= settled_before[uid] for uid in before if uid in settled_before)
        for uid, held in settled_before.items():
            service = world.state.inventory.services[uid]
            assert after[uid] or not held, f"{operation} left {service} without an address"
            is_edit = operation[0] == "edit" and service.name == operation[1]
            if not is_edit and named[uid] and held >= set(service.requested_addresses):
                # Only one that holds something else than it asks for may move, once it can have what it asks for.
                assert held <= after[uid], f"{operation} took {held - after[uid]} from {service}"


@unhurried
@given(histories, st.integers(0, 100), st.booleans())
def test_recovery_keeps_what_services_hold(history: list[tuple[Any, ...]], kept: int, speakers: bool) -> None:
    world = World()
    world.start()
    for operation in history:
        apply(world, operation)
    world.settles()
    world.writes_statuses()
    before = addresses(world)
    owners = {one for held in before.values() for one in held}
    world.loses(len(world.journal) * kept // 100, speakers=speakers)
    world.check()
    after = addresses(world)
    for uid, held in before.items():
        assert held <= after[uid], f"{uid} lost {held - after[uid]}"
    assert owners <= set(world.state.pools.by_address)
    world.settles()
    world.check()


@unhurried
@given(histories, st.integers(0, 100), st.booleans())
def test_recovery_with_statuses_that_lag_gives_no_address_two_owners(
    history: list[tuple[Any, ...]], kept: int, speakers: bool
) -> None:
    world = World()
    world.start()
    for operation in history:
        apply(world, operation)
    world.loses(len(world.journal) * kept // 100, speakers=speakers)
    world.check()
    world.settles()
    world.check()


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=200), st.integers(0, 40), st.integers(0, 40))
def test_numbers_are_the_set_that_they_stand_for(changes: list[tuple[bool, int]], first: int, last: int) -> None:
    numbers, plain = NumberSet(), set[int]()
    for put, number in changes:
        (numbers.add if put else numbers.discard)(number)
        (plain.add if put else plain.discard)(number)
    assert [n for low, high in numbers.intervals() for n in range(low, high + 1)] == sorted(plain)
    assert all(
        high + 1 < low for (_, high), (low, _) in zip(numbers.intervals(), numbers.intervals()[1:], strict=False)
    )
    assert all((number in numbers) == (number in plain) for number in range(42))
    free = [number for number in range(first, last + 1) if number not in plain]
    assert numbers.lowest_free(first, last) == (free[0] if free else None)
