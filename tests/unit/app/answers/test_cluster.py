"""The answers of the HTTP API and the commands: what they say, and that they keep to the published schemas."""

from __future__ import annotations

import pytest

from porter.app.answer_json import as_json, event_json, time_json
from porter.app.answers import cluster as answers
from porter.app.answers import routes as route_answers
from porter.app.answers.routes import RouteFilter
from porter.app.history.reading import BadQuestion, EventFilter
from porter.app.read_model import ReadModel
from porter.events import decided, observed, routed
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.model.address import Address, Prefix
from porter.model.reasons import Problem
from porter.projections.sessions import Sessions, evolve_sessions
from tests.schema_check import violations
from tests.unit.projections.story import Story, endpoints, node, pool, service

CONF = observed.ConfObserved("default", "c", "1", 1, 64500)
PEER = observed.PeerObserved("tor-a", "p", "1", 1, Address("10.0.0.254"), 64512)
UP = routed.SessionStateChanged("tor-a", "Established", "", ("IPv4",), ("IPv4",), 90)


def told(*payloads: Event, speaker: str = "s1") -> Sessions:
    sessions = Sessions.empty()
    for number, payload in enumerate(payloads, start=1):
        sessions = evolve_sessions(sessions, speaker, Envelope(number, 1, 1_000_000 + number, 0, "", "", payload))
    return sessions


@pytest.fixture
def story() -> Story:
    """A Service with three next hops, one without an address, and a peer."""
    # Bound to another namespace, so that nothing but a request is served from the second pool.
    begun = Story(
        CONF,
        PEER,
        node(1),
        node(2),
        node(3),
        pool(default=True),
        service(),
        endpoints("web", "n1", "n2"),
        service("refused", requested_pool="absent"),
    )
    begun.settles()
    return begun


def model(story: Story, *outcomes: Event) -> ReadModel:
    return ReadModel(story.state, told(*outcomes) if outcomes else Sessions.empty())


def states(answered: ReadModel) -> set[str]:
    return {route["state"] for route in route_answers.routes(answered)["routes"]}


def test_every_answer_keeps_to_its_schema(story):
    answered = model(story, UP, routed.RibSynced("tor-a", story.position, 3, "d"))
    for name, answer in (
        ("status", answers.status(answered, "porter")),
        ("pools", answers.pools(answered)),
        ("services", answers.services(answered)),
        ("routes", route_answers.routes(answered)),
        ("peers", route_answers.peers(answered)),
        ("readiness", route_answers.readiness({"journal": "ok"}, answered, all_sessions=True)),
    ):
        assert violations(answer, name) == []


def test_an_empty_cluster_has_answers_too():
    empty = model(Story(synced=False))
    for name, answer in (("status", answers.status(empty, "porter")), ("routes", route_answers.routes(empty))):
        assert violations(answer, name) == []
    assert "never listed" in answers.status(empty, "porter")["problems"][0]


def test_a_service_shows_its_allocation_or_the_reason_why_it_has_none(story):
    served, refused = sorted(answers.services(model(story))["services"], key=lambda each: -len(each["allocations"]))
    allocation = served["allocations"][0]
    assert allocation["address"] == "192.0.2.0"
    assert allocation["service"] == {"namespace": "shop", "name": "web", "uid": "web"}
    assert allocation["reason"] == "DefaultPool"
    assert served["refusal"] is None
    assert refused["refusal"]["reason"] == "PoolNotFound"


def test_a_pool_counts_what_is_used_and_what_is_left(story):
    (shown,) = answers.pools(model(story))["pools"]
    assert (shown["ranges"], shown["size"], shown["used"], shown["available"]) == (["192.0.2.0-192.0.2.9"], 10, 1, 9)


