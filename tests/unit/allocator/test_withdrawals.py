"""Which withdrawals are held: too many at once, of one cause, and never those that somebody asked for."""

from __future__ import annotations

import pytest

from porter.allocator.elapsed import cordons, elapsed, ended, next_ms
from porter.allocator.withdrawals import (
    Rule,
    may_hold,
    nodes_take_last,
    removes_next_hop,
    takes_last,
    withdrawals,
)
from porter.events import decided, observed
from porter.events.catalogue import Event
from tests.unit.projections.story import Story, endpoints, node, pool, service

RULE = Rule(share_percent=25, minimum=4, bound_ms=600_000, local_bound_ms=5_000)
SIZE = 10


def names(first: int, last: int) -> list[str]:
    return [f"s{number:02}" for number in range(first, last)]


def cluster(size: int = SIZE, local: int = 0) -> Story:
    """Services s00 to s09, with an endpoint on n1 each; the first `local` of them have the policy Local."""
    story = Story(node(1), node(2), pool("p", "192.0.2.0-192.0.2.99", default=True))
    for number, name in enumerate(names(0, size)):
        policy = "Local" if number < local else "Cluster"
        story.says(service(name, created_ms=number, traffic_policy=policy), endpoints(name, "n1"))
    story.settles()
    story.time_ms += 3_600_000
    return story


def lost(story: Story, *facts: Event, rule: Rule = RULE) -> tuple[decided.WithdrawalHeld, ...]:
    return withdrawals(story.state, facts, rule, time_ms=story.time_ms)


def gone(first: int, last: int) -> list[Event]:
    return [endpoints(name) for name in names(first, last)]


def test_more_than_the_share_and_at_least_the_minimum_is_held() -> None:
    story = cluster()
    assert lost(story, *gone(0, 3)) == (), "fewer than the minimum"
    (held,) = lost(story, *gone(0, 4))
    assert held == decided.WithdrawalHeld(
        story.position + 1, "NoReadyEndpoint", tuple(f"192.0.2.{n}/32" for n in range(4)), 4, 10, 25, 4, 600_000
    )
    assert lost(story, *gone(0, 4), rule=RULE._replace(share_percent=40)) == (), "not more than the share"


def test_what_went_within_the_last_minute_counts_and_older_losses_do_not() -> None:
    story = cluster()
    story.says(*gone(0, 3))
    story.time_ms += 59_000
    (held,) = lost(story, *gone(3, 4))
    assert held.prefixes == ("192.0.2.3/32",), "what is gone is gone"
    assert (held.lost, held.total) == (4, 10)
    story.time_ms += 2_000
    assert lost(story, *gone(3, 6)) == ()


def test_more_losses_of_one_outage_join_its_hold() -> None:
    story = cluster()
    (first,) = lost(story, *gone(0, 4))
    story.says(first, *gone(0, 4))
    story.time_ms += 1_000
    (more,) = lost(story, *gone(4, 5))
    assert more.hold == first.hold
    story.says(more, *gone(4, 5))
    assert len(story.state.ledger.holds.routes) == 5
    assert lost(story, *gone(0, 5)) == (), "held already"


def test_an_approval_settles_what_was_lost() -> None:
    story = cluster()
    story.says(*lost(story, *gone(0, 4)), *gone(0, 4))
    (number,) = story.state.ledger.holds.open
    story.says(decided.WithdrawalApproved(number, "ada", ""))
    story.time_ms += 1_000
    assert lost(story, *gone(4, 7)) == ()


def test_local_services_without_endpoints_are_held_for_seconds() -> None:
    story = cluster(local=3)
    short, long_ = lost(story, *gone(0, 6))
    assert (short.bound_ms, len(short.prefixes)) == (5_000, 3)
    assert (long_.bound_ms, len(long_.prefixes)) == (600_000, 3)
    assert long_.hold == short.hold + 1
    story.says(short, long_, *gone(0, 6))
    assert next_ms(story.state) == story.time_ms + 5_000
    assert [due.event for due in elapsed(story.state, story.time_ms + 5_000)] == [decided.HoldExpired(short.hold)]


def test_nodes_that_vanish_or_are_excluded_all_at_once_are_judged_together() -> None:
    story = cluster()
    facts = [observed.NodeGone("n1"), node(2, excluded=True)]
    assert all(removes_next_hop(story.state, fact) for fact in facts)
    assert not nodes_take_last(story.state, facts[:1])
    assert nodes_take_last(story.state, facts)
    (held,) = lost(story, *facts)
    assert held.cause == "NoEligibleNode"
    assert len(held.prefixes) == SIZE
    story.says(held, *facts)
    assert story.hops() == ["n1", "n2"]


def test_a_node_that_takes_the_last_endpoint_of_local_services_counts() -> None:
    story = cluster(local=5)
    assert nodes_take_last(story.state, [observed.NodeGone("n1")])
    assert not nodes_take_last(story.state, [observed.NodeGone("n2")])
    (held,) = lost(story, observed.NodeGone("n1"))
    assert len(held.prefixes) == 5
    assert held.bound_ms == 600_000, "there are endpoints; it is their node that nobody sees"


