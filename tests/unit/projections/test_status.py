"""What users read in the objects' statuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from porter.events import decided, observed, routed
from porter.events.envelope import Envelope
from porter.model.address import Address, Prefix
from porter.model.reasons import Problem, Reason
from porter.projections.sessions import Sessions, evolve_sessions
from porter.projections.status import (
    DECISION_ANNOTATION,
    POOL_LABEL,
    advertisement_status,
    conf_status,
    peer_status,
    pool_status,
    pools,
    service_annotations,
    service_conditions,
    service_labels,
    service_status,
)
from tests.unit.projections.story import DUAL, Story, endpoints, node, pool, service

CONF = observed.ConfObserved("default", "c", "1", 3, 64512)
PEER = observed.PeerObserved("r1", "r1", "1", 4, Address("10.0.0.254"), 64513)


def conditions(tree: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in tree["conditions"]}


def message(tree: dict[str, Any], kind: str) -> str:
    return next(one["message"] for one in tree["conditions"] if one["type"] == kind)


def test_a_service_shows_its_addresses_pool_and_decision() -> None:
    story = Story(pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True), service(**DUAL))
    story.settles()
    ingress = [{"ip": "192.0.2.0", "ipMode": "VIP"}, {"ip": "2001:db8::", "ipMode": "VIP"}]
    assert service_status(story.state, "web") == {"loadBalancer": {"ingress": ingress}}
    assert service_labels(story.state, "web") == {POOL_LABEL: "p"}
    annotation = service_annotations(story.state, "web")[DECISION_ANNOTATION]
    assert re.fullmatch(rf"{story.position}:[0-9a-f]{{12}}", annotation or "")


def test_a_service_that_holds_nothing_loses_what_was_ours() -> None:
    story = Story(pool(default=True), service())
    story.settles()
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceNotClaimed"))
    for _ in range(2):
        assert service_status(story.state, "web") == {"loadBalancer": {}}
        assert service_labels(story.state, "web") == {POOL_LABEL: None}
        assert service_annotations(story.state, "web") == {DECISION_ANNOTATION: None}
        story.settles()


def test_a_refused_service_keeps_what_another_controller_gave_it() -> None:
    story = Story(service(held=("203.0.113.1",)))
    story.settles()
    assert service_status(story.state, "web") == {"loadBalancer": {"ingress": [{"ip": "203.0.113.1", "ipMode": "VIP"}]}}


def said(story: Story, uid: str = "web") -> dict[str, tuple[str, str, str]]:
    found = service_conditions(story.state, uid)
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found}


def test_a_service_says_what_it_holds_since_when_and_by_which_decision() -> None:
    story = Story(pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True), service(**DUAL))
    story.settles()
    assert said(story) == {
        "porter.io/AddressAllocated": (
            "True",
            Reason.DEFAULT_POOL,
            "192.0.2.0 from the default Eip p, since 12:00 UTC (#5); "
            "2001:db8:: from the default Eip p, since 12:00 UTC (#6)",
        )
    }
    assert service_conditions(story.state, "web")[0]["observedGeneration"] == 1


def test_a_generation_that_is_not_known_is_left_out_as_the_api_server_does() -> None:
    story = Story(pool(default=True), service(generation=0))
    story.settles()
    assert "observedGeneration" not in service_conditions(story.state, "web")[0]


def test_a_refused_service_says_why_and_one_without_a_decision_says_nothing() -> None:
    story = Story(pool(), service())
    assert said(story) == {}
    story.settles()
    (status, reason, why) = said(story)["porter.io/AddressAllocated"]
    assert (status, reason) == ("False", Reason.NO_POOL)
    assert "mark an Eip as default" in why
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceNotClaimed"))
    assert said(story) == {}


def test_a_request_that_is_not_met_while_an_address_is_kept_degrades() -> None:
    story = Story(pool(default=True), service())
    story.settles()
    story.says(service(requested_addresses=("203.0.113.1",)))
    story.settles()
    assert said(story)["porter.io/AddressAllocated"][0] == "True"
    (status, reason, why) = said(story)["porter.io/Degraded"]
    assert (status, reason) == ("True", Reason.ADDRESS_OUTSIDE_POOLS)
    assert "192.0.2.0 is kept meanwhile" in why
    assert "203.0.113.1" in why


def test_an_address_outside_of_every_pool_is_kept_and_told() -> None:
    story = Story(pool(default=True), service())
    story.settles()
    story.says(observed.PoolGone("p", "p"))
    assert said(story)["porter.io/AddressAllocated"][0] == "True"
    (status, reason, why) = said(story)["porter.io/Degraded"]
    assert (status, reason) == ("True", Reason.ADDRESS_OUTSIDE_POOLS)
    assert "Eip p, which gave it, is gone" in why
    story.says(pool("other"))
    assert "porter.io/Degraded" not in said(story), "another Eip holds it now"


def test_an_adopted_address_of_no_pool_is_kept_and_told() -> None:
    story = Story(service(held=("203.0.113.1",)))
    story.says(decided.AddressAdopted("web", "shop", "web", Address("203.0.113.1"), "", Reason.ADOPTED_FROM_STATUS))
    assert said(story)["porter.io/AddressAllocated"][2].startswith(
        "203.0.113.1 of no Eip, which it held already, since"
    )
    assert said(story)["porter.io/Degraded"][2].startswith("203.0.113.1 is kept, but no Eip holds it; give the address")


def test_broken_sharing_is_told_to_the_one_that_was_edited_last() -> None:
    asks: dict[str, Any] = {"requested_addresses": ("192.0.2.5",)}
    story = Story(pool(), service(**asks), service("dns", ports=(("UDP", 53),), **asks))
    story.settles()
    assert "porter.io/Degraded" not in said(story)
    story.says(service("dns", ports=(("TCP", 80),), **asks))
    (status, reason, why) = said(story, "dns")["porter.io/Degraded"]
    assert (status, reason) == ("True", Reason.SHARING_REFUSED)
    assert "shared with shop/web" in why
    assert "TCP port 80" in why
    assert "porter.io/Degraded" not in said(story, "web")
    assert story.addresses("dns") == {"192.0.2.5"}, "nobody loses it"


def test_a_field_that_is_not_supported_is_told() -> None:
    story = Story(pool(default=True), service(problems=(Problem(Reason.FIELD_UNSUPPORTED, "spec.x", "is ignored"),)))
    story.settles()
    assert said(story)["porter.io/Degraded"][1:] == (Reason.FIELD_UNSUPPORTED, "spec.x: is ignored")


def test_a_pool_tells_the_truth() -> None:
    story = Story(pool("p", "192.0.2.0-192.0.2.2", default=True, generation=5), service(), service("b"))
    story.settles()
    tree = pool_status(story.state, "p")
    assert {key: tree[key] for key in tree if key != "conditions"} == {
        "occupied": False,
        "usage": 2,
        "poolSize": 3,
        "available": 1,
        "reserved": 0,
        "used": {"192.0.2.0": "shop/b", "192.0.2.1": "shop/web"},
        "firstIP": "192.0.2.0",
        "lastIP": "192.0.2.2",
        "v4": True,
        "ready": True,
        "observedGeneration": 5,
    }
    assert conditions(tree) == {
        "Accepted": ("True", "Accepted"),
        "Ready": ("True", "Available"),
        "Degraded": ("False", "AsExpected"),
    }


def test_a_pool_of_2_to_the_64_fits_into_an_int64() -> None:
    tree = pool_status(Story(pool("six", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff")).state, "six")
    assert tree["poolSize"] == tree["available"] == 2**63 - 1
    assert (tree["v4"], tree["usage"], tree["firstIP"]) == (False, 0, "2001:db8::")


def test_shared_addresses_are_used_once_by_several() -> None:
    asks: dict[str, Any] = {"requested_addresses": ("192.0.2.5",)}
    story = Story(pool(), service(**asks), service("dns", ports=(("UDP", 53),), **asks))
    story.settles()
    tree = pool_status(story.state, "p")
    assert (tree["usage"], tree["used"]) == (1, {"192.0.2.5": "shop/dns;shop/web"})


def test_an_edit_that_leaves_addresses_outside_names_the_services() -> None:
    story = Story(pool(default=True), service())
    story.settles()
    story.says(pool("p", "192.0.2.8-192.0.2.9", default=True))
    tree = pool_status(story.state, "p")
    assert conditions(tree)["Degraded"] == ("True", Reason.ADDRESS_OUTSIDE_POOLS)
    assert "shop/web (192.0.2.0)" in message(tree, "Degraded")
    assert (tree["usage"], tree["occupied"]) == (0, False)


def test_an_address_that_is_excluded_now_is_kept_and_told_by_both() -> None:
    story = Story(pool(default=True), service())
    story.settles()
    story.says(pool(default=True, excludes=((Address("192.0.2.0"), Address("192.0.2.1")),)))
    tree = pool_status(story.state, "p")
    assert (tree["usage"], tree["poolSize"], tree["available"]) == (1, 8, 8)
    assert conditions(tree)["Degraded"] == ("True", Reason.ADDRESS_OUTSIDE_POOLS)
    assert "spec.excludes or spec.avoidBuggyIPs leaves out: shop/web (192.0.2.0)" in message(tree, "Degraded")
    assert "Eip p excludes it now" in said(story)["porter.io/Degraded"][2]


def test_a_reservation_of_an_address_in_use_names_both() -> None:
    story = Story(pool(default=True), service())
    story.settles()
    kept = (
        observed.Reservation(Address("192.0.2.0"), "shop", "db"),
        observed.Reservation(Address("192.0.2.9"), "a", "b"),
    )
    story.says(pool(default=True, reservations=kept))
    tree = pool_status(story.state, "p")
    assert (tree["reserved"], tree["usage"], tree["available"]) == (1, 1, 8)
    assert conditions(tree)["Degraded"] == ("True", Reason.RESERVED)
    told = message(tree, "Degraded")
    assert "192.0.2.0 is reserved for shop/db, but shop/web holds it since 12:00 UTC" in told


def test_a_namespace_over_its_quota_is_named() -> None:
    story = Story(pool(default=True), service(), service("b"), service("c"))
    story.settles()
    story.says(pool(default=True, quota_per_namespace=2))
    tree = pool_status(story.state, "p")
    assert conditions(tree)["Degraded"] == ("True", Reason.QUOTA_EXCEEDED)
    assert "namespace shop holds 3 addresses, more than its quota of 2" in message(tree, "Degraded")
    assert tree["usage"] == 3


def test_a_pool_warns_of_node_addresses_and_of_the_services_own_range() -> None:
    story = Story(
        node(1)._replace(addresses=(Address("192.0.2.3"),)),
        observed.ServiceRangeObserved("kubernetes", (Prefix("192.0.2.0/29"),)),
        pool(default=True),
    )
    tree = pool_status(story.state, "p")
    assert conditions(tree)["Degraded"] == ("True", Reason.POOL_OVERLAPS_NODES)
    assert "the address of node n1" in message(tree, "Degraded")
    assert "ServiceCIDR kubernetes" in message(tree, "Degraded")
    assert conditions(tree)["Ready"][0] == "True"


def test_used_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_USED_LISTED", 2)
    story = Story(pool(default=True), *(service(name) for name in "abc"))
    story.settles()
    tree = pool_status(story.state, "p")
    assert (list(tree["used"]), tree["usage"]) == (["192.0.2.0", "192.0.2.1"], 3)
    assert message(tree, "Ready").endswith("status.used names 2 of the 3 in use, and 1 not")


def test_a_pool_whose_rest_is_reserved_or_cooling_is_exhausted_and_says_so() -> None:
    kept = (observed.Reservation(Address("192.0.2.1"), "shop", "db"),)
    small = pool("p", "192.0.2.0-192.0.2.2", default=True, reservations=kept, release_delay_ms=60_000)
    story = Story(small, service(), service("b"))
    story.settles()
    story.says(observed.ServiceGone("b", "shop", "b", "ServiceDeleted"))
    story.settles()
    tree = pool_status(story.state, "p")
    assert conditions(tree)["Ready"] == ("False", Reason.POOL_EXHAUSTED)
    assert "all 3 addresses are taken: 1 in use, 1 reserved, 1 cooling down" in message(tree, "Ready")
    assert (tree["available"], tree["reserved"], tree["occupied"]) == (0, 1, False)


def test_why_a_pool_is_not_ready() -> None:
    overlap = Story(pool("a"), pool("b", created_ms=2))
    assert conditions(pool_status(overlap.state, "b"))["Accepted"] == ("False", Reason.POOL_INVALID)
    assert not pool_status(overlap.state, "b")["ready"]
    assert conditions(pool_status(Story(pool(disabled=True)).state, "p"))["Ready"] == ("False", Reason.POOL_DISABLED)
    full = Story(pool("p", "192.0.2.0-192.0.2.0", default=True), service())
    full.settles()
    assert conditions(pool_status(full.state, "p"))["Ready"] == ("False", Reason.POOL_EXHAUSTED)
    assert pool_status(full.state, "p")["occupied"]
    second = Story(pool("a", default=True), pool("b", "10.0.0.1-10.0.0.2", default=True, created_ms=2))
    assert "Eip a is the default" in message(pool_status(second.state, "b"), "Degraded")
    odd = Story(pool(problems=(Problem(Reason.FIELD_UNSUPPORTED, "spec.x", "is not supported"),)))
    assert conditions(pool_status(odd.state, "p"))["Accepted"] == ("True", Reason.FIELD_UNSUPPORTED)
    assert message(pool_status(odd.state, "p"), "Accepted") == "spec.x: is not supported"
    assert pool_status(odd.state, "absent") == {}


def heard(*payloads: Any) -> Sessions:
    sessions = Sessions.empty()
    for position, payload in enumerate(payloads, 1):
        sessions = evolve_sessions(sessions, "s", Envelope(position, 1, position, 0, "", "", payload))
    return sessions


UP = routed.SessionStateChanged("r1", "Established", "", ("IPv4", "IPv6"), ("IPv4", "IPv6"), 90)


def test_a_peer_shows_each_speakers_session() -> None:
    story = Story(CONF, PEER)
    tree = peer_status(story.state, heard(UP, routed.RibSynced("r1", 1, 12, "")), "r1")
    told = tree["nodesPeerStatus"]["s"]
    assert told["peerState"] == {
        "neighborAddress": "10.0.0.254",
        "peerAs": 64513,
        "localAs": 64512,
        "description": "",
        "sessionState": "ESTABLISHED",
        "adminState": "UP",
        "flops": 0,
    }
    assert told["timersState"] == {
        "holdTime": "90",
        "keepaliveInterval": "30",
        "negotiatedHoldTime": "90",
        "uptime": "1970-01-01T00:00:00Z",
    }
    assert (told["prefixesAnnounced"], told["synced"], told["flaps"]) == (12, True, 0)
    assert (tree["observedGeneration"], "authPassword" in str(tree)) == (4, False)
    assert conditions(tree) == {
        "Accepted": ("True", "Accepted"),
        "Ready": ("True", "Established"),
        "NoAddPath": ("False", "AddPath"),
    }


def test_a_peer_without_add_path_is_told_with_the_mend() -> None:
    tree = peer_status(Story(CONF, PEER).state, heard(UP._replace(add_path=("IPv4",))), "r1")
    assert conditions(tree)["NoAddPath"] == ("True", "NoAddPath")
    assert "for IPv6" in message(tree, "NoAddPath")


def test_a_router_that_takes_no_ipv6_next_hops_is_told_with_the_nodes_that_are_left_out() -> None:
    wanting = PEER._replace(extended_next_hop=True)
    story = Story(CONF, wanting, node(1), node(2, addresses=("fd00::2",)))
    tree = peer_status(story.state, heard(UP), "r1")
    assert conditions(tree)["NoExtendedNextHop"] == ("True", "NoExtendedNextHop")
    assert "did not agree to IPv6 next hops" in message(tree, "NoExtendedNextHop")
    assert "n2, without an IPv4 address, left out" in message(tree, "NoExtendedNextHop")
    agreed = heard(UP._replace(extended_next_hop=True))
    assert conditions(peer_status(story.state, agreed, "r1"))["NoExtendedNextHop"] == ("False", "ExtendedNextHop")
    assert "NoExtendedNextHop" not in conditions(peer_status(story.says(PEER).state, heard(UP), "r1"))


def test_a_router_that_floods_us_is_told_with_the_mend() -> None:
    story = Story(CONF, PEER)
    flooded = (UP, routed.ImportsRefused("r1", 5000))
    tree = peer_status(story.state, heard(*flooded), "r1")
    assert conditions(tree)["ImportsRefused"] == ("True", "ImportsRefused")
    assert "(5000 UPDATEs to s), none of which is taken; have it export nothing" in message(tree, "ImportsRefused")
    again = peer_status(story.state, heard(*flooded, routed.SessionStateChanged("r1", "Idle", "reset"), UP), "r1")
    assert "ImportsRefused" not in conditions(again)


def test_why_a_peer_is_not_ready() -> None:
    story = Story(CONF, PEER)
    down = routed.SessionStateChanged("r1", "Active", "connection refused")
    assert "speaker s is Active: connection refused" in message(peer_status(story.state, heard(down), "r1"), "Ready")
    assert "no speaker has told" in message(peer_status(story.state, heard(), "r1"), "Ready")
    silent = peer_status(story.state, heard(routed.SessionStateChanged("r1", "Connect", "")), "r1")
    assert "speaker s is Connect: the router at 10.0.0.254 has not answered yet" in message(silent, "Ready")
    assert silent["nodesPeerStatus"]["s"]["peerState"]["sessionState"] == "CONNECT"
    timers = silent["nodesPeerStatus"]["s"]["timersState"]
    assert timers == {"holdTime": "90", "keepaliveInterval": "30", "downtime": "1970-01-01T00:00:00Z"}
    rejected = routed.PeerRejected("r1", "spec.bfd", "is not supported by the engine")
    assert conditions(peer_status(story.state, heard(rejected), "r1"))["Accepted"] == ("False", "FieldUnsupported")
    over = peer_status(story.state, heard(rejected, routed.PeerRejected("r1", "", "")), "r1")
    assert conditions(over)["Accepted"] == ("True", "Accepted")
    assert "no BgpConf" in message(peer_status(Story(PEER).state, heard(), "r1"), "Accepted")
    assert peer_status(story.state, heard(), "absent") == {}


def test_a_rejection_hides_no_other_field_that_is_not_honoured() -> None:
    vrf = Problem(Reason.FIELD_UNSUPPORTED, "spec.conf.vrf", "is not supported; remove it")
    peer = PEER._replace(problems=(vrf,))
    rejected = routed.PeerRejected("r1", "authPassword", "is not there yet")
    tree = peer_status(Story(CONF, peer).state, heard(rejected), "r1")
    assert conditions(tree)["Accepted"] == ("False", "FieldUnsupported")
    assert message(tree, "Accepted") == ("authPassword: is not there yet; spec.conf.vrf: is not supported; remove it")


def test_the_conf_by_speaker() -> None:
    sessions = heard(routed.SpeakerStarted("s", "0.1", "10.0.0.9", 0))
    tree = conf_status(Story(CONF).state, sessions, "default")
    assert tree["nodesConfStatus"] == {"s": {"routerId": "10.0.0.9", "as": 64512}}
    assert conditions(tree) == {
        "Accepted": ("True", "Accepted"),
        "Ready": ("True", "Used"),
        "Degraded": ("False", "AsExpected"),
    }
    wrong = CONF._replace(problems=(Problem(Reason.FIELD_INVALID, "spec.as", "is not set"),))
    assert conditions(conf_status(Story(wrong).state, sessions, "default"))["Ready"] == ("False", "FieldInvalid")
    assert conf_status(Story().state, sessions, "default") == {}


def test_nodes_that_are_held_are_told_with_the_mend() -> None:
    story = Story(CONF, node(1), node(2))
    story.time_ms += 1000
    story.says(node(1, ready=False), node(2, ready=False))
    tree = conf_status(story.state, Sessions.empty(), "default")
    assert conditions(tree)["Degraded"] == ("True", Reason.HELD)
    assert "kept as next hops: n1, n2;" in message(tree, "Degraded")


def test_statuses_are_the_same_whatever_the_order_of_events() -> None:
    one = Story(pool("a"), pool("b", "10.0.0.1-10.0.0.2"), node(1), service("x"), service("y"))
    other = Story(pool("b", "10.0.0.1-10.0.0.2"), service("y"), service("x"), node(1), pool("a"))
    given = decided.AddressAllocated("x", "shop", "x", Address("192.0.2.1"), "a", "RequestedPool")
    assert pool_status(one.says(given).state, "a") == pool_status(other.says(given).state, "a")


def advertisement(name: str, **fields: Any) -> observed.AdvertisementObserved:
    return observed.AdvertisementObserved(name, name, "1", 6, 1)._replace(**fields)


def test_an_advertisement_is_used_and_says_so() -> None:
    tree = advertisement_status(Story(CONF, PEER, pool(), advertisement("a")).state, "a")
    assert tree["observedGeneration"] == 6
    assert conditions(tree) == {
        "Accepted": ("True", "Accepted"),
        "Ready": ("True", "Used"),
        "Degraded": ("False", "AsExpected"),
    }
    assert advertisement_status(Story().state, "a") == {}


def test_of_two_that_contradict_each_other_the_younger_one_is_told() -> None:
    story = Story(CONF, PEER, pool(), advertisement("old", med=1), advertisement("young", med=2, created_ms=9))
    assert conditions(advertisement_status(story.state, "old"))["Accepted"] == ("True", "Accepted")
    young = advertisement_status(story.state, "young")
    assert conditions(young)["Accepted"] == ("False", Reason.CONTRADICTION)
    assert conditions(young)["Ready"] == ("True", "Used")
    assert "the older BgpAdvertisement old says 1" in message(young, "Accepted")


def test_what_an_advertisement_names_in_vain_degrades_it_and_what_has_no_effect_is_told() -> None:
    story = Story(CONF, PEER, pool(), advertisement("a", pools=("absent", "p"), local_pref=7))
    tree = advertisement_status(story.state, "a")
    assert conditions(tree)["Degraded"] == ("True", Reason.POOL_NOT_FOUND)
    assert conditions(tree)["Accepted"] == ("True", Reason.FIELD_UNSUPPORTED)


def test_a_malformed_advertisement_goes_on_as_it_was() -> None:
    typo = (Problem(Reason.FIELD_INVALID, "spec.med", "is no number"),)
    story = Story(advertisement("a", med=1), advertisement("never", problems=typo))
    story.says(advertisement("a", problems=typo))
    tree = advertisement_status(story.state, "a")
    assert conditions(tree)["Accepted"] == ("False", Reason.FIELD_INVALID)
    assert conditions(tree)["Ready"] == ("True", "LastGood")
    assert conditions(advertisement_status(story.state, "never"))["Ready"] == ("False", Reason.FIELD_INVALID)


def test_the_conf_says_what_keeps_next_hops_that_the_facts_would_take() -> None:
    story = Story(CONF, node(1), pool(default=True), service(), endpoints("web", "n1"))
    story.settles()
    assert conditions(conf_status(story.state, Sessions.empty(), "default"))["Degraded"] == ("False", "AsExpected")
    story.says(decided.NodeDrained("n1", "n1", "ada", "", 0), decided.NodeDrainElapsed("n1"))
    tree = conf_status(story.state, Sessions.empty(), "default")
    assert conditions(tree)["Degraded"] == ("True", Reason.DRAINED)
    assert "still the last next hop of 1 routes" in message(tree, "Degraded")
    story.says(decided.WithdrawalHeld(99, "NoReadyEndpoint", (Prefix("192.0.2.0/32"),), 30, 40, 25, 20, 600_000))
    tree = conf_status(story.state, Sessions.empty(), "default")
    assert conditions(tree)["Degraded"] == ("True", Reason.HELD)
    assert "`porter approve 99`" in message(tree, "Degraded")


def test_a_drained_service_says_who_drained_it_and_how_that_ends() -> None:
    story = Story(pool(default=True), service())
    story.settles()
    story.says(decided.ServiceDrained("web", "shop", "web", "ada", "", 0))
    (_, degraded) = service_conditions(story.state, "web")
    assert (degraded["type"], degraded["reason"]) == ("porter.io/Degraded", Reason.DRAINED)
    assert "`porter uncordon service shop/web`" in degraded["message"]
    story.says(decided.ServiceUndrained("web", "shop", "web", "ada", ""))
    assert len(service_conditions(story.state, "web")) == 1


@pytest.mark.parametrize("protocol", ["layer2", "vip"])
def test_a_pool_that_nobody_announces_is_not_ready_and_its_services_say_so(protocol: str) -> None:
    story = Story(pool(default=True, protocol=protocol), service())
    story.settles()
    status = pool_status(story.state, "p")
    assert conditions(status)["Ready"] == ("False", "FieldUnsupported")
    assert f"spec.protocol {protocol}" in message(status, "Ready")
    *_, degraded = service_conditions(story.state, "web")
    assert (degraded["type"], degraded["reason"]) == ("porter.io/Degraded", "FieldUnsupported")
    assert degraded["message"].startswith(f"192.0.2.0 is not announced, because Eip p is of the protocol {protocol}")
    story.says(pool(default=True))
    assert [one["type"] for one in service_conditions(story.state, "web")] == ["porter.io/AddressAllocated"]


def test_every_problem_that_keeps_a_pool_from_being_used_is_named() -> None:
    defects = (
        Problem(Reason.FIELD_INVALID, "spec.priority", "spec.priority is 'high'; write a number"),
        Problem(Reason.FIELD_INVALID, "spec.quota", "spec.quota is 3; write an object"),
    )
    story = Story(pool(problems=defects))
    told = message(pool_status(story.state, "p"), "Accepted")
    assert told == "spec.priority is 'high'; write a number; spec.quota is 3; write an object"


def test_a_malformed_advertisement_does_not_say_that_what_it_names_is_there() -> None:
    defect = Problem(Reason.FIELD_INVALID, "spec.med", "spec.med is 'low'; write a number")
    wrong = observed.AdvertisementObserved("a", "a", "1", 1, 1, pools=("nowhere",), problems=(defect,))
    status = advertisement_status(Story(wrong).state, "a")
    assert conditions(status)["Accepted"] == ("False", "FieldInvalid")
    assert message(status, "Degraded") == "what it names is not looked at before it is well-formed"


def test_what_bfd_finds_of_the_path_is_a_condition_of_its_own() -> None:
    story = Story(CONF, PEER._replace(bfd_receive_ms=300, bfd_transmit_ms=300, bfd_multiplier=3))
    up = routed.SessionStateChanged("r1", "Established", "", ("IPv4",), ("IPv4",), 9)

    def tree(*told):
        return peer_status(story.state, heard(up, *told), "r1")

    assert conditions(tree())["BfdUp"] == ("False", "BfdUnavailable")
    watched = tree(routed.BfdStateChanged("r1", "Up"))
    assert conditions(watched)["BfdUp"] == ("True", "Up")
    assert watched["nodesPeerStatus"]["s"]["bfdState"] == "Up"
    down = tree(routed.BfdStateChanged("r1", "Up"), routed.BfdStateChanged("r1", "Down", "no answer"))
    assert conditions(down)["BfdUp"] == ("False", "BfdDown")
    assert conditions(down)["Ready"] == ("True", "Established")
    gone = tree(routed.BfdStateChanged("r1", "Up"), routed.BfdStateChanged("r1", "", "the program is not there"))
    assert "the program is not there" in message(gone, "BfdUp")
    dead = tree(routed.BfdDaemonStateChanged("s", False, "it is dead"))
    assert "it is dead" in message(dead, "BfdUp")
    assert "BfdUp" not in conditions(peer_status(Story(CONF, PEER).state, heard(up), "r1"))
