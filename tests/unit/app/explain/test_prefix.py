"""Why a prefix goes to one peer and not to another: each rule that can say no, with its cause."""

from __future__ import annotations

import pytest

from porter.app.history.reading import BadQuestion
from porter.events import decided, observed, routed
from porter.model.address import Address
from tests.unit.app.answers.test_cluster import CONF, PEER, UP, told
from tests.unit.app.explain.test_service import Journaled
from tests.unit.projections.story import endpoints, node, pool, service

OTHER = PEER._replace(name="tor-b", address=Address("10.0.0.253"), resource_version="7")
SYNCED_A = routed.RibSynced("tor-a", 100, 2, "d")
UP_B = UP._replace(peer="tor-b")
SYNCED_B = routed.RibSynced("tor-b", 100, 2, "d")
BOTH = (UP, SYNCED_A, UP_B, SYNCED_B)
FOR_A = observed.AdvertisementObserved("for-a", "a", "9", 1, 1, peers=("tor-a",), communities=("64500:1",))


@pytest.fixture
def story() -> Journaled:
    begun = Journaled(
        CONF,
        PEER,
        OTHER,
        node(1, labels=(("rack", "1"),)),
        node(2, labels=(("rack", "2"),)),
        pool(default=True),
        service(resource_version="31"),
        endpoints("web", "n1", "n2"),
    )
    begun.settles()
    return begun


async def verdict(story: Journaled, peer: str, *outcomes, prefix: str = "192.0.2.0/32"):
    answer = await story.asked(told(*outcomes) if outcomes else None, prefix=prefix)
    return answer, next(one for one in answer["prefix"]["peers"] if one["peer"] == peer)


async def test_a_prefix_that_all_peers_confirmed_lacks_nothing_and_names_its_object(story):
    answer, a = await verdict(story, "tor-a", *BOTH)
    assert (a["state"], a["sessions"][0]["confirmed"]) == ("announced", 2)
    assert answer["problems"] == []
    assert answer["summary"][0] == "192.0.2.0/32 is announced to 2 of 2 peers."
    (holder,) = answer["prefix"]["holders"]
    assert [(one["type"], one["resourceVersion"]) for one in holder["causes"]] == [
        ("AddressAllocated", ""),
        ("ServiceObserved", "31"),
    ]
    assert answer["prefix"]["causes"][0]["type"] == "AddressAllocated", "it came last of what the route hangs on"


async def test_a_peer_that_no_advertisement_names_is_told_which_ones_there_are(story):
    story.says(FOR_A)
    answer, b = await verdict(story, "tor-b", *BOTH)
    assert (b["state"], b["reason"]) == ("withheld", "NotAdvertised")
    assert "for-a: it is about other peers (spec.peers, spec.peerSelector)" in b["message"]
    assert [(one["aggregate"], one["resourceVersion"]) for one in b["causes"]] == [("advertisement/for-a", "9")]
    assert answer["problems"] == [], "somebody wanted it so"
    _, a = await verdict(story, "tor-a", *BOTH)
    assert a["advertisements"] == ["for-a"]


async def test_each_rule_that_says_no_is_named_with_the_event_behind_it(story):
    _, b = await verdict(story, "tor-b")
    assert (b["reason"], "no speaker told of a session with tor-b" in b["message"]) == ("NoPeer", True)
    _, b = await verdict(story, "tor-b", UP, SYNCED_A)
    assert (b["reason"], "s1 told of no session" in b["message"]) == ("SessionDown", True)
    story.says(OTHER._replace(families=("IPv6",), resource_version="8"))
    _, b = await verdict(story, "tor-b", UP, SYNCED_A)
    assert (b["reason"], b["causes"][0]["resourceVersion"]) == ("FamilyNotCarried", "8")
    story.says(OTHER._replace(node_selector=(("rack", "9"),), resource_version="10"))
    _, b = await verdict(story, "tor-b", *BOTH)
    assert (b["reason"], b["causes"][0]["resourceVersion"]) == ("NodeNotSelected", "10")
    story.says(OTHER._replace(admin_down=True, resource_version="11"))
    _, b = await verdict(story, "tor-b", *BOTH)
    assert (b["state"], "administratively down" in b["message"]) == ("withheld", True)
    assert b["causes"][0]["resourceVersion"] == "11"
    story.says(OTHER, decided.SpeakerDrained("s1", "ada", "maintenance"))
    answer, b = await verdict(story, "tor-b", *BOTH)
    assert (b["reason"], b["causes"][0]["type"]) == ("Drained", "SpeakerDrained")
    assert answer["prefix"]["state"] == "absent"
    assert answer["problems"]


