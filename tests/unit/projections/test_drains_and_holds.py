"""Drains and holds as a router sees them: which next hops stay, what they carry, and when they go."""

from __future__ import annotations

import pytest

from porter.events import decided, observed
from porter.events.catalogue import Event
from porter.model.bgp import GRACEFUL_SHUTDOWN, Negotiated
from porter.model.reasons import Reason
from porter.projections import baseline
from porter.projections.adj_rib_out import adj_rib_out, exported_from
from tests.unit.projections.story import Story, endpoints, node, pool, service

PREFIX = "192.0.2.0/32"
ADD_PATH = Negotiated(frozenset(("IPv4",)), frozenset(("IPv4",)), 90)
ONE_PATH = Negotiated(frozenset(("IPv4",)), frozenset(), 90)
DRAIN = decided.NodeDrained("n1", "n1", "ada", "disk", 10_000)
FORCED = DRAIN._replace(force=True)
OVER = decided.NodeDrainElapsed("n1")
SPEAKER = decided.SpeakerDrained("s", "ada", "memory", 10_000)
SPEAKER_OVER = decided.SpeakerDrainElapsed("s")
SPEAKER_BACK = decided.SpeakerUndrained("s", "ada", "")
EVERY_HOP = {"10.0.0.1", "10.0.0.2", "10.0.0.3"}


def served(*payloads: Event, nodes: int = 3, **fields: object) -> Story:
    story = Story(
        *(node(number) for number in range(1, nodes + 1)),
        pool(default=True),
        observed.ConfObserved("default", "c", "1", 1, 64512),
        observed.PeerObserved("ebgp", "e", "1", 1, "10.0.0.253", 64513),  # type: ignore[arg-type]
        observed.PeerObserved("ibgp", "i", "1", 1, "10.0.0.254", 64512),  # type: ignore[arg-type]
        service(**fields),
        endpoints("web", "n1"),
    )
    story.settles()
    story.state.loc_rib.take_changed()
    return story.says(*payloads)


def marked(story: Story, peer: str = "ebgp", negotiated: Negotiated = ADD_PATH) -> dict[str, object]:
    """Next hop -> local preference of the paths that carry GRACEFUL_SHUTDOWN."""
    paths = adj_rib_out(story.state, peer, "s", negotiated).values()
    return {one.next_hop: one.local_pref for one in paths if one.communities == (GRACEFUL_SHUTDOWN,)}


def held(*prefixes: str, hold: int = 1, **fields: object) -> decided.WithdrawalHeld:
    event = decided.WithdrawalHeld(hold, "NoReadyEndpoint", prefixes, 30, 40, 25, 20, 600_000)  # type: ignore[arg-type]
    return event._replace(**fields)  # type: ignore[arg-type]


def test_a_draining_node_is_marked_first_and_goes_when_the_delay_is_over() -> None:
    story = served(DRAIN)
    assert story.hops() == ["n1", "n2", "n3"]
    assert marked(story) == {"10.0.0.1": None}
    assert marked(story, "ibgp") == {"10.0.0.1": 0}
    assert story.state.loc_rib.take_changed() == {PREFIX}
    assert story.says(OVER).hops() == ["n2", "n3"]
    assert story.says(decided.NodeUndrained("n1", "ada", "")).hops() == ["n1", "n2", "n3"]
    assert marked(story) == {}


@pytest.mark.parametrize(("drained", "other"), [("n1", "10.0.0.2"), ("n2", "10.0.0.1")])
def test_where_one_path_is_all_a_leaving_node_is_left_at_once(drained: str, other: str) -> None:
    story = served(decided.NodeDrained(drained, drained, "ada", "", 10_000), nodes=2)
    (path,) = adj_rib_out(story.state, "ebgp", "s", ONE_PATH).values()
    assert (path.next_hop, path.communities) == (other, ())


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_the_last_next_hop_stays_unless_it_is_forced_away(policy: str) -> None:
    story = served(DRAIN, OVER, nodes=1, traffic_policy=policy)
    assert story.hops() == ["n1"]
    assert marked(story) == {"10.0.0.1": None}
    story.says(FORCED)
    assert story.hops() == []
    assert story.state.loc_rib.absent == {PREFIX: Reason.NO_ELIGIBLE_NODE}


