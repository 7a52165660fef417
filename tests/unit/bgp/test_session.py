"""One session, step by step: what it commands, and what it tells."""

from __future__ import annotations

import pytest

from porter.bgp.commands import Announce, ReadRib, Resend, SendEndOfRib, Withdraw
from porter.bgp.reading import RECONCILE_S
from porter.bgp.session import CONFIRM_TIMEOUT_S, PeerSession
from porter.bgp.states import DOWN, LIVE, SYNC, TRANSITIONS, UNSYNCED, SyncState, Trigger
from porter.events.routed import (
    DriftFound,
    EndOfRibSent,
    ImportsRefused,
    PeerUnsynced,
    RibSynced,
    RoutesAnnounced,
    RoutesWithdrawn,
)
from porter.model.address import IPV4, IPV6, Address, Prefix
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.ports import Desired

PEER = PeerKey("tor")
SETTINGS = SessionSettings(PEER, Address("192.0.2.1"), 64501, 64500, Address("192.0.2.9"), Address("192.0.2.9"))
BOTH = frozenset({IPV4, IPV6})
ADD_PATH = Negotiated(BOTH, BOTH, 90)
PLAIN = Negotiated(BOTH, frozenset(), 90)
NOW = 100.0
ONE, TWO = PathAttributes(Address("10.0.0.1")), PathAttributes(Address("10.0.0.2"))
A = RouteKey(Prefix("198.51.100.1/32"), 1)
B = RouteKey(Prefix("198.51.100.2/32"), 2)


@pytest.fixture
def session():
    session = PeerSession(SETTINGS, NOW)
    session.attached(None, {}, NOW, same_engine=True)
    return session


def desire(session, routes, *, certain=True, changed=None, informed=True, position=7):
    session.desire(Desired(PEER, routes, position, certain, changed), informed=informed)


def live(session, routes):
    """Bring a session up with these routes."""
    session.established(ADD_PATH, NOW)
    desire(session, routes)
    while session.sync is not LIVE:
        for command in session.commands(NOW):
            obey(session, command)
    session.outcomes.clear()
    return session


def obey(session, command, now_s=NOW):
    """Do what a sound engine does."""
    if isinstance(command, Announce):
        session.sent([(RouteKey(p, command.path_id), command.attributes) for p in command.prefixes], [], now_s)
    elif isinstance(command, Withdraw):
        session.sent([], [RouteKey(p, command.path_id) for p in command.prefixes], now_s)
    elif isinstance(command, SendEndOfRib):
        session.end_of_rib_sent(command.family)
    session.answered(command, now_s, accepted=True)


def test_every_state_has_a_way_down_and_up():
    for state in SyncState:
        assert TRANSITIONS[state, Trigger.CLOSED] is DOWN
        assert TRANSITIONS[state, Trigger.ESTABLISHED] is SYNC


def test_a_sync_announces_then_ends_and_is_told_in_one(session):
    session.established(ADD_PATH, NOW)
    assert session.commands(NOW) == []
    desire(session, {A: ONE, B: TWO})
    announced = session.commands(NOW)
    assert announced == [Announce(ONE, 1, (A.prefix,)), Announce(TWO, 2, (B.prefix,))]
    assert session.commands(NOW) == []
    obey(session, announced[0])
    assert session.commands(NOW) == []
    obey(session, announced[1])
    assert session.commands(NOW) == [SendEndOfRib(IPV4), SendEndOfRib(IPV6)]
    session.end_of_rib_sent(IPV4)
    assert session.sync is SYNC
    session.end_of_rib_sent(IPV6)
    assert session.commands(NOW) == []
    assert session.sync is LIVE
    assert [type(event).__name__ for event in session.outcomes] == ["SessionStateChanged", "EndOfRibSent", "RibSynced"]
    assert session.outcomes[-1] == RibSynced(PEER, 7, 2, session.outcomes[-1].digest)


