"""What a peer is sent, and the settings of its session."""

from __future__ import annotations

from typing import Any

from porter.events import decided, observed
from porter.model.address import Address
from porter.model.bgp import Negotiated
from porter.model.reasons import Problem, Reason
from porter.projections.adj_rib_out import adj_rib_out, refused, session_settings
from tests.unit.projections.story import DUAL, Story, endpoints, node, pool, service

BOTH = Negotiated(frozenset({"IPv4", "IPv6"}), frozenset({"IPv4", "IPv6"}), 90)
CONF = observed.ConfObserved("default", "c", "1", 1, 64512)
V4, V6 = "192.0.2.0/32", "2001:db8::/128"


def peer(name: str = "r1", **fields: Any) -> observed.PeerObserved:
    return observed.PeerObserved(name, name, "1", 1, Address("10.0.0.254"), 64513)._replace(**fields)


def served(*payloads: Any) -> Story:
    dual = pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True)
    nodes = tuple(node(number) for number in (1, 2, 3))
    story = Story(*nodes, dual, CONF, peer(), service(**DUAL), endpoints("web", "n1"), *payloads)
    story.settles()
    return story


def prefixes(story: Story, negotiated: Negotiated = BOTH) -> list[str]:
    return sorted(key.prefix for key in adj_rib_out(story.state, "r1", "s", negotiated))


def test_each_next_hop_is_a_path_of_each_family() -> None:
    assert prefixes(served()) == [V4] * 3 + [V6] * 3


def test_only_negotiated_families_and_add_path_where_it_was_agreed() -> None:
    story = served()
    assert prefixes(story, BOTH._replace(families=frozenset({"IPv6"}))) == [V6] * 3
    assert prefixes(story, BOTH._replace(add_path_send=frozenset({"IPv4"}))) == [V4] * 3 + [V6]


def test_asking_for_some_prefixes_gives_these() -> None:
    story = served()
    whole = adj_rib_out(story.state, "r1", "s", BOTH)
    some = adj_rib_out(story.state, "r1", "s", BOTH, [V6, "203.0.113.1/32"])  # type: ignore[list-item]
    assert some == {key: value for key, value in whole.items() if key.prefix == V6}


def test_a_drained_speaker_announces_nothing_and_others_all() -> None:
    story = served(decided.SpeakerDrained("s", "ops", "upgrade"))
    assert prefixes(story) == []
    assert len(adj_rib_out(story.state, "r1", "other", BOTH)) == 6
    assert len(prefixes(story.says(decided.SpeakerUndrained("s", "ops", "done")))) == 6


def test_a_peer_bounds_its_next_hops() -> None:
    assert prefixes(served().says(peer(max_next_hops=2))) == [V4] * 2 + [V6] * 2


def test_a_peer_that_is_down_or_gone_gets_nothing() -> None:
    assert prefixes(served().says(peer(admin_down=True))) == []
    assert prefixes(served().says(observed.PeerGone("r1"))) == []


def test_layer2_pools_are_not_announced_by_bgp_even_after_their_deletion() -> None:
    story = served()
    story.state.loc_rib.take_changed()
    story.says(pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True, protocol="layer2"))
    assert prefixes(story) == []
    assert story.state.loc_rib.take_changed() == {V4, V6}
    assert prefixes(story.says(observed.PoolGone("p", "p"))) == []


def settings(story: Story, name: str = "r1") -> Any:
    return session_settings(story.state, name, speaker="s", router_id="10.0.0.9", local_address="10.0.0.9")


def test_settings_come_from_the_conf_and_the_peer() -> None:
    made = settings(Story(CONF, peer(families=("IPv6",), multihop_ttl=2, restart_time_s=0)))
    assert made[:6] == ("r1", "10.0.0.254", 64513, 64512, "10.0.0.9", "10.0.0.9")
    assert (made.families, made.multihop_ttl, made.restart_time_s) == (("IPv6",), 2, 0)
    own = Story(CONF._replace(router_id="1.1.1.1", restart_time_s=30), peer(local_as=7, local_address="10.0.0.8"))
    assert settings(own)[3:6] == (7, "1.1.1.1", "10.0.0.8")
    assert settings(own).restart_time_s == 30
    said = Story(CONF._replace(restart_time_s=30), peer(restart_time_s=120, restart_time_set=True))
    assert settings(said).restart_time_s == 120, "the peer's own word counts, although it is the default"


def test_what_an_edit_made_malformed_counts_as_it_was() -> None:
    wrong = (Problem(Reason.FIELD_INVALID, "spec.conf.neighborAddress", "is nowhere; write another"),)
    story = Story(CONF, peer())
    before = settings(story)
    story.says(peer(problems=wrong)._replace(address=Address("")), CONF._replace(as_number=0, problems=wrong))
    assert settings(story) == before
    assert settings(story.says(peer(admin_down=True, problems=wrong))) is None
    assert settings(Story(CONF._replace(problems=wrong), peer())) is None, "that never was well-formed"


def test_why_there_is_no_session() -> None:
    wrong = (Problem(Reason.FIELD_INVALID, "spec.conf.peerAs", "is 0; write another"),)
    cases = [
        (Story(CONF), "no BgpPeer r1"),
        (Story(peer()), "no BgpConf named default"),
        (Story(CONF, peer(admin_down=True)), "administratively down"),
        (Story(CONF, peer(problems=wrong)), "is 0"),
        (Story(CONF._replace(problems=wrong), peer()), "BgpConf default cannot be used"),
        (Story(CONF, peer("r0"), peer()), "BgpPeer r0 has the same"),
    ]
    for story, words in cases:
        problem = refused(story.state, "r1")
        assert problem is not None
        assert words in problem.message
        assert settings(story) is None
    assert refused(Story(CONF, peer("r0", port=1179), peer()).state, "r1") is None
    unsupported = (Problem(Reason.FIELD_UNSUPPORTED, "spec.vrf", "x"),)
    assert settings(Story(CONF, peer(problems=unsupported))) is not None