def test_a_drained_node_serves_again_when_the_others_are_gone() -> None:
    story = served(DRAIN, OVER, observed.NodeGone("n2"), observed.NodeGone("n3"))
    assert story.hops() == ["n1"]
    assert story.says(node(2)).hops() == ["n2"]


def test_a_drain_is_of_the_node_and_not_of_its_name() -> None:
    story = served(DRAIN, OVER, observed.NodeGone("n1"), node(1))
    assert story.hops() == ["n2", "n3"], "the same node came back: its drain stands"
    story.says(observed.NodeGone("n1"), node(1, uid="another"))
    assert story.hops() == ["n1", "n2", "n3"]


def test_a_drained_service_is_marked_first_then_withdrawn_and_keeps_its_address() -> None:
    story = served(decided.ServiceDrained("web", "shop", "web", "ada", "", 10_000))
    assert marked(story).keys() == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    story.says(decided.ServiceDrainElapsed("web", "shop", "web"))
    assert story.hops() == []
    assert story.state.loc_rib.absent == {PREFIX: Reason.DRAINED}
    assert story.addresses() == {"192.0.2.0"}
    story.says(decided.ServiceUndrained("web", "shop", "web", "ada", ""))
    assert story.hops() == ["n1", "n2", "n3"]


def test_of_services_that_share_an_address_only_the_drained_one_goes() -> None:
    asks = {"requested_addresses": ("192.0.2.0",), "traffic_policy": "Local", "selector": (("a", "b"),)}
    story = Story(*(node(number) for number in (1, 2)), pool(default=True), service(**asks))
    story.says(service("dns", ports=(("UDP", 53),), **asks), endpoints("web", "n1", "n2"), endpoints("dns", "n2"))
    story.settles()
    story.says(decided.ServiceDrained("web", "shop", "web", "ada", "", 10_000))
    standings = [hop.standing for hop in story.state.loc_rib.routes[PREFIX].next_hops]  # type: ignore[index]
    assert standings == [1, 0], "n2 also serves the other one"
    story.says(decided.ServiceDrainElapsed("web", "shop", "web"))
    assert story.hops() == ["n2"]


def announced(story: Story, speaker: str = "s") -> dict[str, tuple[str, ...]]:
    """Next hop -> communities of what a speaker announces."""
    return {one.next_hop: one.communities for one in adj_rib_out(story.state, "ebgp", speaker, ADD_PATH).values()}


@pytest.mark.parametrize("advertised", [False, True])
def test_a_drained_speaker_is_marked_first_and_withdraws_everything_when_the_delay_is_over(advertised: bool) -> None:
    facts = [observed.AdvertisementObserved("a", "a", "1", 1, 1, communities=("64500:5",))] if advertised else []
    story = served(*facts)
    before, computed_from = announced(story), exported_from(story.state, "s")
    story.says(SPEAKER)
    marks = {hop: (*communities, GRACEFUL_SHUTDOWN) for hop, communities in before.items()}
    assert announced(story) == marks
    assert before.keys() == EVERY_HOP
    assert announced(story, "other") == before, "the routers have where to turn"
    assert exported_from(story.state, "s") != computed_from, "its speaker tells everything anew"
    paths = adj_rib_out(story.state, "ibgp", "s", ADD_PATH).values()
    assert {path.local_pref for path in paths} == {0}
    computed_from = exported_from(story.state, "s")
    story.says(SPEAKER_OVER)
    assert announced(story) == {}
    assert announced(story, "other") == before
    assert exported_from(story.state, "s") != computed_from
    assert announced(story.says(SPEAKER_BACK)) == before


def test_a_speakers_drain_is_undone_before_its_delay_is_over_as_well() -> None:
    story = served(SPEAKER, SPEAKER_BACK)
    assert announced(story) == dict.fromkeys(EVERY_HOP, ())
    assert announced(story.says(SPEAKER_OVER)) == dict.fromkeys(EVERY_HOP, ()), "what comes late ends nothing"


