"""What the speakers told of their sessions."""

from __future__ import annotations

from typing import Any

import pytest

from porter.events import routed
from porter.events.decided import EpochStarted
from porter.events.envelope import Envelope
from porter.model.bgp import RouteKey
from porter.projections.sessions import Sessions, UnknownOutcome, evolve_sessions, forget_speaker
from tests.unit.projections.story import node

UP = routed.SessionStateChanged("r1", "Established", "", ("IPv4", "IPv6"), ("IPv4",), 90)
DOWN = routed.SessionStateChanged("r1", "Idle", "hold timer expired")
ONE = routed.Path("192.0.2.1/32", 1, "10.0.0.1")  # type: ignore[arg-type]
TWO = routed.Path("192.0.2.1/32", 2, "10.0.0.2")  # type: ignore[arg-type]


def told(*payloads: Any, speaker: str = "s", sessions: Sessions | None = None) -> Sessions:
    sessions = sessions or Sessions.empty()
    known = sessions.speakers.get(speaker)
    start = known.position if known else 0
    for position, payload in enumerate(payloads, start + 1):
        sessions = evolve_sessions(sessions, speaker, Envelope(position, 1, position * 1000, 0, "", "", payload))
    return sessions


def test_routes_are_confirmed_and_withdrawn() -> None:
    sessions = told(UP, routed.RoutesAnnounced("r1", 7, (ONE, TWO)), routed.RibSynced("r1", 7, 2, "ab"))
    session = sessions.speakers["s"].peers["r1"]
    assert session.confirmed[RouteKey(ONE.prefix, 1)] == ("10.0.0.1", 7, 2000)
    assert (session.state, session.synced, session.routes, session.families) == (
        "Established",
        True,
        2,
        ("IPv4", "IPv6"),
    )
    moved = ONE._replace(next_hop="10.0.0.9")  # type: ignore[arg-type]
    told(
        routed.RoutesAnnounced("r1", 9, (moved, TWO)),
        routed.RoutesWithdrawn("r1", 10, (TWO,)),
        routed.EndOfRibSent("r1", ("IPv4",)),
        sessions=sessions,
    )
    assert session.confirmed == {RouteKey(ONE.prefix, 1): ("10.0.0.9", 9, 4000)}
    assert (session.routes, session.position, session.end_of_rib) == (1, 10, ("IPv4",))


def test_a_sync_that_names_no_paths_counts_them() -> None:
    session = told(UP, routed.RibSynced("r1", 7, 500, "ab")).speakers["s"].peers["r1"]
    assert session.routes == 500
    told_more = routed.RoutesAnnounced("r1", 8, (ONE,))
    assert told(UP, routed.RibSynced("r1", 7, 500, "ab"), told_more).speakers["s"].peers["r1"].routes == 501


def test_a_session_that_goes_down_confirms_nothing_and_counts_as_a_flap() -> None:
    sessions = told(UP, routed.RoutesAnnounced("r1", 7, (ONE,)), routed.RibSynced("r1", 7, 1, "ab"), DOWN)
    session = sessions.speakers["s"].peers["r1"]
    assert session.confirmed == {}
    assert (session.flaps, session.synced, session.routes, session.since_ms) == (1, False, 0, 4000)
    assert session.last_error == "hold timer expired"
    told(DOWN, UP, sessions=sessions)
    assert (session.flaps, session.last_error, session.reason) == (1, "hold timer expired", "")


def test_a_speaker_that_restarts_finds_its_session_as_it_was() -> None:
    again = routed.SpeakerStarted("s", "0.1", "10.0.0.9", 7)
    sessions = told(EpochStarted("g", "s", 0, ""), again, UP, routed.RoutesAnnounced("r1", 7, (ONE,)), again, UP)
    session = sessions.speakers["s"].peers["r1"]
    assert len(session.confirmed) == 1
    assert (session.flaps, session.since_ms, session.synced) == (0, 3000, False)
    assert (sessions.speakers["s"].local_address, sessions.speakers["s"].started_ms) == ("10.0.0.9", 5000)


def test_a_rejection_stands_until_it_is_over_or_a_new_speaker_does_not_tell_it() -> None:
    rejected = routed.PeerRejected("r1", "authPassword", "not handed over yet")
    sessions = told(rejected, routed.SessionStateChanged("r1", "Idle", "the peer was removed"))
    assert sessions.speakers["s"].peers["r1"].rejected == "not handed over yet"
    for end in (routed.PeerRejected("r1", "", ""), routed.SpeakerStarted("s", "0.1", "10.0.0.9", 7), UP):
        session = told(rejected, end).speakers["s"].peers["r1"]
        assert (session.rejected_field, session.rejected) == ("", "")


def test_an_engine_that_dies_takes_its_sessions_along() -> None:
    up = routed.EngineStateChanged("s", True, "")
    sessions = told(up, UP, routed.RoutesAnnounced("r1", 7, (ONE,)), routed.EngineStateChanged("s", False, "killed"))
    speaker = sessions.speakers["s"]
    assert not speaker.engine_up
    assert (speaker.peers["r1"].state, speaker.peers["r1"].flaps, speaker.peers["r1"].confirmed) == ("Idle", 1, {})


def test_what_else_is_told() -> None:
    sessions = told(
        UP,
        routed.PeerUnsynced("r1", "window timed out"),
        routed.DriftFound("r1", 1, 0),
        routed.PeerRejected("r1", "spec.bfd", "not supported"),
        routed.OutcomesDropped(3),
        routed.JournalLost("g", 1, 1, ""),
    )
    speaker = sessions.speakers["s"]
    session = speaker.peers["r1"]
    assert (session.synced, session.last_error, session.drifts) == (False, "window timed out", 1)
    assert (session.rejected_field, session.rejected) == ("spec.bfd", "not supported")
    assert (speaker.dropped, speaker.journal_lost_ms, speaker.position, speaker.time_ms) == (3, 6000, 6, 6000)


def test_speakers_are_apart_and_can_be_forgotten() -> None:
    sessions = told(UP, speaker="two", sessions=told(UP))
    fork = sessions.fork()
    assert [name for name, _ in sessions.of_peer("r1")] == ["s", "two"]
    assert [name for name, _ in forget_speaker(sessions, "s").of_peer("r1")] == ["two"]
    assert set(fork.speakers) == {"s", "two"}


def test_a_decision_is_no_outcome() -> None:
    with pytest.raises(UnknownOutcome, match="NodeObserved"):
        told(node(1))


def test_what_bfd_told_holds_until_a_speaker_starts_anew() -> None:
    up, down = routed.BfdStateChanged("r1", "Up"), routed.BfdStateChanged("r1", "Down", "no answer")
    sessions = told(routed.BfdDaemonStateChanged("s", True, ""), up, down)
    speaker = sessions.speakers["s"]
    assert (speaker.bfd_up, speaker.peers["r1"].bfd, speaker.peers["r1"].bfd_reason) == (True, "Down", "no answer")
    assert speaker.peers["r1"].bfd_since_ms == 3000
    told(routed.SpeakerStarted("s", "1", "10.0.0.1", 0), sessions=sessions)
    assert (speaker.bfd_up, speaker.peers["r1"].bfd) == (None, "")