def test_a_pool_that_an_edit_broke_is_a_problem_of_the_status():
    story = Story(pool(default=True), service())
    story.settles()
    assert answers.status(model(story), "porter")["problems"] == []
    broken = Problem("PoolInvalid", "spec.address", "'999.1.1.1/28' is no address")
    story.says(pool(default=True, problems=(broken,)))
    told = answers.status(model(story), "porter")
    assert violations(told, "status") == []
    assert told["problems"] == ["Eip p cannot be used: spec.address: '999.1.1.1/28' is no address"]
    assert [one["unusable"] for one in told["pools"]] == ["spec.address: '999.1.1.1/28' is no address"]
    assert [one["unusable"] for one in answers.pools(model(story))["pools"]] == [told["pools"][0]["unusable"]]


def test_a_pool_shows_what_it_keeps_back_and_who_has_too_much():
    story = Story(pool(default=True, release_delay_ms=60_000), service(), service("b"), service("gone"))
    story.settles()
    story.says(observed.ServiceGone("gone", "shop", "gone", "ServiceDeleted"))
    story.settles()
    story.says(
        pool(
            default=True,
            release_delay_ms=60_000,
            excludes=((Address("192.0.2.9"), Address("192.0.2.9")), (Address("192.0.2.6"), Address("192.0.2.7"))),
            reservations=(observed.Reservation(Address("192.0.2.5"), "shop", "db"),),
            quota_per_namespace=5,
            quota_overrides=(("shop", 1),),
        ),
        node(1)._replace(addresses=(Address("192.0.2.8"),)),
    )
    answer = answers.pools(model(story))
    assert violations(answer, "pools") == []
    (shown,) = answer["pools"]
    assert [shown[name] for name in ("size", "used", "reserved", "cooling", "available")] == [7, 2, 1, 1, 3]
    assert shown["excludes"] == ["192.0.2.9", "192.0.2.6-192.0.2.7"]
    assert shown["reservations"] == [{"address": "192.0.2.5", "namespace": "shop", "name": "db"}]
    assert shown["quota"] == {
        "perNamespace": 5,
        "overrides": {"shop": 1},
        "over": [{"namespace": "shop", "held": 2, "limit": 1}],
    }
    (cooling,) = shown["coolingDown"]
    assert (cooling["service"]["name"], cooling["until"]) == ("gone", "1970-01-01T12:01:00.000Z")
    assert [one["reason"] for one in shown["warnings"]] == ["PoolOverlapsNodes"]


def test_a_service_that_keeps_what_it_should_not_says_so(story):
    story.says(observed.PoolGone("p", "p"))
    answer = answers.services(model(story))
    assert violations(answer, "services") == []
    web = next(one for one in answer["services"] if one["service"]["name"] == "web")
    assert "192.0.2.0 is kept, but Eip p, which gave it, is gone" in web["degraded"]
    assert (web["familyPolicy"], web["requested"]["sharingKey"]) == ("SingleStack", "")


def test_a_route_is_desired_until_the_session_is_up_then_sent_then_confirmed(story):
    assert states(model(story)) == set(), "no speaker is known"
    assert states(model(story, routed.SpeakerStarted("s1", "0", "10.0.0.1", 0))) == {"desired"}
    assert states(model(story, UP)) == {"sent"}
    assert states(model(story, UP, routed.RibSynced("tor-a", story.position, 3, "d"))) == {"confirmed"}
    down = routed.SessionStateChanged("tor-a", "Idle", "hold timer expired")
    assert states(model(story, UP, routed.RibSynced("tor-a", story.position, 3, "d"), down)) == {"desired"}


def test_a_route_that_changed_after_the_last_sync_is_not_confirmed_by_it(story):
    synced_at = story.position
    story.says(observed.NodeGone("n3"))
    assert states(model(story, UP, routed.RibSynced("tor-a", synced_at, 3, "d"))) == {"sent"}


def test_routes_are_confirmed_one_by_one(story):
    first, *rest = route_answers.routes(model(story, UP))["routes"]
    path = routed.Path(Prefix(first["prefix"]), first["pathId"], Address(first["nextHop"]))
    shown = route_answers.routes(model(story, UP, routed.RoutesAnnounced("tor-a", story.position, (path,))))["routes"]
    assert [route["state"] for route in shown] == ["confirmed", *("sent" for _ in rest)]
    assert first["cause"] > 0
    assert first["since"].endswith("Z")


