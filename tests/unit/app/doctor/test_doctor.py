"""What the doctor finds in the folds, of a server, and of a cluster: each defect is told with its mend."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from porter.app.doctor.answer import of_controller, of_journal
from porter.app.doctor.cluster import judged
from porter.app.doctor.server import server_checks
from porter.app.history.archived_streams import ArchivedStreams
from porter.app.read_model import ReadModel
from porter.app.view import View
from porter.events import decided, observed, routed
from porter.events.envelope import Head
from porter.journal.memory import MemoryJournals
from porter.journal.shelves import FolderShelf
from porter.kube.examination import ClusterFacts, LeaseFacts
from porter.model.address import Address
from porter.model.reasons import Problem
from porter.ports import Anchor, JournalUnavailable
from porter.projections.sessions import Sessions
from tests.schema_check import violations
from tests.unit.app.answers.test_cluster import CONF, PEER, UP, told
from tests.unit.projections.story import Story, endpoints, node, pool, service

HEAD = Head("g", 1, 1, b"")
ENGINE = routed.EngineStateChanged("s1", True, "")
FINE = (routed.SpeakerStarted("s1", "", "10.0.0.9", 0), ENGINE, UP, routed.RibSynced("tor-a", 100, 2, "d"))


class Facts(NamedTuple):
    version: str = "7.2.4"
    used_bytes: int = 10
    limit_bytes: int = 100
    time_s: float = 1000.0
    with_password: bool = True
    findings: tuple[tuple[str, str, str], ...] = ()


class Server:
    """Streams whose server says what a test wants."""

    def __init__(self, facts: Facts | Exception) -> None:
        self.facts = facts

    async def examine(self) -> Facts:
        if isinstance(self.facts, Exception):
            raise self.facts
        return self.facts


@pytest.fixture
def story() -> Story:
    begun = Story(CONF, PEER, node(1), node(2), pool(default=True), service(), endpoints("web", "n1", "n2"))
    begun.settles()
    return begun


async def looked(story: Story, *outcomes: Any) -> dict[str, list[tuple[str, str, str]]]:
    """Verdicts by check; the mend comes after the message."""
    sessions = told(*outcomes) if outcomes else Sessions.empty()
    model = ReadModel(story.state, sessions)
    answer = await of_journal(MemoryJournals(writer="a"), "porter", model, HEAD._replace(position=story.position))
    assert violations(answer, "doctor") == []
    assert len(answer["problems"]) == sum(1 for one in answer["checks"] if one["verdict"] == "problem")
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in answer["checks"]:
        assert bool(one["mend"]) or one["verdict"] == "ok", one
        found.setdefault(one["name"], []).append((one["verdict"], one["where"], f"{one['message']}; {one['mend']}"))
    return found


async def test_a_cluster_in_order_has_no_finding(story):
    found = await looked(story, *FINE)
    verdicts = {name: {one[0] for one in checks} for name, checks in found.items()}
    assert verdicts.pop("server") == {"unknown"}, "a journal in memory has no server"
    assert set().union(*verdicts.values()) == {"ok"}, found


@pytest.mark.parametrize(
    ("says", "check", "verdict", "where", "text"),
    [
        ([decided.PositionsLost(3, 5, "f" * 16)], "journal.losses", "warning", "journal", "#3 to #5"),
        ([pool("full", "198.51.100.0-198.51.100.0", problems=(Problem("FieldInvalid", "spec.address", "no range"),))],
         "pools", "problem", "Eip/full", "no range"),
        ([service("late", requested_pool="absent")], "services", "problem", "Service/shop/late", "absent"),
        ([observed.ConfGone("default")], "objects", "problem", "BgpConf/default", "create it"),
        ([decided.SpeakerDrained("s1", "ada", "")], "operated", "warning", "speaker s1", "porter uncordon speaker s1"),
        ([decided.SpeakerDrained("s1", "a", "", 9)], "operated", "warning", "speaker s1", "porter uncordon speaker s1"),
        ([endpoints("web")], "routes", "warning", "Loc-RIB", "1 addresses in use are not announced: NoReadyEndpoint"),
        ([node(3)._replace(addresses=(Address("172.16.9.9"),))], "nextHops", "warning", "BgpPeer/tor-a", "n3"),
    ],
    ids=["losses", "pool", "refused", "conf", "drained", "leaving", "absent", "subnet"],
)  # fmt: skip
async def test_each_defect_of_the_folds_is_told_where_it_is(story, says, check, verdict, where, text):
    story.says(*says)
    story.settles()
    matching = [one for one in (await looked(story, *FINE))[check] if one[0] == verdict and one[1].startswith(where)]
    assert any(text in one[2] for one in matching), matching


async def test_an_exhausted_pool_is_a_finding():
    story = Story(CONF, PEER, pool("one", "192.0.2.0-192.0.2.0", default=True), service())
    story.settles()
    ((verdict, where, text),) = (await looked(story, *FINE))["pools"]
    assert (verdict, where, "all 1 addresses are taken" in text) == ("problem", "Eip/one", True)


async def test_what_is_wrong_with_speakers_and_sessions_is_told(story):
    found = await looked(story)
    assert found["speakers"][0][0] == "problem"
    assert "no speaker told of itself" in found["speakers"][0][2]
    down = routed.SessionStateChanged("tor-a", "Idle", "hold timer expired")
    found = await looked(story, FINE[0]._replace(version="0.0.1"), ENGINE, UP, down)
    assert "hold timer expired" in found["sessions"][0][2]
    assert any("it runs 0.0.1" in text for _, _, text in found["speakers"])
    found = await looked(story, routed.EngineStateChanged("s1", False, "exabgp died"))
    assert "exabgp died" in found["speakers"][0][2]
    found = await looked(story, *FINE, UP._replace(add_path=()))
    assert (found["addPath"][0][0], "RFC 7911" in found["addPath"][0][2]) == ("warning", True)


async def test_a_multihop_peer_may_have_nodes_elsewhere(story):
    story.says(node(3)._replace(addresses=(Address("172.16.9.9"),)), PEER._replace(multihop_ttl=3))
    assert (await looked(story, *FINE))["nextHops"][0][0] == "ok"


async def test_an_old_baseline_is_a_finding(story):
    story.state.ledger.position = 50_000
    story.position = 50_000
    assert (await looked(story, *FINE))["journal.baseline"][0][0] == "problem"


@pytest.mark.parametrize(
    ("facts", "check", "verdict"),
    [
        (Facts(), "server.durability", "ok"),
        (Facts(findings=(("no-aof", "appendonly is off", "set it"),)), "server.no-aof", "problem"),
        (Facts(findings=(("unreadable", "not told", "allow it"),)), "server.unreadable", "unknown"),
        (Facts(used_bytes=90), "server.memory", "problem"),
        (Facts(limit_bytes=0), "server.memory", "warning"),
        (Facts(with_password=False), "server.acl", "warning"),
        (Facts(time_s=1010.0), "clock.server", "warning"),
        (JournalUnavailable("nobody there"), "server", "problem"),
    ],
)
async def test_each_defect_of_the_server_is_told(facts, check, verdict):
    assert [one.verdict for one in await server_checks(Server(facts), 1000.0) if one.name == check] == [verdict]


async def test_the_server_beneath_an_archive_is_examined(tmp_path):
    streams = ArchivedStreams(Server(Facts(with_password=False)), FolderShelf(tmp_path))
    assert ("server.acl", "warning") in [(one.name, one.verdict) for one in await server_checks(streams, 1000.0)]


async def test_a_controller_whose_journal_is_away_answers_all_the_same(story):
    class Away(MemoryJournals):
        def journal(self) -> Any:
            return self

        async def head(self) -> Any:
            raise JournalUnavailable("connection refused")

    view = View(state=story.state, sessions=told(*FINE), parts=lambda: {"journal": "away since 12:00", "leader": "ok"})
    answer = await of_controller(view, Away(writer="a"), "porter")
    assert violations(answer, "doctor") == []
    assert any("away since 12:00" in one for one in answer["problems"])
    assert any("no controller leads" in one for one in answer["problems"])


LEASE = LeaseFacts("controller-0_1", 999.0, 5, Anchor("g", 1, 40, "00"))
CLUSTER = ClusterFacts(
    "v1.33.1", frozenset({"eips", "bgpconfs", "bgppeers", "bgpadvertisements"}), LEASE, {}, ("shop/web",), ()
)


def verdict(facts: ClusterFacts, name: str, genesis: str = "g", position: int = 41) -> tuple[str, str]:
    (check,) = (one for one in judged(facts, 1000.0, genesis, position) if one.name == name)
    return check.verdict, check.message


def test_a_cluster_around_it_that_is_in_order_has_no_finding():
    assert {one.verdict for one in judged(CLUSTER, 1000.0, "g", 41)} == {"ok"}


@pytest.mark.parametrize(
    ("change", "check", "expected", "text"),
    [
        ({"version": "v1.30.9"}, "version", "problem", "1.31"),
        ({"resources": frozenset({"eips"})}, "crds", "problem", "bgpadvertisements"),
        ({"lease": LEASE._replace(holder="")}, "lease", "problem", "nobody"),
        ({"lease": LEASE._replace(renewed_s=900.0)}, "lease", "problem", "100 s ago"),
        ({"lease": LEASE._replace(renewed_s=1060.0)}, "clock.lease", "warning", "in the future"),
        ({"lease": LEASE._replace(anchor=Anchor("other", 1, 1, "00"))}, "anchor", "problem", "is of the journal other"),
        ({"lease": LEASE._replace(anchor=Anchor("g", 1, 90, "00"))}, "anchor", "problem", "what lies between is lost"),
        ({"lease": LEASE._replace(anchor=None)}, "anchor", "warning", "no anchor"),
        ({"proxy": {"mode": "ipvs"}}, "kubeProxy", "warning", "without strictARP"),
        ({"proxy": {"mode": "ipvs", "ipvs": {"strictARP": True}}}, "kubeProxy", "ok", "strictARP"),
        ({"workloads": ("metallb-system/speaker",)}, "otherControllers", "warning", "MetalLB"),
        ({"workloads": ("shop/controller",)}, "otherControllers", "ok", "no other"),
        ({"proxy": None, "refused": (("kubeProxy", "forbidden"),)}, "kubeProxy", "unknown", "forbidden"),
    ],
)  # fmt: skip
def test_each_defect_of_the_cluster_is_told(change, check, expected, text):
    found, message = verdict(CLUSTER._replace(**change), check)
    assert (found, text in message) == (expected, True), message


def test_the_anchor_is_not_judged_without_a_journal():
    assert verdict(CLUSTER, "anchor", genesis="", position=0)[0] == "unknown"
