"""The desired Adj-RIBs-Out of a speaker: exact while certain, only ever growing while not."""

from __future__ import annotations

from collections.abc import Iterable

from porter.app.speaker.adj_rib import AdjRibsOut
from porter.events.catalogue import Event
from porter.events.decided import AddressAllocated, AddressReleased, EpochStarted
from porter.events.envelope import Envelope
from porter.events.observed import (
    ConfObserved,
    EndpointsObserved,
    InventorySynced,
    NodeObserved,
    PeerGone,
    PeerObserved,
    PoolObserved,
    ServiceObserved,
)
from porter.model.address import Address, Prefix
from porter.model.bgp import Negotiated, PeerKey, SpeakerName
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold

PEER = PeerKey("tor")
ADD_PATH = Negotiated(frozenset({"IPv4"}), frozenset({"IPv4"}), 90)
WEB, SHOP = Address("203.0.113.1"), Address("203.0.113.2")


def folded(state: ClusterState, *events: Event) -> ClusterState:
    first = state.ledger.position + 1
    return fold(state, (Envelope(first + i, 1, 1000 + i, 0, "", "", event) for i, event in enumerate(events)))


def service(name: str) -> Iterable[Event]:
    ports, families = (("TCP", 80),), ("IPv4",)
    yield ServiceObserved(f"uid-{name}", "default", name, "1", 0, 1, ports, "Cluster", families, "SingleStack")
    yield EndpointsObserved("default", name, (("IPv4", ("n1", "n2")),))


def allocated(name: str, address: Address) -> Event:
    return AddressAllocated(f"uid-{name}", "default", name, address, "pool", "DefaultPool")


def cluster() -> ClusterState:
    return folded(
        ClusterState.empty(),
        EpochStarted("g", "a", 0, ""),
        *(NodeObserved(f"n{i}", f"u{i}", "1", (Address(f"10.0.0.{i}"),), ready=True) for i in (1, 2)),
        PoolObserved("pool", "p", "1", 1, 0, ((Address("203.0.113.0"), Address("203.0.113.255")),), default=True),
        ConfObserved("default", "c", "1", 1, 64500),
        PeerObserved("tor", "t", "1", 1, Address("10.0.0.254"), 64512),
        *service("web"),
        allocated("web", WEB),
        InventorySynced(1, 2, 1, 1),
    )


def hops(ribs: AdjRibsOut, state: ClusterState) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for desired in ribs.whole(state, certain=True):
        for key, attributes in desired.routes.items():
            found.setdefault(key.prefix, set()).add(attributes.next_hop)
    return found


def test_a_session_is_given_every_next_hop():
    ribs = AdjRibsOut(SpeakerName("s1"))
    ribs.negotiated(PEER, ADD_PATH)
    assert hops(ribs, cluster()) == {"203.0.113.1/32": {"10.0.0.1", "10.0.0.2"}}


def test_only_what_really_changed_is_told():
    ribs = AdjRibsOut(SpeakerName("s1"))
    ribs.negotiated(PEER, ADD_PATH)
    state = cluster()
    list(ribs.whole(state, certain=True))
    state.loc_rib.take_changed()
    state = folded(state, *service("shop"), allocated("shop", SHOP))
    (desired,) = ribs.changed(state, state.loc_rib.take_changed(), certain=True)
    assert {key.prefix for key in desired.changed or ()} == {"203.0.113.2/32"}
    assert list(ribs.changed(state, frozenset({Prefix("203.0.113.1/32")}), certain=True)) == []


def test_a_withdrawn_route_leaves_the_set():
    ribs = AdjRibsOut(SpeakerName("s1"))
    ribs.negotiated(PEER, ADD_PATH)
    state = cluster()
    list(ribs.whole(state, certain=True))
    state.loc_rib.take_changed()
    state = folded(state, AddressReleased("uid-web", "default", "web", WEB, "pool", "ServiceDeleted"))
    (desired,) = ribs.changed(state, state.loc_rib.take_changed(), certain=True)
    assert not desired.routes
    assert len(desired.changed or ()) == 2


def test_while_uncertain_nothing_is_taken_away():
    ribs = AdjRibsOut(SpeakerName("s1"))
    ribs.negotiated(PEER, ADD_PATH)
    ribs.retained = cluster()
    empty = ClusterState.empty()
    assert hops(ribs, empty) == {"203.0.113.1/32": {"10.0.0.1", "10.0.0.2"}}
    ribs.retained = None
    assert hops(ribs, empty) == {}


def test_without_add_path_one_next_hop_is_chosen():
    ribs = AdjRibsOut(SpeakerName("s1"))
    ribs.negotiated(PEER, ADD_PATH._replace(add_path_send=frozenset()))
    assert len(hops(ribs, cluster())["203.0.113.1/32"]) == 1


def test_what_a_peer_that_is_gone_was_given_is_left_to_its_sessions_end() -> None:
    state = cluster()
    ribs = AdjRibsOut(SpeakerName("s"))
    ribs.negotiated(PEER, ADD_PATH)
    assert list(ribs.whole(state, certain=True))
    renamed = PeerObserved("a", "a", "1", 1, Address("10.0.0.254"), 64512)
    state = folded(state, renamed, PeerGone("tor"), *service("shop"), allocated("shop", SHOP))
    assert list(ribs.whole(state, certain=True)) == []
    assert list(ribs.changed(state, state.loc_rib.take_changed(), certain=True)) == []
    down = folded(cluster(), PeerObserved("tor", "t", "2", 2, Address("10.0.0.254"), 64512, admin_down=True))
    assert [one.routes for one in ribs.whole(down, certain=True)] == [{}]
