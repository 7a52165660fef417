"""What advertisements, peers' selectors and aggregation make of the Loc-RIB for each peer."""

from __future__ import annotations

from typing import Any

import pytest

from porter.events import decided, observed
from porter.model.address import Address, Prefix
from porter.model.bgp import Negotiated, PathAttributes
from porter.model.reasons import Problem, Reason
from porter.model.selector import Requirement, Selector
from porter.projections import baseline
from porter.projections.adj_rib_out import adj_rib_out, concerned, exported_from, peer_problems, session_settings
from porter.projections.sessions import Sessions
from porter.projections.status import peer_status
from tests.unit.projections.story import Story, endpoints, node, pool, service

BOTH = Negotiated(frozenset({"IPv4", "IPv6"}), frozenset({"IPv4", "IPv6"}), 90)
CONF = observed.ConfObserved("default", "c", "1", 1, 64512)
RANGE = "192.0.2.0-192.0.2.255"
WRONG = (Problem(Reason.FIELD_INVALID, "spec.med", "is wrong"),)
EDGE = Selector((("tier", "edge"),))


def peer(name: str = "r1", number: int = 254, **fields: Any) -> observed.PeerObserved:
    return observed.PeerObserved(name, name, "1", 1, Address(f"10.0.0.{number}"), 64513)._replace(**fields)


def advertisement(name: str = "a", created_ms: int = 1, **fields: Any) -> observed.AdvertisementObserved:
    return observed.AdvertisementObserved(name, name, "1", 1, created_ms)._replace(**fields)


def served(*payloads: Any) -> Story:
    """Two peers, two nodes, the pools p (default) and q (on request), and web from p and db from q."""
    story = Story(
        node(1, labels=(("tier", "edge"),)),
        node(2),
        pool("p", RANGE, default=True, labels=(("zone", "a"),)),
        pool("q", "198.51.100.0-198.51.100.255", labels=(("zone", "b"),)),
        CONF,
        peer(),
        peer("r2", 253, labels=(("site", "x"),)),
        service("web", labels=(("app", "web"),)),
        service("db", requested_pool="q"),
        endpoints("web", "n1"),
        endpoints("db", "n1"),
    )
    story.settles()
    return story.says(*payloads)


def told(story: Story, name: str = "r1", prefixes: Any = None) -> dict[str, dict[str, PathAttributes]]:
    """What a peer is given: attributes by node address, by prefix."""
    found: dict[str, dict[str, PathAttributes]] = {}
    for key, attributes in adj_rib_out(story.state, name, "s", BOTH, prefixes).items():
        found.setdefault(key.prefix, {})[attributes.next_hop] = attributes._replace(next_hop=Address(""))
    return found


WEB, DB = "192.0.2.0/32", "198.51.100.0/32"
PLAIN = PathAttributes(Address(""))


def test_without_any_advertisement_every_route_goes_to_every_peer() -> None:
    story = served()
    for name in ("r1", "r2"):
        assert told(story, name) == {prefix: {"10.0.0.1": PLAIN, "10.0.0.2": PLAIN} for prefix in (WEB, DB)}


@pytest.mark.parametrize(
    ("fields", "r1", "r2"),
    [
        ({}, {WEB, DB}, {WEB, DB}),
        ({"pools": ("p",)}, {WEB}, {WEB}),
        ({"pool_selector": (Selector((("zone", "b"),)),)}, {DB}, {DB}),
        ({"pools": ("p",), "pool_selector": (Selector((("zone", "b"),)),)}, {WEB, DB}, {WEB, DB}),
        ({"pools": ("absent",)}, set(), set()),
        ({"service_selector": (Selector((("app", "web"),)),)}, {WEB}, {WEB}),
        ({"peers": ("r1",)}, {WEB, DB}, set()),
        ({"peer_selector": (Selector((("site", "x"),)),)}, set(), {WEB, DB}),
        ({"neighbors": (Address("10.0.0.253"),)}, set(), {WEB, DB}),
        ({"prefixes": (observed.AdvertisedPrefixes(Prefix("192.0.2.0/24"), 24, 32),)}, {WEB}, {WEB}),
        ({"prefixes": (observed.AdvertisedPrefixes(Prefix("192.0.2.0/24"), 24, 31),)}, set(), set()),
    ],
)
def test_an_advertisement_says_what_goes_where(fields: dict[str, Any], r1: set[str], r2: set[str]) -> None:
    story = served(advertisement(**fields))
    assert (set(told(story)), set(told(story, "r2"))) == (r1, r2)
    assert story.state.exports.peers_given(Prefix(WEB)) == tuple(
        name for name, routes in (("r1", r1), ("r2", r2)) if WEB in routes
    )


