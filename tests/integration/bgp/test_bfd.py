"""BFD beside a speaker, on real parts: two BIRDs watching the path between them, an engine, and BIRD as the router."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time

import pytest

from porter.bgp.bfd.daemon import NotPermitted, check_permission
from porter.bgp.bfd.publisher import CUT_REASON
from porter.events.routed import BfdDaemonStateChanged, BfdStateChanged, FieldsUnsupported, SessionStateChanged
from porter.model.bgp import PeerKey
from tests.integration.bgp.lab import (
    ADDRESS,
    BFD_OF_A_ROUTER,
    BfdDaemon,
    Engine,
    GoBgpEngine,
    Router,
    Speaker,
    addresses_of_a_test,
    programs,
    settings,
    until,
)
from tests.integration.bgp.scripted_bfd import ScriptedBfd
from tests.integration.bgp.test_routers import ROUTES

pytestmark = pytest.mark.timeout(180)

DETECTED_WITHIN_S = 5.0
"""100 ms five times, on a machine that has other work."""


@pytest.fixture(params=["exabgp", "gobgp"])
async def watched(lab, request):
    """A speaker with BFD, and each of the engines in turn."""
    try:
        check_permission()
    except NotPermitted as error:
        pytest.skip(f"run it as root: {error}")
    if missing := programs("bird", "gobgpd"):
        pytest.skip(f"{missing[0]} not installed; apt-get install bird2 gobgpd")
    addresses_of_a_test()
    lab.speaker = Speaker(lab.directory, engine=request.param, with_bfd=True)
    lab.engine = GoBgpEngine(lab.directory) if request.param == "gobgp" else Engine(lab.directory / "exabgp.conf")
    lab.bfd = BfdDaemon(lab.directory)
    kept = [asyncio.create_task(lab.engine.run()), asyncio.create_task(lab.bfd.run())]
    yield lab
    await lab.speaker.crash()
    for task in kept:
        task.cancel()
    await asyncio.gather(*kept, return_exceptions=True)
    for router in lab.routers:
        if router.process is not None:
            router.process.send_signal(signal.SIGCONT)
        router.stop()


def with_bfd(peer: str, address: str, **changes):
    """BFD over several hops: loopback has no single one. Five packets may be missed, for the machine's sake."""
    base = settings(peer, address, multihop_ttl=5, bfd_receive_ms=100, bfd_transmit_ms=100, bfd_multiplier=5)
    return base._replace(**changes)


class LoneBfd(Router):
    """A router's BFD alone, which nothing at the router depends on."""

    def start(self) -> LoneBfd:
        neighbor = f"neighbor {ADDRESS(1)} local {self.address} multihop yes;"
        text = f"router id {self.address};\nlog stderr all;\nprotocol device {{}}\n{BFD_OF_A_ROUTER % neighbor}"
        configuration = self.directory / f"{self.name}.conf"
        configuration.write_text(text)
        self.spawn("bird", "-f", "-c", str(configuration), "-s", str(self.directory / f"{self.name}.ctl"))
        return self


def path_states(speaker: Speaker, peer: str = "peer") -> list[str]:
    return [event.state for event in speaker.events if isinstance(event, BfdStateChanged) and event.peer == peer]


def ends(speaker: Speaker) -> list[tuple[str, str]]:
    told = [event for event in speaker.events if isinstance(event, SessionStateChanged)]
    return [(event.peer, event.reason) for event in told if event.state == "Idle"]


async def path_up(speaker: Speaker, peer: str = "peer") -> None:
    # The view is ahead of what is told of it by a turn of the loop or two.
    await until(
        lambda: speaker.view(peer).bfd == "Up" and path_states(speaker, peer)[-1:] == ["Up"],
        f"BFD with {peer} is up, and told to be: {speaker.events}",
    )


