"""A scripted incident on real routers: an endpoint flap, a router's restart, and a pool edit that exhausts the pool.

Each command finds the cause. The export tells the same where there is nothing else, byte for byte; the redacted one
after the same pseudonyms, and nothing in it is the cluster's.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from porter.app.incident.pseudonyms import WORDS, is_figure, network_of
from porter.journal.export import ExportJournals
from tests.exports import pairs_of, values_of
from tests.lab import manifests, plan, scenario
from tests.lab.client import Object
from tests.lab.evidence import JournalReader
from tests.lab.lab import Lab
from tests.lab.porter import HTTP_PORT, Porter
from tests.lab.time_travel import USERS, World
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab

SPACE = "storefront"
POOL = "vip-range"
WEB, STEADY, LATE = f"{SPACE}/checkout", f"{SPACE}/catalogue", f"{SPACE}/late-comer"
WIDE, NARROW = "198.51.100.10-198.51.100.12", "198.51.100.10-198.51.100.11"
RIVAL = "tor-east"
"""The peer at the router that restarts."""
KINDS = ("Service", "EndpointSlice", "Node", "Namespace", "Eip", "BgpPeer", "BgpConf")
LABELLED = frozenset({"labels", "selector", "namespaceSelector", "nodeSelector"})
"""Fields of an answer whose keys are labels."""
AGGREGATES = frozenset({"service", "node", "namespace", "pool", "conf", "peer", "speaker"})
"""What an event is about, in front of its name."""
ASKED_AT_ONCE = 2
COMMAND_TIMEOUT_S = 120.0


class Told(NamedTuple):
    """What a command said."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        """The answer."""
        assert self.code in {0, 1}, self.errors
        return json.loads(self.output)


@dataclass
class Incident:
    """The cluster after it, and the positions between its steps."""

    lab: Lab
    up: Porter
    folder: Path
    at: dict[str, int] = field(default_factory=dict)
    late_version: str = ""
    address: str = ""
    own: set[str] = field(default_factory=set)
    """Every name, label and address of the cluster."""

    _answers: dict[tuple[object, ...], Told] = field(default_factory=dict)

    def asked(self, *words: object) -> Told:
        """A command at the cluster's controller; each is run once."""
        if words not in self._answers:
            with self.up.namespace.entered():
                self._answers[words] = run(self.folder, *words, "--server", f"127.0.0.1:{HTTP_PORT}")
        return self._answers[words]

    def elsewhere(self, file: Path, *words: object) -> Told:
        """The same command on a file, on a machine without any network; each is run once."""
        asked = (file, *words)
        if asked not in self._answers:
            self._answers[asked] = run(self.folder, *words, "--from", file, prefix=("unshare", "--net"))
        return self._answers[asked]

    def questions(self) -> list[tuple[object, ...]]:
        """Every question of the incident, as of its end."""
        end, prefix = self.at["exhausted"], scenario.host_prefix(self.address)
        larger = self.folder / "larger-pool.json"
        larger.write_text(json.dumps(manifests.eip(POOL, address=WIDE)))
        hops = f"size(routes.filter(r, r.prefix == '{prefix}')) == {2 * self.lab.node_count}"
        return [
            ("timeline", "--since", self.at["calm"], "--until", end),
            ("timeline", "--since", self.at["calm"], "--until", end, "--service", LATE),
            ("timeline", "--since", self.at["calm"], "--until", end, "--peer", RIVAL),
            ("explain", LATE, "--at", end),
            ("explain", WEB, "--at", self.at["flapped"]),
            ("explain", self.address, "--at", end),
            ("diff", self.at["calm"], self.at["flapped"]),
            ("diff", self.at["recovered"], self.at["router-down"]),
            ("diff", self.at["router-up"], end),
            ("bisect", "--assert", hops, "--since", self.at["calm"], "--until", self.at["flapped"]),
            ("bisect", "--assert", UP, "--since", self.at["recovered"], "--until", self.at["router-down"]),
            ("bisect", "--assert", FREE, "--since", self.at["calm"], "--until", end),
            ("plan", "-f", larger, "--at", end),
            ("plan", *(word for node in self.lab.web_nodes for word in ("--node-down", node)), "--at", end),
            ("status", "--at", end),
            ("routes", "--at", self.at["flapped"]),
            ("services", "--at", end),
        ]


