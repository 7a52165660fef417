"""What ExaBGP is given to read, and what is refused before."""

from __future__ import annotations

import stat

import pytest

from porter.bgp.backends.reloading import read_descriptions
from porter.bgp.configuration import InvalidSession, check_settings, digest_of, render, write_private
from porter.bgp.publisher import no_passwords
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings

SETTINGS = SessionSettings(
    PeerKey("tor"), Address("192.0.2.1"), 64501, 64500, Address("192.0.2.9"), Address("192.0.2.9")
)


@pytest.mark.parametrize(
    ("changes", "password", "field"),
    [
        ({"local_address": Address("2001:db8::9")}, None, "localAddress"),
        ({"families": ()}, None, "families"),
        ({"password_source": "secret:tor"}, None, "passwordSecret"),
        ({"password_source": "secret:tor"}, "with blank", "passwordSecret"),
        ({"password_source": "secret:tor"}, 'quote"', "passwordSecret"),
        ({"password_source": "secret:tor"}, "quote'", "passwordSecret"),
        ({"password_source": "secret:tor"}, "x" * 81, "passwordSecret"),
        ({"ttl_security": True, "multihop_ttl": 2}, None, "ttlSecurity"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(changes, password, field):
    with pytest.raises(InvalidSession) as refused:
        check_settings(SETTINGS._replace(**changes), password)
    assert refused.value.field == field
    assert password is None or password not in str(refused.value)


def test_the_digest_tells_one_configuration_from_another(tmp_path):
    socket = tmp_path / "relay.sock"
    one = render([SETTINGS], no_passwords, socket)
    other = render([SETTINGS._replace(hold_time_s=30)], no_passwords, socket)
    assert digest_of(one) != digest_of(other)
    assert f'"tor {digest_of(one)}"' in one
    shown = [
        "neighbor 192.0.2.1 {",
        f'  description "tor {digest_of(one)}";',
        "  router-id 192.0.2.9;",
        "  local-address 192.0.2.9;",
        "  local-as 64500;",
        "  peer-as 64501;",
        "  hold-time 90;",
        "  capability {",
        "    asn4 enable;",
        "  }",
        "}",
    ]
    (found,) = read_descriptions(shown)
    assert found == (("192.0.2.1", "192.0.2.9", 64500, 64501, "192.0.2.9"), f"tor {digest_of(one)}")
    assert list(read_descriptions([])) == []


def test_the_file_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "exabgp.conf"
    write_private(path, "first\n")
    write_private(path, "second\n")
    assert path.read_text() == "second\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
