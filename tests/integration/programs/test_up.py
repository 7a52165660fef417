"""`porter up` over a folder of manifests: the real controller, speaker, ExaBGP and journal, and a router."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from porter.app.demo.routers import Router, choose_router, free_port
from porter.app.demo.world import NAMESPACE, NODES, PEER, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from porter.model.bgp import GRACEFUL_SHUTDOWN
from tests.integration.programs.supervised import SOURCE, alive, pids, until
from tests.schema_check import violations

READY_S = 60.0
"""Three interpreters start at once, on a machine that runs other tests beside."""
EVERY_HOP = frozenset(NODES.values())


class Up:
    """One `porter up` and the questions that a person asks it."""

    def __init__(self, world: World, directory: Path, *options: str) -> None:
        self.directory = directory
        self.output = directory.parent / f"{directory.name}.out"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command("up", "--manifests", str(world.folder), "--state-dir", str(directory), *options),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=SOURCE,
            )

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "porter", *arguments]

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

    def scrape(self, accepts: str = "text/plain") -> str:
        """The metrics, as a scrape gets them."""
        address = (self.directory / "http").read_text().strip()
        request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accepts})
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.read().decode()

    def wait_ready(self) -> None:
        until(lambda: self.get("/readyz?sessions=all")[0] == 200, f"ready: {self.output}", READY_S)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), check=False, capture_output=True, text=True, cwd=SOURCE)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(*arguments, "--state-dir", str(self.directory))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of manifests, a listening router, and a running `porter up`."""
    directory = tmp_path_factory.mktemp("up")
    world, router, port = World(directory / "manifests"), choose_router(""), free_port(ROUTER_ADDRESS)
    world.build(port)
    world.serve("web", list(NODES))
    (directory / "router").mkdir()
    with asyncio.Runner() as runner:
        runner.run(router.start(directory / "router", port))
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one")
        here = Place(world, router, runner, Up(world, directory / "state", *options), options)
        try:
            yield here
        finally:
            here.up.process.terminate()
            here.up.process.wait(30)
            runner.run(router.stop())


class Place:
    def __init__(self, world: World, router: Router, runner: asyncio.Runner, up: Up, options: tuple[str, ...]) -> None:
        self.world = world
        self.up = up
        self.options = options
        self._router = router
        self._runner = runner

    def routes(self) -> dict[str, frozenset[str]]:
        return self._runner.run(self._router.routes())

    def wait_route(self, prefix: str, hops: frozenset[str] = EVERY_HOP) -> None:
        until(lambda: self.routes().get(prefix, frozenset()) == hops, f"{prefix} via {set(hops)}", READY_S)


@pytest.fixture
def up(place) -> Up:
    place.up.wait_ready()
    return place.up


def test_a_service_in_the_folder_is_routed(place, up):
    place.wait_route("203.0.113.0/32")
    # ExaBGP starts the relay by itself, and the pid file follows when the supervisor looks next.
    until(
        lambda: set(pids(up.directory)) == {"controller", "speaker", "exabgp", "relay", "redis"},
        "every part has its pid in the file",
    )
    assert all(alive(pid) for pid in pids(up.directory).values())
    assert (up.directory.stat().st_mode & 0o777) == 0o700


def test_every_answer_keeps_to_its_schema_and_shows_the_route(place, up):
    place.wait_route("203.0.113.0/32")
    for name in ("status", "routes", "pools", "services", "peers", "events"):
        status, answer = up.get(f"/v1/{name}")
        assert status == 200
        assert violations(answer, name) == []
    until(lambda: {route["state"] for route in up.get("/v1/routes")[1]["routes"]} == {"confirmed"}, "confirmed routes")
    assert {route["nextHop"] for route in up.get("/v1/routes")[1]["routes"]} == EVERY_HOP
    types = [event["type"] for event in up.get("/v1/events?limit=1000")[1]["events"]]
    assert types[0] == "EpochStarted"
    assert "AddressAllocated" in types


def test_a_renamed_peer_keeps_its_routes(place, up):
    place.wait_route("203.0.113.0/32")
    [file] = [file for file in place.world.folder.glob("*.yaml") if "kind: BgpPeer" in file.read_text()]
    before = file.read_text()
    lost = []

    def live(name: str) -> bool:
        if place.routes().get("203.0.113.0/32") != EVERY_HOP:
            lost.append(name)
        peers = {peer["peer"]: peer["sessions"] for peer in up.get("/v1/peers")[1]["peers"]}
        return peers.keys() == {name} and [(one["state"], one["synced"]) for one in peers[name]] == [
            ("Established", True)
        ]

    try:
        for name in ("a-router", "z-router"):
            file.write_text(before.replace(PEER, name))
            until(lambda name=name: live(name), f"{name} is live", READY_S)
    finally:
        file.write_text(before)
    until(lambda: live(PEER), "and it is again what it was", READY_S)
    assert lost == []


