"""Which speaker serves which peer, and what an agent announces: its own node, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from porter.events import observed, routed
from porter.events.envelope import Envelope
from porter.model.bgp import Negotiated, agent_name, node_of
from porter.model.selector import Requirement
from porter.projections.adj_rib_out import (
    adj_rib_out,
    exported_from,
    peer_problems,
    refused,
    serves,
    session_settings,
    sessions_of,
)
from porter.projections.sessions import Sessions, evolve_sessions
from porter.projections.status.confs import conf_status
from porter.projections.status.peers import peer_status
from tests.unit.projections.story import DUAL, Story, endpoints, node, pool, service
from tests.unit.projections.test_adj_rib_out import BOTH, CONF, V4, V6, peer

RACK = "openelb.kubesphere.io/rack"
ONE_PATH = Negotiated(BOTH.families, frozenset(), 90)
N1, N2, N3 = (agent_name(f"n{number}") for number in (1, 2, 3))


def served(**fields: Any) -> Story:
    """Three nodes, one dual-stack Service of theirs, and the peer r1 of topology node."""
    story = Story(
        CONF,
        peer(topology="node", **fields),
        pool("p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", default=True),
        *(node(number, labels=(("rack", f"leaf{number}"),)) for number in (1, 2, 3)),
        service(**DUAL),
        endpoints("web", "n1", "n3"),
    )
    story.settles()
    return story


def told_by(*speakers: str, state: str = "Established") -> Sessions:
    told = Sessions.empty()
    for speaker in speakers:
        event = routed.SessionStateChanged("r1", state, "", ("IPv4",))
        told = evolve_sessions(told, speaker, Envelope(1, 1, 1, 0, "", "", event))
    return told


def hops(story: Story, speaker: str, negotiated: Negotiated = BOTH) -> dict[str, str]:
    routes = adj_rib_out(story.state, "r1", speaker, negotiated)
    found: dict[str, str] = {key.prefix: attributes.next_hop for key, attributes in routes.items()}
    assert len(found) == len(routes), "an agent has one path for each prefix"
    return found


def settings(story: Story, speaker: str, name: str = "r1") -> Any:
    return session_settings(story.state, name, speaker=speaker, router_id="10.0.0.9", local_address="10.0.0.9")


def test_an_agents_name_is_no_other_speakers() -> None:
    assert node_of(agent_name("n1.example.org")) == "n1.example.org"
    assert node_of("porter-speaker-0") == ""
    assert node_of("agent-n1") == ""


def test_an_agent_announces_its_own_node_in_each_family() -> None:
    story = served()
    assert hops(story, N1) == {V4: "10.0.0.1", V6: "fd00::1"}
    assert hops(story, N2) == hops(story, N2, ONE_PATH) == {V4: "10.0.0.2", V6: "fd00::2"}
    assert hops(story, "s") == {}
    story.says(peer(topology="central"))
    assert hops(story, N1) == {}
    assert len(adj_rib_out(story.state, "r1", "s", BOTH)) == 6


def test_an_agent_announces_only_what_its_node_is_eligible_for() -> None:
    story = served().says(service(traffic_policy="Local", **DUAL))
    assert hops(story, N1) == {V4: "10.0.0.1", V6: "fd00::1"}
    assert hops(story, N2) == {}
    story.says(endpoints("web", "n2"))
    assert hops(story, N1) == {}
    assert set(hops(story, N2)) == {V4, V6}
    story.says(node(2, excluded=True))
    assert hops(story, N2) == {}


def test_a_limit_of_next_hops_holds_for_all_agents_together() -> None:
    story = served(max_next_hops=2)
    told = [speaker for speaker in (N1, N2, N3) if V4 in hops(story, speaker)]
    assert len(told) == 2
    assert told == [speaker for speaker in (N1, N2, N3) if V4 in hops(story, speaker, ONE_PATH)]


@pytest.mark.parametrize(
    ("requirement", "chosen"),
    [
        (Requirement("rack", "In", ("leaf1", "leaf3")), [N1, N3]),
        (Requirement("rack", "NotIn", ("leaf1",)), [N2, N3]),
        (Requirement("rack", "Exists"), [N1, N2, N3]),
        (Requirement("rack", "DoesNotExist"), []),
    ],
)
def test_a_peers_node_selector_chooses_which_agents_peer(requirement: Requirement, chosen: list[str]) -> None:
    story = served(node_expressions=(requirement,))
    assert [name for name in (N1, N2, N3) if serves(story.state, "r1", name)] == chosen
    assert [name for name in (N1, N2, N3) if settings(story, name) is not None] == chosen
    assert [name for name in (N1, N2, N3) if hops(story, name)] == chosen


def test_a_peer_says_otherwise_than_the_conf() -> None:
    story = served().says(CONF._replace(topology="node"), peer(), peer("r2", address="10.0.0.253", topology="central"))
    assert settings(story, N1) is not None
    assert settings(story, "s") is None
    assert settings(story, N1, "r2") is None
    assert settings(story, "s", "r2") is not None


def test_a_label_of_its_own_node_concerns_an_agent_and_no_other_speaker() -> None:
    story = served(node_selector=(("rack", "leaf1"),))
    before = {name: exported_from(story.state, name) for name in (N1, N2, "s")}
    story.says(node(1, labels=(("rack", "leaf9"),)))
    assert [name for name in before if exported_from(story.state, name) != before[name]] == [N1]
    assert settings(story, N1) is None
    story.says(observed.NodeGone("n2"))
    assert exported_from(story.state, N2) != before[N2]


def test_an_agent_takes_its_as_from_its_nodes_rack() -> None:
    story = served().says(
        CONF._replace(as_per_rack=(("a", 64601), ("b", 64602))),
        node(1, labels=((RACK, "a"),)),
        node(2, labels=(("porter.kubesphere.io/rack", "b"),)),
    )
    assert [settings(story, name).local_as for name in (N1, N2, N3)] == [64601, 64602, 64512]
    (problem,) = peer_problems(story.state, "r1")
    assert "agents of n3," in problem.message
    status = peer_status(story.state, told_by(N1, N2), "r1")["nodesPeerStatus"]
    assert {name: one["peerState"]["localAs"] for name, one in status.items()} == {"n1": 64601, "n2": 64602}
    assert settings(story.says(peer(topology="node", local_as=7)), N1).local_as == 7
    assert peer_problems(story.state, "r1") == ()


def test_internal_and_external_agents_of_one_peer_differ() -> None:
    story = served().says(
        CONF._replace(as_per_rack=(("a", 64513),)),
        node(1, labels=((RACK, "a"),)),
        observed.AdvertisementObserved("all", "u", "1", 1, 1, local_pref=200, as_path_prepend=1),
    )
    found = {
        name: {(one.local_pref, one.as_path_prepend) for one in adj_rib_out(story.state, "r1", name, BOTH).values()}
        for name in (N1, N2)
    }
    assert found == {N1: {(200, 0)}, N2: {(None, 1)}}


def test_what_holds_for_one_speaker_is_not_used_by_agents() -> None:
    story = served(local_address="10.0.0.8").says(CONF._replace(router_id="1.1.1.1"))
    assert [settings(story, name).router_id for name in (N1, N2)] == ["10.0.0.1", "10.0.0.2"]
    assert settings(story, N1).local_address == "10.0.0.9"
    assert [one.field for one in peer_problems(story.state, "r1")] == ["spec.transport.localAddress"]
    accepted = conf_status(story.state, told_by(N1), "default")["conditions"][0]
    assert (accepted["status"], accepted["reason"]) == ("True", "FieldUnsupported")
    assert "spec.routerId holds for a single speaker" in accepted["message"]


def test_a_router_id_for_two_central_speakers_is_told() -> None:
    story = Story(CONF._replace(router_id="1.1.1.1"), peer())
    assert conf_status(story.state, told_by("a"), "default")["conditions"][0]["reason"] == "Accepted"
    assert "a, b all use 1.1.1.1" in conf_status(story.state, told_by("a", "b"), "default")["conditions"][0]["message"]


def test_sessions_of_the_other_topology_count_no_more() -> None:
    story, told = served(), told_by("s", N1)
    assert [name for name, _ in sessions_of(story.state, told, "r1")] == [N1]
    told.speakers["s"].peers["r1"].state = "Idle"
    assert peer_status(story.state, told, "r1")["conditions"][1]["status"] == "True"


def test_two_peers_are_twins_only_where_one_speaker_would_serve_both() -> None:
    story = served(node_selector=(("rack", "leaf1"),))
    story.says(peer("r0", topology="central"))
    assert refused(story.state, "r1") is None
    story.says(peer("r0", topology="node", node_selector=(("rack", "leaf2"),)))
    assert refused(story.state, "r1") is None
    story.says(peer("r0", topology="node"))
    assert refused(story.state, "r1") is not None


def test_of_two_peers_with_one_router_the_older_keeps_the_session() -> None:
    story = Story(CONF, peer(created_ms=1000))
    story.says(peer("a-later", created_ms=2000))
    assert refused(story.state, "r1") is None
    problem = refused(story.state, "a-later")
    assert problem is not None
    assert "BgpPeer r1 has the same neighbor address" in problem.message
    assert (settings(story, "s") is None, settings(story, "s", "a-later") is None) == (False, True)
    story.says(peer("z-older", created_ms=500))
    assert (refused(story.state, "r1") is None, refused(story.state, "z-older") is None) == (False, True)
    story.says(peer("a-later", created_ms=500))
    assert refused(story.state, "a-later") is None, "of one age, the first by name"


def test_a_passive_peer_connects_to_the_confs_port() -> None:
    story = Story(CONF._replace(listen_port=1790), peer(passive=True, port=1791))
    assert settings(story, "s").port == 1790
    assert [one.field for one in peer_problems(story.state, "r1")] == ["spec.transport.remotePort"]
    story.says(CONF._replace(listen_port=-1))
    problem = refused(story.state, "r1")
    assert problem is not None
    assert problem.field == "spec.transport.passiveMode"
    idle = Story(CONF._replace(listen_port=1790), peer())
    assert "spec.listenPort" in conf_status(idle.state, Sessions.empty(), "default")["conditions"][0]["message"]
