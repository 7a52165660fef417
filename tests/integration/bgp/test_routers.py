"""A real ExaBGP and real routers: what is desired is what they hold."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from porter.bgp.backends import reloading
from porter.events.routed import (
    EndOfRibSent,
    PeerRejected,
    PeerUnsynced,
    RibSynced,
    RoutesAnnounced,
    RoutesWithdrawn,
    SessionStateChanged,
)
from porter.model.address import Address
from porter.model.bgp import PathAttributes, PeerKey
from tests.integration.bgp.lab import ADDRESS, PEER_AS, add_path_routes, expected, key, settings, until

V4 = [f"10.9.0.{number}/32" for number in range(1, 21)]
V6 = [f"fd09::{number:x}/128" for number in range(1, 11)]
HOPS4 = [f"10.77.0.{number}" for number in (11, 12, 13, 14)]
HOPS6 = [f"fd77::{number}" for number in (11, 12, 13)]
ROUTES = add_path_routes(V4 + V6, HOPS4 + HOPS6)

pytestmark = pytest.mark.timeout(120)


def single_path(prefixes, hop4=HOPS4[0], hop6=HOPS6[0]):
    return {key(prefix): PathAttributes(Address(hop6 if ":" in prefix else hop4)) for prefix in prefixes}


async def test_three_routers_hold_every_path(started):
    routers = {
        "bird": started.bird("bird", ADDRESS(2)),
        "gobgp": started.gobgp("gobgp", ADDRESS(3)),
        "frr": started.frr("frr", ADDRESS(4)),
    }
    speaker = started.speaker
    await speaker.publisher.configure([settings(name, router.address) for name, router in routers.items()])
    for name in routers:
        speaker.want(name, ROUTES)
    await speaker.live(*routers)
    for router in routers.values():
        await router.holds(ROUTES)
    fewer = {k: v for k, v in ROUTES.items() if k.prefix not in V4[:5] and v.next_hop != HOPS4[1]}
    for name in routers:
        speaker.want(name, fewer, frozenset(ROUTES.keys() - fewer.keys()))
    for name, router in routers.items():
        await router.holds(fewer)
        await until(lambda name=name: speaker.publisher.confirmed(PeerKey(name)) == fewer, "all confirmed")
    of_bird = [event for event in speaker.events if getattr(event, "peer", "") == "bird"]
    told = [type(event) for event in of_bird if getattr(event, "state", "Established") == "Established"]
    assert told[:3] == [SessionStateChanged, EndOfRibSent, RibSynced]
    assert RoutesWithdrawn in told
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced)]


@pytest.mark.parametrize("kind", ["bird", "gobgp"])
async def test_a_peer_without_add_path_has_its_path_replaced_in_place(started, kind):
    router = getattr(started, kind)("peer", ADDRESS(2), add_path=False)
    speaker = started.speaker
    await speaker.publisher.configure([settings("peer", router.address)])
    speaker.want("peer", single_path(V4 + V6))
    await speaker.live("peer")
    await router.holds(single_path(V4 + V6))
    told = (event for event in speaker.events if isinstance(event, SessionStateChanged))
    established = next(event for event in told if event.state == "Established")
    assert established.families == ("IPv4", "IPv6")
    assert established.add_path == ()
    for turn in range(1, 4):
        other = single_path(V4 + V6, HOPS4[turn], HOPS6[turn % 3])
        speaker.want("peer", other, frozenset(other))
        while router.table() != expected(other):
            assert len(router.table()) == len(other), "a path went before the next one came"
            await asyncio.sleep(0.005)
    assert not [event for event in speaker.events if isinstance(event, RoutesWithdrawn)]


@pytest.mark.parametrize("internal", [False, True])
async def test_attributes_arrive_as_desired(started, internal):
    bird = started.bird("bird", ADDRESS(2))
    if internal:
        text = (started.directory / "bird.conf").read_text().replace(f"as {PEER_AS}", "as 64500")
        (started.directory / "bird.conf").write_text(text.replace("multihop 5;", ""))
        bird.command("configure")
    speaker = started.speaker
    peer_as = 64500 if internal else PEER_AS
    await speaker.publisher.configure([settings("bird", bird.address, peer_as=peer_as)])
    rich = PathAttributes(
        Address(HOPS4[0]),
        7,
        300,
        ("no-export", "64500:20"),
        ("64500:1:2", "64500:1:1"),
        # Our own number in the path of an internal session would be a loop to the peer.
        as_path_prepend=0 if internal else 2,
    )
    routes = {key(prefix, HOPS4[0]): rich for prefix in V4[:3]} | add_path_routes(V6[:2], HOPS6)
    speaker.want("bird", routes)
    await speaker.live("bird")
    await bird.holds(routes)
    shown = bird.command("show", "route", "all", V4[0])
    assert "BGP.med: 7" in shown
    assert "(65535,65281)" in shown
    assert "(64500,20)" in shown
    assert "(64500, 1, 2)" in shown
    assert internal or "BGP.as_path: 64500 64500 64500\n" in shown
    assert ("BGP.local_pref: 300" in shown) == internal
    await until(lambda: speaker.publisher.confirmed(PeerKey("bird")) == routes, "all confirmed")
    # The same attributes in another order and other names are the same: nothing is sent again.
    before = len(speaker.events)
    same = rich._replace(communities=("64500:20", "65535:65281"), large_communities=("64500:1:1", "64500:1:2"))
    speaker.want("bird", routes | {key(V4[0], HOPS4[0]): same, key(V4[9], HOPS4[0]): rich})
    await until(lambda: len(speaker.events) > before, "the new route")
    assert [len(event.paths) for event in speaker.events[before:]] == [1]
    speaker.want("bird", {})
    await bird.holds({})
    # A speaker that comes new reads ExaBGP's routes, and finds every attribute again.
    speaker.want("bird", routes)
    await bird.holds(routes)
    await speaker.crash()
    speaker.events.clear()
    speaker.start()
    await speaker.publisher.configure([settings("bird", bird.address, peer_as=peer_as)])
    await speaker.live("bird")
    assert {type(event).__name__ for event in speaker.events} == {
        "EngineStateChanged",
        "SessionStateChanged",
        "EndOfRibSent",
        "RibSynced",
    }
    assert speaker.publisher.confirmed(PeerKey("bird")) == routes


async def test_routes_deleted_while_a_session_is_down_are_no_ghosts(started):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    bird.command("disable", "p0")
    await until(lambda: speaker.view("bird").state == "Idle", "the session down")
    fewer = {k: v for k, v in ROUTES.items() if k.prefix in V4[:4]}
    moved = fewer | add_path_routes(["10.9.1.1/32"], HOPS4) | add_path_routes([V4[10]], ["10.77.0.99"])
    speaker.want("bird", fewer)
    speaker.want("bird", moved)
    bird.command("enable", "p0")
    await speaker.live("bird")
    await bird.holds(moved)


async def test_a_router_that_restarts_is_filled_again_and_the_other_does_not_notice(started):
    bird, other = started.bird("bird", ADDRESS(2)), started.bird("other", ADDRESS(3))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address), settings("other", other.address)])
    for name in ("bird", "other"):
        speaker.want(name, ROUTES)
    await speaker.live("bird", "other")
    bird.stop(signal.SIGKILL)
    await until(lambda: speaker.view("bird").state == "Idle", "the session down")
    speaker.want("bird", fewer := {k: v for k, v in ROUTES.items() if k.prefix in V4})
    bird.start()
    await bird.holds(fewer)
    assert speaker.view("bird").flaps == 1
    assert speaker.view("other").flaps == 0
    await other.holds(ROUTES)


class Watch:
    """Looks at a router all the time: expected routes that were missing at any look are kept."""

    def __init__(self, router, routes):
        self.router, self.wanted, self.missing, self.looks = router, expected(routes), set(), 0
        self.task = asyncio.create_task(self.run())

    async def run(self):
        while True:
            table = await asyncio.to_thread(self.router.table)
            self.looks += 1
            self.missing |= {k for k in self.wanted if table.get(k) != self.wanted[k]}
            await asyncio.sleep(0.02)

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.looks > 3
        assert not self.missing


@pytest.mark.parametrize("victim", ["exabgp", "relay", "speaker", "speaker and exabgp"])
async def test_no_route_is_lost_when_a_process_is_killed(started, victim):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    await bird.holds(ROUTES)
    kept = {k: v for k, v in ROUTES.items() if k.prefix not in V4[:3]}
    watch = Watch(bird, kept)
    await asyncio.sleep(0.1)
    boot = speaker.publisher.engine.boot
    relay_pid = started.engine.relay_pid
    assert relay_pid == speaker.publisher.engine.relay_pid
    changed = kept | add_path_routes(["10.9.2.1/32"], HOPS4)
    if "exabgp" in victim:
        os.kill(started.engine.pid, signal.SIGKILL)
    if victim == "relay":
        os.kill(relay_pid, signal.SIGKILL)
    if "speaker" in victim:
        await speaker.crash()
        speaker.routes[PeerKey("bird")] = changed
        speaker.start()
        await speaker.publisher.configure([settings("bird", bird.address)])
    else:
        await asyncio.sleep(0.05)
        speaker.want("bird", changed)
    await bird.holds(changed)
    await speaker.live("bird")
    await watch.stop()
    assert (speaker.publisher.engine.boot != boot) == ("exabgp" in victim)
    if "exabgp" not in victim:
        assert bird.command("show", "protocols", "all", "p0").count("Established") >= 1
        assert speaker.view("bird").flaps == 0


@pytest.mark.parametrize("kind", ["bird", "frr"])
async def test_what_goes_while_exabgp_is_dead_leaves_no_ghost(started, kind):
    """FRR purges at End-of-RIB only one stale path of each prefix: the others are withdrawn explicitly."""
    router = getattr(started, kind)(kind, ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("tor", router.address)])
    speaker.want("tor", ROUTES)
    await speaker.live("tor")
    await router.holds(ROUTES)
    os.kill(started.engine.pid, signal.SIGKILL)
    await until(lambda: speaker.publisher.engine is None, "the engine gone")
    speaker.want("tor", {})
    await router.holds({})
    await speaker.live("tor")
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced)]


async def test_an_uncertain_speaker_takes_nothing_away(started):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    await speaker.crash()
    os.kill(started.engine.pid, signal.SIGKILL)
    speaker.certain = False
    speaker.routes[PeerKey("bird")] = add_path_routes(["10.9.3.1/32"], HOPS4)
    speaker.start()
    speaker.events.clear()
    await speaker.publisher.configure([settings("bird", bird.address)])
    await bird.holds(ROUTES | add_path_routes(["10.9.3.1/32"], HOPS4))
    assert speaker.view("bird").sync == "SYNC"
    assert not [event for event in speaker.events if isinstance(event, EndOfRibSent)]
    speaker.certain = True
    speaker.desire(PeerKey("bird"))
    await bird.holds(add_path_routes(["10.9.3.1/32"], HOPS4))
    await speaker.live("bird")


async def test_neighbours_come_and_go_without_touching_the_others(started):
    bird, other = started.bird("bird", ADDRESS(2)), started.bird("other", ADDRESS(3))
    speaker = started.speaker
    publisher = speaker.publisher
    await publisher.configure([])
    await until(lambda: publisher.configured, "ExaBGP without any neighbour")
    await publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    await publisher.configure([settings("bird", bird.address), settings("other", other.address)])
    speaker.want("other", ROUTES)
    await speaker.live("bird", "other")
    await other.holds(ROUTES)
    await publisher.configure([settings("bird", bird.address)])
    # Under graceful restart it would keep them for minutes: they are withdrawn before the session ends.
    await other.holds({}, timeout_s=2)
    await until(lambda: publisher.configured, "ExaBGP without the removed neighbour")
    await other.session(up=False)
    await publisher.configure([settings("bird", bird.address), settings("other", other.address, hold_time_s=30)])
    speaker.want("other", {k: v for k, v in ROUTES.items() if k.prefix in V4})
    await other.holds({k: v for k, v in ROUTES.items() if k.prefix in V4})
    assert speaker.view("bird").flaps == 0
    await bird.holds(ROUTES)


async def test_a_peer_that_cannot_be_is_rejected_and_the_others_go_on(started):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure(
        [
            settings("bird", bird.address),
            settings("mixed", "fd00::1", local=ADDRESS(1)),
            settings("secret", ADDRESS(5), password_source="secret:none"),
            settings("twin", bird.address, hold_time_s=30),
        ]
    )
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    await bird.holds(ROUTES)
    rejected = {event.peer: event.field for event in speaker.events if isinstance(event, PeerRejected)}
    assert rejected == {"mixed": "localAddress", "secret": "passwordSecret", "twin": "spec.conf.neighborAddress"}


async def test_an_engine_that_lost_its_way_is_started_anew(started, monkeypatch):
    monkeypatch.setattr(reloading, "RELOAD_PATIENCE_S", 2.0)
    bird, other = started.bird("bird", ADDRESS(2)), started.bird("other", ADDRESS(3))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    # One reload of a broken file, and this ExaBGP never reads another one.
    configuration = started.directory / "exabgp.conf"
    good = configuration.read_text()
    configuration.write_text(good + "\nnonsense {\n")
    os.kill(started.engine.pid, signal.SIGUSR1)
    await asyncio.sleep(0.5)
    configuration.write_text(good)
    watch = Watch(bird, ROUTES)
    await speaker.publisher.configure([settings("bird", bird.address), settings("other", other.address)])
    speaker.want("other", ROUTES)
    await other.holds(ROUTES)
    await speaker.live("bird", "other")
    assert started.engine.starts == 2
    await watch.stop()


async def test_a_single_change_leaves_at_once(started):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    routes = add_path_routes([f"10.8.{number // 250}.{number % 250}/32" for number in range(1000)], HOPS4[:3])
    speaker.want("bird", routes)
    await speaker.live("bird")
    took_ms = []
    for number in range(100):
        new = add_path_routes([f"10.9.5.{number}/32"], HOPS4[:3])
        routes.update(new)
        before = len(speaker.events)
        start = time.perf_counter()
        speaker.want("bird", routes, frozenset(new))
        cpu_ms = (time.perf_counter() - start) * 1000
        await speaker.told(RoutesAnnounced, before)
        took_ms.append((time.perf_counter() - start) * 1000)
        assert cpu_ms < 5
        await asyncio.sleep(0.03)
    took_ms.sort()
    print(f"desire to confirmed: p50 {took_ms[50]:.1f} ms, p90 {took_ms[90]:.1f} ms, p99 {took_ms[98]:.1f} ms")
    assert took_ms[50] < 50
