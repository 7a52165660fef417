"""The fold's own rules: order, unknown events, the gate, and identity by UID."""

from __future__ import annotations

import pytest

from porter.events import decided, observed, routed
from porter.events.catalogue import EVENT_TYPES
from porter.events.envelope import Envelope
from porter.projections import fold as folding
from porter.projections.cluster import ClusterState
from porter.projections.fold import OutOfOrder, UnknownEvent, evolve
from porter.projections.ledger import MAX_LOST_RANGES
from tests.unit.projections.story import Story, endpoints, node, pool, service


def test_an_outcome_does_not_belong_into_the_journal() -> None:
    with pytest.raises(UnknownEvent, match="RibSynced"):
        Story(routed.RibSynced("r1", 1, 1, ""))


def test_every_event_of_the_catalogue_is_folded_or_an_outcome() -> None:
    outcomes = {name for name in EVENT_TYPES if EVENT_TYPES[name].__module__ == routed.__name__}
    assert {one.__name__ for one in folding._STEPS} == set(EVENT_TYPES) - outcomes


def test_a_position_is_applied_once() -> None:
    envelope = Envelope(5, 1, 1, 0, "", "", node(1))
    state = evolve(ClusterState.empty(), envelope)
    with pytest.raises(OutOfOrder, match="#5 comes after #5"):
        evolve(state, envelope)


def test_the_ledger_follows_the_journal() -> None:
    story = Story(decided.SpeakerDrained("s", "ops", "upgrade"), decided.HeadWitnessed("s", 2, 9, "ab"))
    ledger = story.state.ledger
    assert (ledger.genesis, ledger.holder, ledger.position, ledger.epoch) == ("g", "leader", 4, 1)
    assert ledger.time_ms == story.time_ms
    assert ledger.maintenance.speakers == {"s": ("ops", "upgrade", 2, 0, True)}
    assert ledger.witnessed == {"s": (2, 9, "ab")}
    story.says(decided.BaselineRecorded(1, "", b""))
    assert ledger.baseline_position == story.position


def test_the_gate_is_open_only_when_synced_and_not_recovering() -> None:
    story = Story(synced=False)
    assert not story.state.ledger.open
    story.says(observed.InventorySynced(0, 0, 0, 0))
    assert story.state.ledger.open
    story.says(decided.EpochStarted("g", "two", 1, ""))
    assert story.state.ledger.open, "a plain new epoch changes nothing"
    story.says(decided.EpochStarted("g", "three", 1, "", recovering=True))
    assert not story.state.ledger.open
    story.says(decided.EpochStarted("g", "four", 1, ""), observed.InventorySynced(0, 0, 0, 0))
    assert not story.state.ledger.open, "the next leader goes on with the recovery"
    story.says(decided.RecoveryCompleted(0, ()))
    assert story.state.ledger.open


def test_losses_are_remembered_within_a_limit() -> None:
    story = Story()
    for number in range(MAX_LOST_RANGES + 5):
        story.says(decided.PositionsLost(number, number, "cut"))
    assert len(story.state.ledger.lost) == MAX_LOST_RANGES
    assert story.state.ledger.lost[-1] == (MAX_LOST_RANGES + 4, MAX_LOST_RANGES + 4)


def test_facts_by_key_with_their_positions() -> None:
    story = Story(node(1), pool(), service(), endpoints("web", "n1"))
    inventory = story.state.inventory
    assert set(inventory.keys()) == {
        ("Node", "n1"),
        ("Pool", "p"),
        ("Service", "shop/web"),
        ("Endpoints", "shop/web"),
    }
    assert inventory.get("Service", "shop/web") == service()
    assert inventory.get("Peer", "r1") is None
    assert inventory.position_of("web") == inventory.position_of_object("Service", "shop/web") == 4
    assert inventory.position_of_object("Endpoints", "shop/web") == 5
    assert inventory.position_of_object("Node", "n1") == 2
    with pytest.raises(KeyError):
        inventory.get("Pod", "x")
    story.says(endpoints("web"), observed.NodeGone("n1"), observed.PoolGone("p", "p"))
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    assert set(inventory.keys()) == set()
    assert inventory.changed == {}


def test_a_service_recreated_under_its_name_is_another() -> None:
    story = Story(node(1), pool(default=True), service(), endpoints("web", "n1"))
    story.settles()
    story.says(service(uid="second"))
    assert [type(one).__name__ for one in story.settles()] == ["AddressReleased", "AddressAllocated"]
    assert story.addresses("web") == set()
    assert story.addresses("second") == {"192.0.2.0"}


def test_a_fork_goes_its_own_way() -> None:
    story = Story(node(1), pool(default=True), service(), endpoints("web", "n1"))
    fork = story.state.fork()
    story.settles()
    assert story.addresses() == {"192.0.2.0"}
    assert fork.pools.addresses_of("web") == frozenset()
    assert fork.pools.unsettled(5) == ("web",)
