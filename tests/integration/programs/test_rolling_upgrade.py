"""A rolling upgrade and its way back, with real processes: the former release is this build with its former catalogue.

`tests/golden/catalogues/previous.json` lists what Porter read before it could drain nodes and hold withdrawals. A
process that is told so reads and writes these types alone, as a build of then does; the next release is told that these
are what was released. See `porter.app.upgrade.rehearsal`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from porter.app.demo.routers import BirdRouter, _until_answers, free_port
from porter.app.demo.world import NODES, OWN_AS, POOL, ROUTER_ADDRESS, ROUTER_AS, World, conf, peer, pool
from porter.app.upgrade.rehearsal import READS, RELEASED_BEFORE
from porter.journal.embedded import EmbeddedServer
from tests.integration.programs.supervised import SOURCE, until
from tests.lab import programs
from tests.schema_check import violations

PREVIOUS = Path(__file__).parents[2] / "golden" / "catalogues" / "previous.json"
FORMER, NEXT = {READS: str(PREVIOUS)}, {RELEASED_BEFORE: str(PREVIOUS)}
EVERY_HOP = frozenset(NODES.values())
SPEAKERS = {"s1": "127.0.0.1", "s2": "127.0.0.3"}
WITHIN_S = 90.0
"""Several interpreters start at once, on a machine that runs other tests beside."""
SERVICE_EVERY_S = 1.5
ADDRESSES = 200


class Router(BirdRouter):
    """BIRD with a session to each of two speakers."""

    async def start(self, directory: Path, port: int) -> None:
        self._socket = directory / "bird.ctl"
        sessions = "".join(
            f"protocol bgp {name} {{\n  local {ROUTER_ADDRESS} port {port} as {ROUTER_AS};\n"
            f"  neighbor {address} as {OWN_AS};\n  multihop; passive; graceful restart aware; error wait time 1, 2;\n"
            "  ipv4 { import all; export none; add paths rx; };\n}\n"
            for name, address in SPEAKERS.items()
        )
        head = f"log stderr all;\nrouter id {ROUTER_ADDRESS};\nprotocol device {{ }}\n"
        (directory / "bird.conf").write_text(head + sessions)
        await self.run(directory, self._program, "-f", "-c", "bird.conf", "-s", "bird.ctl", "-P", "bird.pid")
        await _until_answers(self)


class Program:
    """One process, which may be ended and started again as another release."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self.name = name
        self.directory = folder / name
        self.log = folder / f"{name}.log"
        self._arguments = [*arguments, "--state-dir", str(self.directory)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str, **environment: str) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "porter", *self._arguments, *more],
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                cwd=SOURCE,
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def becomes(self, release: dict[str, str], *more: str) -> None:
        self.stop()
        (self.directory / "http").unlink(missing_ok=True)
        self.start(*more, **release)

    def get(self, path: str):
        """Status and answer; 0 and nothing while nobody answers."""
        try:
            address = (self.directory / "http").read_text().strip()
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, "--state-dir", str(self.directory))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=SOURCE)


class Cluster:
    """Two controllers, two speakers with their ExaBGPs, a journal and a router; Services come all the while."""

    def __init__(self, folder: Path, router: Router, runner: asyncio.Runner) -> None:
        self.world = World(folder / "manifests")
        self.router = router
        self.runner = runner
        self.folder = folder
        self.lost: list[str] = []
        self.served = 0
        self.server = EmbeddedServer(folder / "redis")
        self.server.prepare()
        self.redis = subprocess.Popen(self.server.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        url = ("--redis-url", self.server.url)
        objects = ("--manifests", str(self.world.folder), "--http", "127.0.0.1:0")
        self.controllers = {
            name: Program(folder, name, "controller", "--name", name, *url, *objects) for name in ("a", "b")
        }
        self.speakers = {
            name: Program(folder, name, "speaker", "--name", name, "--local-address", address, *url)
            for name, address in SPEAKERS.items()
        }
        self.engines = [Program(folder, name, "exabgp") for name in SPEAKERS]
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._serve, self._watch)]

    def start(self) -> None:
        port = free_port(ROUTER_ADDRESS)
        self.world.build(port)
        own = conf()
        del own["spec"]["routerId"]
        wide = pool()
        wide["spec"]["address"] = "203.0.113.0/24"
        (self.world.folder / "bgp.yaml").write_text(yaml.safe_dump_all([wide, own, peer(port)]))
        (self.folder / "router").mkdir()
        self.runner.run(self.router.start(self.folder / "router", port))
        until(self.server.socket.exists, "the journal's server listens", WITHIN_S)
        for engine in self.engines:
            engine.start()
        for each in (*self.controllers.values(), *self.speakers.values()):
            each.start(**FORMER)

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ending.set()
        for thread in filter(threading.Thread.is_alive, self._threads):
            thread.join(30)
        for each in (*self.controllers.values(), *self.speakers.values(), *self.engines):
            each.stop()
        self.redis.terminate()
        self.redis.wait(30)
        self.runner.run(self.router.stop())

    def serve(self) -> int:
        number, self.served = self.served, self.served + 1
        self.world.serve(f"web-{number:03}", list(NODES))
        return number

    def _serve(self) -> None:
        while not self._ending.wait(SERVICE_EVERY_S) and self.served < ADDRESSES:
            self.serve()

    def _watch(self) -> None:
        """Every route that was whole once stays whole: looked at every 50 ms."""
        whole: set[str] = set()
        with asyncio.Runner() as runner:
            while not self._ending.wait(0.05):
                routes = runner.run(self.router.routes())
                whole |= {prefix for prefix, hops in routes.items() if hops == EVERY_HOP}
                self.lost += [f"{one}: {sorted(routes.get(one, ()))}" for one in whole if routes.get(one) != EVERY_HOP]

    def wait_routed(self, number: int) -> None:
        prefix = f"203.0.113.{number}/32"
        until(lambda: self.runner.run(self.router.routes()).get(prefix) == EVERY_HOP, f"{prefix} is routed", WITHIN_S)

    def leader(self) -> Program:
        """The controller that takes actions."""

        def found() -> Program | None:
            for name, each in self.controllers.items():
                status, answer = each.get("/v1/status")
                if status == 200 and answer["leader"]["holder"] == name and answer["synced"]:
                    return each
            return None

        return until(found, "a controller leads", WITHIN_S)

    def upgraded(self, name: str) -> None:
        """Wait until a process of the next release is known as that."""
        wanted = f"speaker/{name}" if name in SPEAKERS else f"controller/{name}"

        def known() -> bool:
            _, answer = self.leader().get("/v1/readers")
            return any(one["name"] == wanted and one["doesNotRead"] == [] for one in answer.get("readers", ()))

        until(known, f"{wanted} is known to read everything", WITHIN_S)

    def types(self) -> list[tuple[int, str]]:
        """Every event of the journal by its position, as the next release reads it."""
        told = run("journal", "cat", "--redis-url", self.server.url)
        assert told.returncode == 0, told.stderr
        return [(event["position"], event["type"]) for event in map(json.loads, told.stdout.splitlines())]


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    try:
        bird = programs.find("bird")
    except programs.ProgramMissing as error:
        pytest.skip(str(error))
    with asyncio.Runner() as runner:
        here = Cluster(tmp_path, Router(str(bird)), runner)
        try:
            here.start()
            yield here
        finally:
            here.end()


