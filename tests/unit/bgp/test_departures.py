"""Which sessions end with a new list of them, and how."""

from __future__ import annotations

from porter.bgp.backends.exabgp_text import SessionId
from porter.bgp.departures import endings, going, is_predecessor, predecessors, succeeded
from porter.bgp.session import PeerSession
from porter.bgp.states import LIVE
from porter.model.address import IPV4, Address
from porter.model.bgp import Negotiated, PeerKey, SessionSettings

TOR = SessionSettings(PeerKey("tor"), Address("10.0.0.2"), 65001, 65000, Address("10.0.0.1"), Address("10.0.0.1"))
MOVED = TOR._replace(local_address=Address("10.0.0.9"))
AGREED = Negotiated(frozenset({IPV4}), frozenset(), 90)


def up(*all_settings: SessionSettings, now_s: float = 0.0) -> dict[SessionId, PeerSession]:
    sessions = {}
    for settings in all_settings:
        session = PeerSession(settings, now_s)
        session.attached(AGREED, {}, now_s, same_engine=True)
        sessions[SessionId.of(settings)] = session
    return sessions


def test_a_predecessor_stays_until_the_next_session_is_live_or_the_router_does_not_know_it() -> None:
    [former] = predecessors(up(TOR), [MOVED], 0.0)
    assert is_predecessor(former.peer)
    assert former._replace(peer=TOR.peer) == TOR
    assert list(endings(up(TOR), [MOVED, former])) == []
    both = up(former, MOVED)
    assert predecessors(both, [MOVED], TOR.restart_time_s) == [former]
    assert not succeeded(both, TOR.restart_time_s)
    assert predecessors(both, [MOVED], TOR.restart_time_s + 1.0) == []
    assert succeeded(both, TOR.restart_time_s + 1.0)
    assert going(both, [MOVED]) == [], "what it carries stays with the router: the next session never had it"
    both[SessionId.of(MOVED)].sync = LIVE
    assert succeeded(both, 1.0)
    assert [one.settings for one in going(both, [MOVED])] == [former]
    assert sorted(one.settings.peer for one in going(both, [])) == sorted([former.peer, MOVED.peer])


def test_the_name_of_a_session_that_goes_on_is_told_to_be_idle() -> None:
    renamed = TOR._replace(peer=PeerKey("a"))
    [told] = endings(up(TOR), [renamed])
    assert (told.peer, told.state, told.reason) == ("tor", "Idle", "BgpPeer a has its session")
    assert going(up(TOR), [renamed]) == []


def test_another_session_between_the_same_addresses_takes_away_what_the_former_carried() -> None:
    other = TOR._replace(local_as=65009)
    assert going(up(TOR), [other]) == []
    assert predecessors(up(TOR), [other], 0.0) == []
    assert list(endings(up(TOR), [other])) == []
    [told] = endings(up(TOR), [])
    assert told.reason == "the peer was removed"
