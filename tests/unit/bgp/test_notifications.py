"""What is told of a session that ended: who ended it, and over what."""

from __future__ import annotations

import pytest

from porter.bgp.notifications import explained
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings

SETTINGS = SessionSettings(
    PeerKey("tor"), Address("192.0.2.254"), 64512, 64500, Address("192.0.2.1"), Address("192.0.2.1")
)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("notification sent (4,0)", "the hold time expired: nothing came from the router"),
        ("notification sent (6,3)", "the speaker ended it: its settings changed"),
        ("notification sent (6,0)", "the speaker ended it: ExaBGP could not go on"),
        ("notification sent (3,1)", "ended over what the router sent: a malformed UPDATE"),
        ("notification received (4,0)", "the router ended it: the hold time expired"),
        ("notification received (6,2)", "the router ended it: it is shut down administratively"),
        ("closing connection", "the connection to the router broke"),
        ("stop, message [shutting down]", "the speaker's ExaBGP ended it"),
    ],
)
def test_the_side_that_ended_it_is_named_with_exabgps_words_behind(reason: str, told: str) -> None:
    found = explained(reason, SETTINGS)
    assert found.startswith(told)
    assert found.endswith(f"({reason})")


def test_a_session_that_the_speaker_begins_anew_is_no_ones_fault() -> None:
    raw = "graceful restarted negotiated, closing without sending any notification"
    assert explained(raw, SETTINGS).startswith("the speaker begins the session anew")
    assert explained("BFD found the path down", SETTINGS) == "BFD found the path down"