def test_a_node_that_turns_not_ready_is_not_judged_here() -> None:
    story = cluster()
    assert not removes_next_hop(story.state, node(1, ready=False))
    assert not removes_next_hop(story.state, node(1, addresses=("10.9.9.9", "fd00::9")))
    assert removes_next_hop(story.state, node(1, addresses=("10.9.9.9",)))
    assert removes_next_hop(story.state, node(1, ready=False, excluded=True))
    assert not removes_next_hop(story.state, service())


def test_only_the_last_endpoint_is_losing() -> None:
    story = cluster(local=1)
    assert takes_last(story.state, endpoints("s00"))
    assert takes_last(story.state, endpoints("s00", "elsewhere"))
    assert takes_last(story.state, endpoints("s01"))
    assert not takes_last(story.state, endpoints("s00", "n2"))
    assert not takes_last(story.state, endpoints("unknown"))
    story.says(observed.ServiceGone("s00", "shop", "s00", "ServiceDeleted"))
    assert not takes_last(story.state, endpoints("s00"))


def test_there_is_nothing_to_hold_in_a_small_cluster_or_with_the_guard_off() -> None:
    story = cluster()
    assert may_hold(story.state, RULE)
    assert not may_hold(story.state, RULE._replace(minimum=SIZE + 1))
    assert not may_hold(story.state, RULE._replace(share_percent=100))


def test_many_prefixes_are_held_by_several_events_of_one_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("porter.allocator.withdrawals.PREFIXES_PER_EVENT", 4)
    story = cluster()
    events = lost(story, *gone(0, 10))
    assert [len(event.prefixes) for event in events] == [4, 4, 2]
    assert {event.hold for event in events} == {story.position + 1}


def test_a_hold_ends_with_its_cause() -> None:
    story = cluster()
    story.says(*lost(story, *gone(0, 5)), *gone(0, 5))
    (number,) = story.state.ledger.holds.open
    assert list(ended(story.state)) == []
    story.says(*(endpoints(name, "n2") for name in names(0, 4)))
    assert list(ended(story.state)) == []
    story.says(observed.ServiceGone("s04", "shop", "s04", "ServiceDeleted"))
    assert [due.event for due in ended(story.state)] == [decided.HoldEnded(number)]
    assert [due.event for due in elapsed(story.state, story.time_ms + 600_000)] == [decided.HoldExpired(number)]


def test_the_steps_of_drains_are_due_when_their_delays_are_over() -> None:
    story = cluster()
    story.says(
        decided.NodeDrained("n1", "n1", "ada", "", 10_000), decided.ServiceDrained("s00", "shop", "s00", "a", "", 0)
    )
    at = story.position
    assert next_ms(story.state) == story.time_ms
    service_over, node_over = decided.ServiceDrainElapsed("s00", "shop", "s00"), decided.NodeDrainElapsed("n1")
    assert list(elapsed(story.state, story.time_ms)) == [(service_over, at)]
    assert [due.event for due in elapsed(story.state, story.time_ms + 10_000)] == [node_over, service_over]
    story.says(service_over, node_over)
    assert next_ms(story.state) is None
    assert list(elapsed(story.state, story.time_ms + 10_000)) == []
    story.says(decided.NodeDrained("n1", "n1", "ada", "now all of it", 10_000, force=True))
    assert next_ms(story.state) is None, "what has left service does not come back for another delay"
    story.says(decided.SpeakerDrained("s1", "ada", "", 10_000), decided.SpeakerDrained("s2", "ada", ""))
    until_ms, over = story.state.ledger.maintenance.speakers["s1"].until_ms, decided.SpeakerDrainElapsed("s1")
    assert next_ms(story.state) == until_ms
    assert list(elapsed(story.state, until_ms - 1)) == []
    assert list(elapsed(story.state, until_ms)) == [(over, story.position - 1)]
    story.says(over)
    assert (next_ms(story.state), list(elapsed(story.state, until_ms))) == (None, [])


def test_a_cordoned_node_is_drained_and_an_operators_drain_stands_above() -> None:
    story = cluster()
    story.says(node(1, cordoned=True), node(2, cordoned=True), decided.NodeDrained("n2", "n2", "ada", "", 0))
    ((drained, causation),) = cordons(story.state, 7)
    assert isinstance(drained, decided.NodeDrained)
    assert (drained.node, drained.by, drained.delay_ms) == ("n1", "cordon", 7)
    assert causation == story.state.inventory.position_of_object("Node", "n1")
    story.says(drained)
    assert list(cordons(story.state, 7)) == []
    story.says(node(1), node(2))
    assert [due.event for due in cordons(story.state, 7)] == [
        decided.NodeUndrained("n1", "cordon", "the node is schedulable again")
    ]