def test_routes_are_filtered_by_peer_speaker_and_prefix(story):
    answered = model(story, UP)
    every = route_answers.routes(answered)["routes"]
    assert len(every) == 3
    for query, count in (
        ({"peer": "tor-a"}, 3),
        ({"peer": "tor-b"}, 0),
        ({"speaker": "s1"}, 3),
        ({"speaker": "s2"}, 0),
        ({"prefix": "192.0.2.0/24"}, 3),
        ({"prefix": "192.0.2.0"}, 3),
        ({"prefix": "192.0.2.1"}, 0),
        ({"prefix": "2001:db8::/32"}, 0),
    ):
        found = route_answers.routes(answered, RouteFilter.from_query(query))["routes"]
        assert len(found) == count, query
    with pytest.raises(BadQuestion, match="prefix=web"):
        RouteFilter.from_query({"prefix": "web"})


def test_a_peer_or_a_speaker_that_nobody_knows_is_told(story):
    answered = model(story, UP)
    assert route_answers.routes(answered, RouteFilter("tor-a", "s1"))["problems"] == []
    answer = route_answers.routes(answered, RouteFilter("tor-b", "s2"))
    assert violations(answer, "routes") == []
    assert answer["problems"] == [
        "no BgpPeer 'tor-b' is known; known: tor-a",
        "no speaker 's2' is known; known: s1",
    ]


def test_readiness_asks_for_every_part_and_on_demand_for_every_session(story):
    parts = {"journal": "ok", "nodes": "ok"}
    up, without = model(story, UP), model(story)
    assert route_answers.readiness(parts, without, all_sessions=False)["ready"]
    assert not route_answers.readiness(parts, without, all_sessions=True)["ready"], "nobody told of a session"
    assert route_answers.readiness(parts, up, all_sessions=True)["ready"]
    assert not route_answers.readiness({**parts, "nodes": "being listed"}, up, all_sessions=False)["ready"]
    absent = {**parts, "servicecidrs": "ok, as none: 404 not found"}
    assert route_answers.readiness(absent, up, all_sessions=False)["ready"], "it can be done without"
    story.says(PEER._replace(admin_down=True))
    assert route_answers.readiness(parts, model(story), all_sessions=True)["ready"], "there is to be no session"


def test_the_status_names_what_is_not_as_it_should_be(story):
    story.says(decided.SpeakerDrained("s1", "ada", "maintenance"))
    problems = answers.status(model(story, routed.SessionStateChanged("tor-a", "Active", "refused")), "porter")[
        "problems"
    ]
    assert any("speaker s1 is drained by ada" in problem for problem in problems)
    assert any("tor-a is Active: refused" in problem for problem in problems)
    assert any("shop/refused has no address" in problem for problem in problems)


def test_the_status_tells_how_far_the_drain_of_a_speaker_is(story):
    def told():
        answer = answers.status(model(story), "porter")
        assert violations(answer, "status") == []
        (problem,) = [one for one in answer["problems"] if one.startswith("speaker s1 ")]
        assert problem.endswith("`porter uncordon speaker s1` ends it")
        (drain,) = answer["drained"]
        return drain["elapsed"], drain["until"], problem

    story.says(decided.SpeakerDrained("s1", "ada", "", 10_000))
    elapsed, until, problem = told()
    assert not elapsed
    assert f"leaves service and withdraws everything at {until}, drained by ada" in problem
    story.says(decided.SpeakerDrainElapsed("s1"))
    assert told()[:2] == (True, until)
    assert "speaker s1 is drained by ada" in told()[2]
    story.says(decided.SpeakerUndrained("s1", "ada", ""), decided.SpeakerDrained("s1", "ada", ""))
    assert told()[:2] == (True, ""), "there was no delay"