def test_communities_are_united_and_of_single_values_the_oldest_counts() -> None:
    story = served(
        advertisement("young", 2, communities=("64512:2",), med=7, as_path_prepend=2),
        advertisement("old", 1, communities=("64512:1", "no-export"), large_communities=("64512:1:1",), med=5),
    )
    assert told(story)[WEB]["10.0.0.1"] == PLAIN._replace(
        med=5, communities=("64512:1", "64512:2", "no-export"), large_communities=("64512:1:1",), as_path_prepend=2
    )
    problems = story.state.exports.problems()
    assert set(problems) == {"young"}
    (problem,) = problems["young"]
    assert (problem.reason, problem.field) == (Reason.CONTRADICTION, "spec.med")
    assert "old says 5 for the same routes (Eip p at BgpPeer r1)" in problem.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"pools": ("p",)}, {"pools": ("q",)}),
        ({"peers": ("r1",)}, {"peers": ("r2",)}),
        ({"service_selector": (Selector((("app", "web"),)),)}, {"service_selector": (Selector((("app", "db"),)),)}),
        (
            {"node_selectors": (EDGE,)},
            {"node_selectors": (Selector((), (Requirement("tier", "DoesNotExist"),)),)},
        ),
        (
            {"prefixes": (observed.AdvertisedPrefixes(Prefix("192.0.2.0/24"), 32, 32),)},
            {"prefixes": (observed.AdvertisedPrefixes(Prefix("198.51.100.0/24"), 32, 32),)},
        ),
    ],
)
def test_what_never_meets_does_not_contradict(one: dict[str, Any], other: dict[str, Any]) -> None:
    story = served(advertisement("old", 1, med=1, **one), advertisement("young", 2, med=2, **other))
    assert story.state.exports.problems() == {}


def test_local_pref_is_for_internal_sessions_and_prepending_for_external_ones() -> None:
    story = served(peer("in", 250, peer_as=64512), advertisement(local_pref=200, as_path_prepend=3))
    assert told(story)[WEB]["10.0.0.1"] == PLAIN._replace(as_path_prepend=3)
    assert told(story, "in")[WEB]["10.0.0.1"] == PLAIN._replace(local_pref=200)
    assert story.state.exports.problems() == {}
    (problem,) = served(advertisement(local_pref=200)).state.exports.problems()["a"]
    assert (problem.reason, problem.field) == (Reason.FIELD_UNSUPPORTED, "spec.localPref")
    internal = served(peer("in", 250, peer_as=64512), advertisement(peers=("in",), as_path_prepend=3))
    assert [one.field for one in internal.state.exports.problems()["a"]] == ["spec.asPathPrepend"]


def test_nodes_are_the_union_of_what_matching_advertisements_select_and_carry_their_attributes() -> None:
    edge = advertisement("edge", node_selectors=(EDGE,), communities=("64512:1",))
    assert told(served(edge))[WEB] == {"10.0.0.1": PLAIN._replace(communities=("64512:1",))}
    both = served(edge, advertisement("all", 2, pools=("p",), med=9))
    assert told(both)[WEB] == {
        "10.0.0.1": PLAIN._replace(communities=("64512:1",), med=9),
        "10.0.0.2": PLAIN._replace(med=9),
    }
    assert set(told(both)[DB]) == {"10.0.0.1"}


def test_a_peers_selector_limits_its_next_hops_and_follows_the_nodes_labels() -> None:
    story = served(peer(node_selector=(("tier", "edge"),)))
    assert set(told(story)[WEB]) == {"10.0.0.1"}
    assert set(told(story, "r2")[WEB]) == {"10.0.0.1", "10.0.0.2"}
    story.state.loc_rib.take_changed()
    story.says(node(2, labels=(("tier", "edge"),)))
    assert story.state.loc_rib.take_changed() == {WEB, DB}
    assert set(told(story)[WEB]) == {"10.0.0.1", "10.0.0.2"}
    story.says(peer(node_expressions=(Requirement("tier", "NotIn", ("edge",)),)))
    assert told(story) == {}


def test_a_services_labels_are_followed_and_only_its_own_routes_are_told() -> None:
    story = served(advertisement(service_selector=(Selector((("app", "web"),)),)))
    story.state.loc_rib.take_changed()
    story.says(service("web", labels=(("app", "other"),)))
    assert story.state.loc_rib.take_changed() == {WEB}
    assert told(story) == {}
    story.says(service("db", requested_pool="q", labels=(("app", "web"),)))
    assert set(told(story)) == {DB}