async def test_a_path_that_goes_down_takes_the_session_with_it_and_brings_it_back(watched):
    router = watched.bird("router", ADDRESS(2), bfd=True)
    other = watched.bird("other", ADDRESS(3))
    speaker = watched.speaker
    await speaker.publisher.configure([with_bfd("peer", router.address), settings("other", other.address)])
    speaker.want("peer", ROUTES)
    speaker.want("other", ROUTES)
    await speaker.live("peer", "other")
    await path_up(speaker)

    router.process.send_signal(signal.SIGSTOP)
    began_s = time.monotonic()
    await until(lambda: ends(speaker), "the session is down", DETECTED_WITHIN_S)
    assert time.monotonic() - began_s >= 0.4, "not before BFD's detection time"
    assert ends(speaker) == [("peer", CUT_REASON)]
    await until(lambda: path_states(speaker)[-2:] == ["Up", "Down"], "the path's end is told")

    router.process.send_signal(signal.SIGCONT)
    await path_up(speaker)
    await speaker.live("peer")
    await router.holds(ROUTES)
    assert speaker.view("other").flaps == 0


async def test_where_only_bfd_fails_bgp_goes_on_and_the_router_loses_no_route(watched):
    router = watched.bird("router", ADDRESS(2))
    lone = LoneBfd(watched.directory, "lone", ADDRESS(2))
    watched.routers.append(lone)
    speaker = watched.speaker
    await speaker.publisher.configure([with_bfd("peer", router.address)])
    speaker.want("peer", ROUTES)
    await speaker.live("peer")
    await until(lambda: speaker.view("peer").bfd == "Down", "BFD is not answered yet")
    assert speaker.view("peer").flaps == 0, "a path that was never up cuts nothing off"
    lone.start()
    await path_up(speaker)

    lone.stop(signal.SIGKILL)
    await until(lambda: speaker.view("peer").flaps == 1, "the session is cut off", DETECTED_WITHIN_S)
    await speaker.live("peer")
    assert speaker.view("peer").bfd == "Down"
    await router.holds(ROUTES)
    assert speaker.view("peer").flaps == 1


async def test_a_dead_daemon_cuts_nothing_off_and_is_told(watched):
    router = watched.bird("router", ADDRESS(2))
    lone = LoneBfd(watched.directory, "lone", ADDRESS(2)).start()
    watched.routers.append(lone)
    speaker = watched.speaker
    await speaker.publisher.configure([with_bfd("peer", router.address)])
    speaker.want("peer", ROUTES)
    await speaker.live("peer")
    await path_up(speaker)

    watched.bfd.wanted.clear()
    watched.bfd.kill()
    await until(lambda: speaker.view("peer").bfd == "", "nothing is seen of the path")
    lone.stop(signal.SIGKILL)
    await asyncio.sleep(1.0)
    lone.start()
    watched.bfd.wanted.set()
    await path_up(speaker)
    assert speaker.view("peer").flaps == 0
    await router.holds(ROUTES)
    told = [event.up for event in speaker.events if isinstance(event, BfdDaemonStateChanged)]
    assert told == [True, False, True]


async def test_a_daemon_that_hangs_is_told_and_cuts_nothing_off(watched):
    router = watched.bird("router", ADDRESS(2), bfd=False)
    lone = LoneBfd(watched.directory, "lone", ADDRESS(2)).start()
    watched.routers.append(lone)
    speaker = watched.speaker
    await speaker.publisher.configure([with_bfd("peer", router.address)])
    speaker.want("peer", ROUTES)
    await speaker.live("peer")
    await path_up(speaker)
    watched.bfd.process.send_signal(signal.SIGSTOP)
    await until(lambda: speaker.view("peer").bfd == "", "nothing is seen of the path")
    watched.bfd.process.send_signal(signal.SIGCONT)
    await path_up(speaker)
    assert speaker.view("peer").flaps == 0