def test_the_status_says_that_a_drained_node_is_still_the_last_next_hop(story):
    nodes = sorted(story.state.inventory.nodes)
    for name in nodes:
        story.says(decided.NodeDrained(name, story.state.inventory.nodes[name].uid, "ada", "", 0))
        story.says(decided.NodeDrainElapsed(name))
    routes = len(story.state.loc_rib.routes)
    answer = answers.status(model(story), "porter")
    assert violations(answer, "status") == []
    assert [told["lastNextHopOf"] for told in answer["drainedNodes"]] == [routes] * len(nodes)
    assert any(f"still the last next hop of {routes} routes" in problem for problem in answer["problems"])


def test_an_event_shows_its_cause_trace_and_payload():
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    payload = service(labels=(("app", "web"),), problems=(Problem("Invalid", "spec", "mend it"),))
    event = event_json(Envelope(7, 2, 1_795_467_722_123, 5, "c", f"00-{trace}-00f067aa0ba902b7-01", payload))
    assert violations(event, "event") == []
    assert (event["cause"], event["trace"], event["time"]) == (5, trace, "2026-11-23T21:02:02.123Z")
    assert event["payload"]["trafficPolicy"] == "Cluster"
    assert event["payload"]["labels"] == {"app": "web"}
    assert event["payload"]["problems"] == [{"reason": "Invalid", "field": "spec", "message": "mend it"}]


def test_bytes_are_shown_by_size_and_digest():
    shown = as_json(decided.BaselineRecorded(1, "d", b"x" * 1000))
    assert shown["state"]["bytes"] == 1000
    assert len(shown["state"]["sha256"]) == 64


@pytest.mark.parametrize("query", [{"after": "-1"}, {"after": "x"}, {"limit": "0"}, {"limit": "10001"}])
def test_numbers_out_of_bounds_are_refused(query):
    with pytest.raises(BadQuestion, match=next(iter(query))):
        EventFilter.from_query(query)


def test_no_time_is_no_text():
    assert time_json(0) == ""


def test_an_aggregate_is_shown_in_place_of_its_members_and_for_each_of_them(story):
    story.says(
        pool("p", "192.0.2.0-192.0.2.15", default=True),
        observed.AdvertisementObserved("a", "a", "1", 1, 1, communities=("64500:20",), aggregation_length=28),
    )
    shown = model(story, UP, routed.RibSynced("tor-a", story.position, 3, "d"))
    answer = route_answers.routes(shown)
    assert violations(answer, "routes") == []
    assert {(route["prefix"], route["nextHop"]) for route in answer["routes"]} == {
        ("192.0.2.0/28", f"10.0.0.{number}") for number in (1, 2, 3)
    }
    (route, *_) = answer["routes"]
    assert (route["attributes"]["communities"], route["state"]) == (["64500:20"], "confirmed")
    assert route["cause"] == story.state.loc_rib.routes[Prefix("192.0.2.0/32")].position
    member = route_answers.routes(shown, RouteFilter.from_query({"prefix": "192.0.2.0"}))
    assert member["routes"] == answer["routes"]


def test_a_peer_that_no_rack_reaches_says_so(story):
    story.says(CONF._replace(as_per_rack=(("leaf1", 64601),)))
    (peer,) = route_answers.peers(model(story))["peers"]
    assert [problem["field"] for problem in peer["problems"]] == ["spec.nodeSelector"]
    assert violations(route_answers.peers(model(story)), "peers") == []


def test_what_of_the_old_map_is_not_honoured_is_a_problem_of_the_status(story: Story) -> None:
    field = "bgp-cfg[config.toml].zebra"
    defect = Problem("FieldUnsupported", field, f"{field} has no effect in Porter; remove it")
    story.says(CONF._replace(uid="", problems=(defect,)))
    (told_,) = [one for one in answers.status(ReadModel(story.state, told(UP)), "c")["problems"] if "zebra" in one]
    assert told_ == f"ConfigMap/bgp-cfg: {defect.message}"
