"""The timeline and the differences of the scripted incident: each step is found, with its cause."""

from __future__ import annotations

import asyncio
import json

import pytest

from porter.app.answers import timeline
from porter.app.answers.timeline import TimelineQuestion
from porter.app.history.reading import BadQuestion
from porter.app.incident import direct
from porter.events import decided, observed, routed
from porter.events.envelope import Envelope
from porter.projections.timeline import merged
from tests.schema_check import violations
from tests.unit.app.scripted_incident import DOWN, UP, incident
from tests.unit.projections.story import NOON_MS, endpoints, pool


async def ask(it, question, **query):
    answer = await direct.answer(it.streams, "porter", question, {k: str(v) for k, v in query.items()})
    assert violations(answer, question) == []
    return answer


def lines(answer):
    return [(one["lane"], one["type"], one["summary"]) for one in answer["entries"]]


async def test_the_timeline_of_a_service_tells_the_incident_in_order():
    it = await incident()
    answer = await ask(it, "timeline", service="shop/web", since=it.marks["calm"] + 1)
    assert lines(answer) == [
        ("kube", "EndpointsObserved", "ready on n1, n2 → n1"),
        ("bgp", "RoutesWithdrawn", "192.0.2.0/32 via 10.0.0.2 → tor-a"),
        ("kube", "EndpointsObserved", "ready on n1 → n1, n2"),
        ("bgp", "RoutesAnnounced", "192.0.2.0/32 via 10.0.0.2 → tor-a"),
        ("bgp", "SessionStateChanged", "tor-a Idle (hold timer expired at 10.0.0.254)"),
        ("bgp", "SessionStateChanged", "tor-a Idle→Established"),
        ("bgp", "RibSynced", "tor-a has all 2 routes of #18"),
        ("kube", "PoolObserved", "ranges 192.0.2.0-192.0.2.1→192.0.2.0, namespaceLabelSelector team=checkout→none"),
    ]
    withdrawn = answer["entries"][1]
    assert (withdrawn["stream"], withdrawn["cause"], withdrawn["causeType"]) == (
        "speaker-0",
        it.marks["flapped"],
        "EndpointsObserved",
    )
    assert withdrawn["afterMs"] == 12


async def test_a_pool_edit_is_told_as_what_changed():
    it = await incident()
    answer = await ask(it, "timeline", service="shop/late-comer", since=it.marks["router-up"] + 1)
    assert lines(answer) == [
        (
            "kube",
            "PoolObserved",
            "ranges 192.0.2.0-192.0.2.1→192.0.2.0, namespaceLabelSelector team=checkout→none",
        ),
        (
            "kube",
            "ServiceObserved",
            "ports TCP, 80, trafficPolicy Cluster, families IPv4, familyPolicy SingleStack",
        ),
        (
            "allocator",
            "AllocationRefused",
            "PoolExhausted: Eip public has no free IPv4 address; enlarge it or release a Service",
        ),
    ]


async def test_a_stretch_is_cut_by_positions_and_by_times():
    it = await incident()
    flap = await it.journal.commit_at(it.marks["flapped"])
    by_position = await ask(it, "timeline", since=it.marks["flapped"], until=it.marks["flapped"])
    assert [one["type"] for one in by_position["entries"]] == ["EndpointsObserved", "RoutesWithdrawn"]
    moment = "1970-01-01T12:00:05.000Z"
    assert flap.time_ms == NOON_MS + 5000
    by_time = await ask(it, "timeline", since=moment, until="1970-01-01T12:00:05.011Z")
    assert [one["type"] for one in by_time["entries"]] == ["EndpointsObserved"]
    by_time = await ask(it, "timeline", since=moment, until="1970-01-01T12:00:05.012Z")
    assert [one["type"] for one in by_time["entries"]] == ["EndpointsObserved", "RoutesWithdrawn"]
    newest = await ask(it, "timeline", limit=2)
    assert ([one["type"] for one in newest["entries"]], newest["left"] > 10) == (
        ["ServiceObserved", "AllocationRefused"],
        True,
    )


