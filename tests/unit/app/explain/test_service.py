"""Explanations: sentences, candidates and causes, from the folds and a journal in memory."""

from __future__ import annotations

from typing import Any

import pytest

from porter.allocator.decide import cause, decide, unsettled
from porter.app.explain import service as explain
from porter.app.explain.question import Question, Unknown
from porter.app.history.reading import BadQuestion
from porter.app.read_model import ReadModel
from porter.events import decided, observed, routed
from porter.events.catalogue import Event
from porter.events.envelope import Draft
from porter.journal.memory import MemoryJournals
from porter.model.address import Address
from porter.ports import Claim
from porter.projections import baseline
from porter.projections.sessions import Sessions
from tests.schema_check import violations
from tests.unit.app.answers.test_cluster import CONF, PEER, UP, told
from tests.unit.projections.story import Story, endpoints, node, pool, service


class Journaled(Story):
    """A story that stands in a journal too, each decision with its cause."""

    def __init__(self, *payloads: Event) -> None:
        self.drafts: list[Draft] = []
        self.times_ms: list[int] = []
        self.causation = 0
        super().__init__(*payloads)

    def says(self, *payloads: Event) -> Journaled:
        self.drafts += [Draft(payload, self.causation) for payload in payloads]
        self.times_ms += [self.time_ms] * len(payloads)
        super().says(*payloads)
        return self

    def settles(self) -> list[Event]:
        while uids := unsettled(self.state, 1):
            decisions = decide(self.state, uids[0])
            self.causation = cause(self.state, uids[0])
            self.says(*decisions)
            self.causation = 0
        return []

    async def journal(self):
        """The journal up to here."""
        stream = MemoryJournals(writer="a").journal()
        await stream.claim(Claim("g", 1, None, 1, False, "a"), self.drafts[:1], time_ms=self.times_ms[0])
        for draft, time_ms in zip(self.drafts[1:], self.times_ms[1:], strict=True):
            await stream.append([draft], time_ms=time_ms)
        return stream

    async def asked(self, sessions: Sessions | None = None, **query: str) -> Any:
        model = ReadModel(self.state, sessions or Sessions.empty())
        answer = await explain.explain(model, await self.journal(), Question.from_query(query))
        assert violations(answer, "explain") == []
        return answer


@pytest.fixture
def story() -> Journaled:
    begun = Journaled(
        CONF,
        PEER,
        node(1),
        node(2),
        pool("full", "198.51.100.1-198.51.100.1", default=True, created_ms=1, priority=1),
        pool("spare", created_ms=2, auto_assign=True),
        service("first", resource_version="30"),
        service(resource_version="31"),
        endpoints("web", "n1", "n2"),
    )
    begun.settles()
    return begun


async def test_a_service_is_explained_with_its_candidates_causes_and_route(story):
    answer = await story.asked(told(UP, routed.RibSynced("tor-a", story.position, 3, "d")), service="shop/web")
    first, route = answer["summary"]
    assert first.startswith(
        "shop/web holds 192.0.2.0 from Eip spare, which is assigned automatically, since 12:00 UTC (#"
    )
    assert route == "192.0.2.0/32 is announced with 2 next hops; 1 of 1 session confirmed it."
    assert answer["problems"] == []
    (holding,) = answer["service"]["holdings"]
    assert [(one["pool"], one["reason"]) for one in holding["candidates"]] == [("full", "PoolExhausted")]
    decision, fact = holding["causes"]
    assert decision["type"] == "AddressAllocated"
    assert (fact["type"], fact["aggregate"], fact["resourceVersion"]) == ("ServiceObserved", "service/shop/web", "31")
    assert holding["route"]["sessions"] == [
        {"peer": "tor-a", "speaker": "s1", "prefix": "192.0.2.0/32", "paths": 2, "confirmed": 2}
    ]
    assert [hop["node"] for hop in holding["route"]["nextHops"]] == ["n1", "n2"]


