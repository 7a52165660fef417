"""Adoption at the first genesis and in recovery: nobody loses what it holds, and nobody gets what another holds."""

from __future__ import annotations

from typing import Any

from porter.allocator.adopt import adopt
from porter.events import decided, observed
from porter.model.reasons import Reason
from tests.unit.projections.story import SYNCED, Story, pool, service

RECOVERING = decided.EpochStarted("g", "two", 1, "", recovering=True)
DONE = decided.RecoveryCompleted(0, ())


def adopts(story: Story, *reports: tuple[str, str, str, str]) -> list[Any]:
    made = adopt(story.state, reports)
    story.says(*made)
    assert adopt(story.state, reports) == ()
    return [(type(one).__name__.removeprefix("Address"), one.uid, one.address, one.pool, one.reason) for one in made]


def test_a_first_genesis_adopts_before_it_allocates() -> None:
    story = Story(
        pool(default=True),
        service("new"),
        service(created_ms=5, held=("192.0.2.0",)),
        service("far", held=("203.0.113.1", "2001:db8::1")),
        synced=False,
    )
    assert adopts(story) == [
        ("Adopted", "far", "203.0.113.1", "", Reason.ADOPTED_FROM_STATUS),
        ("Adopted", "far", "2001:db8::1", "", Reason.ADOPTED_FROM_STATUS),
        ("Adopted", "web", "192.0.2.0", "p", Reason.ADOPTED_FROM_STATUS),
    ]
    story.says(SYNCED)
    story.settles()
    assert story.addresses("new") == {"192.0.2.1"}
    assert story.addresses() == {"192.0.2.0"}
    assert story.addresses("far") == {"203.0.113.1"}, "a family that it has no cluster address of goes"


def test_of_two_claims_the_newer_decision_wins_then_age() -> None:
    one, two = service("one", held=("192.0.2.0",)), service("two", created_ms=2, held=("192.0.2.0",))
    story = Story(pool(default=True), one, two._replace(held_decision=9), synced=False)
    assert [row[1] for row in adopts(story)] == ["two"]
    story = Story(pool(default=True), one, two, synced=False)
    assert [row[1] for row in adopts(story)] == ["one"]
    story.says(SYNCED)
    story.settles()
    assert story.addresses("two") == {"192.0.2.1"}


def test_sharers_are_adopted_together() -> None:
    held: dict[str, Any] = {"held": ("192.0.2.0",), "requested_addresses": ("192.0.2.0",)}
    story = Story(pool(), service(**held), service("dns", ports=(("UDP", 53),), **held), synced=False)
    assert [row[1] for row in adopts(story)] == ["dns", "web"]


def recovering(*before: Any, now: tuple[Any, ...]) -> Story:
    """A journal that lost its end: what it says of `before`, and the facts as they are now."""
    story = Story(pool(default=True), *before)
    story.settles()
    return story.says(RECOVERING, *now)


def test_recovery_takes_from_those_that_hold_it_no_more() -> None:
    story = recovering(service(), now=(service(), service("heir", held=("192.0.2.0",), held_decision=50)))
    assert adopts(story) == [
        ("Released", "web", "192.0.2.0", "p", Reason.SUPERSEDED_IN_RECOVERY),
        ("Adopted", "heir", "192.0.2.0", "p", Reason.ADOPTED_FROM_STATUS),
    ]
    story.says(DONE, SYNCED)
    story.settles()
    assert story.addresses() == {"192.0.2.1"}


def test_recovery_takes_from_those_that_are_gone() -> None:
    gone = observed.ServiceGone("web", "shop", "web", "ServiceDeleted")
    story = recovering(service(), now=(gone, service("heir", held=("192.0.2.0",))))
    assert [row[0] for row in adopts(story)] == ["Released", "Adopted"]
    story.says(DONE, SYNCED)
    assert story.settles() == []


def test_a_holder_with_a_status_stands_against_a_claim_that_is_no_newer() -> None:
    holder = service(held=("192.0.2.0",), held_decision=5)
    story = recovering(service(), now=(holder, service("thief", created_ms=0, held=("192.0.2.0",), held_decision=5)))
    assert adopts(story) == []
    story = recovering(service(), now=(holder, service("heir", held=("192.0.2.0",), held_decision=6)))
    assert [row[0] for row in adopts(story)] == ["Released", "Adopted"]


def test_a_service_that_moved_in_the_lost_tail_keeps_where_it_moved_to() -> None:
    story = recovering(service(), now=(service(held=("192.0.2.7",)),))
    assert adopts(story) == [
        ("Released", "web", "192.0.2.0", "p", Reason.SUPERSEDED_IN_RECOVERY),
        ("Adopted", "web", "192.0.2.7", "p", Reason.ADOPTED_FROM_STATUS),
    ]


def test_what_the_journal_knows_needs_no_status() -> None:
    assert adopts(recovering(service(), now=(service(),))) == []


def test_a_speakers_memory_serves_those_without_a_status() -> None:
    story = recovering(now=(service(), service("told", held=("192.0.2.1",)), service("other", created_ms=2)))
    reports = [
        ("192.0.2.4", "shop", "web", "web"),
        ("192.0.2.5", "shop", "web", "web"),
        ("192.0.2.6", "shop", "told", "told"),
        ("192.0.2.4", "shop", "other", "other"),
        ("192.0.2.8", "shop", "web", "an older web"),
        ("nonsense", "shop", "other", "other"),
    ]
    assert adopts(story, *reports) == [
        ("Adopted", "told", "192.0.2.1", "p", Reason.ADOPTED_FROM_STATUS),
        ("Adopted", "web", "192.0.2.4", "p", Reason.ADOPTED_FROM_SPEAKER),
    ]


def test_a_speakers_memory_does_not_take_from_a_living_holder() -> None:
    story = recovering(service(), now=(service(), service("late")))
    assert adopts(story, ("192.0.2.0", "shop", "late", "late")) == []
    gone = observed.ServiceGone("web", "shop", "web", "ServiceDeleted")
    story = recovering(service(), now=(gone, service("late")))
    assert [row[:2] for row in adopts(story, ("192.0.2.0", "shop", "late", "late"))] == [
        ("Released", "web"),
        ("Adopted", "late"),
    ]


def test_statuses_that_claim_each_others_addresses_have_one_winner_each() -> None:
    moved = service(held=("192.0.2.0",), held_decision=3, requested_addresses=("192.0.2.7",))
    heir = service("heir", namespace="bank", held=("192.0.2.0",), held_decision=8)
    story = recovering(now=(moved, heir))
    assert [row[1] for row in adopts(story)] == ["heir"]
    story.says(DONE, SYNCED)
    story.settles()
    assert (story.addresses(), story.addresses("heir")) == ({"192.0.2.7"}, {"192.0.2.0"})
