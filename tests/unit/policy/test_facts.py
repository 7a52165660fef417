"""Which observations are worth a journal entry."""

from __future__ import annotations

import pytest

from porter.events import observed
from porter.model.address import Address
from porter.policy.facts import gone, same_fact
from tests.unit.projections.story import endpoints, node, pool, service

NOTHING: frozenset[Address] = frozenset()
GIVEN = frozenset({Address("192.0.2.1")})


def test_a_resource_version_alone_is_no_news() -> None:
    assert same_fact(service(), service(resource_version="2", generation=2), NOTHING, False)
    assert same_fact(node(1), node(1, resource_version="2"), NOTHING, False)
    assert same_fact(pool(), pool(resource_version="2"), NOTHING, False)


def test_a_generation_counts_where_the_status_repeats_it() -> None:
    assert not same_fact(pool(), pool(generation=2), NOTHING, False)


@pytest.mark.parametrize("change", [{"labels": (("a", "b"),)}, {"requested_pool": "p"}, {"traffic_policy": "Local"}])
def test_what_a_decision_or_a_route_depends_on_is_news(change: dict[str, object]) -> None:
    assert not same_fact(service(), service(**change), NOTHING, False)


def test_an_address_that_was_given_by_us_is_no_news_in_the_status() -> None:
    assert same_fact(service(), service(held=("192.0.2.1",), held_decision=7), GIVEN, False)


def test_an_address_of_another_giver_is_news_once() -> None:
    foreign = service(held=("203.0.113.1",))
    assert not same_fact(service(), foreign, GIVEN, False)
    assert same_fact(foreign, foreign._replace(resource_version="3", held_decision=3), GIVEN, False)


def test_while_recovering_everything_held_is_news() -> None:
    assert not same_fact(service(), service(held=("192.0.2.1",)), GIVEN, True)
    assert not same_fact(service(), service(held_decision=7), GIVEN, True)


def test_facts_about_two_kinds_are_not_the_same() -> None:
    assert not same_fact(node(1), service(), NOTHING, False)


def test_what_says_that_an_object_is_gone() -> None:
    assert gone(service(), "ServiceDeleted") == observed.ServiceGone("web", "shop", "web", "ServiceDeleted")
    assert gone(endpoints("web", "n1"), "x") == observed.EndpointsObserved("shop", "web")
    assert gone(node(1), "x") == observed.NodeGone("n1")
    assert gone(pool(), "x") == observed.PoolGone("p", "p")
    with pytest.raises(TypeError, match="no fact"):
        gone(observed.NodeGone("n1"), "x")