def test_a_speakers_drain_without_a_delay_withdraws_at_once() -> None:
    assert announced(served(SPEAKER._replace(delay_ms=0))) == {}
    assert announced(served(SPEAKER, SPEAKER._replace(delay_ms=0))) == {}, "and cuts a delay short"


def test_a_speaker_that_has_left_service_does_not_come_back_for_another_delay() -> None:
    story = served(SPEAKER, SPEAKER_OVER, SPEAKER)
    assert announced(story) == {}
    assert story.state.ledger.maintenance.speakers["s"].elapsed


def test_a_leaving_speaker_that_tells_one_path_does_not_tell_that_of_a_leaving_node() -> None:
    for drained in ("n1", "n2"):
        story = served(decided.NodeDrained(drained, drained, "ada", "", 10_000), SPEAKER, nodes=2)
        (path,) = adj_rib_out(story.state, "ebgp", "s", ONE_PATH).values()
        assert (path.next_hop, path.communities) == (
            "10.0.0.2" if drained == "n1" else "10.0.0.1",
            (GRACEFUL_SHUTDOWN,),
        )


def test_a_drain_goes_with_its_service() -> None:
    story = served(decided.ServiceDrained("web", "shop", "web", "ada", "", 0))
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"), service(), endpoints("web", "n1"))
    assert story.state.ledger.maintenance.services == {}


def test_a_held_prefix_keeps_its_next_hops_until_it_is_approved() -> None:
    story = served(held(PREFIX), endpoints("web"))
    assert story.hops() == ["n1", "n2", "n3"]
    assert story.state.loc_rib.take_changed() == frozenset()
    assert story.state.loc_rib.lost.keys() == {PREFIX}
    story.says(decided.WithdrawalApproved(1, "ada", "planned"))
    assert story.hops() == []
    assert story.state.loc_rib.take_changed() == {PREFIX}


def test_a_hold_stands_over_nodes_that_come_and_go() -> None:
    story = served(held(PREFIX), endpoints("web"))
    assert story.says(observed.NodeGone("n1")).hops() == ["n2", "n3"]
    assert story.says(node(4)).hops() == ["n2", "n3"], "what is held never grows"
    assert story.says(observed.NodeGone("n2"), observed.NodeGone("n3"), observed.NodeGone("n4")).hops() == [
        "n1",
        "n2",
        "n3",
    ]


def test_next_hops_of_its_own_take_the_place_of_held_ones() -> None:
    story = served(held(PREFIX), endpoints("web"), traffic_policy="Local")
    assert story.hops() == ["n1"]
    assert story.says(endpoints("web", "n2")).hops() == ["n2"]
    assert story.says(decided.HoldEnded(1)).hops() == ["n2"]


def test_a_deleted_or_drained_service_is_not_held() -> None:
    story = served(held(PREFIX), endpoints("web"))
    story.says(decided.ServiceDrained("web", "shop", "web", "ada", "", 0))
    assert story.hops() == ["n1", "n2", "n3"]
    assert story.says(decided.ServiceDrainElapsed("web", "shop", "web")).hops() == []
    story.says(decided.ServiceUndrained("web", "shop", "web", "ada", ""))
    assert story.hops() == ["n1", "n2", "n3"]
    story.says(observed.ServiceGone("web", "shop", "web", "ServiceDeleted"))
    assert story.hops() == []
    story.says(service("next"))
    story.settles()
    assert story.hops() == [], "whoever has the address next has nothing to do with the hold"
    assert story.state.ledger.holds.routes == {}


def test_a_baseline_in_the_middle_of_drains_and_holds_changes_nothing() -> None:
    story = served(DRAIN, held(PREFIX), endpoints("web"), decided.ServiceDrained("web", "shop", "web", "a", "", 0))
    story.says(SPEAKER, SPEAKER._replace(speaker="gone"), decided.SpeakerDrainElapsed("gone"))
    again = baseline.decode(baseline.encode(story.state))
    assert again == story.state == story.state.fork()
    assert dict(again.loc_rib.routes) == dict(story.state.loc_rib.routes)
    assert dict(again.loc_rib.lost) == dict(story.state.loc_rib.lost)