def test_a_desire_of_before_the_session_does_not_count(session):
    desire(session, {})
    session.established(ADD_PATH, NOW)
    desire(session, {}, informed=False)
    desire(session, {RouteKey(A.prefix, 0): ONE})
    assert session.commands(NOW) == []
    desire(session, {A: ONE})
    assert session.commands(NOW) == [Announce(ONE, 1, (A.prefix,))]


def test_nothing_to_announce_is_purged_by_end_of_rib_alone(session):
    session.established(ADD_PATH, NOW)
    desire(session, {})
    assert session.commands(NOW) == [SendEndOfRib(IPV4), SendEndOfRib(IPV6)]


def test_a_withdrawal_waits_for_the_first_announcement_of_the_session(session):
    live(session, {A: ONE, B: TWO})
    session.closed("hold timer", NOW)
    # The engine brings both back by itself; one is no longer desired, but the speaker was not sure.
    desire(session, {A: ONE}, certain=False)
    assert session.commands(NOW) == []
    session.established(ADD_PATH, NOW)
    desire(session, {A: ONE})
    assert session.commands(NOW) == []
    session.sent([(B, TWO)], [], NOW)
    assert session.commands(NOW) == []
    session.sent([(A, ONE)], [], NOW)
    assert session.commands(NOW) == [Withdraw(2, (B.prefix,))]
    session.sent([], [B], NOW)
    assert session.commands(NOW) == [SendEndOfRib(IPV4), SendEndOfRib(IPV6)]


def test_what_goes_while_a_session_is_down_goes_from_the_engine_at_once(session):
    live(session, {A: ONE, B: TWO})
    session.closed("hold timer", NOW)
    desire(session, {A: TWO}, changed=frozenset({A, B}))
    # The other one only changed: it is replaced when the session is back, and never missing.
    assert session.commands(NOW) == [Withdraw(2, (B.prefix,))]
    assert session.commands(NOW) == []


def test_uncertainty_ends_with_the_restart_time_at_last(session):
    session.established(ADD_PATH, NOW)
    desire(session, {A: ONE}, certain=False)
    for command in session.commands(NOW):
        obey(session, command)
    assert session.commands(NOW + SETTINGS.restart_time_s - 11) == []
    later = NOW + SETTINGS.restart_time_s - 9
    assert session.commands(later) == [SendEndOfRib(IPV4), SendEndOfRib(IPV6)]
    assert not [event for event in session.outcomes if isinstance(event, EndOfRibSent)]


def test_certainty_ends_the_waiting(session):
    session.established(ADD_PATH, NOW)
    desire(session, {A: ONE}, certain=False)
    for command in session.commands(NOW):
        obey(session, command)
    assert session.commands(NOW) == []
    desire(session, {A: ONE}, certain=True, changed=frozenset())
    assert session.commands(NOW) == [SendEndOfRib(IPV4), SendEndOfRib(IPV6)]


def test_one_operation_of_a_key_is_in_flight_and_the_newest_follows(session):
    live(session, {})
    desire(session, {A: ONE}, changed=frozenset({A}))
    assert session.commands(NOW) == [Announce(ONE, 1, (A.prefix,))]
    desire(session, {}, changed=frozenset({A}))
    desire(session, {A: TWO}, changed=frozenset({A}), position=9)
    assert session.commands(NOW) == []
    session.sent([(A, ONE)], [], NOW)
    assert session.commands(NOW) == [Announce(TWO, 1, (A.prefix,))]
    session.sent([(A, TWO)], [], NOW)
    assert [event.position for event in session.outcomes] == [7, 9]
    assert all(isinstance(event, RoutesAnnounced) for event in session.outcomes)


def test_what_changes_nothing_sends_nothing(session):
    live(session, {A: ONE})
    desire(session, {A: ONE}, changed=frozenset({A}))
    desire(session, {A: PathAttributes(Address("10.0.0.1"), local_pref=300)})
    assert session.commands(NOW) == []


def test_a_withdrawal_is_told_with_what_it_took_away(session):
    live(session, {A: ONE})
    desire(session, {}, changed=frozenset({A}))
    (command,) = session.commands(NOW)
    obey(session, command)
    (told,) = session.outcomes
    assert isinstance(told, RoutesWithdrawn)
    assert [path.next_hop for path in told.paths] == ["10.0.0.1"]


