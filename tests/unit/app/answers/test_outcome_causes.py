"""Which event led to what a speaker announced or withdrew: told where it is one, and not guessed where it is not."""

from __future__ import annotations

import pytest

from porter.app.answers import outcome_causes
from porter.console import pages
from porter.events import decided, observed, routed
from porter.model.address import Address, Prefix
from tests.unit.app.answers.test_timeline import ask
from tests.unit.app.scripted_incident import Incident, incident
from tests.unit.projections.story import endpoints, node, pool, service

ONLY_OTHERS = observed.AdvertisementObserved("others", "a", "1", 1, 1, peers=("tor-b",))


async def happens(it: Incident, *payloads) -> int:
    """The position of the last of some events."""
    await it.says(*payloads)
    return it.state.ledger.position


async def announces(it: Incident, *numbers: int, position: int = 0) -> None:
    await it.tells(routed.RoutesAnnounced("tor-a", position or it.state.ledger.position, it.paths(*numbers)))


async def withdraws(it: Incident, *numbers: int, position: int = 0) -> None:
    await it.tells(routed.RoutesWithdrawn("tor-a", position or it.state.ledger.position, it.paths(*numbers)))


async def told(it: Incident, **query: object) -> list[tuple[str, int, str, int]]:
    """The outcomes of routes behind the scripted incident: type, cause, its type, and what they realise."""
    found = (await ask(it, "timeline", **query))["entries"]
    outcomes = [one for one in found if one["type"] in ("RoutesAnnounced", "RoutesWithdrawn") and one["position"] > 10]
    return [(one["type"], one["cause"], one["causeType"], one["realises"]) for one in outcomes]


@pytest.fixture
async def it() -> Incident:
    return await incident()


async def test_what_came_after_the_cause_is_not_told_as_it(it):
    left = await happens(it, endpoints("web", "n1"))
    last = await happens(it, node(9), service("other"))
    await withdraws(it, 2)
    assert await told(it) == [("RoutesWithdrawn", left, "EndpointsObserved", last)]
    since = await told(it, since=left + 1)
    assert since[0][:2] == ("RoutesWithdrawn", 0), "the stretch begins behind the cause"


async def test_each_path_is_told_with_its_own_event_and_several_with_none(it):
    joined = await happens(it, endpoints("web", "n1", "n2", "n3"))
    left = await happens(it, endpoints("web", "n2", "n3"))
    await announces(it, 3)
    await withdraws(it, 1)
    back = await happens(it, endpoints("web", "n1", "n2", "n3"))
    await happens(it, node(2, ready=False))
    both = await happens(it, node(2))
    await announces(it, 1, 2)
    assert await told(it) == [
        ("RoutesAnnounced", joined, "EndpointsObserved", left),
        ("RoutesWithdrawn", left, "EndpointsObserved", left),
        ("RoutesAnnounced", 0, "NodeObserved", both),
    ]
    assert back < both


async def test_a_node_that_takes_several_prefixes_along_is_the_cause_of_all(it):
    await it.says(pool("public", "192.0.2.0-192.0.2.9", default=True), endpoints("late-comer", "n1", "n2"))
    gone = await happens(it, node(2, ready=False))
    (path,) = it.paths(2)
    paths = (path, path._replace(prefix=Prefix("192.0.2.1/32")))
    await it.tells(routed.RoutesWithdrawn("tor-a", await happens(it, node(9)), paths))
    assert await told(it) == [("RoutesWithdrawn", gone, "NodeObserved", gone + 1)]


async def test_what_a_peer_is_given_is_the_cause_where_nothing_else_can_be(it):
    await it.tells(routed.RibSynced("tor-a", it.state.ledger.position, 2, "d2" * 32))
    edited = await happens(it, ONLY_OTHERS)
    await withdraws(it, 1, 2)
    assert await told(it) == [("RoutesWithdrawn", edited, "AdvertisementObserved", edited)]
    again = await happens(it, ONLY_OTHERS._replace(peers=("tor-a",)), node(1, labels=(("zone", "hall-9"),)))
    await announces(it, 1, 2)
    # Two events may have led to it.
    assert (await told(it))[1] == ("RoutesAnnounced", 0, "NodeObserved", again)


async def test_a_speaker_withdraws_because_its_drain_is_over_and_not_for_what_came_meanwhile(it):
    await it.tells(routed.RibSynced("tor-a", it.state.ledger.position, 2, "d2" * 32))
    drained = await happens(it, decided.SpeakerDrained("speaker-0", "ada", "", 10_000))
    await announces(it, 1, 2)
    await happens(it, node(9))
    elapsed = await happens(it, decided.SpeakerDrainElapsed("speaker-0"))
    await withdraws(it, 1, 2)
    assert (await told(it))[0] == ("RoutesAnnounced", drained, "SpeakerDrained", drained)
    # The new node may have led to it as well, for all that is known: none is told rather than the wrong one.
    assert (await told(it))[1] == ("RoutesWithdrawn", 0, "SpeakerDrainElapsed", elapsed)


async def test_aggregates_and_great_outcomes_are_told_without_an_event(it, monkeypatch):
    await happens(it, endpoints("web", "n1"))
    path = routed.Path(Prefix("192.0.2.0/28"), 1, Address("10.0.0.2"))
    await it.tells(routed.RoutesWithdrawn("tor-a", it.state.ledger.position, (path,)))
    await withdraws(it, 2)
    causes = [cause for _, cause, _, _ in await told(it)]
    assert (causes[0], causes[1] > 0) == (0, True)
    monkeypatch.setattr(outcome_causes, "PATHS_MAX", 0)
    assert [cause for _, cause, _, _ in await told(it)] == [0, 0]


async def test_the_console_follows_the_same_cause(it):
    left = await happens(it, endpoints("web", "n1"))
    await happens(it, node(9))
    await withdraws(it, 2)
    answer = await pages.causes(it.streams, {"stream": "speaker-0", "position": str(it.outcomes)})
    assert [(one["position"], one["type"]) for one in answer["causes"]][:2] == [
        (it.outcomes, "RoutesWithdrawn"),
        (left, "EndpointsObserved"),
    ]
    assert answer["causes"][0]["realises"] == left + 1