def test_the_commands_say_the_same_by_http_and_from_the_journal(place, up):
    place.wait_route("203.0.113.0/32")
    url = f"unix://{up.directory}/redis/journal.sock"
    for command in ("status", "routes"):
        # Witnessed heads are journaled in the background: a pair without one between is compared.
        def same(command: str = command) -> bool:
            by_http = up.ask(command, "-o", "json")
            direct = up.run(command, "-o", "json", "--redis-url", url)
            assert (by_http.returncode, direct.returncode) == (0, 0), (by_http.stderr, direct.stderr)
            return _settled(by_http.stdout) == _settled(direct.stdout)

        until(same, f"porter {command} says the same twice")
    tail = up.run("journal", "tail", "-o", "json", "--redis-url", url, "--after", "0", "-n", "1")
    assert json.loads(tail.stdout.splitlines()[0])["type"] == "EpochStarted"


def _settled(answer: str) -> dict:
    """An answer without what moves on while nothing happens: the head of the journal."""
    shown = json.loads(answer)
    return {name: value for name, value in shown.items() if name not in ("position", "hash", "time")}


def test_a_service_and_an_address_are_explained_by_http_and_from_the_journal(place, up):
    place.wait_route("203.0.113.0/32")
    url = f"unix://{up.directory}/redis/journal.sock"
    for about in (f"{NAMESPACE}/web", "203.0.113.0"):
        by_http = up.ask("explain", about, "-o", "json")
        direct = up.run("explain", about, "-o", "json", "--redis-url", url)
        assert (by_http.returncode, direct.returncode) == (0, 0), (by_http.stderr, direct.stderr)
        answer = json.loads(by_http.stdout)
        assert violations(answer, "explain") == []
        assert answer["summary"] == json.loads(direct.stdout)["summary"]
        (holding,) = (answer["service"] or answer["address"])["holdings"]
        assert [one["type"] for one in holding["causes"]] == ["AddressAllocated", "ServiceObserved"]
        assert {hop["address"] for hop in holding["route"]["nextHops"]} == EVERY_HOP
    told = up.ask("explain", "web", "-n", NAMESPACE)
    assert told.returncode == 0, told.stderr
    assert f"{NAMESPACE}/web holds 203.0.113.0" in told.stdout
    assert "is announced with 3 next hops; 1 of 1 session confirmed it." in told.stdout
    assert "AddressAllocated" in told.stdout
    free = up.ask("explain", "203.0.113.9")
    assert (free.returncode, free.stdout) == (0, "203.0.113.9 is free, and Eip public would give it.\n")
    absent = up.ask("explain", "-n", "nowhere", "web")
    assert absent.returncode == 1
    assert "no Service nowhere/web of Porter's is known" in absent.stderr


def test_the_commands_print_tables(place, up):
    place.wait_route("203.0.113.0/32")
    table = up.ask("routes")
    assert table.stdout.splitlines()[0].split() == ["PREFIX", "NEXT", "HOP", "PEER", "SPEAKER", "STATE", "TOUCHED"]
    assert len(table.stdout.splitlines()) == 1 + len(EVERY_HOP)
    status = up.ask("status")
    assert status.returncode == 0, status.stderr
    assert "Established" in status.stdout
    assert "AddressAllocated" in up.ask("journal", "tail", "-n", "1000").stdout


def test_a_second_up_on_the_same_directory_is_refused_and_nothing_happens(up, place):
    before = pids(up.directory)
    refused = up.run("up", "--manifests", str(place.world.folder), "--state-dir", str(up.directory))
    assert refused.returncode == 1
    assert f"pid {up.process.pid}" in refused.stderr
    assert pids(up.directory) == before


