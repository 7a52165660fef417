"""Peers that misbehave: each is told with its cause, and the other peers do not notice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from porter.events.routed import ImportsRefused, SessionStateChanged
from porter.model.bgp import PeerKey
from tests.integration.bgp.lab import ADDRESS, LOCAL_AS, add_path_routes, settings, until
from tests.integration.bgp.scripted import KEEPALIVE, NOTIFICATION, UPDATE, ScriptedPeer, message, update
from tests.integration.bgp.test_routers import HOPS4, ROUTES

pytestmark = pytest.mark.timeout(180)

TOLD_WITHIN_S = 45.0
FLOOD_ROUTES = 100_000
ROUTES_PER_UPDATE = 500
FLOOD_MEMORY_KIB = {"exabgp": 20 * 1024, "gobgp": 72 * 1024}
"""GoBGP keeps what it refuses, at least 33 MB of it: docs/adr/0010-a-gobgp-daemon-for-each-session.md."""
STORM_S = 12.0
STORM_OUTCOMES = 60
LATE = add_path_routes(["10.9.8.7/32"], HOPS4[:2])


def told_of(lab, peer: str) -> list[SessionStateChanged]:
    return [one for one in lab.speaker.events if isinstance(one, SessionStateChanged) and one.peer == peer]


async def told(lab, words: str, state: str = "Idle") -> SessionStateChanged:
    """Wait until the bad peer's cause is told."""

    def found() -> list[SessionStateChanged]:
        return [one for one in told_of(lab, "bad") if one.state == state and words in one.reason]

    try:
        await until(found, f"{state}: {words}", TOLD_WITHIN_S)
    except AssertionError as error:
        raise AssertionError(f"{error}; told was {told_of(lab, 'bad')}") from error
    return found()[0]


@contextlib.asynccontextmanager
async def undisturbed(lab, bad, passwords: dict[str, str] | None = None) -> AsyncIterator[None]:
    """A good peer beside the bad one: its session stays up, it keeps its routes, and a new one reaches it."""
    if passwords is not None:
        await lab.speaker.crash()
        lab.speaker.start(passwords=passwords.get)
    bird = lab.bird("good", ADDRESS(2))
    speaker = lab.speaker
    await speaker.publisher.configure([settings("good", bird.address)])
    speaker.want("good", ROUTES)
    await speaker.live("good")
    await bird.holds(ROUTES)
    await speaker.publisher.configure([settings("good", bird.address), bad])
    speaker.want("bad", ROUTES)
    yield
    assert speaker.view("good").flaps == 0
    assert speaker.view("good").sync == "LIVE"
    speaker.want("good", {**ROUTES, **LATE}, frozenset(LATE))
    await bird.holds({**ROUTES, **LATE}, timeout_s=5)
    assert speaker.view("good").flaps == 0


async def test_a_closed_port(engine_lab):
    async with undisturbed(engine_lab, settings("bad", ADDRESS(3))):
        await told(engine_lab, "refuses connections", "Connect")


async def test_a_router_that_listens_later_is_taken(started):
    async with undisturbed(started, settings("bad", ADDRESS(3))):
        await told(started, "refuses connections", "Connect")
        late = started.bird("bad", ADDRESS(3))
        await started.speaker.live("bad")
        await late.holds(ROUTES)


async def another_as_than_the_peers(lab, kind):
    router = getattr(lab, kind)("bad", ADDRESS(3), own_as=64999)
    async with undisturbed(lab, settings("bad", router.address)):
        await told(lab, "another AS number than 64501; correct spec.conf.peerAs")


async def test_another_as_than_the_peers(engine_lab):
    await another_as_than_the_peers(engine_lab, "bird")


async def test_another_as_than_the_peers_frr(started):
    await another_as_than_the_peers(started, "frr")


async def another_as_than_the_router_expects(lab, kind):
    router = getattr(lab, kind)("bad", ADDRESS(3))
    words = {"exabgp": "expects another AS number than our", "gobgp": "see that it expects our AS"}[lab.speaker.engine]
    async with undisturbed(lab, settings("bad", router.address, local_as=LOCAL_AS + 7)):
        await told(lab, f"{words} {LOCAL_AS + 7}")


async def test_another_as_than_the_router_expects(engine_lab):
    await another_as_than_the_router_expects(engine_lab, "bird")


@pytest.mark.parametrize("kind", ["frr", "gobgp"])
async def test_another_as_than_other_routers_expect(started, kind):
    await another_as_than_the_router_expects(started, kind)


async def another_password_than_the_routers(lab, kind, ours):
    router = getattr(lab, kind)("bad", ADDRESS(3), password="right")
    bad = settings("bad", router.address, password_source=ours)
    async with undisturbed(lab, bad, passwords={"inline:bad": "wrong"}):
        event = await told(lab, "does not answer", "Connect")
        assert ("the password is not the router's" if ours else "the router wants a password") in event.reason


async def test_no_password_where_the_router_has_one(engine_lab):
    await another_password_than_the_routers(engine_lab, "bird", "")


@pytest.mark.parametrize(("kind", "ours"), [("bird", "inline:bad"), ("frr", ""), ("frr", "inline:bad")])
async def test_another_password_than_the_routers(started, kind, ours):
    await another_password_than_the_routers(started, kind, ours)


async def test_a_router_without_our_password(started):
    router = started.bird("bad", ADDRESS(3))
    bad = settings("bad", router.address, password_source="inline:bad")
    async with undisturbed(started, bad, passwords={"inline:bad": "ours"}):
        await told(started, "takes connections without a password, and not ours with one", "Connect")