UP = "peers.all(p, p.sessions.all(s, s.state == 'Established'))"
FREE = "pools.all(p, p.available > 0)"


def run(folder: Path, *words: object, prefix: Sequence[str] = ()) -> Told:
    """`porter` as JSON, from a folder that holds nothing of it, with nothing in its environment."""
    command = [*prefix, sys.executable, "-m", "porter", *map(str, words), "-o", "json"]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    return Told(done.returncode, done.stdout, done.stderr)


# The incident


@pytest.fixture(scope="module")
def incident(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    """What happened; the cluster is still there."""
    try:
        scenario.grant(lab, *USERS)
        configure(lab)
        up = lab.porter(1, user=USERS[0], options=["--hold-minimum", "1000"]).start()
        scenario.wait_sessions(lab, up)
        made = Incident(lab, up, tmp_path_factory.mktemp("incident"))
        # A router sees its session up before Porter tells so, and what is told belongs before the calm.
        eventually(lambda: session(made) == "Established", "the session is told", scenario.SETTLED_WITHIN_S)
        happen(made, World(lab, up, up, JournalReader(lab.redis), {lab.frr.name: "tor-west", lab.bird.name: RIVAL}))
        yield made
    finally:
        lab.reset()


def configure(lab: Lab) -> None:
    """A namespace, two peers by names of their own, and a pool of three addresses."""
    labels = {"team": "payments"}
    lab.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}})
    lab.client.create(manifests.bgp_conf())
    for name, router in (("tor-west", lab.frr), (RIVAL, lab.bird)):
        lab.client.create(manifests.bgp_peer(name, router.addresses.v4, router.as_number))
    lab.client.create(manifests.eip(POOL, address=WIDE))


def happen(incident: Incident, world: World) -> None:
    """Let it happen, step by step; nothing is on its way any more between two steps."""
    lab = incident.lab
    everywhere = lab.web_nodes
    for service in (WEB, STEADY):
        create(lab, service)
        write_endpoints(lab, service, everywhere)
    [incident.address] = lab.cluster.wait_ingress(WEB.partition("/")[2], namespace=SPACE)
    mark(incident, world, "calm")
    write_endpoints(lab, WEB, [node for node in everywhere if node != "n2"])
    mark(incident, world, "flapped")
    write_endpoints(lab, WEB, everywhere)
    mark(incident, world, "recovered")
    lab.bird.kill()
    eventually(lambda: session(incident) != "Established", "the session is down", scenario.SETTLED_WITHIN_S)
    mark(incident, world, "router-down", RIVAL)
    lab.bird.start()
    lab.bird.wait_ready()
    scenario.wait_sessions(lab, incident.up)
    mark(incident, world, "router-up")
    lab.client.patch("Eip", POOL, {"spec": {"address": NARROW}})
    mark(incident, world, "edited")
    incident.late_version = create(lab, LATE)["metadata"]["resourceVersion"]
    write_endpoints(lab, LATE, everywhere)
    eventually(
        lambda: "PoolExhausted" in scenario.refusal_of(incident.up, LATE.partition("/")[2]),
        "the last Service is refused",
        scenario.SETTLED_WITHIN_S,
    )
    mark(incident, world, "exhausted")
    incident.own = owned(lab)


def mark(incident: Incident, world: World, name: str, *down: str) -> None:
    """Wait until nothing moves, and note the position; what comes later lies behind another one."""
    incident.at[name] = world.quiet(*down).position
    world.wait_taken_in()


def session(incident: Incident) -> str:
    """The state of the session with the router that restarts; "" while there is none."""
    peers = [each for each in incident.up.json("/v1/peers")["peers"] if each["peer"] == RIVAL]  # type: ignore[index]
    states: list[str] = [one["state"] for each in peers for one in each["sessions"]]
    return states[0] if states else ""


def create(lab: Lab, service: str) -> Object:
    """Create a Service that serves on the nodes of its endpoints."""
    manifest = manifests.service(service.partition("/")[2], namespace=SPACE, policy="Local")
    manifest["metadata"]["labels"] = {"app": f"{service.partition('/')[2]}-frontend"}
    return lab.client.create(manifest)


def write_endpoints(lab: Lab, service: str, nodes: Sequence[str]) -> None:
    """Write a Service's endpoints: the nodes' pods."""
    pods = [(node, lab.cluster.pods["default", f"web-{node}"].addresses.v4, True) for node in nodes]
    lab.client.apply(manifests.endpoint_slice(service.partition("/")[2], pods, namespace=SPACE))


