"""ExaBGP itself reads what is rendered for it."""

from __future__ import annotations

import pytest

from porter.bgp.configuration import render, validate
from porter.bgp.publisher import no_passwords
from porter.model.address import IPV4, Address
from porter.model.bgp import PeerKey, SessionSettings

SETTINGS = SessionSettings(
    PeerKey("tor"), Address("192.0.2.1"), 64501, 64500, Address("192.0.2.9"), Address("192.0.2.9")
)
V6 = SETTINGS._replace(peer=PeerKey("tor6"), peer_address=Address("2001:db8::1"), local_address=Address("2001:db8::9"))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "connect 179;"),
        ({"port": 1790}, "connect 1790;"),
        ({"passive": True}, "passive true; listen 179;"),
        ({"ttl_security": True}, "outgoing-ttl 255; incoming-ttl 255;"),
        ({"multihop_ttl": 3}, "outgoing-ttl 3;"),
        ({"restart_time_s": 60}, "graceful-restart 60;"),
        ({"families": (IPV4,)}, "family { ipv4 unicast; }"),
        ({"password_source": "secret:tor"}, 'md5-password "s3cret";'),
        ({}, "manual-eor true;"),
    ],
)
async def test_exabgp_accepts_every_setting(tmp_path, changes, line):
    text = render([SETTINGS._replace(**changes)], {"secret:tor": "s3cret"}.get, tmp_path / "relay.sock")
    assert line in text
    assert await validate(text, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


async def test_no_peers_and_two_families_of_peers_are_accepted(tmp_path):
    for sessions in ([], [SETTINGS, V6]):
        assert await validate(render(sessions, no_passwords, tmp_path / "relay.sock"), tmp_path) == ""


async def test_what_exabgp_refuses_is_told(tmp_path):
    complaint = await validate("neighbor 192.0.2.1 {\n  nonsense 5;\n}\n", tmp_path)
    assert "nonsense" in complaint