async def test_a_router_that_takes_its_bfd_down_keeps_its_session(watched):
    router = watched.bird("router", ADDRESS(2))
    speaker = watched.speaker
    await speaker.publisher.configure([with_bfd("peer", router.address)])
    speaker.want("peer", ROUTES)
    await speaker.live("peer")
    bfd = ScriptedBfd(router.address, ADDRESS(1))
    try:
        await path_up(speaker)
        bfd.admin_down = True
        await until(
            lambda: any(
                isinstance(event, BfdStateChanged) and "administratively down" in event.reason
                for event in speaker.events
            ),
            "the path is told to be down, and why",
        )
        assert speaker.view("peer").bfd == "Down"
        bfd.admin_down = False
        await path_up(speaker)
    finally:
        await bfd.stop()
    await until(lambda: ends(speaker), "the next failure ends the session")
    assert (ends(speaker), speaker.view("peer").flaps) == ([("peer", CUT_REASON)], 1), "and it is the only one"
    await speaker.live("peer")
    await router.holds(ROUTES)


async def test_a_path_that_goes_down_while_the_speaker_restarts_takes_the_session_with_it(watched):
    router = watched.bird("router", ADDRESS(2))
    lone = LoneBfd(watched.directory, "lone", ADDRESS(2)).start()
    watched.routers.append(lone)
    speaker = watched.speaker
    asked = [with_bfd("peer", router.address)]
    await speaker.publisher.configure(asked)
    speaker.want("peer", ROUTES)
    await speaker.live("peer")
    await path_up(speaker)

    # ExaBGP tells a session's age in whole seconds, and a younger one than the path's end is left alone.
    await asyncio.sleep(2.0)
    await speaker.crash()
    lone.stop(signal.SIGKILL)
    await until(lambda: _bird_says(watched, "Down"), "BIRD finds the path down", DETECTED_WITHIN_S)
    speaker.start()
    await speaker.publisher.configure(asked)
    speaker.desire(PeerKey("peer"))
    await until(lambda: ("peer", CUT_REASON) in ends(speaker), "the session is cut off", DETECTED_WITHIN_S)
    await speaker.live("peer")

    await speaker.crash()
    speaker.start()
    await speaker.publisher.configure(asked)
    speaker.desire(PeerKey("peer"))
    await speaker.live("peer")
    await until(lambda: speaker.view("peer").bfd == "Down", "BFD is looked at")
    assert ends(speaker) == [("peer", CUT_REASON)], "the session that came up after it stays"
    await router.holds(ROUTES)


def _bird_says(watched, state: str) -> bool:
    control = str(watched.bfd.control)
    shown = subprocess.run(["birdc", "-s", control, "show", "bfd", "sessions"], check=True, capture_output=True)
    return f" {state} " in shown.stdout.decode()


async def test_another_peer_and_other_timers_disturb_nobody(watched):
    router = watched.bird("router", ADDRESS(2), bfd=True)
    other = watched.bird("other", ADDRESS(3), bfd=True)
    speaker = watched.speaker
    await speaker.publisher.configure([with_bfd("peer", router.address)])
    speaker.want("peer", ROUTES)
    await speaker.live("peer")
    await path_up(speaker)

    slower = with_bfd("other", other.address, bfd_transmit_ms=200)
    await speaker.publisher.configure([with_bfd("peer", router.address), slower])
    speaker.want("other", ROUTES)
    await path_up(speaker, "other")
    await speaker.live("other")
    told = {event.peer: event.problems for event in speaker.events if isinstance(event, FieldsUnsupported)}
    assert [problem.field for problem in told["peer"]] == ["spec.bfd"]
    assert "transmitInterval 200" in told["peer"][0].message

    await speaker.publisher.configure([with_bfd("peer", router.address)])
    await until(lambda: PeerKey("other") not in speaker.publisher.peers(), "the other peer is gone")
    told = {event.peer: event.problems for event in speaker.events if isinstance(event, FieldsUnsupported)}
    await until(lambda: not told["peer"] or told.update(_problems(speaker)), "nothing is shared any more")
    assert path_states(speaker) in (["Down", "Up"], ["Up"])
    assert speaker.view("peer").flaps == 0

    await speaker.publisher.configure([settings("peer", router.address, multihop_ttl=5)])
    await until(lambda: not watched.bfd.configuration.exists(), "no peer wants BFD")
    await until(lambda: speaker.view("peer").bfd == "", "nothing watches the path")


def _problems(speaker: Speaker):
    return {event.peer: event.problems for event in speaker.events if isinstance(event, FieldsUnsupported)}