async def test_a_refusal_is_explained_with_each_candidate_and_its_cause(story):
    story.says(service("more", requested_pool="full", resource_version="40"))
    story.settles()
    answer = await story.asked(service="shop/more")
    refusal = answer["service"]["refusal"]
    assert refusal["reason"] == "PoolExhausted"
    assert refusal["candidates"][0]["pool"] == "full"
    assert [one["type"] for one in refusal["causes"]] == ["AllocationRefused", "ServiceObserved"]
    assert refusal["causes"][1]["resourceVersion"] == "40"
    assert answer["problems"][0].startswith("shop/more has no address: Eip full has no free IPv4 address")
    assert f"(#{refusal['position']})" in answer["summary"][0]


async def test_a_request_that_is_not_met_names_what_is_kept_and_why(story):
    story.says(service(requested_addresses=("198.51.100.1",)))
    story.settles()
    answer = await story.asked(service="shop/web")
    assert "holds 192.0.2.0" in answer["summary"][0]
    assert "192.0.2.0 is kept meanwhile: 198.51.100.1 is held by shop/first since 12:00 UTC" in answer["summary"][1]
    assert answer["service"]["refusal"]["reason"] == "AddressInUse"
    assert len(answer["problems"]) == 2, "no session takes the route either"


async def test_why_there_is_no_route_is_told(story):
    first = (await story.asked(service="shop/first"))["service"]["holdings"][0]["route"]
    assert (first["state"], first["reason"]) == ("absent", "NoReadyEndpoint")
    assert "no endpoint of shop/first is ready" in first["message"]
    nobody = (await story.asked(service="shop/web"))["service"]["holdings"][0]["route"]
    assert (nobody["state"], nobody["reason"]) == ("absent", "NoPeer")
    assert "no speaker has told of a session" in nobody["message"]
    story.says(observed.PeerGone("tor-a"))
    assert "there is no BgpPeer" in (await story.asked(service="shop/web"))["problems"][0]
    story.says(observed.NodeGone("n1"), observed.NodeGone("n2"))
    hopless = (await story.asked(service="shop/web"))["service"]["holdings"][0]["route"]
    assert hopless["reason"] == "NoEligibleNode"


async def test_an_aggregate_that_stands_for_the_route_is_named(story):
    story.says(observed.AdvertisementObserved("a", "a", "1", 1, 1, pools=("spare",), aggregation_length=29))
    answer = await story.asked(told(UP), service="shop/web")
    assert answer["summary"][1].startswith("192.0.2.0/32 is announced within 192.0.2.0/29 with 2 next hops")
    assert {one["prefix"] for one in answer["service"]["holdings"][0]["route"]["sessions"]} == {"192.0.2.0/29"}


async def test_a_drained_speaker_is_told_with_the_way_back(story):
    story.says(decided.SpeakerDrained("s1", "ada", "maintenance", 10_000))
    leaving = (await story.asked(told(UP), service="shop/web"))["service"]["holdings"][0]["route"]
    assert (leaving["state"], leaving["reason"]) == ("announced", ""), "its routes are still there"
    story.says(decided.SpeakerDrainElapsed("s1"))
    answer = await story.asked(told(UP), service="shop/web")
    route = answer["service"]["holdings"][0]["route"]
    assert route["reason"] == "Drained"
    assert "--undo" in answer["problems"][0]


async def test_a_drained_service_and_a_held_one_are_told_with_the_way_on(story):
    (prefix,) = (one.address + "/32" for one in story.state.pools.of("web"))
    held = decided.WithdrawalHeld(story.position + 1, "NoReadyEndpoint", (prefix,), 30, 40, 25, 20, 600_000)
    story.says(held, endpoints("web"))
    route = (await story.asked(told(UP), service="shop/web"))["service"]["holdings"][0]["route"]
    assert (route["state"], route["reason"]) == ("announced", "Held")
    assert f"`porter approve {held.hold}`" in route["message"]
    story.says(
        decided.ServiceDrained("web", "shop", "web", "ada", "", 0), decided.ServiceDrainElapsed("web", "shop", "web")
    )
    route = (await story.asked(told(UP), service="shop/web"))["service"]["holdings"][0]["route"]
    assert (route["state"], route["reason"]) == ("absent", "Drained")
    assert "`porter uncordon service shop/web`" in route["message"]