def test_a_malformed_advertisement_says_what_it_said_before() -> None:
    good = advertisement(pools=("p",), communities=("64512:1",))
    story = served(good)
    before, told_before = exported_from(story.state), told(story)
    story.says(advertisement(generation=2, problems=WRONG))
    assert exported_from(story.state) != before
    assert told(story) == told_before
    assert told(Story().says()) == {}
    decoded = baseline.decode(baseline.encode(story.state))
    assert decoded == story.state
    assert adj_rib_out(decoded, "r1", "s", BOTH) == adj_rib_out(story.state, "r1", "s", BOTH)
    # Twice malformed is no better; mended, its new words count; gone, it says nothing.
    story.says(advertisement(generation=3, problems=WRONG))
    assert told(story) == told_before
    assert set(told(story.says(advertisement(pools=("q",))))) == {DB}
    assert set(told(story.says(observed.AdvertisementGone("a")))) == {WEB, DB}


def test_an_advertisement_that_was_never_well_formed_says_nothing() -> None:
    assert set(told(served(advertisement(problems=WRONG)))) == {WEB, DB}
    story = served(advertisement(pools=("p",)), advertisement("b", problems=WRONG))
    assert set(told(story)) == {WEB}


def test_a_peer_or_pool_keeps_what_selected_it_through_malformed_edits_and_the_pools_deletion() -> None:
    zone_a = Selector((("zone", "a"),))
    story = served(advertisement(pool_selector=(zone_a,), peer_selector=(Selector((("site", "x"),)),)))
    story.says(peer("r2", 253, problems=WRONG), pool("p", RANGE, default=True, problems=WRONG))
    assert set(told(story, "r2")) == {WEB}
    story.says(observed.PoolGone("p", "p"))
    assert set(told(story, "r2")) == {WEB}
    assert baseline.decode(baseline.encode(story.state)) == story.state
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    story.settles()
    assert told(story, "r2") == {}
    assert not [key for key in story.state.inventory.last_good if key[0] == "Pool"], "its last address is free"


def aggregated(**fields: Any) -> Story:
    story = served(advertisement(aggregation_length=24, **fields))
    for name in ("w1", "w2"):
        story.says(service(name, created_ms=2), endpoints(name, "n2"))
    story.says(service("near", created_ms=3, traffic_policy="Local"), endpoints("near", "n2"))
    story.settles()
    return story


def test_an_aggregate_stands_for_the_cluster_services_of_a_pool_and_local_ones_keep_their_own_routes() -> None:
    story = aggregated(communities=("64512:9",))
    wide = {hop: PLAIN._replace(communities=("64512:9",)) for hop in ("10.0.0.1", "10.0.0.2")}
    assert told(story) == {
        "192.0.2.0/24": wide,
        "198.51.100.0/24": wide,
        "192.0.2.3/32": {"10.0.0.2": PLAIN._replace(communities=("64512:9",))},
    }
    some = frozenset({Prefix(WEB), Prefix("192.0.2.3/32")})
    asked = concerned(story.state, "r1", some)
    assert asked == some | {"192.0.2.0/24"}
    assert told(story, prefixes=asked) == {k: v for k, v in told(story).items() if k.startswith("192.0.2")}


def test_an_aggregate_goes_with_its_last_member() -> None:
    story = aggregated(pools=("p",))
    for name, left in (("web", True), ("w1", True), ("w2", False)):
        story.says(observed.ServiceGone(name, "shop", name, "ServiceDeleted"))
        story.settles()
        changed = story.state.loc_rib.take_changed()
        asked = concerned(story.state, "r1", changed)
        assert "192.0.2.0/24" in asked
        assert ("192.0.2.0/24" in told(story, prefixes=asked)) == left
        assert ("192.0.2.0/24" in told(story)) == left
    assert "192.0.2.3/32" in told(story)


def test_an_aggregate_is_there_while_a_member_has_a_ready_endpoint() -> None:
    story = aggregated(pools=("p",))
    for name in ("web", "w1", "w2"):
        assert "192.0.2.0/24" in told(story)
        story.says(endpoints(name))
    assert set(told(story)) == {"192.0.2.3/32"}


def test_a_change_of_the_traffic_policy_moves_a_service_into_or_out_of_its_aggregate() -> None:
    story = aggregated(pools=("p",))
    story.state.loc_rib.take_changed()
    story.says(service("web", labels=(("app", "web"),), traffic_policy="Local"))
    assert story.state.loc_rib.take_changed() == {WEB}
    assert set(told(story)) == {"192.0.2.0/24", WEB, "192.0.2.3/32"}