async def test_a_session_that_is_down_names_its_reason_and_the_event_in_the_speakers_stream(story):
    down = routed.SessionStateChanged("tor-b", "Idle", "hold timer expired")
    answer, b = await verdict(story, "tor-b", *BOTH, down)
    assert (b["state"], b["reason"]) == ("unconfirmed", "SessionDown")
    (session,) = b["sessions"]
    assert session["cause"] == {"stream": "s1", "position": 5}
    assert "hold timer expired" in session["message"]
    assert answer["problems"] == [b["message"]]


async def test_next_hops_that_a_peer_is_not_given_are_named_with_the_rule(story):
    story.says(OTHER._replace(node_selector=(("rack", "1"),)))
    _, b = await verdict(story, "tor-b", *BOTH)
    assert [(one["node"], one["reason"]) for one in b["leftOut"]] == [("n2", "NodeNotSelected")]
    story.says(OTHER._replace(max_next_hops=1))
    _, b = await verdict(story, "tor-b", *BOTH)
    assert [one["reason"] for one in b["leftOut"]] == ["NextHopLimit"]
    story.says(OTHER)
    _, b = await verdict(story, "tor-b", UP_B._replace(add_path=()), SYNCED_B)
    assert [one["reason"] for one in b["leftOut"]] == ["NoAddPath"]


async def test_an_aggregate_stands_for_its_members(story):
    story.says(FOR_A._replace(peers=(), aggregation_length=29))
    answer, a = await verdict(story, "tor-a", *BOTH, prefix="192.0.2.0/29")
    assert answer["prefix"]["kind"] == "aggregate"
    assert answer["prefix"]["members"] == ["192.0.2.0/32"]
    assert (a["state"], a["announced"], a["advertisements"]) == ("announced", "192.0.2.0/29", ["for-a"])
    answer, a = await verdict(story, "tor-a", *BOTH)
    assert (answer["prefix"]["kind"], a["announced"]) == ("host", "192.0.2.0/29")
    assert "is announced within 192.0.2.0/29 to 2 of 2 peers" in answer["summary"][0]


@pytest.mark.parametrize(
    ("prefix", "kind", "says"),
    [
        ("192.0.2.9/32", "unused", "192.0.2.9 is free"),
        ("192.0.2.0/24", "unused", "no BgpAdvertisement aggregates to it; 1 announced address lies inside of it"),
        ("198.51.100.0/24", "unused", "0 announced addresses lie inside"),
    ],
)
async def test_a_prefix_that_nobody_announces_lacks_nothing(story, prefix, kind, says):
    answer = await story.asked(told(*BOTH), prefix=prefix)
    assert (answer["prefix"]["kind"], answer["prefix"]["state"], answer["problems"]) == (kind, "absent", [])
    assert says in answer["summary"][0]


async def test_a_prefix_without_a_route_names_what_took_it(story):
    story.says(endpoints("web"))
    answer = await story.asked(told(*BOTH), prefix="192.0.2.0/32")
    assert (answer["prefix"]["state"], answer["prefix"]["reason"]) == ("absent", "NoReadyEndpoint")
    assert answer["prefix"]["causes"][0]["type"] == "EndpointsObserved"
    assert answer["problems"]
    assert {one["state"] for one in answer["prefix"]["peers"]} == {"withheld"}


async def test_without_a_peer_it_goes_to_nobody():
    story = Journaled(CONF, node(1), pool(default=True), service(), endpoints("web", "n1"))
    story.settles()
    answer = await story.asked(prefix="192.0.2.0/32")
    assert (answer["prefix"]["state"], answer["prefix"]["reason"]) == ("absent", "NoPeer")
    assert "make one" in answer["problems"][0]


async def test_a_malformed_prefix_is_refused(story):
    with pytest.raises(BadQuestion, match=r"prefix=192\.0\.2\.0/33"):
        await story.asked(prefix="192.0.2.0/33")


async def test_a_node_of_ipv6_alone_is_left_out_where_the_router_takes_no_such_next_hops(story):
    story.says(PEER._replace(extended_next_hop=True), node(6, addresses=("fd00::6",)))
    story.says(decided.PathIdentifierAssigned("n6", 9))
    _, b = await verdict(story, "tor-b", *BOTH)
    assert [(one["node"], one["reason"]) for one in b["leftOut"]] == [("n6", "NoExtendedNextHop")]
    assert "set extendedNextHop there" in b["leftOut"][0]["message"]
    _, a = await verdict(story, "tor-a", *BOTH)
    assert [one["node"] for one in a["leftOut"]] == ["n6"]
    assert "enable extended next hops (RFC 8950) at the router" in a["leftOut"][0]["message"]
    _, a = await verdict(story, "tor-a", UP._replace(extended_next_hop=True), SYNCED_A, UP_B, SYNCED_B)
    assert a["leftOut"] == []
    story.says(observed.NodeGone("n1"), observed.NodeGone("n2"))
    _, b = await verdict(story, "tor-b", *BOTH)
    assert (b["state"], b["reason"]) == ("withheld", "NoExtendedNextHop")