# What each command finds


def entries(answer: Any, kind: str) -> list[Any]:
    """The entries of a timeline of one type."""
    return [each for each in answer["entries"] if each["type"] == kind]


def test_the_timeline_shows_the_three_causes_and_what_each_of_them_did(incident: Incident) -> None:
    at = incident.at
    told = incident.asked("timeline", "--since", at["calm"], "--until", at["exhausted"]).json
    flap = next(each for each in entries(told, "EndpointsObserved") if each["position"] > at["calm"])
    assert (flap["aggregate"], flap["lane"]) == (f"service/{WEB}", "kube")
    gone = [each for each in entries(told, "RoutesWithdrawn") if each["cause"] == flap["position"]]
    hop = incident.lab.cluster.nodes["n2"].addresses.v4
    assert {each["payload"]["peer"] for each in gone} == {"tor-west", RIVAL}
    assert all([path["nextHop"] for path in each["payload"]["paths"]] == [hop] for each in gone)
    states = [
        each["payload"]["state"] for each in entries(told, "SessionStateChanged") if each["payload"]["peer"] == RIVAL
    ]
    assert "Established" not in states[:1]
    assert states[-1] == "Established"
    synced = [each["payload"]["peer"] for each in entries(told, "RibSynced") if each["time"] > flap["time"]]
    assert synced == [RIVAL]
    [edit] = entries(told, "PoolObserved")
    [refused] = entries(told, "AllocationRefused")
    late = next(each for each in entries(told, "ServiceObserved") if each["aggregate"] == f"service/{LATE}")
    assert at["router-up"] < edit["position"] < late["position"] < refused["position"]
    assert f"ranges {WIDE}→{NARROW}" in edit["summary"]
    assert (refused["cause"], refused["causeType"]) == (late["position"], "ServiceObserved")
    about = incident.asked("timeline", "--since", at["calm"], "--until", at["exhausted"], "--service", LATE).json[
        "entries"
    ]
    assert [each["position"] for each in about if each["type"] in {"PoolObserved", "AllocationRefused"}] == [
        edit["position"],
        refused["position"],
    ]
    assert not [each for each in about if each["aggregate"] == f"service/{WEB}"]


def test_explain_names_the_refusal_and_its_chain_down_to_the_objects_version(incident: Incident) -> None:
    told = incident.asked("explain", LATE, "--at", incident.at["exhausted"])
    assert told.code == 1
    refusal = told.json["service"]["refusal"]
    assert refusal["reason"] == "PoolExhausted"
    assert [each["pool"] for each in refusal["candidates"]] == [POOL]
    decision, fact = refusal["causes"]
    assert (decision["type"], fact["type"]) == ("AllocationRefused", "ServiceObserved")
    assert (fact["aggregate"], fact["resourceVersion"]) == (f"service/{LATE}", incident.late_version)
    then = incident.asked("explain", WEB, "--at", incident.at["flapped"]).json["service"]["holdings"][0]
    assert then["allocation"]["address"] == incident.address
    assert {each["node"] for each in then["route"]["nextHops"]} == {"n1", "n3"}


def test_diff_names_the_event_behind_each_difference(incident: Incident) -> None:
    at = incident.at
    flapped = incident.asked("diff", at["calm"], at["flapped"]).json["routes"]
    assert {(each["change"], each["prefix"], each["cause"]["type"]) for each in flapped} == {
        ("removed", scenario.host_prefix(incident.address), "EndpointsObserved")
    }
    assert {each["peer"] for each in flapped} == {"tor-west", RIVAL}
    down = incident.asked("diff", at["recovered"], at["router-down"]).json
    [lost] = down["sessions"]
    assert (lost["peer"], lost["before"]["state"], lost["cause"]["type"]) == (
        RIVAL,
        "Established",
        "SessionStateChanged",
    )
    assert lost["after"]["state"] != "Established"
    assert {(each["peer"], each["after"]["state"]) for each in down["routes"]} == {(RIVAL, "desired")}
    exhausted = incident.asked("diff", at["router-up"], at["exhausted"]).json
    [pool] = exhausted["pools"]
    assert (pool["pool"], pool["after"]["available"], pool["cause"]["type"]) == (POOL, 0, "PoolObserved")
    [refused] = exhausted["refusals"]
    assert (refused["service"]["name"], refused["after"]["reason"]) == ("late-comer", "PoolExhausted")


