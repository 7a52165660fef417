"""Addresses and their pools, through edits and deletions of pools."""

from __future__ import annotations

from typing import Any

from porter.allocator import timers
from porter.events import observed
from porter.model.address import Address
from porter.model.reasons import Problem, Reason
from porter.projections import baseline
from porter.projections.number_set import NumberSet
from porter.projections.pool_report import cooling
from porter.projections.status import pool_status
from tests.unit.projections.story import Story, pool, service


def test_the_lowest_free_address_of_a_huge_pool() -> None:
    story = Story(pool("six", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff", default=True))
    story.says(*(service(f"s{number}", families=("IPv6",), created_ms=number) for number in range(20)))
    story.settles()
    assert story.addresses("s19") == {"2001:db8::13"}
    story.says(observed.ServiceGone("s7", "shop", "s7", "ServiceDeleted"), service("late", families=("IPv6",)))
    story.settles()
    assert story.addresses("late") == {"2001:db8::7"}
    assert len(story.state.pools.used("IPv6")) == 1


def test_intervals_merge_and_split() -> None:
    numbers = NumberSet()
    for number in (1, 3, 2, 9):
        numbers.add(number)
    assert numbers.intervals() == ((1, 3), (9, 9))
    numbers.discard(2)
    numbers.discard(7)
    assert numbers.intervals() == ((1, 1), (3, 3), (9, 9))
    assert numbers.lowest_free(1, 1) is None
    assert numbers.lowest_free(3, 9) == 4
    assert 3 in numbers
    assert "3" not in numbers


def test_an_address_counts_for_the_pool_that_holds_it() -> None:
    story = Story(pool("old", default=True), service())
    story.settles()
    pools = story.state.pools
    assert pools.counted_for("old") == ("192.0.2.0",)
    story.says(pool("old", "192.0.2.5-192.0.2.9", default=True))
    assert pools.counted_for("old") == ("192.0.2.0",), "nobody else holds it: the pool answers for what it gave"
    story.says(pool("new", "192.0.2.0-192.0.2.4"))
    assert (pools.counted_for("old"), pools.counted_for("new")) == ((), ("192.0.2.0",))
    story.says(observed.PoolGone("new", "new"), observed.PoolGone("old", "old"))
    assert pools.counted_for("old") == ("192.0.2.0",)
    assert story.settles() == []
    assert story.addresses() == {"192.0.2.0"}


def test_holders_in_the_order_of_addresses() -> None:
    story = Story(pool(default=True), service("b"), service("a", requested_addresses=("192.0.2.5",)))
    story.settles()
    assert list(story.state.pools.holders()) == [("192.0.2.0", "shop", "b", "b"), ("192.0.2.5", "shop", "a", "a")]
    allocation = story.state.pools.allocation("192.0.2.5")  # type: ignore[arg-type]
    assert allocation is not None
    assert (allocation.service, allocation.pool, allocation.reason) == ("shop/a", "p", "RequestedAddress")
    assert allocation.since_ms == story.time_ms


def test_gone_services_come_first_then_the_oldest() -> None:
    story = Story(pool(default=True), service("gone"))
    story.settles()
    story.says(service("young", created_ms=9), service("old", created_ms=2))
    story.says(observed.ServiceGone("gone", "shop", "gone", "ServiceDeleted"))
    assert story.state.pools.unsettled(9) == ("gone", "old", "young")
    assert story.state.pools.unsettled(2) == ("gone", "old")
    assert story.state.pools.unsettled(0) == ()


MALFORMED: dict[str, Any] = {"problems": (Problem(Reason.FIELD_INVALID, "spec.quota", "is no number"),), "ranges": ()}
HOUR_MS = 3_600_000


def test_a_malformed_edit_of_a_pool_costs_its_numbers_and_its_cool_downs_nothing() -> None:
    story = Story(pool(default=True, release_delay_ms=HOUR_MS), service("a"), service("b"), service("c"))
    story.settles()
    story.says(observed.ServiceGone("a", "shop", "a", "ServiceDeleted"))
    story.settles()
    story.says(pool(**MALFORMED), observed.ServiceGone("b", "shop", "b", "ServiceDeleted"))
    story.settles()
    state = story.state
    status = pool_status(state, "p")
    assert (status["usage"], status["poolSize"], status["firstIP"]) == (1, 10, "192.0.2.0")
    assert status["used"] == {"192.0.2.2": "shop/c"}
    assert [one["status"] for one in status["conditions"]] == ["False", "False", "False"]
    assert timers.due(state, story.time_ms, 8) == ()
    assert timers.next_due_ms(state) == story.time_ms + HOUR_MS
    assert [one.until_ms for one in cooling(state, "p")] == [story.time_ms + HOUR_MS] * 2
    assert len(timers.due(state, story.time_ms + HOUR_MS, 8)) == 2
    story.says(service("late"))
    story.settles()
    assert story.refusal("late").reason == Reason.POOL_INVALID


def test_a_malformed_edit_of_a_pool_hands_nothing_of_it_to_a_younger_one() -> None:
    kept = (observed.Reservation(Address("192.0.2.0"), "shop", "bank"),)
    older = pool(reservations=kept)
    younger = pool("q", "192.0.2.0-192.0.2.9", default=True, created_ms=2)
    story = Story(older, younger, pool(**MALFORMED), service(), service("asks", requested_addresses=("192.0.2.0",)))
    story.settles()
    assert (story.addresses(), story.addresses("asks")) == (set(), set())
    assert story.state.pools.table.reserved == {"192.0.2.0": kept[0]}
    story.says(older, younger._replace(ranges=(("192.0.2.10", "192.0.2.19"),)))  # type: ignore[arg-type]
    story.settles()
    assert story.addresses() == {"192.0.2.10"}


def test_a_malformed_edit_of_a_layer_2_pool_does_not_announce_it_by_bgp() -> None:
    story = Story(pool(protocol="layer2"), pool(**MALFORMED))
    assert story.state.pools.protocol("p") == "layer2"


def test_a_pool_that_never_was_well_formed_is_in_nobodys_way() -> None:
    story = Story(pool(problems=MALFORMED["problems"]), pool("q", created_ms=2, default=True), service())
    story.settles()
    assert story.addresses() == {"192.0.2.0"}


def test_of_pools_without_a_time_the_one_that_was_journaled_first_is_the_older() -> None:
    story = Story(pool("p1", default=True, created_ms=0), service())
    story.settles()
    story.says(pool("a0", default=True, created_ms=0), pool("p1", default=True, created_ms=0, priority=1))
    again = baseline.decode(baseline.encode(story.state))
    for state in (story.state, again):
        found = {name: one.problem is None for name, one in state.pools.table.by_name.items()}
        assert found == {"a0": False, "p1": True}
    story.says(observed.PoolGone("p1", "p1"), pool("p1", created_ms=0))
    assert story.state.pools.table.by_name["a0"].problem is None
