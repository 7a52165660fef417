"""Of two sessions that exclude each other the first given stays, whatever the engine"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from porter.bgp.backends.gobgp.publisher import GoBgpPublisher
from porter.bgp.publisher import ExaBgpPublisher
from porter.events.routed import PeerRejected
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings

Publisher = ExaBgpPublisher | GoBgpPublisher

YOUNG = SessionSettings(PeerKey("a"), Address("10.0.0.2"), 65001, 65000, Address("10.0.0.1"), Address("10.0.0.1"))
OLD = YOUNG._replace(peer=PeerKey("b"), port=1790)
OTHER = YOUNG._replace(peer=PeerKey("c"), peer_address=Address("10.0.0.3"))


class Clock:
    def wall_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return time.monotonic()


@pytest.fixture(params=["exabgp", "gobgp"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Publisher]:
    """Makes a publisher of each engine in turn; every next one is the same after a restart."""

    async def validate(_text: str, _directory: Path) -> str:
        return ""

    monkeypatch.setattr("porter.bgp.configuration_file.validate", validate)

    def make() -> Publisher:
        if request.param == "gobgp":
            return GoBgpPublisher(speaker="s", directory=tmp_path, clock=Clock())
        paths = {"socket_path": tmp_path / "relay.sock", "configuration_path": tmp_path / "exabgp.conf"}
        return ExaBgpPublisher(speaker="s", clock=Clock(), **paths)

    return make


async def refused(publisher: Publisher) -> list[tuple[str, str, str]]:
    told = [one for one in await publisher.outcomes() if isinstance(one, PeerRejected)]
    return [(one.peer, one.field, one.message) for one in told]


async def test_of_two_sessions_with_one_router_the_first_given_stays(made: Callable[[], Publisher]) -> None:
    publisher = made()
    await publisher.configure([OLD, OTHER, YOUNG])
    assert publisher.peers().keys() == {"b", "c"}
    address = "spec.conf.neighborAddress"
    assert await refused(publisher) == [("a", address, "b has the same address; use one")]
    await publisher.configure([OTHER, YOUNG])
    assert publisher.peers().keys() == {"a", "c"}
    assert await refused(publisher) == [("a", "", "")]
    await publisher.configure([YOUNG, OTHER, OLD])
    assert publisher.peers().keys() == {"a", "c"}, "whoever came first by then keeps it"
    assert await refused(publisher) == [("b", address, "a has the same address; use one")]


async def test_after_a_restart_the_same_one_stays(made: Callable[[], Publisher]) -> None:
    for _ in range(2):
        publisher = made()
        await publisher.configure([OLD, YOUNG])
        assert publisher.peers().keys() == {"b"}


async def test_a_session_that_cannot_be_as_asked_does_not_come_back_over_another(
    made: Callable[[], Publisher],
) -> None:
    """It is on another local address now, without its password, and its former addresses are another peer's."""
    publisher = made()
    await publisher.configure([YOUNG])
    moved = YOUNG._replace(local_address=Address("10.0.0.9"), password_source="secret:none")
    await publisher.configure([moved, OLD])
    assert publisher.peers().keys() == {"b"}
    assert [one[:2] for one in await refused(publisher)] == [("a", "passwordSecret")]


async def test_of_two_sessions_that_wait_at_one_port_gobgp_has_the_first_given(tmp_path: Path) -> None:
    publisher = GoBgpPublisher(speaker="s", directory=tmp_path, clock=Clock())
    first, second = OTHER._replace(passive=True), YOUNG._replace(passive=True)
    await publisher.configure([first, second])
    assert publisher.peers().keys() == {"c"}
    ((peer, field, message),) = await refused(publisher)
    assert (peer, field, message.partition(" waits")[0]) == ("a", "passive", "c")
