"""Which routes would be announced by nobody if a speaker were drained."""

from __future__ import annotations

import pytest

from porter.app.answers.last_speaker import announced_by_it_alone
from porter.app.http.actions import NotPossible, drain
from porter.app.read_model import ReadModel
from porter.events import decided, routed
from porter.events.envelope import Envelope
from porter.projections.sessions import Sessions, evolve_sessions
from tests.unit.projections.story import Story, endpoints, node, pool, service
from tests.unit.projections.test_exports import CONF, advertisement, peer

LOCAL = {"traffic_policy": "Local"}


def model(*speakers: str, facts: tuple = (), families: tuple[str, ...] = ("IPv4", "IPv6")) -> ReadModel:
    """Two Services, one of them Local on n1, two peers, and the sessions "speaker>peer" that are established."""
    story = Story(node(1), node(2), pool(default=True), CONF, peer("r1"), peer("r2", 253))
    story.says(service("web"), endpoints("web", "n1", "n2"), service("here", **LOCAL), endpoints("here", "n1"))
    story.settles()
    story.says(*facts)
    sessions = Sessions.empty()
    for number, one in enumerate(speakers, 1):
        speaker, _, name = one.partition(">")
        state = routed.SessionStateChanged(name, "Established", "", families, families, 90)
        sessions = evolve_sessions(sessions, speaker, Envelope(number, 1, 1, 0, "", "", state))
    return ReadModel(story.state, sessions)


@pytest.mark.parametrize(
    ("speakers", "facts", "alone"),
    [
        (("s1>r1",), (), 2),
        (("s1>r1", "s1>r2"), (), 2),
        (("s1>r1", "s2>r2"), (), 0),
        ((), (), 0),
        (("s2>r1",), (), 0),
        (("s1>r1", "s2>r1"), (decided.SpeakerDrained("s2", "ada", ""),), 2),
        (("s1>r1", "s2>r1"), (decided.SpeakerDrained("s2", "ada", "", 10_000),), 2),
        (("s1>r1",), (decided.SpeakerDrained("s1", "ada", ""),), 0),
        (("s1>r1",), (decided.SpeakerDrained("s1", "ada", "", 10_000),), 2),
        (("s1>r1", "s2>r2"), (advertisement(peers=("r1",)),), 2),
        (("s1>r1", "s2>r1"), (advertisement(peers=("r1",)),), 0),
    ],
    ids=[
        "the only speaker",
        "with two peers",
        "another router has it from another one",
        "no session",
        "of another",
        "the other one is drained",
        "the other one is leaving",
        "drained already",
        "leaving already, and the last one by now",
        "the other one's peer is given nothing",
        "both to the one peer that is given it",
    ],
)
def test_what_only_one_speaker_announces(speakers, facts, alone):
    assert announced_by_it_alone(model(*speakers, facts=facts), "s1") == alone


def test_an_agent_stands_for_its_own_node_alone():
    node_topology = CONF._replace(topology="node")
    both = model("agent_n1>r1", "agent_n2>r1", facts=(node_topology,))
    # The Local Service's only endpoint is on n1.
    assert announced_by_it_alone(both, "agent_n1") == 1
    assert announced_by_it_alone(both, "agent_n2") == 0


def test_the_last_speaker_is_drained_by_force_alone():
    only = model("s1>r1")
    with pytest.raises(NotPossible, match=r"2 of 2 prefixes.*porter drain speaker s1 --force"):
        drain({"speaker": "s1"}, "ada", only)
    assert drain({"speaker": "s1", "force": True}, "ada", only) == decided.SpeakerDrained("s1", "ada", "", 10_000)
    assert drain({"speaker": "s1", "undo": True}, "ada", only) == decided.SpeakerUndrained("s1", "ada", "")
    at_once = drain({"speaker": "s1", "delayMs": 0}, "ada", model("s1>r1", "s2>r1"))
    assert at_once == decided.SpeakerDrained("s1", "ada", "", 0)
