"""A Service that becomes ours while it is served by another controller keeps its address."""

from __future__ import annotations

from typing import Any

import pytest

from porter.allocator.adopt import adopt
from porter.allocator.decide import unsettled
from porter.events import decided, observed
from porter.model.address import Address
from porter.model.reasons import Problem, Reason
from tests.unit.projections.story import DUAL, SYNCED, Story, pool, service

DNS: dict[str, Any] = {"ports": (("UDP", 53),)}


def holds(*addresses: str) -> dict[str, Any]:
    return {"held": tuple(Address(one) for one in addresses)}


def taken_over(*facts: observed.ServiceObserved, **fields: Any) -> Story:
    """A story of a default pool and one Service, in which others become ours later, in one batch."""
    story = Story(pool("p", "192.0.2.0-192.0.2.9", default=True, **fields), service("first"))
    story.settles()
    story.says(*facts)
    story.settles()
    return story


@pytest.mark.parametrize(
    "addresses",
    [("192.0.2.4",), ("203.0.113.9",), ("192.0.2.4", "192.0.2.5"), ("203.0.113.9", "192.0.2.4", "203.0.113.7")],
)
def test_all_that_the_status_says_is_kept_in_a_pool_or_not(addresses: tuple[str, ...]) -> None:
    story = taken_over(service(**holds(*addresses)))
    assert story.addresses() == set(addresses)
    assert {one.reason for one in story.state.pools.of("web")} == {Reason.ADOPTED_FROM_STATUS}
    assert not story.state.pools.lacks("web")
    story.says(service(labels=(("tier", "x"),), **holds(*addresses)))
    assert story.settles() == []


def test_only_the_families_that_it_wants_are_adopted_and_a_missing_one_is_given() -> None:
    assert taken_over(service(**holds("192.0.2.4", "2001:db8::4"))).addresses() == {"192.0.2.4"}
    prefers = {**DUAL, "family_policy": "PreferDualStack"}
    story = Story(pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True))
    story.says(service(**prefers, **holds("203.0.113.9")))
    story.settles()
    assert story.addresses() == {"203.0.113.9", "2001:db8::"}


def test_a_sharer_keeps_its_present_address() -> None:
    one, two = service(sharing_key="k", **holds("192.0.2.4")), service("dns", sharing_key="k", **holds("192.0.2.4"))
    assert taken_over(one, two._replace(**DNS)).addresses("dns") == {"192.0.2.4"}
    clash = taken_over(one, two)
    assert (clash.addresses(), clash.addresses("dns")) == ({"192.0.2.1"}, {"192.0.2.4"}), "dns comes first by name"


def test_a_reservation_for_another_takes_nothing_from_a_service_that_holds_it() -> None:
    story = taken_over(
        service(**holds("192.0.2.4")), reservations=(observed.Reservation(Address("192.0.2.4"), "shop", "other"),)
    )
    assert story.addresses() == {"192.0.2.4"}


def test_an_address_that_cools_down_since_another_had_it_is_not_adopted() -> None:
    story = taken_over(release_delay_ms=60_000)
    story.says(observed.ServiceGone("first", "shop", "first", "ServiceDeleted"))
    story.settles()
    story.says(service(**holds("192.0.2.0")))
    story.settles()
    assert story.addresses() == {"192.0.2.1"}


def test_adoptions_go_before_an_older_service_that_waits() -> None:
    late = service("late", created_ms=9, **holds("192.0.2.1"))
    newer = service("newer", created_ms=10, held_decision=7, **holds("192.0.2.2"))
    story = Story(pool("p", "192.0.2.0-192.0.2.9", default=True), service("first"))
    story.settles()
    story.says(service("old", created_ms=0), late, newer)
    assert unsettled(story.state, 9) == ("newer", "late", "old")
    story.settles()
    assert story.addresses("late") == {"192.0.2.1"}
    assert story.addresses("old") == {"192.0.2.3"}


def test_a_request_that_can_be_met_replaces_what_the_status_says() -> None:
    story = taken_over(service(requested_addresses=(Address("192.0.2.7"),), **holds("203.0.113.9")))
    assert story.addresses() == {"192.0.2.7"}


@pytest.mark.parametrize(
    "fields",
    [
        {"requested_addresses": (Address("192.0.2.0"),)},
        {"requested_pool": "absent"},
        {"problems": (Problem(Reason.ADDRESS_INVALID, "x", "x is no IP"),)},
    ],
)
def test_a_request_that_is_refused_leaves_what_the_status_says(fields: dict[str, Any]) -> None:
    story = taken_over(service(**fields, **holds("203.0.113.9")))
    assert story.addresses() == {"203.0.113.9"}
    assert isinstance(story.refusal(), decided.AllocationRefused)
    assert story.settles() == []


@pytest.mark.parametrize("now", [pool("p", "192.0.2.5-192.0.2.9"), pool("q", default=True)], ids=["shrunk", "split"])
def test_a_lost_journal_moves_no_service_from_what_was_given_of_the_pool_that_it_names(now: Any) -> None:
    fact = service(requested_pool="p", held_decision=7, **holds("192.0.2.0"))
    story = Story(now, pool("p", "192.0.2.5-192.0.2.9"), fact, synced=False)
    story.says(*adopt(story.state, ()), SYNCED)
    assert story.settles() == []
    assert story.addresses() == {"192.0.2.0"}