def test_bisect_finds_the_position_of_each_cause(incident: Incident) -> None:
    found = {}
    for question in incident.questions():
        if question[0] == "bisect":
            told = incident.asked(*question)
            assert told.code == 1, told.errors
            assert told.json["holdsBefore"]
            found[question[2]] = told.json["entries"]
    routed, up, free = found.values()
    assert [(each["type"], each["aggregate"]) for each in routed if not each["stream"]] == [
        ("EndpointsObserved", f"service/{WEB}")
    ]
    assert "SessionStateChanged" in {each["type"] for each in up}
    assert [(each["type"], each["aggregate"]) for each in free if not each["stream"]] == [
        ("PoolObserved", f"pool/{POOL}")
    ]


def test_plan_tells_what_the_mend_would_do_and_what_an_outage_would(incident: Incident) -> None:
    mend, outage = (incident.asked(*each) for each in incident.questions() if each[0] == "plan")
    assert mend.code == 0, mend.errors
    [given] = mend.json["addresses"]
    assert (given["change"], given["after"]["service"]["name"]) == ("added", "late-comer")
    assert [each["type"] for each in mend.json["changes"]] == ["PoolObserved", "AddressAllocated"]
    assert outage.code == 1
    assert any(WEB in problem for problem in outage.json["problems"])


# The same elsewhere


def test_the_export_tells_the_same_where_there_is_nothing_else(incident: Incident) -> None:
    file = exported(incident, "incident.porter-export")
    with ThreadPoolExecutor(ASKED_AT_ONCE) as asking:
        there = list(asking.map(lambda question: incident.elsewhere(file, *question), incident.questions()))
    for question, told in zip(incident.questions(), there, strict=True):
        assert told == incident.asked(*question), question


def test_the_redacted_export_tells_the_same_after_the_same_pseudonyms(incident: Incident) -> None:
    plain = exported(incident, "incident.porter-export")
    secret = exported(incident, "made-of-it", "--from", plain, "--redact")
    pseudonyms = same_throughout(ExportJournals(plain), ExportJournals(secret))
    renamed = renaming(pseudonyms)
    questions = [question for question in incident.questions() if question[0] != "plan"]
    asked = [tuple(renamed(word) if isinstance(word, str) else word for word in question) for question in questions]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as asking:
        there = list(asking.map(lambda question: incident.elsewhere(secret, *question), asked))
        here = list(asking.map(lambda question: incident.elsewhere(plain, *question), questions))
    for question, told, open_told in zip(questions, there, here, strict=True):
        assert told.code == open_told.code, question
        answers = [told.json, replaced(open_told.json, renamed, pseudonyms)]
        for answer in answers:
            # A new chain has a head of its own.
            answer.pop("hash", None)
        assert json.dumps(answers[0], sort_keys=True) == json.dumps(answers[1], sort_keys=True), question


def test_nothing_in_the_redacted_export_is_the_clusters(incident: Incident) -> None:
    plain, secret = exported(incident, "incident.porter-export"), exported(incident, "redacted", "--redact")
    own = incident.own
    assert {SPACE, POOL, "checkout", "tor-east", "n2", "payments", "team", incident.address, "10.77.0.1"} <= own
    held = set(map(str, values_of(ExportJournals(plain))))
    assert {SPACE, POOL, "checkout", "n2", "payments", incident.address} <= held
    left = set(values_of(ExportJournals(secret)))
    texts = [each for each in left if isinstance(each, str) and (network_of(each) is not None or not is_figure(each))]
    for name in own:
        # A short name may stand within another word.
        assert [text for text in texts if name == text or (len(name) > 3 and name in text)] == [], name
    numbers = {int(ip_address(each.v4)) for each in (plan.node(1), plan.node(2), plan.node(3), plan.FRR, plan.BIRD)}
    assert not numbers & left


def exported(incident: Incident, name: str, *options: object) -> Path:
    """The cluster's history as a file; or made of another file."""
    file = incident.folder / name
    if not file.exists():
        source = () if "--from" in options else ("--server", f"127.0.0.1:{HTTP_PORT}")
        incident.up.command("export", "-o", str(file), *map(str, (*source, *options)))
    return file


