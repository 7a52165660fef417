"""What BIRD is told and tells, and what follows from it."""

from __future__ import annotations

import asyncio
import time

import pytest

from porter.bgp.bfd.configuration import Timers, differing, render, timers_of, watched
from porter.bgp.bfd.control import Reply, UnknownReply, read_reply, read_sessions
from porter.bgp.bfd.publisher import BfdPublisher
from porter.bgp.bfd.sessions import PATIENCE_S, BfdSessions
from porter.bgp.bfd.watch import BfdWatch
from porter.bgp.configuration import EXABGP_RETRIES, GOBGP_RETRIES, unsupported
from porter.events.routed import BfdDaemonStateChanged, BfdStateChanged
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings

SHOWN = (
    b"1020-porter:\n"
    b" IP address                Interface  State      Since         Interval  Timeout\n"
    b" 10.0.0.2                  eth0       Up         19:31:08.527    0.300    0.900\n"
    b" 2001:db8::2               ---        Down       2026-01-01 19:31:08    1.000    0.000\n"
    b"0000 \n"
)


def asks(peer: str, address: str, **changes) -> SessionSettings:
    base = SessionSettings(PeerKey(peer), Address(address), 65001, 65000, Address("10.0.0.1"), Address("10.0.0.1"))
    return base._replace(bfd_receive_ms=300, bfd_transmit_ms=300, bfd_multiplier=3)._replace(**changes)


A, B = asks("a", "10.0.0.2"), asks("b", "10.0.0.3")


def test_a_reply_is_read_when_it_is_whole() -> None:
    for cut in range(len(SHOWN)):
        assert read_reply(SHOWN[:cut]) is None
    reply, rest = read_reply(SHOWN + b"0003 Reconfigured\n")  # type: ignore[misc]
    assert read_sessions(reply.lines) == {"10.0.0.2": "Up", "2001:db8::2": "Down"}
    assert read_reply(rest) == (Reply(3, ("Reconfigured",)), b"")


def test_an_error_is_told_from_an_answer() -> None:
    reply, _ = read_reply(b"0002-Reading configuration from b\n8002 b:12:1 syntax error\n")  # type: ignore[misc]
    assert reply.failed
    with pytest.raises(UnknownReply):
        read_reply(b"HTTP/1.1 400 Bad Request\r\n")


def test_internal_and_multihop_peers_are_watched_over_several_hops() -> None:
    text = render((A, asks("b", "10.1.0.2", multihop_ttl=5), asks("c", "10.1.0.3", local_as=65001)))
    assert "neighbor 10.0.0.2 local 10.0.0.1 multihop no;" in text
    assert "neighbor 10.1.0.2 local 10.0.0.1 multihop yes;" in text
    assert "neighbor 10.1.0.3 local 10.0.0.1 multihop yes;" in text


def test_sessions_of_a_kind_share_the_slowest_timers_and_say_so() -> None:
    slow = asks("b", "10.0.0.3", bfd_receive_ms=500, bfd_multiplier=5, bfd_passive=True)
    far = asks("c", "10.1.0.2", multihop_ttl=5, bfd_transmit_ms=1000)
    sessions = (A, slow, far)
    assert timers_of(sessions, multihop=False) == Timers(500, 300, 5, False)
    assert timers_of(sessions, multihop=True) == Timers(300, 1000, 3, False)
    [problem] = differing(A, sessions)
    assert "receiveInterval 500" in problem.message
    assert differing(far, sessions) == ()


def test_who_asks_for_no_bfd_is_not_watched() -> None:
    assert watched((B, A, asks("z", "10.0.0.9", bfd_receive_ms=0), asks("double", "10.0.0.3"))) == (A, B)


def wanted(*sessions: SessionSettings) -> BfdSessions:
    paths = BfdSessions("s")
    paths.want(sessions, 0.0)
    return paths


def test_only_a_path_that_was_up_cuts_its_peer_off() -> None:
    paths = wanted(A, B)
    paths.seen({"10.0.0.2": "Down"})
    paths.seen({"10.0.0.2": "Init", "10.0.0.3": "Up"})
    assert paths.cut == []
    paths.seen({"10.0.0.2": "Up", "10.0.0.3": "Init"})
    assert paths.cut == ["b"]
    paths.seen({"10.0.0.2": "AdminDown", "10.0.0.3": "Down"})
    assert paths.cut == ["b", "a"]
    told = [(one.peer, one.state) for one in paths.outcomes if isinstance(one, BfdStateChanged)]
    assert told == [("a", "Down"), ("b", "Up"), ("a", "Up"), ("b", "Down"), ("a", "Down")]


