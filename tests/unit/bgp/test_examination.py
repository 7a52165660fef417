"""How the sessions that ExaBGP refuses are found, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from porter.bgp.examination import MAX_AT_ONCE, Examination
from porter.bgp.publisher import ExaBgpPublisher
from porter.events.routed import PeerRejected
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings


def session(number: int, **changes) -> SessionSettings:
    own = Address("10.0.0.1")
    base = SessionSettings(PeerKey(f"p{number:03}"), Address(f"10.0.1.{number}"), 65001, 65000, own, own)
    return base._replace(**changes)


MANY = [session(number) for number in range(100)]


class Judge:
    """ExaBGP, which refuses some peers wherever they stand."""

    def __init__(self, *refused: SessionSettings) -> None:
        self.refused = {settings.peer for settings in refused}
        self.asked = 0
        self.at_once = 0
        self._now = 0

    async def __call__(self, sessions: Sequence[SessionSettings]) -> str:
        self.asked += 1
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        found = sorted(self.refused & {settings.peer for settings in sessions})
        return f"{found[0]} is wrong" if found else ""


def made(judge: Judge) -> Examination:
    return Examination(judge, repr)


async def test_a_few_of_many_are_found_with_few_questions_and_not_asked_of_again() -> None:
    judge = Judge(MANY[7], MANY[70])
    examination = made(judge)
    examination.begin(MANY)
    await examination.split(MANY)
    assert [one.peer for one in MANY if examination.complaint(one)] == ["p007", "p070"]
    assert examination.complaint(MANY[7]) == "p007 is wrong"
    assert judge.asked <= 2 * 4 * 4, "four questions for each of four levels"
    assert judge.at_once <= MAX_AT_ONCE
    examination.begin(MANY)
    assert examination.complaint(MANY[70])
    changed = MANY[70]._replace(hold_time_s=30)
    examination.begin([*MANY[:70], changed])
    assert not examination.complaint(changed), "other settings are looked at anew"
    examination.begin(MANY)
    assert not examination.complaint(MANY[70]), "what nobody asks for is forgotten"


async def test_a_hundred_that_are_all_refused_cost_a_bounded_number_of_questions_once() -> None:
    judge = Judge(*MANY)
    examination = made(judge)
    examination.begin(MANY)
    await examination.split(MANY)
    assert all(examination.complaint(one) for one in MANY)
    assert judge.asked <= 1.6 * len(MANY)


async def test_what_could_not_be_looked_at_is_asked_of_again() -> None:
    async def too_slow(_sessions: Sequence[SessionSettings]) -> str:
        return "exabgp validate did not end within 30 s"

    examination = Examination(too_slow, repr)
    await examination.split(MANY[:1])
    assert examination.complaint(MANY[0])
    examination.begin(MANY)
    assert not examination.complaint(MANY[0])


class Clock:
    def wall_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return time.monotonic()


@pytest.fixture
def publisher(tmp_path: Path) -> ExaBgpPublisher:
    return ExaBgpPublisher(
        speaker="s", socket_path=tmp_path / "relay.sock", configuration_path=tmp_path / "exabgp.conf", clock=Clock()
    )


class Validation:
    """ExaBGP's reading of a whole configuration. It holds where it is asked of a part, until it is let go."""

    def __init__(self, *refused: SessionSettings) -> None:
        self.refused = {f"neighbor {settings.peer_address} {{" for settings in refused}
        self.asked = 0
        self.released = asyncio.Event()
        self.holds = asyncio.Event()

    async def __call__(self, text: str, _directory: Path) -> str:
        self.asked += 1
        found = [line for line in text.splitlines() if line in self.refused]
        if self.asked > 1 and not self.released.is_set():
            self.holds.set()
            await self.released.wait()
        return f"{found[0]} is refused" if found else ""


async def test_what_is_known_to_be_good_does_not_wait_until_the_bad_ones_are_found(
    publisher: ExaBgpPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, gone, bad, fresh = MANY[:4]
    validation = Validation(bad)
    validation.released.set()
    monkeypatch.setattr("porter.bgp.configuration_file.validate", validation)
    await publisher.configure([good, gone])
    validation.released.clear()
    validation.asked = 0
    configuring = asyncio.create_task(publisher.configure([good._replace(hold_time_s=30), bad, fresh]))
    async with asyncio.timeout(5):
        await validation.holds.wait()
    assert publisher.peers().keys() == {good.peer}, "one that left is gone, and none that is there waits"
    assert "hold-time 90" in (tmp_path / "exabgp.conf").read_text(), "as it was, until it is known to be good"
    validation.released.set()
    await configuring
    assert publisher.peers().keys() == {good.peer, fresh.peer}
    assert "hold-time 30" in (tmp_path / "exabgp.conf").read_text()
    [told] = [one for one in await publisher.outcomes() if isinstance(one, PeerRejected)]
    assert (told.peer, "is refused" in told.message) == (bad.peer, True)
    assert told in publisher.standing()

    validation.asked = 0
    await publisher.configure([good, bad, fresh])
    assert validation.asked == 1, "one that is refused for sure is not asked of again"
    await publisher.configure([good, bad, fresh])
    assert validation.asked == 1


async def test_a_session_whose_new_settings_exabgp_refuses_stays_as_it_was(
    publisher: ExaBgpPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def validate(text: str, _directory: Path) -> str:
        return "no such hold time" if "hold-time 33" in text else ""

    monkeypatch.setattr("porter.bgp.configuration_file.validate", validate)
    await publisher.configure(MANY[:2])
    before = (tmp_path / "exabgp.conf").read_text()
    await publisher.configure([MANY[0], MANY[1]._replace(hold_time_s=33)])
    assert (tmp_path / "exabgp.conf").read_text() == before
    assert publisher.peers().keys() == {MANY[0].peer, MANY[1].peer}


async def test_after_a_restart_a_refused_peer_keeps_no_other_from_its_session(
    publisher: ExaBgpPublisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = Validation(MANY[2])
    validation.released.set()
    monkeypatch.setattr("porter.bgp.configuration_file.validate", validation)
    await publisher.configure(MANY[:3])
    validation.released.clear()
    validation.holds.clear()
    validation.asked = 0
    paths = {"socket_path": tmp_path / "relay.sock", "configuration_path": tmp_path / "exabgp.conf"}
    restarted = ExaBgpPublisher(speaker="s", clock=Clock(), **paths)
    configuring = asyncio.create_task(restarted.configure(MANY[:3]))
    async with asyncio.timeout(5):
        await validation.holds.wait()
    assert restarted.peers().keys() == {MANY[0].peer, MANY[1].peer}
    validation.released.set()
    await configuring