def test_an_announcement_that_is_not_confirmed_is_compared_and_repaired(session):
    live(session, {})
    desire(session, {A: ONE, B: TWO}, changed=frozenset({A, B}))
    session.commands(NOW)
    session.sent([(A, ONE)], [], NOW)
    late = NOW + CONFIRM_TIMEOUT_S + 1
    (read,) = session.commands(late)
    assert isinstance(read, ReadRib)
    assert session.sync is UNSYNCED
    assert [type(event) for event in session.outcomes] == [PeerUnsynced]
    # The engine holds it, and did not send it: everything is sent again, nothing withdrawn.
    session.rib_read(read, {A: ONE, B: TWO}, late)
    assert session.commands(late) == [Resend()]
    session.sent([(A, ONE), (B, TWO)], [], late)
    session.commands(late)
    assert session.sync is LIVE
    assert isinstance(session.outcomes[-1], RibSynced)


def test_a_withdrawal_that_is_not_confirmed_is_sent_again_explicitly(session):
    live(session, {A: ONE, B: TWO})
    desire(session, {A: ONE}, changed=frozenset({B}))
    session.commands(NOW)
    late = NOW + CONFIRM_TIMEOUT_S + 1
    (read,) = session.commands(late)
    session.rib_read(read, {A: ONE}, late)
    assert session.commands(late) == [Withdraw(2, (B.prefix,))]


def test_a_change_that_was_overtaken_is_noticed_and_sent_again(session):
    live(session, {A: ONE})
    desire(session, {A: TWO}, changed=frozenset({A}))
    session.commands(NOW)
    session.sent([(A, TWO)], [], NOW)
    session.sent([(A, ONE)], [], NOW)
    (read,) = session.commands(NOW)
    session.rib_read(read, {A: TWO}, NOW)
    assert session.commands(NOW) == [Resend()]


def test_reconciliation_finds_drift_and_withdraws_tombstones_again(session):
    live(session, {A: ONE, B: TWO})
    desire(session, {A: ONE}, changed=frozenset({B}))
    (gone,) = session.commands(NOW)
    obey(session, gone)
    session.outcomes.clear()
    later = NOW + RECONCILE_S + 1
    (read,) = session.commands(later)
    ghost = RouteKey(Prefix("198.51.100.9/32"), 1)
    session.rib_read(read, {ghost: ONE}, later)
    (drift,) = session.outcomes
    assert isinstance(drift, DriftFound)
    assert (drift.missing, drift.unexpected) == (1, 1)
    assert set(session.commands(later)) == {
        Announce(ONE, 1, (A.prefix,)),
        Withdraw(1, (ghost.prefix,)),
        Withdraw(2, (B.prefix,)),
    }


def test_a_reading_does_not_judge_what_changed_meanwhile(session):
    live(session, {A: ONE})
    later = NOW + RECONCILE_S + 1
    (read,) = session.commands(later)
    desire(session, {A: ONE, B: TWO}, changed=frozenset({B}))
    (command,) = session.commands(later)
    obey(session, command, later)
    session.outcomes.clear()
    session.rib_read(read, {A: ONE}, later)
    assert session.outcomes == []
    assert session.commands(later) == []


def test_a_speaker_that_comes_new_sends_only_the_difference():
    session = PeerSession(SETTINGS, NOW)
    session.attached(ADD_PATH, {A: ONE, B: TWO}, NOW, same_engine=False)
    c = RouteKey(Prefix("198.51.100.3/32"), 1)
    desire(session, {A: ONE, c: ONE})
    (announce,) = session.commands(NOW)
    assert announce == Announce(ONE, 1, (c.prefix,))
    obey(session, announce)
    assert session.commands(NOW) == [Withdraw(2, (B.prefix,))]


