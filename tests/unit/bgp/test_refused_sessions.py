"""A session whose new settings cannot be honoured: it is told, and what there has been stays."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from porter.bgp.backends.gobgp.publisher import GoBgpPublisher
from porter.bgp.publisher import ExaBgpPublisher
from porter.events.routed import PeerRejected
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings

A = SessionSettings(PeerKey("a"), Address("10.0.0.2"), 65001, 65000, Address("10.0.0.1"), Address("10.0.0.1"))
B = A._replace(peer=PeerKey("b"), peer_address=Address("10.0.0.3"))
SECRET = "secret:tor"


class Clock:
    def wall_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return time.monotonic()


def wanted(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.wanted"))


async def rejected(publisher: ExaBgpPublisher | GoBgpPublisher) -> list[tuple[str, str]]:
    return [(one.peer, one.field) for one in await publisher.outcomes() if isinstance(one, PeerRejected)]


async def test_exabgp_keeps_a_session_until_its_new_password_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def validate(_text: str, _directory: Path) -> str:
        return ""

    monkeypatch.setattr("porter.bgp.configuration_file.validate", validate)
    configuration = tmp_path / "exabgp.conf"
    keys: dict[str, str] = {}
    publisher = ExaBgpPublisher(
        speaker="s",
        socket_path=tmp_path / "relay.sock",
        configuration_path=configuration,
        clock=Clock(),
        passwords=keys.get,
    )
    await publisher.configure([A])
    before = configuration.read_text()
    await publisher.configure([A._replace(password_source=SECRET)])
    assert await rejected(publisher) == [("a", "passwordSecret")]
    assert configuration.read_text() == before
    assert publisher.peers().keys() == {"a"}
    await publisher.configure([A._replace(password_source=SECRET), B._replace(password_source=SECRET)])
    assert publisher.peers().keys() == {"a"}, "one that there never was is left out"
    await publisher.configure([A._replace(password_source=SECRET, peer_address=Address("10.0.0.9"))])
    assert publisher.peers().keys() == set(), "another router is another session"
    keys["secret:tor"] = "s3cret"
    await publisher.configure([A._replace(password_source=SECRET)])
    assert 'md5-password "s3cret"' in configuration.read_text()


async def test_gobgp_keeps_a_session_until_its_new_password_is_there(tmp_path: Path) -> None:
    publisher = GoBgpPublisher(speaker="s", directory=tmp_path, clock=Clock())
    await publisher.configure([A])
    before = wanted(tmp_path)
    await publisher.configure([A._replace(password_source=SECRET), B._replace(password_source=SECRET)])
    assert await rejected(publisher) == [("a", "passwordSecret"), ("b", "passwordSecret")]
    assert wanted(tmp_path) == before
    assert publisher.peers().keys() == {"a"}