@pytest.mark.parametrize(
    ("ranges", "length", "prefix", "mend"),
    [
        ("192.0.2.0-192.0.2.255", 23, WEB, "at least 24"),
        ("192.0.2.0-192.0.2.127", 24, WEB, "at least 25"),
        ("192.0.2.0-192.0.2.127", 25, "192.0.2.0/25", ""),
        ("192.0.2.0-192.0.2.200", 26, "192.0.2.0/26", ""),
        ("192.0.2.3-192.0.2.12", 30, "192.0.2.3/32", ""),
        ("192.0.2.3-192.0.2.12", 29, "192.0.2.3/32", "at least 30"),
        ("192.0.2.0-192.0.2.255", 32, WEB, ""),
    ],
)
def test_an_aggregate_never_reaches_beyond_its_pool(ranges: str, length: int, prefix: str, mend: str) -> None:
    story = Story(node(1), pool("p", ranges, default=True), CONF, peer(), service(), endpoints("web", "n1"))
    story.settles()
    story.says(advertisement(aggregation_length=length))
    assert set(told(story)) == {prefix}
    problems = story.state.exports.problems().get("a", ())
    assert [mend in problem.message for problem in problems] == ([True] if mend else [])


def test_aggregation_needs_an_advertisement_for_the_whole_pool() -> None:
    story = served(advertisement(aggregation_length=24, service_selector=(Selector((("app", "web"),)),)))
    assert set(told(story)) == {WEB}
    assert [one.field for one in story.state.exports.problems()["a"]] == ["spec.aggregationLength"]


def test_names_of_what_is_not_there_are_told() -> None:
    story = served(advertisement(pools=("p", "gone"), peers=("r9", "r1")))
    assert [(one.reason, one.field) for one in story.state.exports.problems()["a"]] == [
        (Reason.POOL_NOT_FOUND, "spec.eips[1]"),
        (Reason.NO_PEER, "spec.peers[0]"),
    ]


def test_a_shared_address_goes_where_one_of_its_holders_is_announced() -> None:
    story = served(advertisement(service_selector=(Selector((("app", "two"),)),)))
    one, two = ({"requested_addresses": ("192.0.2.9",), "ports": (("TCP", port),)} for port in (1, 2))
    story.says(service("one", created_ms=5, **one), endpoints("one", "n1"))
    story.settles()
    assert told(story) == {}
    story.state.loc_rib.take_changed()
    story.says(service("two", created_ms=6, labels=(("app", "two"),), **two), endpoints("two", "n1"))
    story.settles()
    assert "192.0.2.9/32" in story.state.loc_rib.take_changed()
    assert set(told(story)) == {"192.0.2.9/32"}


def test_the_as_of_a_rack_is_that_of_the_rack_that_a_peers_selector_names() -> None:
    racks = CONF._replace(as_per_rack=(("leaf1", 64601),))
    rack = "openelb.kubesphere.io/rack"

    def as_and_problems(**fields: Any) -> tuple[int, list[str]]:
        story = Story(racks, peer(**fields))
        accepted = peer_status(story.state, Sessions.empty(), "r1")["conditions"][0]
        problems = peer_problems(story.state, "r1")
        assert all(problem.message in accepted["message"] for problem in problems)
        settings = session_settings(story.state, "r1", speaker="s", router_id="10.0.0.9", local_address="10.0.0.9")
        assert settings is not None
        return settings.local_as, [one.field for one in peer_problems(story.state, "r1")]

    assert as_and_problems(node_selector=((rack, "leaf1"),)) == (64601, [])
    assert as_and_problems(node_expressions=(Requirement(rack, "In", ("leaf1",)),)) == (64601, [])
    assert as_and_problems(node_selector=((rack, "leaf1"),), local_as=7) == (7, [])
    assert as_and_problems(node_selector=((rack, "leaf2"),)) == (64512, ["spec.nodeSelector"])
    assert as_and_problems() == (64512, ["spec.nodeSelector"])


def test_a_drained_speaker_announces_nothing_whatever_is_advertised() -> None:
    assert told(served(advertisement(), decided.SpeakerDrained("s", "ops", "why"))) == {}


def test_an_aggregate_has_the_next_hops_of_all_members_where_drains_and_holds_set_them_apart() -> None:
    story = aggregated(pools=("p",))
    whole = told(story)["192.0.2.0/24"]
    assert len(whole) > 1
    story.says(decided.ServiceDrained("web", "shop", "web", "ada", "", 0))
    for prefixes in (None, ("192.0.2.0/24",)):
        assert told(story, prefixes=prefixes)["192.0.2.0/24"] == whole, "another member stays"
    held = decided.WithdrawalHeld(story.position + 1, "NoReadyEndpoint", (Prefix(WEB),), 30, 40, 25, 20, 600_000)
    story.says(decided.ServiceUndrained("web", "shop", "web", "ada", ""), held, endpoints("web"), node(9))
    for prefixes in (None, ("192.0.2.0/24",)):
        assert told(story, prefixes=prefixes)["192.0.2.0/24"].keys() == {*whole, "10.0.0.9"}
