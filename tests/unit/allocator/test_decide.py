"""Who gets which address, who does not, and what a refusal tells."""

from __future__ import annotations

from typing import Any

import pytest

from porter.allocator.decide import cause, decide, unsettled
from porter.events import decided, observed
from porter.model.reasons import Problem, Reason
from porter.projections.status.services import service_conditions
from tests.unit.projections.story import DUAL, SYNCED, Story, pool, service

TWO = pool("two", "192.0.2.0-192.0.2.1", "2001:db8::-2001:db8::9", default=True)


def kinds(events: list[Any]) -> list[str]:
    return [type(one).__name__.removeprefix("Address") for one in events]


def settled(*payloads: Any) -> Story:
    story = Story(*payloads)
    story.settles()
    return story


def test_nothing_is_decided_before_the_inventory_is_synced_or_while_recovering() -> None:
    story = Story(pool(default=True), service(), synced=False)
    assert (unsettled(story.state, 9), decide(story.state, "web")) == ((), ())
    story.says(SYNCED, decided.EpochStarted("g", "two", 1, "", recovering=True), SYNCED)
    assert (unsettled(story.state, 9), decide(story.state, "web")) == ((), ())
    story.says(decided.RecoveryCompleted(0, ()))
    assert kinds(story.settles()) == ["Allocated"]


def test_the_same_answer_as_long_as_nothing_changes() -> None:
    story = Story(pool(default=True), service())
    assert decide(story.state, "web") == decide(story.state, "web")
    story.settles()
    assert decide(story.state, "web") == ()
    assert decide(story.state, "nobody") == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"default": True}, Reason.DEFAULT_POOL),
        ({"namespaces": ("shop",)}, Reason.BOUND_POOL),
        ({"namespace_selector": (("team", "x"),)}, Reason.BOUND_POOL),
        ({"auto_assign": True}, Reason.AUTO_ASSIGNED),
    ],
)
def test_each_rule_gives(fields: dict[str, Any], reason: Reason) -> None:
    story = Story(observed.NamespaceObserved("shop", (("team", "x"),)), pool(**fields), service())
    (given,) = story.settles()
    assert isinstance(given, decided.AddressAllocated)
    assert (given.address, given.pool, given.reason) == ("192.0.2.0", "p", reason)


def test_a_plain_pool_serves_requests_only() -> None:
    story = settled(pool(), service(), service("named", requested_pool="p"))
    assert story.addresses("named") == {"192.0.2.0"}
    refusal = story.refusal()
    assert refusal.reason == Reason.NO_POOL
    assert [one.reason for one in refusal.candidates] == [Reason.ON_REQUEST_ONLY]


def test_pools_that_were_passed_over_are_told_with_the_address() -> None:
    story = Story(pool("full", "10.0.0.1-10.0.0.1", default=True), pool("more", auto_assign=True), service("a"))
    story.settles()
    story.says(service())
    (given,) = story.settles()
    assert isinstance(given, decided.AddressAllocated)
    assert (given.pool, [one.reason for one in given.candidates]) == ("more", [Reason.POOL_EXHAUSTED])


def test_an_exhausted_pool_is_tried_again_when_an_address_is_released() -> None:
    story = settled(pool("p", "192.0.2.0-192.0.2.0", default=True), service("first"), service(created_ms=2))
    refusal = story.refusal()
    assert refusal.reason == Reason.POOL_EXHAUSTED
    assert refusal.message == "Eip p has no free IPv4 address; enlarge it or release a Service"
    assert story.settles() == [], "a refusal is told once"
    story.says(observed.NamespaceObserved("shop"))
    assert story.settles() == [], "and not again for the same reason"
    story.says(observed.ServiceGone("first", "shop", "first", "ServiceDeleted"))
    assert kinds(story.settles()) == ["Released", "Allocated"]
    assert story.addresses() == {"192.0.2.0"}
    assert story.state.pools.refusal("web") is None


def test_a_requested_address_that_is_taken_names_the_holder() -> None:
    story = settled(pool(default=True), service("first"))
    story.says(service(requested_addresses=("192.0.2.0",)))
    story.settles()
    assert story.refusal().reason == Reason.ADDRESS_IN_USE
    assert story.refusal().message == (
        "192.0.2.0 is held by shop/first since 12:00 UTC (#5); request another address or release that one"
    )
    story.says(service(requested_addresses=("192.0.2.7",)))
    story.settles()
    assert story.addresses() == {"192.0.2.7"}