def owned(lab: Lab) -> set[str]:
    """Every name, label and address of the cluster, by the API server's own word, but for words of Kubernetes."""
    found: set[str] = set()
    for kind in KINDS:
        for each in lab.client.list(kind):
            found |= names_in(kind, each)
    return {name for name in found if network_of(name) is not None or not is_figure(name)}


def names_in(kind: str, manifest: Object) -> set[str]:
    """One object's."""
    metadata, spec, status = manifest["metadata"], manifest.get("spec", {}), manifest.get("status", {})
    found = {metadata["name"], metadata.get("namespace", ""), metadata["uid"]}
    for key, value in metadata.get("labels", {}).items():
        found |= {key, value}
    found |= {each["address"] for each in status.get("addresses", ()) if isinstance(each, dict)}
    found |= {each["ip"] for each in status.get("loadBalancer", {}).get("ingress") or ()}
    found |= {spec.get("conf", {}).get("neighborAddress", "")}
    found |= set(spec.get("address", "").split("-")) if kind == "Eip" else set()
    return found - {""}


def same_throughout(plain: ExportJournals, secret: ExportJournals) -> dict[str, str]:
    """What stands for what: one pseudonym for one name, and one name for one pseudonym. Numbers begin with `#`.

    A label's value may be the text of a number that stays elsewhere.
    """
    found: dict[str, str] = {}
    for was, now in ((written(one), written(other)) for one, other in pairs_of(plain, secret)):
        # Signatures, and what speakers saw of the old chain, are left out.
        assert not now or found.setdefault(was, now) == now, f"{was} is {found[was]} and {now}"
    for was, now in tuple(found.items()):
        # A compound stands for its parts as well.
        if was != now and "/" in was and " " not in was:
            for part, other in zip(was.split("/"), now.split("/"), strict=True):
                assert found.setdefault(part, other) == other, part
    moved = {was: now for was, now in found.items() if was != now}
    assert len(set(moved.values())) == len(moved)
    # A path's identifier is its next hop's address as a number, also where no event says it.
    addresses = [(was, now) for was, now in moved.items() if was.count(".") == 3 and network_of(was) and "/" not in was]
    return moved | {written(int(ip_address(was))): written(int(ip_address(now))) for was, now in addresses}


def written(value: Any) -> str:
    return value if isinstance(value, str) else f"#{value}"


def renaming(pseudonyms: dict[str, str]) -> Callable[[str], str]:
    """Replaces every name in a text, the longest first, where it stands as a word."""
    # A word that stays may hold a part of a name: kubernetes.io/metadata.name.
    pseudonyms = {word: word for word in WORDS if "/" in word} | pseudonyms
    names = [name for name in pseudonyms if not name.removeprefix("#").isdecimal()]
    names = [name for name in names if name.partition("/")[0] not in AGGREGATES]
    names.sort(key=len, reverse=True)
    word = re.compile(r"(?<![\w.:])(" + "|".join(map(re.escape, names)) + r")(?![\w:]|\.\w)")
    # A label's value may be a number, which is one elsewhere.
    label = re.compile(r"(?<![\w.:])(" + "|".join(map(re.escape, names)) + r")=(\d+)(?![\w:]|\.\w)")

    def renamed(text: str) -> str:
        labelled = label.sub(lambda found: f"{found[1]}={pseudonyms.get(found[2], found[2])}", text)
        return word.sub(lambda found: pseudonyms[found[1]], labelled)

    return renamed


def replaced(value: Any, renamed: Callable[[str], str], pseudonyms: dict[str, str], *, keys: bool = False) -> Any:
    """An answer with pseudonyms in the place of its names; keys of JSON stay, but for labels."""
    if isinstance(value, dict):
        told = {
            (renamed(key) if keys else key): replaced(each, renamed, pseudonyms, keys=keys or key in LABELLED)
            for key, each in value.items()
        }
        if "correlation" in told:
            # It is told as it stands in the file.
            told["correlation"] = pseudonyms.get(value["correlation"], value["correlation"])
        return told
    if isinstance(value, list):
        return [replaced(each, renamed, pseudonyms, keys=keys) for each in value]
    if isinstance(value, str):
        return pseudonyms.get(value, renamed(value)) if keys else renamed(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return int(pseudonyms.get(written(value), written(value)).removeprefix("#"))
