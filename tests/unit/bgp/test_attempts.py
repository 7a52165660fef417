"""What is told of a session that does not come up, and when."""

from __future__ import annotations

import pytest

from porter.bgp.attempts import FIRST_PATIENCE_S, PATIENCE_S, Attempts, Verdict
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings

SETTINGS = SessionSettings(
    PeerKey("tor"), Address("192.0.2.254"), 64512, 64500, Address("192.0.2.1"), Address("192.0.2.1")
)


@pytest.mark.parametrize(("passive", "state"), [(False, "Connect"), (True, "Active")])
def test_a_session_that_does_not_come_up_is_told_within_seconds_and_once(passive, state):
    settings = SETTINGS._replace(passive=passive)
    attempts = Attempts(0.0)
    assert attempts.news(settings, FIRST_PATIENCE_S - 0.1) is None
    assert attempts.news(settings, FIRST_PATIENCE_S) == (state, "")
    assert attempts.news(settings, FIRST_PATIENCE_S + 1) is None


def test_its_cause_follows_as_soon_as_it_is_known():
    attempts = Attempts(0.0)
    assert attempts.news(SETTINGS, FIRST_PATIENCE_S) == ("Connect", "")
    assert attempts.due(SETTINGS, PATIENCE_S)
    attempts.looked(Verdict.REFUSED, SETTINGS)
    news = attempts.news(SETTINGS, PATIENCE_S)
    assert news is not None
    assert "refuses connections" in news.reason
    assert attempts.news(SETTINGS, PATIENCE_S + 60) is None


def test_a_peer_that_has_not_answered_our_open_is_no_further():
    attempts = Attempts(0.0)
    attempts.connected(0.5)
    assert attempts.news(SETTINGS, FIRST_PATIENCE_S) == ("OpenSent", "")


def test_a_session_that_comes_up_at_once_is_told_to_be_up_alone():
    attempts = Attempts(0.0)
    attempts.up(1.0, told=True)
    assert attempts.news(SETTINGS, 60.0) is None