@pytest.mark.parametrize("part", ["controller", "speaker", "relay", "exabgp", "redis"])
def test_a_killed_part_comes_back_and_serves_and_no_route_is_lost(place, up, part):
    place.wait_route("203.0.113.0/32")
    killed = pids(up.directory)[part]
    os.kill(killed, signal.SIGKILL)
    lost = []

    def back() -> bool:
        if place.routes().get("203.0.113.0/32") != EVERY_HOP:
            lost.append(place.routes())
        return pids(up.directory).get(part, killed) != killed and up.get("/readyz?sessions=all")[0] == 200

    until(back, f"{part} is back", READY_S)
    place.world.serve(f"after-{part}", list(NODES))
    try:
        found = until(lambda: _address(up, f"after-{part}"), f"an address after {part} was killed", READY_S)
        place.wait_route(f"{found}/32")
        assert lost == []
    finally:
        place.world.remove(f"after-{part}")
    place.wait_route(f"{found}/32", frozenset())


def _address(up: Up, name: str) -> str:
    for service in up.get("/v1/services")[1].get("services", []):
        if service["service"]["name"] == name and service["allocations"]:
            return service["allocations"][0]["address"]
    return ""


def test_a_drained_speaker_is_marked_first_then_withdraws_everything_and_announces_again(place, up):
    place.wait_route("203.0.113.0/32")
    refused = up.ask("drain", "speaker", "one", "--why", "maintenance")
    assert refused.returncode == 1
    assert "no other speaker announces" in refused.stderr
    assert "porter drain speaker one --force" in refused.stderr
    begun = up.ask("drain", "speaker", "one", "--delay", "1h", "--why", "maintenance", "--force")
    assert (begun.returncode, "speaker one leaves service" in begun.stdout) == (0, True)
    until(
        lambda: all(GRACEFUL_SHUTDOWN in one["attributes"]["communities"] for one in up.get("/v1/routes")[1]["routes"]),
        "GRACEFUL_SHUTDOWN is announced",
        READY_S,
    )
    place.wait_route("203.0.113.0/32")
    status = up.ask("status")
    assert status.returncode == 1
    assert "speaker one leaves service and withdraws everything at " in status.stderr
    assert ", still leaving: maintenance" in status.stdout
    assert "withdraws everything in 3600 s" in up.ask("timeline").stdout
    assert up.ask("drain", "speaker", "one", "--delay", "0s", "--force").returncode == 0
    place.wait_route("203.0.113.0/32", frozenset())
    assert "speaker one is drained by" in up.ask("status").stderr
    assert up.ask("uncordon", "speaker", "one").returncode == 0
    place.wait_route("203.0.113.0/32")


def test_names_that_nobody_knows_are_told_and_change_nothing(place, up):
    for command in ("drain speaker nosuch", "drain speaker nosuch --undo", "routes --speaker nosuch"):
        ended = up.ask(*command.split())
        assert ended.returncode == 1, command
        assert "no speaker 'nosuch' is known; known: one" in ended.stderr
    assert "no BgpPeer 'nosuch' is known" in up.ask("routes", "--peer", "nosuch").stderr
    place.wait_route("203.0.113.0/32")
    assert up.get("/v1/status")[1]["drained"] == []


def test_a_killed_supervisor_takes_its_own_along_and_leaves_sessions_and_journal(place, up):
    place.wait_route("203.0.113.0/32")
    left = pids(up.directory)
    up.process.kill()
    up.process.wait()
    until(
        lambda: not alive(left["controller"]) and not alive(left["speaker"]), "controller and speaker end by themselves"
    )
    assert all(alive(left[part]) for part in ("exabgp", "relay", "redis"))
    assert place.routes()["203.0.113.0/32"] == EVERY_HOP
    place.up = Up(place.world, up.directory, *place.options)
    until(lambda: not any(alive(pid) for pid in left.values()), "the next one ends what was left", READY_S)
    place.up.wait_ready()
    assert place.routes()["203.0.113.0/32"] == EVERY_HOP
    place.world.serve("after-all", list(NODES))
    address = until(lambda: _address(place.up, "after-all"), "an address after the supervisor was killed", READY_S)
    place.wait_route(f"{address}/32")


def test_an_address_that_is_taken_ends_up_with_a_sentence(place, up, tmp_path):
    taken = (up.directory / "http").read_text().strip()
    second = Up(place.world, tmp_path / "second", "--http", taken)
    assert second.process.wait(60) == 2
    assert f"--http {taken} cannot be bound" in second.output.read_text()


def test_the_end_leaves_the_routes_at_the_router(place, up):
    """The last test of this file: it ends what the others use."""
    place.wait_route("203.0.113.0/32")
    children = list(pids(up.directory).values())
    up.process.terminate()
    assert up.process.wait(30) == 0
    assert not any(alive(pid) for pid in children)
    assert pids(up.directory) == {}
    assert place.routes()["203.0.113.0/32"] == EVERY_HOP, "graceful restart keeps what was announced"
