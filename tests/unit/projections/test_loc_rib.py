"""Next hops as a user sees them at the router, and what counts as a change."""

from __future__ import annotations

from porter.events import decided, observed
from porter.model.address import Address, Prefix
from porter.model.bgp import NextHop
from porter.model.reasons import Problem, Reason
from porter.projections import baseline
from tests.unit.projections.story import DUAL, Story, endpoints, node, pool, service

PREFIX = "192.0.2.0/32"
NODES = tuple(node(number) for number in (1, 2, 3))
DUAL_POOL = pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True)


def served(*payloads: object, **fields: object) -> Story:
    story = Story(*NODES, DUAL_POOL, service(**fields), endpoints("web", "n1"), *payloads)  # type: ignore[arg-type]
    story.settles()
    story.state.loc_rib.take_changed()
    return story


def test_cluster_uses_all_nodes_while_one_endpoint_is_ready() -> None:
    story = served()
    assert story.hops() == ["n1", "n2", "n3"]
    story.says(endpoints("web"))
    assert story.hops() == []
    assert story.state.loc_rib.absent == {PREFIX: Reason.NO_READY_ENDPOINT}
    assert story.state.loc_rib.take_changed() == {PREFIX}


def test_local_follows_the_endpoints() -> None:
    story = served(traffic_policy="Local")
    assert story.hops() == ["n1"]
    assert story.says(endpoints("web", "n3")).hops() == ["n3"]
    assert story.says(endpoints("web", "n1", "n2")).hops() == ["n1", "n2"]
    assert story.says(endpoints("web", "")).hops() == []
    assert story.state.loc_rib.absent == {PREFIX: Reason.NO_ELIGIBLE_NODE}


def test_endpoints_that_serve_while_terminating_stand_in_where_none_is_ready() -> None:
    terminating = (("IPv4", ("n1", "n2")),)
    story = served(traffic_policy="Local")
    story.says(observed.EndpointsObserved("shop", "web", (("IPv4", ("n3",)),), terminating))
    assert story.hops() == ["n1", "n2", "n3"], "each node for itself (KEP-1669)"
    cluster = served()
    cluster.says(observed.EndpointsObserved("shop", "web", (), terminating))
    assert cluster.hops() == ["n1", "n2", "n3"]


def test_families_go_their_own_ways() -> None:
    story = served(**DUAL)
    story.says(endpoints("web", "n1", families=("IPv6",)))
    assert story.hops() == []
    assert story.hops("2001:db8::/128") == ["n1", "n2", "n3"]
    story.says(node(2, addresses=("10.0.0.2",)))
    assert story.hops("2001:db8::/128") == ["n1", "n3"]


def test_the_next_hop_is_the_first_internal_ip_and_the_path_its_number() -> None:
    story = served()
    story.says(node(1, addresses=("10.9.9.9", "10.0.0.1", "fd00::1")))
    assert story.state.loc_rib.routes[PREFIX].next_hops[0][:3] == (
        "n1",
        "10.9.9.9",
        (10 << 24) + (9 << 16) + (9 << 8) + 9,
    )
    story.says(node(1, addresses=("fd00::1",)))
    assert story.hops("2001:db8::/128") == []


def test_a_node_without_ipv4_waits_for_its_identifier() -> None:
    story = Story(node(1, addresses=("fd00::1",)), DUAL_POOL, service(families=("IPv6",)), endpoints("web", "n1"))
    story.settles()
    assert story.hops("2001:db8::/128") == []
    story.says(decided.PathIdentifierAssigned("n1", 7))
    assert story.state.loc_rib.routes["2001:db8::/128"].next_hops == (
        NextHop(node="n1", address=Address("fd00::1"), path_id=7),
    )


def test_excluded_and_deleted_nodes_are_no_next_hops() -> None:
    story = served()
    assert story.says(node(1, excluded=True)).hops() == ["n2", "n3"]
    assert story.says(observed.NodeGone("n2")).hops() == ["n3"]


def test_what_changes_nothing_is_no_change() -> None:
    story = served()
    story.says(endpoints("web", "n2"), node(1, labels=(("a", "b"),)), service(labels=(("a", "b"),)))
    story.says(node(3, ready=False), node(3))
    assert story.state.loc_rib.take_changed() == frozenset()
    assert story.state.loc_rib.routes[PREFIX].since_ms == story.time_ms


def test_a_change_to_one_service_is_no_change_to_another() -> None:
    story = served(service("other", created_ms=2), endpoints("other", "n2"))
    assert len(story.state.loc_rib.routes) == 2
    story.says(endpoints("other"), service("other", traffic_policy="Local"))
    assert story.state.loc_rib.take_changed() == {"192.0.2.1/32"}