async def test_a_connection_that_stays_half_open(started):
    async def silent(reader, _writer):
        while await reader.read(4096):
            pass

    async with (
        ScriptedPeer(ADDRESS(3), silent) as peer,
        undisturbed(started, settings("bad", peer.address)),
    ):
        await told(started, "has not answered our OPEN", "OpenSent")
        await asyncio.sleep(25)
        assert [one.state for one in told_of(started, "bad")] == ["OpenSent", "OpenSent"], "the same cause once"


async def test_a_router_that_hangs_up(started):
    async def hang_up(_reader, _writer):
        pass

    async with (
        ScriptedPeer(ADDRESS(3), hang_up) as peer,
        undisturbed(started, settings("bad", peer.address)),
    ):
        await told(started, "closes the connection before the session is up", "Connect")


async def test_something_that_speaks_no_bgp(started):
    async def web_server(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3)
        await writer.drain()
        await asyncio.sleep(1)

    async with (
        ScriptedPeer(ADDRESS(3), web_server) as peer,
        undisturbed(started, settings("bad", peer.address)),
    ):
        await told(started, "a damaged message header")


@pytest.mark.parametrize("established", [True, False], ids=["established", "at-once"])
async def test_a_storm_of_notifications(started, established):
    async def storm(reader, writer):
        if established:
            await peer.establish(reader, writer)
        writer.write(message(NOTIFICATION, bytes([6, 4])))
        await writer.drain()

    peer = ScriptedPeer(ADDRESS(3), storm)
    async with peer, undisturbed(started, settings("bad", peer.address)):
        await told(started, "it was reset administratively")
        before = len(started.speaker.events)
        await asyncio.sleep(STORM_S)
        assert len(started.speaker.events) - before < STORM_OUTCOMES, peer.connections


async def test_malformed_messages(started):
    hurt = asyncio.Event()

    async def malformed(reader, writer):
        await peer.establish(reader, writer)
        # The attributes' length points behind the message.
        writer.write(message(UPDATE, bytes([0, 0, 0xFF, 0xFF, 0x40, 1, 1, 0])))
        staying = asyncio.create_task(peer.stay(reader, writer))
        await hurt.wait()
        writer.write(bytes(19))
        await staying

    peer = ScriptedPeer(ADDRESS(3), malformed)
    async with peer, undisturbed(started, settings("bad", peer.address)):
        await until(lambda: started.speaker.view("bad").state == "Established", "the bad peer's session")
        # What a router announces is not even read.
        await asyncio.sleep(1)
        assert started.speaker.view("bad").flaps == 0
        hurt.set()
        await told(started, "a damaged message header")


def resident_kib(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


def engine_pid(lab, peer: str) -> int:
    """The process that has the session with a peer."""
    if lab.speaker.engine == "exabgp":
        return lab.engine.pid
    (wanted,) = (one for one in lab.engine.directory.glob("*.wanted") if one.read_text() == f"{peer}\n")
    return int(wanted.with_suffix(".pid").read_text())


def refused(lab) -> list[ImportsRefused]:
    return [one for one in lab.speaker.events if isinstance(one, ImportsRefused)]


async def test_a_flood_of_routes_is_refused(engine_lab):
    started = engine_lab
    flooded = asyncio.Event()
    begin = asyncio.Event()

    async def flood(reader, writer):
        await peer.establish(reader, writer)
        staying = asyncio.create_task(peer.stay(reader, writer))
        await begin.wait()
        first = int.from_bytes(bytes([11, 0, 0, 0]), "big")
        for start in range(0, FLOOD_ROUTES, ROUTES_PER_UPDATE):
            prefixes = ((first + start + one, 32) for one in range(ROUTES_PER_UPDATE))
            # Not the peer's own address: GoBGP takes an UPDATE with a next hop on loopback for a withdrawal.
            writer.write(update(prefixes, HOPS4[0]))
            await writer.drain()
        writer.write(message(KEEPALIVE))
        flooded.set()
        await staying

    peer = ScriptedPeer(ADDRESS(3), flood)
    async with peer, undisturbed(started, settings("bad", peer.address)):
        await until(lambda: started.speaker.view("bad").state == "Established", "the bad peer's session")
        before = resident_kib(engine_pid(started, "bad"))
        begin.set()
        await asyncio.wait_for(flooded.wait(), 120)
        # What follows in the order of the session proves that all of it was read.
        routes = {**ROUTES, **LATE}
        started.speaker.want("good", routes, frozenset(LATE))
        await until(lambda: len(started.speaker.publisher.confirmed(PeerKey("good"))) == len(routes), "LATE confirmed")
        # Longer than a collection of garbage takes to begin.
        await asyncio.sleep(3)
        grown = resident_kib(engine_pid(started, "bad")) - before
        print(f"{started.speaker.engine} grew by {grown} KiB with {FLOOD_ROUTES} routes")
        assert grown < FLOOD_MEMORY_KIB[started.speaker.engine]
        assert started.speaker.view("bad").flaps == 0
        # It is told at once, and again when there are ten times as many.
        flood_of = FLOOD_ROUTES // ROUTES_PER_UPDATE
        await until(lambda: any(one.updates >= flood_of for one in refused(started)), "told that the router floods us")
        # Of a router that announces a little nothing is said, and the good one announces nothing.
        assert {one.peer for one in refused(started)} == {"bad"}
