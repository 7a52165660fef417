"""What BIRD is told and tells, and what follows from it."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from porter.bgp.bfd.configuration import Timers, differing, render, timers_of, unwatched, watched
from porter.bgp.bfd.control import Reply, UnknownReply, read_reply, read_sessions, read_status
from porter.bgp.bfd.daemon import MULTIHOP_PORT, SINGLE_HOP_PORT, PortTaken, check_ports
from porter.bgp.bfd.memory import PathMemory
from porter.bgp.bfd.publisher import BfdPublisher
from porter.bgp.bfd.sessions import PATIENCE_S, BfdSessions, Cut, Path, Seen
from porter.bgp.bfd.watch import BfdWatch
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
    assert read_sessions(reply.lines) == {
        "10.0.0.2": Seen("Up", heard=True, since="19:31:08.527"),
        "2001:db8::2": Seen("Down", heard=False, since="2026-01-01 19:31:08"),
    }
    assert read_reply(rest) == (Reply(3, ("Reconfigured",)), b"")


def test_an_error_is_told_from_an_answer() -> None:
    reply, _ = read_reply(b"0002-Reading configuration from b\n8002 b:12:1 syntax error\n")  # type: ignore[misc]
    assert reply.failed
    with pytest.raises(UnknownReply):
        read_reply(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(("hops", "port"), [({}, SINGLE_HOP_PORT), ({"multihop_ttl": 5}, MULTIHOP_PORT)])
def test_a_second_bird_is_not_put_beside_one_that_hears_the_same_address(hops: dict[str, int], port: int) -> None:
    text = render((asks("a", "127.61.0.2", local_address=Address("127.61.0.1"), **hops),))
    check_ports(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        # As BIRD binds it: the kernel would let another one in, and hand the packets to either.
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.61.0.1", port))
        with pytest.raises(PortTaken, match=rf"{port} at 127\.61\.0\.1.*topology"):
            check_ports(text)
        check_ports(render((asks("a", "127.61.0.2", local_address=Address("127.61.0.3"), **hops),)))
    check_ports(text)


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
    assert watched((B, A, asks("z", "10.0.0.9", bfd_receive_ms=0))) == (A, B)


def test_one_session_of_bfd_serves_all_sessions_on_its_path() -> None:
    twin = asks("twin", "10.0.0.2", port=1790, bfd_receive_ms=500)
    assert watched((twin, B, A)) == (A, B, twin)
    assert render((A, B, twin)).count("neighbor 10.0.0.2 ") == 1
    paths = wanted(A, B, twin)
    paths.seen(shown(a="Up"), 1.0)
    assert (paths.state_of(A.peer), paths.state_of(twin.peer)) == ("Up", "Up")
    paths.seen(shown(a="Down"), 2.0)
    assert [cut.peer for cut in paths.cut] == ["a", "twin"]


def test_of_two_paths_to_one_router_the_one_that_was_watched_stays_and_the_other_says_why_not() -> None:
    aside = asks("aside", "10.0.0.3", local_address=Address("10.0.0.9"))
    assert watched((aside, B)) == (aside,), "the first by name"
    assert watched((aside, B), {Path.of(B)}) == (B,), "a peer that is added disturbs nobody"
    [problem] = unwatched(aside, (B,))
    assert problem.field == "spec.bfd"
    assert "for BgpPeer b" in problem.message
    assert "from 10.0.0.1" in problem.message
    assert "from 10.0.0.9" in problem.message


def wanted(*sessions: SessionSettings) -> BfdSessions:
    paths = BfdSessions("s")
    paths.want(sessions, 0.0)
    return paths


def shown(*, heard: bool = False, **states: str) -> dict[str, Seen]:
    """The states of the paths to A and B, as BIRD shows them."""
    return {{"a": A, "b": B}[name].peer_address: Seen(state, heard) for name, state in states.items()}


def cut_off(paths: BfdSessions) -> list[str]:
    return [cut.peer for cut in paths.cut]


def test_only_a_path_that_was_up_cuts_its_peer_off() -> None:
    paths = wanted(A, B)
    paths.seen(shown(a="Down"), 1.0)
    paths.seen(shown(a="Init", b="Up"), 2.0)
    assert cut_off(paths) == []
    paths.seen(shown(a="Up", b="Init"), 3.0)
    assert cut_off(paths) == ["b"]
    paths.seen(shown(a="Down", b="Down"), 4.0)
    assert cut_off(paths) == ["b", "a"]
    told = [(one.peer, one.state) for one in paths.outcomes if isinstance(one, BfdStateChanged)]
    assert told == [("a", "Down"), ("b", "Up"), ("a", "Up"), ("b", "Down"), ("a", "Down")]


def test_a_daemon_that_is_gone_cuts_nobody_off_when_it_is_back() -> None:
    paths = wanted(A)
    paths.seen(shown(a="Up"), 0.0)
    paths.lost("it closed the connection", 1.0)
    assert paths.state_of(PeerKey("a")) == ""
    paths.seen(shown(a="Down"), 2.0)
    assert paths.cut == []
    up = [one.up for one in paths.outcomes if isinstance(one, BfdDaemonStateChanged)]
    assert up == [True, False, True]


def test_what_was_told_last_stands() -> None:
    paths = wanted(A, B)
    assert paths.standing() == []
    paths.seen(shown(a="Up", b="Down"), 0.0)
    daemon, a, b = paths.standing()
    assert (daemon, a) == (BfdDaemonStateChanged("s", True, ""), BfdStateChanged("a", "Up", ""))
    assert b.state == "Down"
    assert b.reason
    paths.lost("it closed the connection", 1.0)
    assert paths.standing() == [BfdDaemonStateChanged("s", False, "it closed the connection")]


def test_a_daemon_has_time_to_be_there_at_first() -> None:
    paths = wanted(A)
    paths.lost("not there", PATIENCE_S - 1)
    assert paths.outcomes == []
    paths.lost("not there", PATIENCE_S + 1)
    paths.lost("not there", PATIENCE_S + 2)
    assert paths.outcomes == [BfdDaemonStateChanged("s", False, "not there")]


def test_a_path_with_another_address_is_another_path() -> None:
    paths = wanted(A)
    paths.seen(shown(a="Up"), 0.0)
    paths.want((A._replace(local_address=Address("10.0.0.9")),), 1.0)
    paths.seen(shown(a="Down"), 2.0)
    assert paths.cut == []


def test_a_session_that_is_not_there_yet_says_nothing() -> None:
    paths = wanted(A)
    paths.seen(shown(a="Up"), 0.0)
    paths.seen({}, 1.0)
    assert (paths.cut, paths.state_of(PeerKey("a"))) == ([], "Up")


def down_by_itself(paths: BfdSessions) -> str:
    [*_, told] = [one for one in paths.outcomes if isinstance(one, BfdStateChanged)]
    return told.reason if told.state == "Down" else ""


def test_a_router_that_takes_its_bfd_down_is_no_failure() -> None:
    """RFC 5880, section 6.8.16: its packets go on to come, and ours are not answered by another state."""
    paths = wanted(A)
    paths.seen(shown(a="Up"), 0.0)
    for tenth in range(1, 100):
        paths.seen(shown(a="Down", heard=True), tenth / 10)
    assert cut_off(paths) == []
    assert "administratively down" in down_by_itself(paths)
    # It need not go on to say so.
    paths.seen(shown(a="Down"), 11.0)
    assert cut_off(paths) == []
    paths.seen(shown(a="Up"), 12.0)
    paths.seen(shown(a="Down"), 13.0)
    assert cut_off(paths) == ["a"], "the next failure is one"


@pytest.mark.parametrize("then", [{"a": "Init"}, {"a": "Down"}], ids=["does not hear us", "is not heard any more"])
def test_a_router_whose_packets_say_down_is_a_failure(then: dict[str, str]) -> None:
    paths = wanted(A)
    paths.seen(shown(a="Up"), 0.0)
    paths.seen(shown(a="Down", heard=True), 0.1)
    assert cut_off(paths) == []
    paths.seen(shown(**then), 1.1)
    assert cut_off(paths) == ["a"]
    assert "no answer" in down_by_itself(paths)


def test_a_daemon_that_takes_its_own_sessions_down_cuts_nobody_off() -> None:
    paths = wanted(A)
    paths.seen(shown(a="Up"), 0.0)
    paths.seen(shown(a="AdminDown"), 1.0)
    paths.seen(shown(a="Down"), 1.1)
    assert cut_off(paths) == []


def test_what_an_earlier_speaker_saw_up_has_failed_if_it_is_down(tmp_path) -> None:
    earlier = wanted(A, B)
    earlier.seen(shown(a="Up", b="Down"), 0.0)
    PathMemory(tmp_path / "up.json").keep("boot", earlier.up)
    paths = wanted(A, B)
    paths.remember(PathMemory(tmp_path / "up.json").recall("boot"))
    paths.seen(shown(a="Down", b="Down"), 0.0, lambda _: 7.0)
    assert paths.cut == [Cut(PeerKey("a"), 7.0)]


@pytest.mark.parametrize("text", [None, b"", b"{", b'{"boot": "boot", "up": 1}'])
def test_a_memory_of_another_daemon_or_none_tells_nothing(tmp_path, text: bytes | None) -> None:
    file = tmp_path / "up.json"
    if text is not None:
        file.write_bytes(text)
    assert PathMemory(file).recall("boot") == frozenset()
    PathMemory(file).keep("boot", [Path.of(A)])
    assert PathMemory(file).recall("boot") == {Path.of(A)}
    assert PathMemory(file).recall("later") == frozenset()


def test_ages_are_read_off_birds_own_clock() -> None:
    lines = ("BIRD 2.0.12", "Current server time is 2026-11-25 22:56:36.660", "Last reboot on 2026-11-25 22:56:32.731")
    status = read_status(lines)
    assert status == ("2026-11-25 22:56:36.660", "2026-11-25 22:56:32.731")
    assert status.age_s("2026-11-25 22:55:36.160") == pytest.approx(60.5)
    assert status.age_s("19:31:08.527") == 0.0
    assert read_status(()).age_s("2026-11-25 22:55:36.160") == 0.0


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
    watch.sessions.seen(shown(a="Up"), 0.0)
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