def test_a_route_names_the_event_that_last_touched_it() -> None:
    story = served(traffic_policy="Local")
    story.says(endpoints("web", "n2"))
    at = story.position
    story.time_ms += 1000
    story.says(node(3, ready=False), service("other"))
    assert story.state.loc_rib.routes[PREFIX][4:] == (at, story.time_ms - 1000)
    story.time_ms += 100_000
    story.says(node(2, ready=False), node(2))
    assert story.state.loc_rib.routes[PREFIX].position == story.position


def test_a_deleted_service_has_no_route_even_before_its_release() -> None:
    story = served()
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    assert story.hops() == []
    assert story.state.loc_rib.take_changed() == {PREFIX}
    story.settles()
    assert story.state.loc_rib.absent == {}


def test_sharers_next_hops_are_united() -> None:
    asks = {"requested_addresses": ("192.0.2.0",), "traffic_policy": "Local", "selector": (("a", "b"),)}
    story = Story(*NODES, DUAL_POOL, service(**asks), service("dns", ports=(("UDP", 53),), **asks))
    story.says(endpoints("web", "n1"), endpoints("dns", "n2"))
    story.settles()
    assert story.hops() == ["n1", "n2"]
    assert story.state.loc_rib.routes[PREFIX].service == "shop/dns"
    story.says(observed.ServiceGone("dns", "shop", "dns", "ServiceDeleted"))
    assert story.hops() == ["n1"]


def wanting(peer: str = "tor", **fields: object) -> observed.PeerObserved:
    fact = observed.PeerObserved(peer, peer, "1", 1, Address("fd00::254"), 64513, extended_next_hop=True)
    return fact._replace(**fields)  # type: ignore[arg-type]


def test_a_node_of_ipv6_alone_is_a_next_hop_of_ipv4_routes_as_long_as_a_peer_wants_it() -> None:
    both = NextHop("n1", Address("10.0.0.1"), 167772161)
    story = served(node(4, addresses=("fd00::4",)), decided.PathIdentifierAssigned("n4", 7))
    assert story.hops() == ["n1", "n2", "n3"]
    story.says(wanting())
    assert story.hops() == ["n1", "n2", "n3", "n4"]
    first, *_, last = story.state.loc_rib.routes[Prefix(PREFIX)].next_hops
    assert first == both._replace(extended=Address("fd00::1"))
    assert last == NextHop("n4", Address("fd00::4"), 7, extended=Address("fd00::4"))
    assert story.state.loc_rib.take_changed() == {PREFIX}
    decoded = baseline.decode(baseline.encode(story.state))
    assert decoded.loc_rib.routes == story.state.loc_rib.routes
    # An edit that made the peer malformed takes nothing away; its deletion does.
    story.says(wanting(extended_next_hop=False, problems=(Problem(Reason.FIELD_INVALID, "spec", "is wrong"),)))
    assert story.hops() == ["n1", "n2", "n3", "n4"]
    story.says(observed.PeerGone("tor"))
    assert story.hops() == ["n1", "n2", "n3"]
    assert story.state.loc_rib.routes[Prefix(PREFIX)].next_hops[0] == both


def test_the_ipv6_address_of_a_node_counts_for_ipv4_routes_only_where_it_is_wanted() -> None:
    story = served()
    story.says(node(1, addresses=("10.0.0.1", "fd00::99")))
    assert story.state.loc_rib.take_changed() == set()
    story.says(wanting())
    story.state.loc_rib.take_changed()
    story.says(node(1, addresses=("10.0.0.1", "fd00::1")))
    assert story.state.loc_rib.take_changed() == {PREFIX}


def test_one_route_is_found_as_it_stands_among_all_of_them_and_changes_none() -> None:
    asked = [Prefix(text) for text in (PREFIX, "192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/24", "192.0.2.9/32")]
    changes = ((), (endpoints("web"),), (node(1, ready=False),), (endpoints("web", "n2"), node(2, ready=False)))
    for changed in changes:
        both = []
        for _ in range(2):
            story = Story(*NODES, DUAL_POOL, service(traffic_policy="Local"), endpoints("web", "n1"), *changed)
            story.settles()
            both.append(story.state)
        cold, warm = (baseline.decode(baseline.encode(state)) for state in both)
        expected = [warm.loc_rib.routes.get(prefix) for prefix in asked]
        assert [cold.loc_rib.find(prefix) for prefix in asked] == expected
        # Nothing is kept of it: a Service that lost its next hops is one only where it stands.
        assert cold.loc_rib._lost == {}
        assert (cold.loc_rib.routes, cold.loc_rib.absent, cold.loc_rib.lost) == (
            warm.loc_rib.routes,
            warm.loc_rib.absent,
            warm.loc_rib.lost,
        )
        assert [cold.loc_rib.find(prefix) for prefix in asked] == expected
