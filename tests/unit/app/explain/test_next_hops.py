"""Since when each next hop of a route is one, and by which event."""

from __future__ import annotations

import pytest

from porter.app.explain import service as explain
from porter.app.explain.question import Question
from porter.app.history import next_hops
from porter.app.read_model import ReadModel
from porter.events import decided
from porter.projections import baseline
from porter.projections.sessions import Sessions
from tests.unit.app.answers.test_cluster import CONF, PEER
from tests.unit.app.explain.test_service import Journaled
from tests.unit.projections.story import endpoints, node, pool, service


@pytest.fixture
def story() -> Journaled:
    begun = Journaled(CONF, PEER, node(1), node(2), node(3), pool(default=True), service(traffic_policy="Local"))
    begun.settles()
    return begun.says(endpoints("web", "n1"))


def marked(story: Journaled, *payloads) -> int:
    """The position of the last of some events, each a minute later than the one before."""
    story.time_ms += 60_000
    story.says(*payloads)
    return story.position


def recorded(story: Journaled) -> int:
    state = baseline.encode(story.state)
    return marked(story, decided.BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(state), state))


async def causes(story: Journaled, journal=None, **query: str) -> dict[str, int]:
    model, question = ReadModel(story.state, Sessions.empty()), Question.from_query(query or {"service": "shop/web"})
    answer = await explain.explain(model, journal or await story.journal(), question)
    if answer["prefix"] is not None:
        hops = answer["prefix"]["nextHops"]
    else:
        (holding,) = (answer["service"] or answer["address"])["holdings"]
        hops = holding["route"]["nextHops"]
    assert all(bool(hop["cause"]) == bool(hop["since"]) == bool(hop["causeType"]) for hop in hops)
    return {hop["node"]: hop["cause"] for hop in hops}


async def test_each_next_hop_is_told_with_the_event_by_which_it_joined(story):
    first = story.position
    second = marked(story, endpoints("web", "n1", "n2"))
    third = marked(story, endpoints("web", "n1", "n2", "n3"))
    wanted = {"n1": first, "n2": second, "n3": third}
    for query in ({"service": "shop/web"}, {"ip": "192.0.2.0"}, {"prefix": "192.0.2.0/32"}):
        assert await causes(story, **query) == wanted, query
    # What leaves again changes nothing for those that stay.
    marked(story, endpoints("web", "n1", "n3"))
    assert await causes(story) == {"n1": first, "n3": third}
    again = marked(story, endpoints("web", "n1", "n2", "n3"))
    assert await causes(story) == {"n1": first, "n2": again, "n3": third}


async def test_the_time_and_the_type_of_the_event_are_told(story):
    marked(story, node(2, ready=False))
    marked(story, endpoints("web", "n1", "n2"))
    back = marked(story, node(2))
    answer = await story.asked(service="shop/web")
    (holding,) = answer["service"]["holdings"]
    one, two = holding["route"]["nextHops"]
    assert (two["cause"], two["causeType"]) == (back, "NodeObserved")
    assert one["since"] < two["since"]
    assert one["causeType"] == "EndpointsObserved"


async def test_a_next_hop_that_changes_its_address_is_another_one(story):
    marked(story, endpoints("web", "n1", "n2"))
    other = marked(story, node(1, addresses=(*node(7).addresses,)))
    assert (await causes(story))["n1"] == other


async def test_what_is_true_of_one_service_is_not_told_of_another(story):
    joined = await causes(story)
    marked(story, service("api"), endpoints("api", "n1", "n2"))
    story.settles()
    marked(story, endpoints("api", "n3"), node(3, ready=False), node(3))
    assert await causes(story) == joined


async def test_it_is_looked_for_behind_baselines_as_far_as_they_are_kept(story, monkeypatch):
    first = story.position
    baselines = [recorded(story)]
    second = marked(story, endpoints("web", "n1", "n2"))
    baselines.append(recorded(story))
    third = marked(story, endpoints("web", "n1", "n2", "n3"))
    baselines.append(recorded(story))
    marked(story, service("api"))
    wanted = {"n1": first, "n2": second, "n3": third}
    assert await causes(story) == wanted
    for kept, unknown in ((baselines[0], {"n1"}), (baselines[1], {"n1", "n2"}), (baselines[2], {"n1", "n2", "n3"})):
        journal = await story.journal()
        found = await journal.newest_baseline(kept)
        await journal.trim(found.checkpoint)
        told = {name: 0 if name in unknown else position for name, position in wanted.items()}
        assert await causes(story, journal) == told, kept
    monkeypatch.setattr(next_hops, "BASELINES_MAX", 2)
    assert await causes(story) == {**wanted, "n1": 0}
    monkeypatch.setattr(next_hops, "FOLDED_MAX", 1)
    assert await causes(story) == {"n1": 0, "n2": 0, "n3": third}