def test_a_daemon_that_is_gone_cuts_nobody_off_when_it_is_back() -> None:
    paths = wanted(A)
    paths.seen({"10.0.0.2": "Up"})
    paths.lost("it closed the connection", 1.0)
    assert paths.state_of(PeerKey("a")) == ""
    paths.seen({"10.0.0.2": "Down"})
    assert paths.cut == []
    up = [one.up for one in paths.outcomes if isinstance(one, BfdDaemonStateChanged)]
    assert up == [True, False, True]


def test_a_daemon_has_time_to_be_there_at_first() -> None:
    paths = wanted(A)
    paths.lost("not there", PATIENCE_S - 1)
    assert paths.outcomes == []
    paths.lost("not there", PATIENCE_S + 1)
    paths.lost("not there", PATIENCE_S + 2)
    assert paths.outcomes == [BfdDaemonStateChanged("s", False, "not there")]


def test_a_path_with_another_address_is_another_path() -> None:
    paths = wanted(A)
    paths.seen({"10.0.0.2": "Up"})
    paths.want((A._replace(local_address=Address("10.0.0.9")),), 1.0)
    paths.seen({"10.0.0.2": "Down"})
    assert paths.cut == []


def test_a_session_that_is_not_there_yet_says_nothing() -> None:
    paths = wanted(A)
    paths.seen({"10.0.0.2": "Up"})
    paths.seen({})
    assert (paths.cut, paths.state_of(PeerKey("a"))) == ([], "Up")


class Clock:
    def wall_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return time.monotonic()


async def test_without_bird_the_field_has_no_effect_and_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("porter.bgp.bfd.daemon.SYSTEM_FOLDERS", str(tmp_path))
    watch = BfdWatch("s", tmp_path / "bfd.conf", tmp_path / "bfd.sock", Clock())
    problems = await watch.configure([A, asks("z", "10.0.0.9", bfd_receive_ms=0)])
    assert problems.keys() == {"a"}
    [problem] = problems[PeerKey("a")]
    assert "no program bird" in problem.message
    assert list(tmp_path.iterdir()) == []


async def test_a_configuration_that_bird_refuses_takes_bfd_from_nobody_who_has_it(tmp_path, monkeypatch) -> None:
    complaints = ["", "bird -p did not end within 10 s"]

    async def validate(_configuration):
        return complaints.pop(0)

    monkeypatch.setattr("porter.bgp.bfd.watch.validate", validate)
    watch = BfdWatch("s", tmp_path / "bfd.conf", tmp_path / "bfd.sock", Clock())
    assert await watch.configure([A]) == {"a": ()}
    watch.sessions.seen({"10.0.0.2": "Up"})
    problems = await watch.configure([A, B])
    assert problems.keys() == {"a", "b"}
    assert (watch.sessions.state_of(PeerKey("a")), watch.sessions.addresses) == ("Up", {"10.0.0.2"})
    assert "10.0.0.3" not in (tmp_path / "bfd.conf").read_text()


class SlowEngine:
    """An engine whose first configuration takes longer than the next one's."""

    def __init__(self) -> None:
        self.pauses_s = [0.05, 0.0]

    async def configure(self, _sessions) -> None:
        await asyncio.sleep(self.pauses_s.pop(0))


async def test_of_two_configurations_at_once_the_later_one_counts(tmp_path, monkeypatch) -> None:
    async def validate(_configuration):
        return ""

    monkeypatch.setattr("porter.bgp.bfd.watch.validate", validate)
    watch = BfdWatch("s", tmp_path / "bfd.conf", tmp_path / "bfd.sock", Clock())
    publisher = BfdPublisher(SlowEngine(), watch)  # type: ignore[arg-type]
    earlier = asyncio.create_task(publisher.configure([A]))
    await asyncio.sleep(0)
    await asyncio.gather(publisher.configure([A, B]), earlier)
    assert watch.sessions.addresses == {"10.0.0.2", "10.0.0.3"}
    assert "10.0.0.3" in (tmp_path / "bfd.conf").read_text()


def test_gobgp_says_that_it_has_no_bfd() -> None:
    assert [problem.field for problem in unsupported(A, GOBGP_RETRIES)] == ["spec.bfd"]
    assert unsupported(A, EXABGP_RETRIES) == ()