async def test_an_address_of_another_protocol_is_told_as_not_announced():
    story = Journaled(pool(default=True, protocol="layer2"), service())
    story.settles()
    answer = await story.asked(service="shop/web")
    assert answer["service"]["holdings"][0]["route"]["state"] == "notByBgp"
    assert [one.split(",")[0] for one in answer["problems"]] == ["192.0.2.0 is not announced"]


async def test_an_address_in_use_names_its_holder(story):
    answer = await story.asked(ip="192.0.2.0")
    assert answer["address"]["state"] == "held"
    assert answer["summary"][0].startswith("shop/web holds 192.0.2.0 from Eip spare")
    assert answer["address"]["holdings"][0]["causes"][1]["aggregate"] == "service/shop/web"
    assert answer["service"] is None


@pytest.mark.parametrize(
    ("ip", "state", "pool_name", "says"),
    [
        ("192.0.2.1", "free", "p", "is free, and the next that Eip p gives"),
        ("192.0.2.9", "free", "p", "Eip p would give it"),
        ("192.0.2.4", "excluded", "p", "spec.excludes"),
        ("192.0.2.5", "reserved", "p", "keeps it for the Service shop/db"),
        ("192.0.2.0", "coolingDown", "p", "shop/web released it; Eip p lets it cool down until 12:01 UTC"),
        ("198.51.100.1", "disabled", "off", "set spec.disable to false"),
        ("192.0.2.200", "outside", "bad", "cannot be used"),
        ("203.0.113.1", "outside", "", "no Eip holds 203.0.113.1"),
    ],
)
async def test_an_address_without_a_holder_is_explained(ip, state, pool_name, says):
    story = Journaled(
        pool(
            default=True,
            release_delay_ms=60_000,
            excludes=((Address("192.0.2.4"), Address("192.0.2.4")),),
            reservations=(observed.Reservation(Address("192.0.2.5"), "shop", "db"),),
        ),
        pool("off", "198.51.100.1-198.51.100.9", disabled=True),
        pool("bad", "192.0.2.0-192.0.2.255", created_ms=2),
        service(),
    )
    story.settles()
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    story.settles()
    address = (await story.asked(ip=ip))["address"]
    assert (address["state"], address["pool"]) == (state, pool_name)
    assert says in address["message"]
    assert (address["reservedFor"] is not None) == (state == "reserved")
    assert (address["coolingDown"] is not None) == (state == "coolingDown")


async def test_an_address_may_be_written_in_any_form():
    story = Journaled(pool("six", "2001:db8::-2001:db8::9"))
    assert (await story.asked(ip="2001:0DB8:0::1"))["asked"] == "2001:db8::1"


async def test_a_service_that_nobody_decided_about_says_so():
    story = Journaled()
    story.says(service())
    assert (await story.asked(service="shop/web"))["summary"] == [
        "shop/web has no address: nothing is decided about it yet."
    ]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "ask about one thing"),
        ({"service": "a/b", "ip": "192.0.2.1"}, "ask about one thing"),
        ({"service": "web"}, "NAMESPACE/NAME"),
        ({"service": "a/b/c"}, "NAMESPACE/NAME"),
        ({"ip": "web"}, "is no IP address"),
    ],
)
def test_a_question_that_is_none_is_refused(query, says):
    with pytest.raises(BadQuestion, match=says):
        Question.from_query(query)


async def test_a_service_that_is_not_there_is_told_where_to_look(story):
    with pytest.raises(Unknown, match=r"shop/absent.*lb\.kubesphere\.io/v1alpha1"):
        await story.asked(service="shop/absent")


async def test_what_was_trimmed_away_is_left_out(story):
    state = baseline.encode(story.state)
    story.says(decided.BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(state), state))
    story.says(service("late", resource_version="50"))
    story.settles()
    journal = await story.journal()
    newest = await journal.newest_baseline()
    assert newest is not None
    await journal.trim(newest.checkpoint)
    model = ReadModel(story.state, Sessions.empty())
    for name, known in (("web", False), ("late", True)):
        answer = await explain.explain(model, journal, Question(f"shop/{name}"))
        assert violations(answer, "explain") == []
        (holding,) = answer["service"]["holdings"]
        assert (bool(holding["causes"]), holding["candidates"] is not None) == (known, known)


