"""`porter up` where no router answers: what is told of the peer is true within seconds, and stays so."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import yaml

from porter.app.demo.routers import free_port
from porter.app.demo.world import PEER, ROUTER_ADDRESS, SPEAKER_ADDRESS, World, peer
from tests.integration.programs.supervised import pids, until
from tests.integration.programs.test_up import READY_S, Up


class Place:
    """A folder of manifests with a peer that nobody answers for, and a running `porter up`."""

    def __init__(self, world: World, port: int, up: Up) -> None:
        self.world, self.port, self.up = world, port, up

    def edit_peer(self, **conf: object) -> None:
        bgp = [each for each in yaml.safe_load_all((self.world.folder / "bgp.yaml").read_text()) if each]
        edited = peer(self.port)
        edited["spec"]["conf"] |= conf
        self.world._write("bgp", *(each for each in bgp if each["kind"] != "BgpPeer"), edited)

    def status(self) -> dict:
        """The peer's status as it is written; empty while there is none."""
        found = list((self.world.folder / ".status").glob(f"BgpPeer.*{PEER}.json"))
        return json.loads(found[0].read_text()) if found else {}

    def condition(self, kind: str) -> tuple[str, str, str]:
        for one in self.status().get("conditions", ()):
            if one["type"] == kind:
                return one["status"], one["reason"], one["message"]
        return "", "", ""


@pytest.fixture
def place(tmp_path):
    world, port = World(tmp_path / "manifests"), free_port(ROUTER_ADDRESS)
    world.build(port)
    options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one")
    up = Up(world, tmp_path / "state", *options)
    try:
        yield Place(world, port, up)
    finally:
        up.process.terminate()
        up.process.wait(30)


def test_a_password_that_is_there_ends_its_refusal_although_no_router_answers(place):
    configuration = place.up.directory / "exabgp.conf"
    until(lambda: configuration.exists() and ROUTER_ADDRESS in configuration.read_text(), "the peer", READY_S)
    place.edit_peer(authPassword="inl1ne-Pa55", vrf="red")
    until(lambda: "inl1ne-Pa55" in configuration.read_text(), "the password in the engine's configuration")

    def accepted() -> bool:
        status, reason, message = place.condition("Accepted")
        return (status, reason) == ("True", "FieldUnsupported") and "vrf" in message and "authPassword" not in message

    until(accepted, "the refusal over, and the other field told")
    before = pids(place.up.directory)["speaker"]
    os.kill(before, signal.SIGKILL)
    until(lambda: pids(place.up.directory).get("speaker", before) != before, "another speaker")
    until(lambda: place.up.get("/v1/peers")[0] == 200 and accepted(), "the same after the speaker's restart")


def test_a_router_that_does_not_answer_is_told_with_the_cause_and_after_a_restart_too(place):
    def told() -> bool:
        one = place.status().get("nodesPeerStatus", {}).get("one", {})
        refused = f"{ROUTER_ADDRESS} port {place.port} refuses connections"
        return (
            one.get("peerState", {}).get("sessionState") == "CONNECT"
            and refused in one["lastError"]
            and place.condition("Ready")[:2] == ("False", "SessionDown")
            and f"speaker one is Connect: {refused}" in place.condition("Ready")[2]
        )

    until(told, "the peer's state and why", READY_S)
    (shown,) = place.up.get("/v1/peers")[1]["peers"][0]["sessions"]
    assert (shown["speaker"], shown["state"]) == ("one", "Connect")
    assert place.status()["nodesPeerStatus"]["one"]["timersState"].keys() == {
        "holdTime",
        "keepaliveInterval",
        "downtime",
    }
    before = pids(place.up.directory)["speaker"]
    os.kill(before, signal.SIGKILL)
    until(lambda: pids(place.up.directory).get("speaker", before) != before, "another speaker")
    told_again = time.monotonic() + 12
    until(lambda: time.monotonic() > told_again, "time for the new speaker to tell")
    assert told()
    events = place.up.get("/v1/events?limit=1000")[1]["events"]
    assert all(event["payload"].get("state") != "Established" for event in events)


def test_a_router_that_drops_every_packet_has_a_state_within_seconds(place):
    place.edit_peer(neighborAddress="192.0.2.254")

    def state() -> str:
        one = place.status().get("nodesPeerStatus", {}).get("one", {}).get("peerState", {})
        return one.get("sessionState", "") if one.get("neighborAddress") == "192.0.2.254" else ""

    until(lambda: state() in {"CONNECT", "IDLE"}, "a state", READY_S)
    until(lambda: "192.0.2.254" in place.condition("Ready")[2], "the condition with the router's address")