async def test_without_a_since_it_goes_back_so_far_and_no_further(monkeypatch):
    it = await incident()
    monkeypatch.setattr(timeline, "UNASKED_MAX", 3)
    head = it.state.ledger.position
    answer = await ask(it, "timeline", until=head - 1)
    assert (answer["first"], answer["position"]) == (head - 3, head - 1)
    assert (await ask(it, "timeline", since=1, until=head - 1))["first"] == 1


async def test_a_peer_and_an_address_have_timelines_too():
    it = await incident()
    of_peer = {one["aggregate"] for one in (await ask(it, "timeline", peer="tor-a"))["entries"]}
    assert of_peer == {"peer/tor-a"}
    of_ip = [one["type"] for one in (await ask(it, "timeline", ip="192.0.2.0"))["entries"]]
    assert "AddressAllocated" in of_ip
    assert "AllocationRefused" not in of_ip
    nobody = await ask(it, "timeline", peer="tor-b")
    assert (nobody["entries"], nobody["problems"]) == ([], ["no BgpPeer 'tor-b' is known; known: tor-a"])


async def test_a_name_is_known_where_it_had_a_holder_within_the_stretch():
    it = await incident()
    late = {"service": "shop/late-comer"}
    assert (await ask(it, "timeline", **late))["problems"] == []
    assert (await ask(it, "timeline", **late, since=it.marks["router-up"]))["problems"] == []
    assert (await ask(it, "timeline", service="shop/web", since=it.marks["exhausted"]))["problems"] == []
    (problem,) = (await ask(it, "timeline", **late, until=it.marks["calm"]))["problems"]
    assert "no Service shop/late-comer" in problem


@pytest.mark.parametrize(
    "query", [{"service": "web"}, {"ip": "web"}, {"limit": "0"}, {"since": "noon"}, {"until": "999"}]
)
async def test_a_question_that_is_not_understood_is_refused(query):
    it = await incident()
    with pytest.raises(BadQuestion):
        await ask(it, "timeline", **query)


async def test_following_tells_what_comes_from_every_stream():
    it = await incident()
    coming = timeline.follow(it.streams, TimelineQuestion(limit=1))
    assert (await anext(coming))["type"] == "AllocationRefused"
    first = asyncio.ensure_future(anext(coming))
    await asyncio.sleep(0.05)
    await it.says(endpoints("web", "n2"))
    told = await asyncio.wait_for(first, 5)
    assert violations(told, "timeline-entry") == []
    assert (told["type"], told["summary"]) == ("EndpointsObserved", "ready on n1, n2 → n2")
    await it.tells(routed.RoutesWithdrawn("tor-a", it.state.ledger.position, it.paths(1)))
    told = await asyncio.wait_for(anext(coming), 5)
    assert (told["stream"], told["causeType"]) == ("speaker-0", "EndpointsObserved")
    await coming.aclose()


def envelope(position, time_ms, payload):
    return Envelope(position, 1, time_ms, 0, "", "", payload)


def test_what_realises_an_event_comes_behind_it_whatever_the_clocks_say():
    journal = [envelope(n, 1000 * n, observed.NodeGone(f"n{n}")) for n in (1, 2, 3)]
    early = envelope(1, 500, routed.RoutesWithdrawn("tor-a", 2, ()))
    told = merged(journal, {"s": [early]})
    assert [(one.stream, one.envelope.position) for one in told] == [("", 1), ("", 2), ("s", 1), ("", 3)]


def test_what_the_leader_witnessed_comes_before_its_testimony_whatever_the_clocks_say():
    journal = [
        envelope(1, 1000, observed.NodeGone("n1")),
        envelope(2, 2000, decided.HeadWitnessed("s", 1, 1, "")),
        envelope(3, 3000, observed.NodeGone("n3")),
    ]
    told = merged(journal, {"s": [envelope(1, 9000, DOWN), envelope(2, 2500, UP)]})
    assert [(one.stream, one.envelope.position) for one in told] == [("", 1), ("s", 1), ("", 2), ("s", 2), ("", 3)]


