"""Why a peer is up or down and what it gets; and what a bare word stands for."""

from __future__ import annotations

import pytest

from porter.app.answers.routes import RouteFilter, routes
from porter.app.explain.question import Ambiguous, Question, Unknown
from porter.app.history.reading import BadQuestion
from porter.app.read_model import ReadModel
from porter.events import decided, observed, routed
from porter.model.address import Address
from porter.model.reasons import Problem
from tests.unit.app.answers.test_cluster import CONF, PEER, UP, told
from tests.unit.app.explain.test_service import Journaled
from tests.unit.projections.story import endpoints, node, pool, service

SYNCED = routed.RibSynced("tor-a", 100, 2, "d")


@pytest.fixture
def story() -> Journaled:
    begun = Journaled(CONF, PEER, node(1), node(2), pool(default=True), service(), endpoints("web", "n1", "n2"))
    begun.settles()
    return begun


async def test_a_peer_that_is_up_tells_what_it_gets(story):
    answer = await story.asked(told(UP, SYNCED), peer="tor-a")
    peer = answer["peer"]
    assert (peer["state"], peer["prefixes"], peer["paths"]) == ("up", 1, 2)
    assert peer["nextHops"] == [{"nextHop": "10.0.0.1", "paths": 1}, {"nextHop": "10.0.0.2", "paths": 1}]
    assert peer["sessions"][0]["cause"] == {"stream": "s1", "position": 1}
    assert peer["causes"][0]["aggregate"] == "peer/tor-a"
    assert answer["problems"] == []


async def test_a_session_that_is_down_is_told_with_its_reason_and_place(story):
    down = routed.SessionStateChanged("tor-a", "Idle", "hold timer expired")
    answer = await story.asked(told(UP, SYNCED, down), peer="tor-a")
    (session,) = answer["peer"]["sessions"]
    assert (answer["peer"]["state"], session["cause"]["position"], session["flaps"]) == ("down", 3, 1)
    assert (session["paths"], session["confirmed"]) == (2, 0)
    assert "hold timer expired" in answer["problems"][0]


async def test_one_of_two_sessions_down_is_told_as_partly(story):
    sessions = told(UP, SYNCED)
    other = told(UP, routed.SessionStateChanged("tor-a", "Active", "refused"), speaker="s2")
    sessions.speakers.update(other.speakers)
    answer = await story.asked(sessions, peer="tor-a")
    assert answer["peer"]["state"] == "partly"
    assert answer["problems"][0].startswith("1 of 2 sessions with BgpPeer tor-a are Established; s2 is Active")


async def test_an_engine_that_went_is_the_cause(story):
    answer = await story.asked(told(UP, routed.EngineStateChanged("s1", False, "exabgp died")), peer="tor-a")
    assert answer["peer"]["sessions"][0]["cause"] == {"stream": "s1", "position": 2}
    assert "exabgp died" in answer["problems"][0]


async def test_a_router_without_add_path_is_told(story):
    answer = await story.asked(told(UP._replace(add_path=()), SYNCED), peer="tor-a")
    assert "takes one path of each IPv4 prefix: ADD-PATH was not negotiated" in answer["summary"][1]


async def test_a_peer_without_a_speaker_and_a_refused_one_are_told_with_the_mend(story):
    nobody = await story.asked(peer="tor-a")
    assert (nobody["peer"]["state"], "see that one runs" in nobody["problems"][0]) == ("noSpeaker", True)
    bad = PEER._replace(
        resource_version="5", problems=(Problem("FieldInvalid", "spec.conf.peerAs", "peerAs is no AS"),)
    )
    story.says(bad)
    refused = await story.asked(told(UP), peer="tor-a")
    assert (refused["peer"]["state"], "peerAs is no AS" in refused["problems"][0]) == ("refused", True)
    assert refused["peer"]["causes"][0]["resourceVersion"] == "5"
    story.says(PEER._replace(admin_down=True))
    down = await story.asked(told(UP), peer="tor-a")
    assert (down["peer"]["state"], down["problems"]) == ("refused", [])


