"""The speaker between a journal in memory and a publisher that only remembers what it was told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from porter.app.settings import Settings
from porter.app.speaker import configuring
from porter.app.speaker import speaker as module
from porter.app.speaker.speaker import Speaker
from porter.bgp.exclusions import distinct
from porter.bgp.rejections import Rejections
from porter.events.catalogue import Event
from porter.events.codec import SHAPES, encode_commit
from porter.events.decided import EpochStarted
from porter.events.envelope import Draft, Envelope
from porter.events.observed import ConfObserved, InventorySynced, NodeGone, PeerObserved, ServiceObserved
from porter.events.routed import (
    BfdDaemonStateChanged,
    BfdStateChanged,
    DriftFound,
    EngineStateChanged,
    FieldsUnsupported,
    ImportsRefused,
    PeerRejected,
    SessionStateChanged,
)
from porter.journal import local
from porter.journal.local import LocalJournal
from porter.journal.memory import MemoryJournals
from porter.model.address import Address
from porter.model.bgp import Negotiated, PeerKey, SessionSettings
from porter.model.reasons import Problem, Reason
from porter.ports import Claim, Desired, PeerView
from porter.projections.sessions import Sessions, evolve_sessions

TIMEOUT_S = 5.0
PEER = PeerObserved("tor", "t", "1", 1, Address("192.0.2.254"), 64512)


class RememberingPublisher:
    """`porter.ports.Publisher` without an engine."""

    def __init__(self) -> None:
        self.configured: list[tuple[str, ...]] = []
        self.sessions: Sequence[SessionSettings] = ()
        self.up: dict[PeerKey, PeerView] = {}
        self.takes_s = 0.0
        self.free = asyncio.Event()
        """While this is not set the engine is busy with another configuration."""
        self.free.set()
        self.told: list[Event] = []
        self.stands: list[Event] = []
        self.heard = asyncio.Event()
        self.desired: list[Desired] = []
        self.presumes: dict[PeerKey, Negotiated] = {}

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def configure(self, sessions: Sequence[SessionSettings]) -> None:
        await asyncio.sleep(self.takes_s)
        await self.free.wait()
        self.configured.append(tuple(sorted(session.peer for session in sessions)))
        self.sessions = sessions

    def desire(self, desired: Desired) -> None:
        self.desired.append(desired)

    def presumed(self) -> Mapping[PeerKey, Negotiated]:
        return self.presumes

    async def outcomes(self) -> Sequence[Event]:
        await self.heard.wait()
        self.heard.clear()
        told, self.told = self.told, []
        return told

    def tell(self, *events: Event) -> None:
        self.told += events
        self.heard.set()

    def standing(self) -> Sequence[Event]:
        return self.stands

    def confirmed(self, _peer: PeerKey) -> Mapping[Any, Any]:
        return {}

    def peers(self) -> Mapping[PeerKey, PeerView]:
        return self.up


class Outcomes:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, events: Sequence[Event]) -> None:
        self.events += events


class World:
    """A leader's end of the journal, and the speaker at the other end."""

    def __init__(self, folder: Path) -> None:
        self.journals = MemoryJournals()
        self.journal: LocalJournal = self.journals.journal()
        self.publisher = RememberingPublisher()
        settings = Settings(state_dir=folder, local_address="192.0.2.1", name="s1")
        self.outcomes = Outcomes()
        self.speaker = Speaker(settings, self.journals.journal(), self.publisher, self.outcomes)
        self.position = 0

    async def append(self, *events: Event) -> None:
        """Append one commit, and wait until the speaker has folded it."""
        commit = await self.journal.append([Draft(event) for event in events], time_ms=1000)
        await self.folded(commit.last_position)

    async def folded(self, position: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self.speaker.checkpoint.position < position:  # noqa: ASYNC110 - it tells nobody how far it is.
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():  # noqa: ASYNC110 - it tells nobody.
                await asyncio.sleep(0.001)

    async def configures(self, *peers: str) -> None:
        """Wait until these are the publisher's sessions; the journal's following does not."""
        await self.until(lambda: self.publisher.configured and self.publisher.configured[-1] == peers)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own addresses are looked at all the time; for a test that names this before `world`."""
    monkeypatch.setattr(configuring, "QUIET_INTERVAL_S", 0.01)
    monkeypatch.setattr(configuring, "CONFIGURE_INTERVAL_S", 0.0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    started = EpochStarted("g", "a", 0, "00" * 32)
    await made.journal.claim(Claim("g", 1, None, 1, False, "a"), [Draft(started)], time_ms=1000)
    running = asyncio.create_task(made.speaker.run())
    await made.folded(1)
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def service(number: int) -> ServiceObserved:
    ports, families = (("TCP", 80),), ("IPv4",)
    return ServiceObserved(
        f"uid-{number}", "default", f"web-{number}", "1", 0, 1, ports, "Cluster", families, "SingleStack"
    )


async def test_sessions_are_looked_at_when_their_facts_change_and_not_with_every_service(world, monkeypatch):
    monkeypatch.setattr(configuring, "CONFIGURE_INTERVAL_S", 3600.0)
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    await world.configures("tor")
    looked = []
    monkeypatch.setattr(world.speaker._addresses, "own", lambda *asked, **_: looked.append(asked))
    for number in range(20):
        await world.append(service(number))
    assert looked == []
    monkeypatch.undo()
    await world.append(PEER._replace(name="second", address=Address("192.0.2.253")))
    await world.configures("second", "tor")


async def test_the_publisher_is_given_the_oldest_peer_first_and_of_one_age_the_one_that_was_there(quick, world):
    same_router = PEER._replace(name="a", port=1, created_ms=2000)
    await world.append(ConfObserved("default", "c", "1", 1, 64500), InventorySynced(0, 0, 0, 1))
    await world.append(PEER._replace(created_ms=2000))
    await world.configures("tor")
    await world.append(same_router)
    await world.configures("a", "tor")
    await world.append(PEER._replace(name="third", port=2, created_ms=1000))
    await world.configures("a", "third", "tor")
    assert [one.peer for one in world.publisher.sessions] == ["third", "tor", "a"]
    assert [one.peer for one in distinct(world.publisher.sessions, Rejections())] == ["third"]


async def test_an_address_of_this_machine_that_comes_late_is_found_with_a_later_page(world, monkeypatch):
    monkeypatch.setattr(configuring, "CONFIGURE_INTERVAL_S", 0.0)
    address = [""]
    monkeypatch.setattr(world.speaker._addresses, "towards", lambda _peer: Address(address[0]))
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    assert world.publisher.configured == []
    address[0] = "192.0.2.1"
    await world.append(service(1))
    await world.configures("tor")


async def test_an_address_of_this_machine_that_comes_late_is_found_without_a_page(quick, world, monkeypatch):
    address = [""]
    monkeypatch.setattr(world.speaker._addresses, "towards", lambda _peer: Address(address[0]))
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    assert world.publisher.configured == []
    address[0] = "192.0.2.1"
    await world.configures("tor")


async def test_a_link_that_is_down_for_a_moment_neither_removes_a_session_nor_moves_it(quick, world, monkeypatch):
    monkeypatch.setattr(world.speaker._addresses, "_configured", None)
    address = ["192.0.2.1"]
    monkeypatch.setattr(world.speaker._addresses, "towards", lambda _peer: Address(address[0]))
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    await world.configures("tor")
    [session] = world.publisher.sessions
    world.publisher.up[session.peer] = PeerView(session.peer, "LIVE", "Established", "", 0, 0, None, 0, 0)
    for number, instead in enumerate(("", "198.51.100.1")):
        address[0] = instead
        await world.append(service(number))
        await asyncio.sleep(0.03)
    assert world.publisher.configured == [("tor",)], "the kernel knows no way, or another: the session stands"
    world.publisher.up.clear()
    await world.append(service(3))
    await world.until(lambda: [one.local_address for one in world.publisher.sessions] == ["198.51.100.1"])


async def test_a_speaker_is_not_ready_before_its_sessions_are_with_the_engine(world, monkeypatch):
    monkeypatch.setattr("porter.app.speaker.ready_file.LOOK_INTERVAL_S", 0.001)
    await asyncio.sleep(0.6)
    world.publisher.takes_s = 0.2
    ready = world.speaker._settings.ready_file
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    async with asyncio.timeout(TIMEOUT_S):
        while not ready.exists():  # noqa: ASYNC110 - a probe looks for it, too.
            await asyncio.sleep(0.001)
    assert world.publisher.configured == [("tor",)]


async def test_a_speaker_that_comes_after_a_malformed_edit_has_the_session_that_was_before_it(world):
    wrong = (Problem(Reason.FIELD_INVALID, "spec.conf.neighborAddress", "is nowhere; write another"),)
    edited = PEER._replace(address=Address(""), problems=wrong)
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, edited, InventorySynced(0, 0, 0, 1))
    await world.until(lambda: [one.peer_address for one in world.publisher.sessions] == [PEER.address])


async def test_a_recovering_epoch_makes_what_is_desired_uncertain_and_its_end_certain(world):
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    assert world.speaker._certain
    head = await world.journal.head()
    assert head is not None
    started = EpochStarted("g", "b", head.position, head.hash.hex(), recovering=True)
    claim = Claim("g", 2, head, head.position + 1, True, "b")
    commit = await world.journal.claim(claim, [Draft(started)], time_ms=1000)
    await world.folded(commit.last_position)
    assert not world.speaker._certain
    assert world.speaker._ribs.retained is not None
    await world.configures("tor")


async def test_an_engine_that_needs_the_routes_before_a_session_is_up_gets_them(world):
    four = frozenset({"IPv4"})
    world.publisher.presumes = {PeerKey("tor"): Negotiated(four, four, 90)}
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER)
    await world.until(lambda: world.publisher.desired)
    await world.append(InventorySynced(0, 0, 0, 1))
    told = [(desired.peer, dict(desired.routes), desired.certain) for desired in world.publisher.desired]
    assert told == [("tor", {}, False), ("tor", {}, True)]


async def test_a_speaker_that_is_too_old_for_the_journal_keeps_its_state_and_says_why(world, monkeypatch):
    before = world.speaker.checkpoint
    monkeypatch.setattr(module, "NEWER_RETRY_S", 0.01)
    shape = SHAPES["NodeGone"]
    monkeypatch.delitem(SHAPES, "NodeGone")

    def newer(*drafts: Any, **heading: Any) -> bytes:
        """What a newer release encodes."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(SHAPES, "NodeGone", shape)
            return encode_commit(*drafts, **heading)

    monkeypatch.setattr(local, "encode_commit", newer)
    await world.journal.append([Draft(NodeGone("n1"))], time_ms=1000)
    async with asyncio.timeout(TIMEOUT_S):
        while "holds NodeGone version 1" not in world.speaker.problem:  # noqa: ASYNC110 - it tells nobody.
            await asyncio.sleep(0.01)
    assert world.speaker.checkpoint == before, "nothing is lost, and nothing is begun anew"
    monkeypatch.setitem(SHAPES, "NodeGone", shape)
    await world.folded(before.position + 1)
    assert not world.speaker.problem


async def test_the_journal_is_followed_and_routes_go_on_while_the_engine_takes_other_sessions(world):
    four = frozenset({"IPv4"})
    world.publisher.presumes = {PeerKey("tor"): Negotiated(four, four, 90)}
    await world.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    await world.configures("tor")
    world.publisher.free.clear()
    await world.append(PEER._replace(name="second", address=Address("192.0.2.253")))
    before = len(world.publisher.desired)
    for number in range(20):
        await world.append(service(number))
    await world.append(ConfObserved("default", "c", "2", 2, 64501))
    assert len(world.publisher.desired) > before, "the peer that stands is given its routes"
    assert world.publisher.configured[-1] == ("tor",)
    await world.append(PEER._replace(name="third", address=Address("192.0.2.252")))
    world.publisher.free.set()
    await world.configures("second", "third", "tor")


async def test_a_speaker_begins_although_the_engine_does_not_take_its_first_sessions(tmp_path, monkeypatch):
    monkeypatch.setattr(configuring, "FIRST_PATIENCE_S", 0.01)
    made = World(tmp_path)
    made.publisher.free.clear()
    made.speaker._configuring.changed_beside()
    started = EpochStarted("g", "a", 0, "00" * 32)
    await made.journal.claim(Claim("g", 1, None, 1, False, "a"), [Draft(started)], time_ms=1000)
    running = asyncio.create_task(made.speaker.run())
    await made.append(ConfObserved("default", "c", "1", 1, 64500), PEER, InventorySynced(0, 0, 0, 1))
    assert made.publisher.configured == []
    made.publisher.free.set()
    await made.configures("tor")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_peer_that_is_up_as_it_was_is_still_told_to_be_refused(world):
    rejected = PeerRejected("tor", "spec", "ExaBGP refuses these settings")
    world.publisher.stands = [rejected, PeerRejected("other", "spec", "likewise")]
    up = SessionStateChanged("tor", "Established", "")
    world.publisher.tell(up)
    await world.until(lambda: up in world.outcomes.events)
    assert world.outcomes.events[world.outcomes.events.index(up) :] == [up, rejected]


async def test_what_stands_is_told_anew_now_and_then_in_an_order_in_which_it_holds(world, monkeypatch):
    monkeypatch.setattr(module, "TELL_PRESENT_EVENTS", 1)
    four, peer = frozenset({"IPv4"}), PeerKey("tor")
    world.publisher.up = {peer: PeerView(peer, "LIVE", "Established", "", 0, 0, Negotiated(four, four, 90), 3, 3)}
    problem = Problem(Reason.FIELD_UNSUPPORTED, "spec.bfd", "no effect")
    world.publisher.stands = [
        EngineStateChanged("s1", up=True, reason=""),
        PeerRejected("tor", "spec", "ExaBGP refuses these settings"),
        FieldsUnsupported("tor", (problem,)),
        BfdDaemonStateChanged("s1", up=True, reason=""),
        BfdStateChanged("tor", "Down", "no answer"),
        ImportsRefused("tor", 200),
    ]
    world.publisher.tell(DriftFound("tor", 1, 0, ()))
    await world.until(lambda: ImportsRefused("tor", 200) in world.outcomes.events)
    sessions = Sessions.empty()
    first = next(index for index, one in enumerate(world.outcomes.events) if isinstance(one, EngineStateChanged))
    for number, event in enumerate(world.outcomes.events[first:], 1):
        sessions = evolve_sessions(sessions, "s1", Envelope(number, 1, 1000, 0, "", "", event))
    speaker = sessions.speakers["s1"]
    told = speaker.peers["tor"]
    assert (speaker.engine_up, speaker.bfd_up) == (True, True)
    assert (told.state, told.synced, told.routes, told.hold_time_s) == ("Established", True, 3, 90)
    assert (told.rejected, told.unsupported) == ("ExaBGP refuses these settings", (problem,))
    assert (told.bfd, told.bfd_reason, told.refused_updates) == ("Down", "no answer", 200)
