"""Identifiers for nodes without IPv4."""

from __future__ import annotations

from porter.allocator.path_identifiers import assign
from porter.events import decided, observed
from porter.policy.next_hops import FIRST_UNICAST_NUMBER
from tests.unit.projections.story import Story, node


def six(number: int) -> observed.NodeObserved:
    return node(number, addresses=(f"fd00::{number}",))


def test_only_nodes_without_ipv4_get_one_in_the_order_of_names() -> None:
    story = Story(node(1), six(3), six(2))
    assert assign(story.state) == (
        decided.PathIdentifierAssigned("n2", 1),
        decided.PathIdentifierAssigned("n3", 2),
    )
    assert assign(story.says(*assign(story.state)).state) == ()


def test_a_number_is_not_used_again_soon() -> None:
    story = Story(six(1), six(2))
    story.says(*assign(story.state), observed.NodeGone("n2"), six(2))
    assert assign(story.state) == (decided.PathIdentifierAssigned("n2", 3),)


def test_after_the_last_number_the_lowest_free_comes_again() -> None:
    story = Story(six(1), decided.PathIdentifierAssigned("n1", 1), six(2), six(3))
    story.says(decided.PathIdentifierAssigned("n2", FIRST_UNICAST_NUMBER - 1))
    assert assign(story.state) == (decided.PathIdentifierAssigned("n3", 2),)