@pytest.mark.parametrize(
    ("request_", "reason", "words"),
    [
        ({"requested_addresses": ("203.0.113.1",)}, Reason.ADDRESS_OUTSIDE_POOLS, "no Eip holds 203.0.113.1"),
        ({"requested_addresses": ("2001:db8::1",)}, Reason.FAMILY_UNAVAILABLE, "its own family is IPv4"),
        (
            {"requested_addresses": ("192.0.2.1",), "requested_pool": "off"},
            Reason.ADDRESS_OUTSIDE_POOLS,
            "Eip off does not hold 192.0.2.1",
        ),
        ({"requested_pool": "absent"}, Reason.POOL_NOT_FOUND, "there is no Eip absent"),
        ({"requested_pool": "off"}, Reason.POOL_DISABLED, "Eip off is disabled"),
        ({"requested_addresses": ("198.51.100.1",)}, Reason.POOL_DISABLED, "Eip off is disabled"),
        ({"requested_pool": "twin"}, Reason.POOL_INVALID, "overlap"),
        ({"requested_pool": "six"}, Reason.FAMILY_UNAVAILABLE, "Eip six has no IPv4 addresses"),
        ({"problems": (Problem(Reason.ADDRESS_INVALID, "x", "x is no IP"),)}, Reason.ADDRESS_INVALID, "x is no IP"),
    ],
)
def test_a_request_that_cannot_be_met_says_why_and_leaves_things_as_they_were(
    request_: dict[str, Any], reason: Reason, words: str
) -> None:
    pools = (
        pool(default=True),
        pool("off", "198.51.100.0-198.51.100.9", disabled=True),
        pool("twin", "192.0.2.9-192.0.2.20", created_ms=2),
        pool("six", "2001:db8::-2001:db8::9"),
    )
    fresh = settled(*pools, service(**request_))
    assert fresh.addresses() == set()
    assert (fresh.refusal().reason, words in fresh.refusal().message) == (reason, True), fresh.refusal()
    served = settled(*pools, service())
    served.says(service(**request_))
    assert kinds(served.settles()) == ["AllocationRefused"]
    assert served.addresses() == {"192.0.2.0"}


def test_a_change_of_request_gives_before_it_takes() -> None:
    story = settled(pool(default=True), pool("q", "198.51.100.0-198.51.100.9"), service())
    story.says(service(requested_pool="q"))
    assert kinds(story.settles()) == ["Allocated", "Released"]
    assert story.addresses() == {"198.51.100.0"}
    story.says(service(requested_pool="q", requested_addresses=("198.51.100.5",)))
    assert kinds(story.settles()) == ["Allocated", "Released"]
    story.says(service())
    assert story.settles() == [], "a request that is taken back moves nobody"
    assert story.addresses() == {"198.51.100.5"}


def test_disabling_editing_or_deleting_a_pool_takes_nothing_away() -> None:
    story = settled(pool(default=True), pool("q", "198.51.100.0-198.51.100.9", auto_assign=True), service())
    for change in (
        pool(default=True, disabled=True),
        pool("p", "192.0.2.9-192.0.2.9", default=True),
        observed.PoolGone("p", "p"),
    ):
        story.says(change, service(labels=((type(change).__name__, "x"),)))
        assert story.settles() == []
        assert story.addresses() == {"192.0.2.0"}


def test_a_named_pool_that_is_renamed_moves_nobody() -> None:
    story = settled(pool("old"), service(requested_pool="old"))
    story.says(observed.PoolGone("old", "old"), pool("new"), service(requested_pool="old", labels=(("a", "b"),)))
    assert story.settles() == []
    # What names the new one is of the new one from then on, and nothing else changes.
    story.says(service(requested_pool="new"))
    [again] = story.settles()
    assert again == decided.AddressAllocated("web", "shop", "web", "192.0.2.0", "new", Reason.REQUESTED_POOL)  # type: ignore[arg-type]
    assert [one.pool for one in story.state.pools.of("web")] == ["new"]
    assert any("from Eip new, as requested" in one["message"] for one in service_conditions(story.state, "web"))
    story.says(service(requested_pool="new", labels=(("a", "c"),)))
    assert story.settles() == []


def test_a_pool_that_holds_the_address_beside_the_one_that_gave_it_takes_nothing_over() -> None:
    story = settled(pool("old"), service(requested_pool="old"), pool("new", created_ms=2))
    story.says(service(requested_pool="new"))
    assert story.settles() == []
    assert [one.pool for one in story.state.pools.of("web")] == ["old"]


def test_release_on_deletion_tells_why() -> None:
    story = settled(pool(default=True), service())
    story.says(observed.ServiceGone("web", "shop", "web", Reason.SERVICE_NOT_CLAIMED))
    at = story.position
    assert cause(story.state, "web") == at
    assert story.settles() == [
        decided.AddressReleased("web", "shop", "web", "192.0.2.0", "p", Reason.SERVICE_NOT_CLAIMED)  # type: ignore[arg-type]
    ]
    assert story.state.pools.departed == {}