def test_a_session_without_add_path_first_clears_paths_that_it_cannot_name():
    session = PeerSession(SETTINGS, NOW)
    session.attached(None, {A: ONE, RouteKey(A.prefix, 2): TWO}, NOW, same_engine=True)
    session.established(PLAIN, NOW)
    plain = RouteKey(A.prefix, 0)
    session.sent([(plain, ONE), (plain, TWO)], [], NOW)
    desire(session, {plain: ONE})
    purge = session.commands(NOW)
    assert purge == [Withdraw(1, (A.prefix,)), Withdraw(2, (A.prefix,))]
    for command in purge:
        session.answered(command, NOW, accepted=True)
    assert session.commands(NOW) == [Announce(ONE, 0, (A.prefix,))]


def test_a_refused_command_is_doubted(session):
    live(session, {})
    desire(session, {A: ONE}, changed=frozenset({A}))
    (command,) = session.commands(NOW)
    session.answered(command, NOW, accepted=False)
    assert session.sync is UNSYNCED
    assert "Announce" in session.reason


def test_what_an_aggregate_stands_for_is_withdrawn_behind_it_and_the_other_way_round(session):
    live(session, {A: ONE, B: TWO})
    wide = RouteKey(Prefix("198.51.100.0/24"), 1)
    desire(session, {wide: ONE}, changed=frozenset({A, B, wide}))
    (announced,) = session.commands(NOW)
    assert announced == Announce(ONE, 1, (wide.prefix,))
    assert session.commands(NOW) == []
    obey(session, announced)
    withdrawn = session.commands(NOW)
    # Among themselves they go in no order.
    assert sorted(withdrawn) == [Withdraw(1, (A.prefix,)), Withdraw(2, (B.prefix,))]
    for command in withdrawn:
        obey(session, command)
    desire(session, {A: ONE, B: TWO}, changed=frozenset({A, B, wide}))
    returned = sorted(session.commands(NOW), key=lambda command: command.path_id)
    assert returned == [Announce(ONE, 1, (A.prefix,)), Announce(TWO, 2, (B.prefix,))]
    obey(session, returned[0])
    assert session.commands(NOW) == []
    obey(session, returned[1])
    assert session.commands(NOW) == [Withdraw(1, (wide.prefix,))]
    obey(session, Withdraw(1, (wide.prefix,)))
    # Among addresses nothing waits.
    desire(session, {A: TWO}, changed=frozenset({A, B}))
    assert session.commands(NOW) == [Announce(TWO, 1, (A.prefix,)), Withdraw(2, (B.prefix,))]


EXTENDED = ADD_PATH._replace(extended_next_hop=True)
SIX = PathAttributes(Address("fd00::1"))


def test_next_hops_that_were_not_agreed_to_are_not_sent(session):
    session.established(ADD_PATH, NOW)
    desire(session, {A: SIX, B: TWO})
    assert session.commands(NOW) == [], "it was desired for another session"
    desire(session, {A: ONE, B: TWO})
    assert {command.attributes for command in session.commands(NOW)} == {ONE, TWO}


@pytest.mark.parametrize("certain", [True, False])
def test_what_a_router_ends_its_session_over_is_not_brought_back(session, certain):
    session.established(EXTENDED, NOW)
    desire(session, {A: SIX, B: TWO})
    for command in session.commands(NOW):
        obey(session, command)
    session.closed("the router restarts", NOW)
    session.established(ADD_PATH, NOW)
    session.closed("notification received (3,9)", NOW)
    desire(session, {A: SIX, B: TWO}, certain=certain)
    assert session.commands(NOW) == [Withdraw(1, (A.prefix,))]
    assert session.commands(NOW) == []


def test_a_router_that_announces_much_is_told_of_ever_more_rarely(session):
    live(session, {A: ONE})
    for updates in (0, 2, 19, 20, 21, 199, 2500, 2600):
        session.received(updates)
    assert [event.updates for event in session.outcomes] == [20, 2500]
    session.closed("reset", NOW)
    session.received(2600)
    session.established(ADD_PATH, NOW)
    session.received(30)
    assert [event.updates for event in session.outcomes if isinstance(event, ImportsRefused)] == [20, 2500, 30]