async def test_what_advertisements_keep_from_it_is_counted(story):
    story.says(observed.AdvertisementObserved("others", "a", "1", 1, 1, peers=("tor-b",)))
    answer = await story.asked(told(UP, SYNCED), peer="tor-a")
    assert answer["peer"]["withheld"] == [{"prefix": "192.0.2.0/32", "reason": "NotAdvertised"}]
    assert answer["peer"]["advertisements"][0]["about"] is False
    assert answer["summary"][-1] == "Not given to it: 1 announced address, 1 by NotAdvertised."


@pytest.mark.parametrize("add_path", [("IPv4",), ()])
@pytest.mark.parametrize("change", [{}, {"max_next_hops": 1}, {"node_selector": (("rack", "1"),)}])
async def test_what_is_counted_is_what_the_routes_say(story, change, add_path):
    story.says(
        node(1, labels=(("rack", "1"),)),
        service("local", traffic_policy="Local"),
        endpoints("local", "n2"),
        observed.AdvertisementObserved("all", "a", "1", 1, 1, communities=("64500:1",)),
        PEER._replace(**change),
    )
    story.settles()
    sessions = told(UP._replace(add_path=add_path), SYNCED)
    peer = (await story.asked(sessions, peer="tor-a"))["peer"]
    rows = routes(ReadModel(story.state, sessions), RouteFilter(peer="tor-a"))["routes"]
    assert (peer["paths"], peer["prefixes"]) == (len(rows), len({row["prefix"] for row in rows}))


async def test_a_drained_speakers_session_says_so(story):
    whole = (await story.asked(told(UP), peer="tor-a"))["peer"]
    assert (whole["sessions"][0]["drained"], whole["sessions"][0]["leaving"]) == (False, False)
    story.says(decided.SpeakerDrained("s1", "ada", "", 10_000))
    leaving = (await story.asked(told(UP), peer="tor-a"))["peer"]
    (session,) = leaving["sessions"]
    assert (session["drained"], session["leaving"], leaving["prefixes"]) == (True, True, whole["prefixes"])
    assert "its paths carry GRACEFUL_SHUTDOWN until " in session["message"]
    assert "`porter uncordon speaker s1` ends that" in session["message"]
    story.says(decided.SpeakerDrainElapsed("s1"))
    gone = (await story.asked(told(UP), peer="tor-a"))["peer"]
    (session,) = gone["sessions"]
    assert (session["drained"], session["leaving"], gone["prefixes"]) == (True, False, 0)
    assert "it announces nothing" in session["message"]


async def test_a_bare_word_is_what_alone_has_this_name(story):
    assert (await story.asked(name="n1"))["asked"] == "node/n1"
    assert (await story.asked(told(UP), name="tor-a"))["asked"] == "peer/tor-a"
    assert (await story.asked(name="web", namespace="shop"))["asked"] == "shop/web"


async def test_a_word_that_several_things_are_called_is_refused_with_the_forms(story):
    story.says(PEER._replace(name="n1", address=Address("10.0.0.9")))
    with pytest.raises(
        Ambiguous, match=r"'n1' is the name of node/n1 and of peer/n1; write the one.*service/NAMESPACE"
    ):
        await story.asked(name="n1")


async def test_a_word_that_nothing_is_called_names_the_forms_and_where_it_is_known(story):
    with pytest.raises(Unknown, match=r"no Service default/web .*there is service/shop/web\. The forms are"):
        await story.asked(name="web")
    with pytest.raises(Unknown, match="known: tor-a"):
        await story.asked(peer="tor-z")


@pytest.mark.parametrize("query", [{}, {"node": "n1", "peer": "tor-a"}, {"service": "web"}])
def test_a_question_is_about_one_thing(query):
    with pytest.raises(BadQuestion):
        Question.from_query(query)
