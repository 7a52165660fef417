"""Fail static: kubelets that lost the API server are not dead nodes."""

from __future__ import annotations

from porter.events import observed
from tests.unit.projections.story import Story, endpoints, node, pool, service


def cluster(nodes: int) -> Story:
    everyone = [node(number) for number in range(1, nodes + 1)]
    story = Story(*everyone, pool(default=True), service(), endpoints("web", "n1"))
    story.settles()
    assert len(story.hops()) == nodes
    return story


def later(story: Story, seconds: int) -> Story:
    story.time_ms += seconds * 1000
    return story


def test_one_of_three_nodes_stops_being_a_next_hop_and_comes_back() -> None:
    story = cluster(3)
    assert later(story, 5).says(node(2, ready=False)).hops() == ["n1", "n3"]
    assert later(story, 5).says(node(2)).hops() == ["n1", "n2", "n3"]


def test_when_most_turn_within_a_minute_the_set_is_kept() -> None:
    story = cluster(5)
    for number in (1, 2, 3):
        later(story, 10).says(node(number, ready=False))
    assert story.hops() == ["n1", "n2", "n3", "n4", "n5"]
    later(story, 3600)
    assert story.hops() == ["n1", "n2", "n3", "n4", "n5"], "time alone changes nothing"


def test_those_that_turned_long_before_are_not_brought_back() -> None:
    story = cluster(5)
    later(story, 1).says(node(1, ready=False))
    later(story, 120).says(node(2, ready=False), node(3, ready=False))
    assert story.hops() == ["n4", "n5"]


def test_when_none_would_remain_the_set_is_kept() -> None:
    story = cluster(2)
    later(story, 1).says(node(1, ready=False))
    assert story.hops() == ["n2"]
    later(story, 300).says(node(2, ready=False))
    assert story.hops() == ["n2"]


def test_the_hold_ends_when_most_are_ready_again() -> None:
    story = cluster(4)
    later(story, 1).says(*(node(number, ready=False) for number in (1, 2, 3, 4)))
    assert len(story.hops()) == 4
    later(story, 1).says(node(1))
    assert len(story.hops()) == 4, "three of four are still a majority"
    later(story, 1).says(node(2))
    assert story.hops() == ["n1", "n2"]


def test_a_deleted_node_is_never_held() -> None:
    story = cluster(2)
    later(story, 1).says(node(1, ready=False), node(2, ready=False))
    later(story, 1).says(observed.NodeGone("n1"))
    assert story.hops() == ["n2"]


def test_new_nodes_that_are_not_ready_yet_are_no_majority() -> None:
    story = cluster(1)
    later(story, 1).says(node(2, ready=False), node(3, ready=False), node(4, ready=False))
    assert story.hops() == ["n1"]
    later(story, 30).says(node(2), node(3), node(4))
    assert story.hops() == ["n1", "n2", "n3", "n4"]


def test_after_a_loss_of_everything_nodes_that_are_not_ready_are_used_rather_than_none() -> None:
    story = Story(node(1, ready=False), node(2, ready=False), pool(default=True), service(), endpoints("web", "n1"))
    story.settles()
    assert story.hops() == ["n1", "n2"]


def test_an_excluded_node_is_no_remaining_one() -> None:
    story = cluster(2)
    later(story, 1).says(node(2, excluded=True))
    assert story.hops() == ["n1"]
    later(story, 1).says(node(1, ready=False))
    assert story.hops() == ["n1"]