async def test_the_differences_of_each_step_name_its_cause():
    it = await incident()
    marks = it.marks
    flap = await ask(it, "diff", a=marks["calm"], b=marks["flapped"])
    (route,) = flap["routes"]
    assert (route["change"], route["before"]["nextHop"], route["after"]) == ("removed", "10.0.0.2", None)
    assert (route["cause"]["position"], route["cause"]["type"]) == (marks["flapped"], "EndpointsObserved")
    assert flap["addresses"] == flap["sessions"] == flap["pools"] == []

    router = await ask(it, "diff", a=marks["recovered"], b=marks["router-down"])
    (session,) = router["sessions"]
    assert (session["before"]["state"], session["after"]["state"]) == ("Established", "Idle")
    assert (session["cause"]["stream"], session["cause"]["type"]) == ("speaker-0", "SessionStateChanged")
    assert {(one["before"]["state"], one["after"]["state"]) for one in router["routes"]} == {("confirmed", "desired")}
    assert {one["cause"]["type"] for one in router["routes"]} == {"SessionStateChanged"}

    pool = await ask(it, "diff", a=marks["router-up"])
    assert (pool["pools"][0]["before"]["available"], pool["pools"][0]["after"]["available"]) == (1, 0)
    assert pool["pools"][0]["cause"]["type"] == "PoolObserved"
    assert pool["refusals"][0]["after"]["reason"] == "PoolExhausted"
    assert pool["refusals"][0]["cause"]["position"] == marks["exhausted"]

    first = await ask(it, "diff", a=1, b=marks["calm"])
    assert [(one["change"], one["address"], one["cause"]["type"]) for one in first["addresses"]] == [
        ("added", "192.0.2.0", "AddressAllocated")
    ]


async def test_a_service_that_goes_takes_address_and_routes_along():
    it = await incident()
    before = it.state.ledger.position
    await it.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    answer = await ask(it, "diff", a=before)
    told = {(one["change"], one["cause"]["aggregate"], one["cause"]["type"]) for one in answer["addresses"]}
    # The one that waited is next.
    assert told == {
        ("removed", "service/shop/web", "AddressReleased"),
        ("added", "service/shop/late-comer", "AddressAllocated"),
    }
    assert [(one["change"], one["cause"]["type"]) for one in answer["refusals"]] == [("removed", "AddressAllocated")]
    assert {one["change"] for one in answer["routes"]} == {"removed"}
    assert {one["cause"]["aggregate"] for one in answer["routes"]} <= {"service/shop/web", "service/shop/late-comer"}


async def test_differences_are_asked_for_in_order():
    it = await incident()
    assert (await ask(it, "diff", a=5, b=5))["routes"] == []
    for query, told in (({}, "a=TIME"), ({"a": 6, "b": 5}, "behind b"), ({"a": 999}, "a=#999 lies behind")):
        with pytest.raises(BadQuestion, match=told):
            await ask(it, "diff", **query)


async def test_the_answers_are_json():
    it = await incident()
    for question, query in (("timeline", {}), ("diff", {"a": 1})):
        json.dumps(await ask(it, question, **query))


async def test_an_address_that_nobody_holds_has_the_edits_of_the_pools_that_held_it():
    it = await incident()
    free = await ask(it, "timeline", ip="192.0.2.1", since=it.marks["router-up"] + 1)
    assert lines(free)[0][:2] == ("kube", "PoolObserved")
    await it.says(pool("other", "198.51.100.0-198.51.100.3"))
    appeared = await ask(it, "timeline", ip="198.51.100.2")
    assert [one["aggregate"] for one in appeared["entries"] if one["type"] == "PoolObserved"] == ["pool/other"]


@pytest.mark.parametrize(
    ("since", "until"), [("22", "15"), ("1970-01-01T12:00:09.000Z", "1970-01-01T12:00:05.000Z"), ("16", "15")]
)
async def test_a_stretch_that_ends_before_it_begins_is_refused(since, until):
    it = await incident()
    with pytest.raises(BadQuestion, match="write the earlier moment first"):
        await ask(it, "timeline", since=since, until=until)


async def test_a_stretch_in_which_nothing_happened_is_empty():
    it = await incident()
    quiet = await ask(it, "timeline", since="1970-01-01T12:00:05.100Z", until="1970-01-01T12:00:05.200Z")
    assert quiet["entries"] == []