async def test_a_peer_whose_selector_matches_no_node_is_told_as_that(story):
    story.says(PEER._replace(node_selector=(("rack", "r9"),)))
    route = (await story.asked(told(UP), service="shop/web"))["service"]["holdings"][0]["route"]
    assert route["reason"] == "NoEligibleNode"
    assert "no node matches spec.nodeSelector of BgpPeer tor-a" in route["message"]


@pytest.mark.parametrize(
    ("address", "owner"), [("10.0.0.254", "BgpPeer tor-a"), ("10.0.0.1", "node n1"), ("10.0.0.9", "speaker s1")]
)
async def test_an_address_of_a_router_a_node_or_a_speaker_is_told_as_theirs(address, owner):
    story = Journaled(CONF, PEER, node(1), pool(default=True))
    sessions = told(routed.SpeakerStarted("s1", "0.1.0", "10.0.0.9", 0))
    answer = await story.asked(sessions, ip=address)
    assert answer["address"]["message"] == f"{address} is the address of {owner}, and no Service's"
    assert "add it to an Eip" in (await story.asked(sessions, ip="10.0.0.77"))["address"]["message"]


async def test_a_service_that_was_deleted_is_told_with_what_it_held():
    story = Journaled(node(1), pool(default=True), service(), endpoints("web", "n1"))
    story.settles()
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    position = story.position
    story.settles()
    with pytest.raises(Unknown) as refused:
        await story.asked(service="shop/web")
    message = str(refused.value)
    assert message.startswith("Service shop/web was deleted (#")
    assert f"#{position}," in message
    assert "held 192.0.2.0;" in message
    assert "porter timeline --service shop/web" in message
    with pytest.raises(Unknown, match="see that it exists"):
        await story.asked(service="shop/never")


def gone(name: str, namespace: str = "shop") -> observed.ServiceGone:
    return observed.ServiceGone(f"{namespace}-{name}", namespace, name, "ServiceDeleted")


def here(name: str, namespace: str = "shop") -> observed.ServiceObserved:
    return service(name, namespace=namespace, uid=f"{namespace}-{name}")


async def refusal(story: Journaled, **query: str) -> str:
    with pytest.raises(Unknown) as refused:
        await story.asked(**query)
    return str(refused.value)


async def test_a_bare_word_finds_a_service_that_was_deleted():
    story = Journaled(node(1), pool(default=True), here("web"), endpoints("web", "n1"))
    story.settles()
    story.says(gone("web"))
    position = story.position
    story.settles()
    full = await refusal(story, service="shop/web")
    assert await refusal(story, name="web", namespace="shop") == full
    elsewhere = await refusal(story, name="web")
    assert elsewhere == f"no Service default/web of Porter's, no node web and no peer web is known. {full}"
    assert f"shop/web was deleted (#{position}," in elsewhere
    assert "The forms are" in await refusal(story, name="never")
    assert "The forms are" in await refusal(story, name="shop")


async def test_of_deleted_services_of_one_name_that_of_the_namespace_is_told_and_what_is_there_comes_first():
    story = Journaled(node(1), pool(default=True), here("web"), here("web", "edge"), here("web", "default"))
    story.settles()
    story.says(gone("web", "edge"), gone("web", "default"))
    story.settles()
    told = await refusal(story, name="web")
    assert told.startswith("Service default/web was deleted (#")
    assert told.endswith("; there is service/shop/web")
    told = await refusal(story, name="web", namespace="other")
    assert told.index("default/web was deleted") < told.index("edge/web was deleted")
    assert "; there is service/shop/web. Service" in told
    story.says(here("web", "edge"))
    story.settles()
    assert "edge/web was" not in await refusal(story, name="web", namespace="other")
    story.says(node(9)._replace(name="web"))
    assert (await story.asked(name="web"))["asked"] == "node/web"