def test_the_cause_of_a_decision() -> None:
    story = Story(service())
    assert cause(story.state, "web") == 2
    story.settles()
    story.says(pool(default=True))
    assert cause(story.state, "web") == story.position


def test_dual_stack_gets_both_from_one_pool() -> None:
    story = settled(pool("four", "10.0.0.0-10.0.0.9", default=True, created_ms=0), TWO, service(**DUAL))
    # The older pool is the default for IPv4 alone; the other one is that for IPv6.
    assert story.addresses() == {"10.0.0.0", "2001:db8::"}
    alone = settled(TWO, service(**DUAL))
    assert alone.addresses() == {"192.0.2.0", "2001:db8::"}
    bound = settled(
        pool("a", "10.0.0.0-10.0.0.9", namespaces=("shop",)), TWO._replace(namespaces=("shop",)), service(**DUAL)
    )
    assert bound.addresses() == {"192.0.2.0", "2001:db8::"}, "within a rule one pool for both comes first"


def test_required_dual_stack_is_both_or_none() -> None:
    story = settled(pool(default=True), service(**DUAL))
    assert story.addresses() == set()
    assert story.refusal().reason == Reason.FAMILY_UNAVAILABLE
    story.says(pool("six", "2001:db8::-2001:db8::9", default=True))
    story.settles()
    assert story.addresses() == {"192.0.2.0", "2001:db8::"}


def test_preferred_dual_stack_takes_one_and_the_other_when_it_comes() -> None:
    prefers = {**DUAL, "family_policy": "PreferDualStack"}
    story = settled(pool(default=True), service(**prefers))
    assert story.addresses() == {"192.0.2.0"}
    assert "web" not in story.state.pools.refusals
    assert not story.state.pools.is_unsettled("web")
    story.says(pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True))
    assert kinds(story.settles()) == ["Allocated"]
    assert story.addresses() == {"192.0.2.0", "2001:db8::"}


def test_a_family_that_is_dropped_is_released() -> None:
    story = settled(TWO, service(**DUAL))
    story.says(service())
    (released,) = story.settles()
    assert isinstance(released, decided.AddressReleased)
    assert (released.address, released.reason) == ("2001:db8::", Reason.FAMILY_DROPPED)


def test_both_families_can_be_requested() -> None:
    asks = {**DUAL, "requested_addresses": ("192.0.2.1", "2001:db8::5")}
    story = settled(TWO, service(**asks))
    assert story.addresses() == {"192.0.2.1", "2001:db8::5"}
    half = settled(TWO, service(**{**asks, "requested_addresses": ("192.0.2.1", "2001:db9::5")}))
    assert half.addresses() == set()


def test_sharing_by_request_and_what_stands_against_it() -> None:
    asks: dict[str, Any] = {"requested_addresses": ("192.0.2.5",)}
    story = settled(pool(), service(**asks), service("dns", ports=(("UDP", 53),), **asks))
    assert story.addresses() == story.addresses("dns") == {"192.0.2.5"}
    story.says(service("clash", **asks))
    story.settles()
    assert "cannot be shared, because both use TCP port 80" in story.refusal("clash").message
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    story.settles()
    assert [one.uid for one in story.state.pools.by_address["192.0.2.5"]] == ["dns", "clash"]  # type: ignore[index]


def test_what_another_controller_gave_is_adopted_if_nobody_else_has_it() -> None:
    story = settled(pool(default=True), service("first"))
    story.says(service(held=("203.0.113.9", "192.0.2.4")), service("late", held=("192.0.2.0",)))
    made = story.settles()
    assert kinds(made) == ["Allocated", "Adopted", "Adopted"]
    assert story.addresses() == {"203.0.113.9", "192.0.2.4"}
    assert story.addresses("late") == {"192.0.2.1"}


def test_an_old_status_is_not_adopted_after_a_move() -> None:
    story = settled(pool(default=True), service(held=("192.0.2.0",)))
    moved = service(held=("192.0.2.0",), requested_addresses=("192.0.2.3",))
    story.says(moved)
    story.settles()
    story.says(moved._replace(requested_addresses=()))
    assert story.settles() == []
    assert story.addresses() == {"192.0.2.3"}


def test_a_thousand_consequences_of_one_fact_come_in_turns() -> None:
    story = Story(*(service(f"s{number:03}", created_ms=number) for number in range(300)))
    story.settles()
    assert unsettled(story.state, 9) == ()
    story.says(pool("p", "10.0.0.0-10.0.3.255", default=True))
    assert unsettled(story.state, 3) == ("s000", "s001", "s002")
    assert len(story.settles()) == 300
    assert story.addresses("s299") == {"10.0.1.43"}
