"""GoBGP's daemons as the engine, and real routers: what is desired is what they hold.

GoBGP gives each path an identifier of its own, so that routers are compared by prefix and next hop.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from porter.bgp.backends.gobgp.keeper import Keeper
from porter.bgp.backends.gobgp.looking import restart_state
from porter.bgp.backends.gobgp.places import Place
from porter.events.routed import DriftFound, PeerRejected, PeerUnsynced, RoutesWithdrawn, SessionStateChanged
from porter.model.address import Address
from porter.model.bgp import PathAttributes, PeerKey
from tests.integration.bgp.lab import (
    ADDRESS,
    PEER_AS,
    PORT,
    GoBgpEngine,
    Speaker,
    add_path_routes,
    addresses_of_a_test,
    expected,
    key,
    programs,
    settings,
    until,
)
from tests.integration.bgp.scripted import KEEPALIVE, ScriptedPeer, message, open_message, read_message

V4 = [f"10.9.0.{number}/32" for number in range(1, 21)]
V6 = [f"fd09::{number:x}/128" for number in range(1, 11)]
HOPS4 = [f"10.77.0.{number}" for number in (11, 12, 13, 14)]
HOPS6 = [f"fd77::{number}" for number in (11, 12, 13)]
ROUTES = add_path_routes(V4 + V6, HOPS4 + HOPS6)
NO_ADD_PATH = "without ADD-PATH"

pytestmark = pytest.mark.timeout(120)


def single_path(prefixes, hop4=HOPS4[0], hop6=HOPS6[0]):
    return {key(prefix): PathAttributes(Address(hop6 if ":" in prefix else hop4)) for prefix in prefixes}


@pytest.fixture
async def started(lab):
    """A speaker and a keeper, with no peer yet."""
    if missing := programs("gobgpd"):
        pytest.skip(f"{', '.join(missing)} not installed; apt-get install gobgpd")
    addresses_of_a_test()
    lab.speaker = Speaker(lab.directory, engine="gobgp")
    lab.engine = GoBgpEngine(lab.directory)
    keeper = asyncio.create_task(lab.engine.run())
    yield lab
    await lab.speaker.crash()
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    for router in lab.routers:
        router.stop()


class Watch:
    """Looks at a router all the time: prefixes that were missing at any look are kept.

    A daemon that is new gives the paths other identifiers than the one before, so that a path may for a moment be
    replaced by another of its prefix: the prefix is what must never be gone.
    """

    def __init__(self, router, routes):
        self.router, self.missing, self.looks = router, set(), 0
        self.wanted = {key.prefix for key in routes}
        self.task = asyncio.create_task(self.run())

    async def run(self):
        while True:
            table = await asyncio.to_thread(self.router.table)
            self.looks += 1
            self.missing |= self.wanted - {key.prefix for key in table}
            await asyncio.sleep(0.02)

    async def stop(self):
        # FRR's shell takes its time.
        await until(lambda: self.looks > 3, "looks at the router")
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert not self.missing


async def test_two_routers_hold_every_path(started):
    routers = {"bird": started.bird("bird", ADDRESS(2)), "frr": started.frr("frr", ADDRESS(4))}
    speaker = started.speaker
    await speaker.publisher.configure(
        [settings(name, router.address, multihop_ttl=5) for name, router in routers.items()]
    )
    for name in routers:
        speaker.want(name, ROUTES)
    await speaker.live(*routers)
    for router in routers.values():
        await router.holds(ROUTES)
    generator = random.Random(1)
    wanted = dict(ROUTES)
    for _ in range(20):
        chosen = generator.sample(sorted(ROUTES), 10)
        for one in chosen:
            if one in wanted:
                del wanted[one]
            else:
                wanted[one] = ROUTES[one]
        for name in routers:
            speaker.want(name, dict(wanted), frozenset(chosen))
    for name, router in routers.items():
        await router.holds(wanted)
        await until(lambda name=name: speaker.publisher.confirmed(PeerKey(name)) == wanted, "all confirmed")
    assert RoutesWithdrawn in {type(event) for event in speaker.events}
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced | DriftFound)]


async def test_a_large_table_is_confirmed_by_the_count_of_its_updates(started):
    """GoBGP packs the routes of IPv4 into UPDATEs of up to 4096 bytes: how many these are must be told exactly."""
    bird = started.bird("bird", ADDRESS(2))
    routes = add_path_routes([f"10.9.{n // 250}.{n % 250}/32" for n in range(1500)], HOPS4[:2])
    rich = PathAttributes(Address(HOPS4[2]), 7, None, ("64500:20",), ("64500:1:1",), 2)
    routes |= {key(f"10.10.{n // 250}.{n % 250}/32", HOPS4[2]): rich for n in range(1000)}
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", routes)
    await speaker.live("bird")
    await bird.holds(routes)
    assert speaker.publisher.confirmed(PeerKey("bird")) == routes
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced)]


async def test_a_peer_without_add_path_has_its_path_replaced_in_place(started):
    bird = started.bird("bird", ADDRESS(2), add_path=False)
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    # Before the session is up nobody knows that it carries one path for each prefix alone.
    speaker.want("bird", ROUTES)
    await until(lambda: speaker.view("bird").state == "Established", "the session up")
    speaker.want("bird", single_path(V4 + V6))
    await speaker.live("bird")
    await bird.holds(single_path(V4 + V6))
    for turn in range(1, 4):
        other = single_path(V4 + V6, HOPS4[turn], HOPS6[turn % 3])
        speaker.want("bird", other, frozenset(other))
        while bird.table() != expected(other):
            assert len(bird.table()) == len(other), "a path went before the next one came"
            await asyncio.sleep(0.005)
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced | RoutesWithdrawn)]


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
        as_path_prepend=0 if internal else 2,
    )
    routes = {key(prefix, HOPS4[0]): rich for prefix in V4[:3]} | add_path_routes(V6[:2], HOPS6)
    speaker.want("bird", routes)
    await speaker.live("bird")
    await bird.holds(routes)
    shown = bird.command("show", "route", "all", V4[0])
    assert "BGP.med: 7" in shown
    assert "(65535,65281)" in shown
    assert "(64500, 1, 2)" in shown
    assert internal or "BGP.as_path: 64500 64500 64500\n" in shown
    assert ("BGP.local_pref: 300" in shown) == internal
    # A speaker that comes new reads the daemon's routes, and finds every attribute again: nothing is sent.
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


async def test_what_changes_while_a_session_is_down_arrives_and_leaves_no_ghost(started):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    bird.command("disable", "p0")
    await until(lambda: speaker.view("bird").state == "Idle", "the session down")
    fewer = {k: v for k, v in ROUTES.items() if k.prefix in V4[:4]}
    moved = fewer | add_path_routes(["10.9.1.1/32"], HOPS4) | add_path_routes([V4[10]], ["10.77.0.99"])
    speaker.want("bird", moved)
    bird.command("enable", "p0")
    await speaker.live("bird")
    await bird.holds(moved)
    assert speaker.view("bird").flaps == 1


@pytest.mark.parametrize("kind", ["bird", "frr"])
@pytest.mark.parametrize("victim", ["daemon", "speaker", "speaker and daemon", "settings"])
async def test_no_prefix_is_lost_when_a_process_is_killed(started, kind, victim):
    router = getattr(started, kind)("tor", ADDRESS(2))
    speaker = started.speaker
    session = settings("tor", router.address, multihop_ttl=5)
    await speaker.publisher.configure([session])
    speaker.want("tor", ROUTES)
    await speaker.live("tor")
    await router.holds(ROUTES)
    kept = {k: v for k, v in ROUTES.items() if k.prefix not in V4[:3]}
    changed = kept | add_path_routes(["10.9.2.1/32"], HOPS4)
    if (kind, victim) == ("frr", "speaker and daemon"):
        # Nobody is left who knows what to withdraw by name, and FRR 8.4 purges one stale path of each prefix alone.
        changed |= ROUTES
    watch = Watch(router, kept)
    await asyncio.sleep(0.1)
    before = started.engine.pids()
    if "daemon" in victim:
        os.kill(before[0], signal.SIGKILL)
    if "speaker" in victim:
        await speaker.crash()
        speaker.start()
        await speaker.publisher.configure([session])
    if victim == "settings":
        await speaker.publisher.configure([session._replace(hold_time_s=30)])
    speaker.want("tor", changed)
    await speaker.live("tor")
    await router.holds(changed)
    await watch.stop()
    if victim == "speaker":
        assert started.engine.pids() == before
        assert speaker.view("tor").flaps == 0


async def test_an_empty_daemon_waits_for_certainty(started):
    """GoBGP sends End-of-RIB by itself, at which the router drops what is not there yet."""
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    await bird.holds(ROUTES)
    os.kill(started.engine.pids()[0], signal.SIGKILL)
    await until(lambda: speaker.view("bird").state == "Idle", "the daemon gone")
    speaker.certain = False
    speaker.want("bird", few := {k: v for k, v in ROUTES.items() if k.prefix in V4[:2]})
    await asyncio.sleep(12)
    await bird.holds(ROUTES, timeout_s=1)
    speaker.certain = True
    speaker.want("bird", few)
    await speaker.live("bird")
    await bird.holds(few)


@pytest.mark.parametrize(("restart_time_s", "told_again"), [(1, False), (120, True)], ids=["another", "the-same"])
async def test_a_router_that_restarts_again_is_not_told_that_we_did(started, restart_time_s, told_again):
    """One that restarts waits for those alone that did not. FRR goes on to say that it restarted for its restart time,
    and then our daemon alone may have died; later, the router restarted once more."""
    told: list[bool] = []
    says = bytes([64, 6]) + (0x8000 | restart_time_s).to_bytes(2, "big") + bytes([0, 1, 1, 0x80])

    async def restarted(reader, writer):
        writer.write(open_message(ADDRESS(2), more_capabilities=says) + message(KEEPALIVE))
        _, opened = await read_message(reader)
        told.append(restart_state(opened))
        await peer.stay(reader, writer)

    peer = ScriptedPeer(ADDRESS(2), restarted)
    async with peer:
        speaker = started.speaker
        await speaker.publisher.configure([settings("tor", peer.address, families=("IPv4",))])
        speaker.want("tor", single_path(V4))
        await speaker.live("tor")
        await asyncio.sleep(1.1)
        os.kill(started.engine.pids()[0], signal.SIGKILL)
        await until(lambda: len(told) == 2, "the next session's OPEN")
    assert told == [False, told_again]


async def test_what_this_engine_cannot_honour_is_refused_with_a_reason(started):
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure(
        [
            settings("a", bird.address, passive=True),
            settings("b", ADDRESS(9), passive=True),
            settings("c", ADDRESS(10), password_source="secret:none"),
        ]
    )
    assert list(speaker.publisher.peers()) == ["a"]
    await until(lambda: len(speaker.events) >= 2, "the refusals")
    refused = [(event.peer, event.field) for event in speaker.events if isinstance(event, PeerRejected)]
    assert refused == [("b", "passive"), ("c", "passwordSecret")]


async def test_a_session_that_waits_with_a_key_comes_up_when_it_is_called(started):
    bird = started.bird("bird", ADDRESS(2))
    text = (started.directory / "bird.conf").read_text()
    text = text.replace("passive on;", 'password "s3cret"; connect delay time 1;')
    text = text.replace(f"neighbor {ADDRESS(1)} as", f"neighbor {ADDRESS(1)} port {PORT} as")
    (started.directory / "bird.conf").write_text(text)
    bird.command("configure")
    speaker = started.speaker
    await speaker.crash()
    speaker.start(passwords={"secret:tor": "s3cret"}.get)
    session = settings("bird", bird.address, passive=True, password_source="secret:tor", multihop_ttl=5)
    await speaker.publisher.configure([session])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    await bird.holds(ROUTES)
    told = [event for event in speaker.events if isinstance(event, SessionStateChanged)]
    assert [event.state for event in told if event.state != "Active"] == ["Established"]


async def test_frr_calls_with_ttl_security(started):
    router = started.frr("tor", ADDRESS(2), calls=True, ttl_security=True)
    speaker = started.speaker
    await speaker.publisher.configure([settings("tor", router.address, passive=True, ttl_security=True)])
    speaker.want("tor", ROUTES)
    await speaker.live("tor")
    await router.holds(ROUTES)
    assert speaker.view("tor").flaps == 0


async def test_a_wrong_as_number_is_told_and_the_other_peer_does_not_notice(started):
    bird, other = started.bird("bird", ADDRESS(2)), started.bird("other", ADDRESS(3))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address, peer_as=64999), settings("other", other.address)])
    for name in ("bird", "other"):
        speaker.want(name, ROUTES)
    await speaker.live("other")
    await other.holds(ROUTES)

    def reasons() -> list[str]:
        return [one.reason for one in speaker.events if isinstance(one, SessionStateChanged) and one.peer == "bird"]

    await until(lambda: any(f"its OPEN says AS {PEER_AS}" in reason for reason in reasons()), "the reason is told", 45)
    assert speaker.view("bird").state != "Established"


async def test_what_a_peer_announces_stays_out_of_the_table(started):
    bird = started.bird("bird", ADDRESS(2))
    text = (started.directory / "bird.conf").read_text().replace("export none", "export all")
    routes = " ".join(f"route 10.50.{n // 250}.{n % 250}/32 blackhole;" for n in range(2000))
    own = f"route {V4[0]} blackhole;"
    (started.directory / "bird.conf").write_text(f"{text}\nprotocol static {{ ipv4; {routes} {own} }}\n")
    bird.command("configure")
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    assert speaker.publisher.confirmed(PeerKey("bird")) == ROUTES
    speaker.want("bird", fewer := {k: v for k, v in ROUTES.items() if k.prefix in V6})
    await until(lambda: speaker.publisher.confirmed(PeerKey("bird")) == fewer, "the change confirmed")
    await speaker.crash()
    speaker.events.clear()
    speaker.start()
    await speaker.publisher.configure([settings("bird", bird.address)])
    await speaker.live("bird")
    assert speaker.publisher.confirmed(PeerKey("bird")) == fewer
    assert not [event for event in speaker.events if isinstance(event, PeerUnsynced | DriftFound | RoutesWithdrawn)]


async def test_a_keeper_finds_the_daemons_of_the_one_before(tmp_path):
    if missing := programs("gobgpd"):
        pytest.skip(f"{', '.join(missing)} not installed; apt-get install gobgpd")
    place = Place(tmp_path, "session")
    place.wanted.touch()
    first = Keeper(tmp_path)
    first.keep(0.0)
    await until(place.socket.exists, "the daemon listens")
    pid = first.pid_of(place)
    second = Keeper(tmp_path)
    second.keep(0.0)
    assert second.pid_of(place) == pid
    place.wanted.unlink()
    second.keep(0.1)
    await until(lambda: first.pid_of(place) is None, "the daemon is gone")
    assert not list(tmp_path.iterdir())
    place.wanted.touch()
    second.keep(1.0)
    await until(place.socket.exists, "the daemon listens again")
    Keeper(tmp_path).end()
    await until(lambda: second.pid_of(place) is None, "the daemon is gone again")


async def test_a_router_of_one_family_is_given_that_one(started):
    bird = started.bird("bird", ADDRESS(2))
    text = (started.directory / "bird.conf").read_text()
    (started.directory / "bird.conf").write_text(text.replace("ipv6 { import all; export none; add paths rx; }", ""))
    bird.command("configure")
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    speaker.want("bird", ROUTES)
    await until(lambda: speaker.view("bird").state == "Established", "the session up")
    speaker.want("bird", four := {k: v for k, v in ROUTES.items() if k.prefix in V4})
    await speaker.live("bird")
    await bird.holds(four)
    assert speaker.publisher.confirmed(PeerKey("bird")) == four
    speaker.want("bird", fewer := {k: v for k, v in four.items() if k.prefix not in V4[:5]})
    await bird.holds(fewer)
    assert "Established" in bird.command("show", "protocols", "p0")
    assert speaker.view("bird").flaps == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1])
async def test_whatever_dies_router_and_desire_agree_in_the_end(started, seed):
    generator = random.Random(seed)
    bird = started.bird("bird", ADDRESS(2))
    speaker = started.speaker
    await speaker.publisher.configure([settings("bird", bird.address)])
    wanted = dict(ROUTES)
    speaker.want("bird", wanted)
    await speaker.live("bird")
    for _ in range(6):
        for fault in generator.sample(["daemon", "speaker", "router", "session", "stall"], 2):
            for _ in range(5):
                for one in generator.sample(sorted(ROUTES), 8):
                    attributes = ROUTES[one]._replace(med=generator.choice([None, 1, 2]))
                    if wanted.pop(one, None) is None or generator.random() < 0.5:
                        wanted[one] = attributes
                speaker.want("bird", dict(wanted))
                await asyncio.sleep(generator.random() * 0.05)
            match fault:
                case "daemon":
                    os.kill(started.engine.pids()[0], signal.SIGKILL)
                case "speaker":
                    await speaker.crash()
                    speaker.start()
                    await speaker.publisher.configure([settings("bird", bird.address)])
                    speaker.want("bird", dict(wanted))
                case "router":
                    bird.stop(signal.SIGKILL)
                    bird.start()
                case "session":
                    bird.command("restart", "p0")
                case "stall":
                    bird.process.send_signal(signal.SIGSTOP)
                    await asyncio.sleep(1)
                    bird.process.send_signal(signal.SIGCONT)
        await until(lambda: speaker.publisher.confirmed(PeerKey("bird")) == wanted, "all confirmed", 60)
        await bird.holds(wanted, timeout_s=10)