def drained(program: Program) -> subprocess.CompletedProcess[str]:
    return program.ask("drain", "node", "node-1", "--delay", "0s")


def test_a_rolling_upgrade_writes_newer_events_only_when_all_read_them_and_can_go_back_before(cluster):
    a, b = cluster.controllers["a"], cluster.controllers["b"]
    s1, s2 = cluster.speakers["s1"], cluster.speakers["s2"]
    cluster.wait_routed(cluster.serve())
    leader = cluster.leader()
    standby = b if leader is a else a
    cluster.begin()

    # Forward, half of the way: the standby, one speaker, and then whoever led.
    standby.becomes(NEXT, "--activate-schema-after", "1s")
    s1.becomes(NEXT)
    until(lambda: standby.get("/readyz")[0] == 200, "the standby is ready", WITHIN_S)
    leader.becomes(NEXT, "--activate-schema-after", "1s")
    cluster.wait_routed(cluster.serve())
    cluster.upgraded("s1")
    for name in ("a", "b"):
        cluster.upgraded(name)
    refused = drained(cluster.leader())
    assert refused.returncode == 1
    assert "NodeDrained version 1 is not written yet: speaker/s2 (release" in refused.stderr
    status, answer = cluster.leader().get("/v1/readers")
    assert (status, violations(answer, "readers")) == (200, [])
    assert {one["name"] for one in answer["readers"] if one["doesNotRead"]} == {"speaker/s2"}
    assert "NodeDrained" in {one["type"] for one in answer["heldBack"]}
    assert "held back: " in cluster.leader().get("/readyz")[1]["parts"]["schema"]
    assert "speaker/s2" in cluster.leader().ask("readers").stdout

    # Back: nothing newer is in the journal.
    for each in (s1, a, b):
        each.becomes(FORMER)
    cluster.wait_routed(cluster.serve())
    known = set(json.loads(PREVIOUS.read_text()))
    assert {kind for _, kind in cluster.types()} <= known

    # Forward again, to the end.
    for each in (s1, a, s2):
        each.becomes(NEXT, *(("--activate-schema-after", "1s") if each is a else ()))
    cluster.wait_routed(cluster.serve())
    b.becomes(NEXT, "--activate-schema-after", "1s")
    until(lambda: cluster.leader().get("/v1/readers")[1].get("heldBack") == [], "nothing is held back", WITHIN_S)
    cluster.wait_routed(cluster.serve())
    assert cluster.lost == []
    (activated,) = [position for position, kind in cluster.types() if kind == "SchemaActivated"]
    assert {kind for position, kind in cluster.types() if position < activated} <= known

    # Every Service has the address that one release alone would have given it.
    status, answer = cluster.leader().get("/v1/services")
    held = {one["service"]["name"]: [each["address"] for each in one["allocations"]] for one in answer["services"]}
    assert all(held[name] == [f"203.0.113.{int(name[4:])}"] for name in held)
    planned = run("plan", "--with-version", "--redis-url", cluster.server.url)
    assert planned.returncode == 0, planned.stdout + planned.stderr

    # There is no way back any more, and each of the former release says so; the others go on.
    s1.becomes(FORMER)
    until(lambda: "this release cannot read the journal" in s1.log.read_text(), "the former speaker says so", WITHIN_S)
    assert f"position {activated} holds SchemaActivated version 1" in s1.log.read_text()
    standby = b if cluster.leader() is a else a
    standby.becomes(FORMER)
    until(
        lambda: (
            f"position {activated} holds SchemaActivated"
            in standby.get("/readyz")[1].get("parts", {}).get("journal", "")
        ),
        "the former controller is not ready, and says why",
        WITHIN_S,
    )
    assert standby.get("/readyz")[0] == 503
    cluster.wait_routed(cluster.serve())
    assert cluster.lost == []
    done = drained(cluster.leader())
    assert done.returncode == 0, done.stderr
    assert max(position for position, kind in cluster.types() if kind == "NodeDrained") > activated
    assert POOL in {one["name"] for one in cluster.leader().get("/v1/pools")[1]["pools"]}
