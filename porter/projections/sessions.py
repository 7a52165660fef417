"""The sessions: a fold of the speakers' own streams, which tell what reached the routers.

Like the cluster's state, `Sessions` is used linearly: `evolve_sessions` and `forget_speaker` consume the one that they
are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from porter.events import routed
from porter.events.decided import EpochStarted, PositionsLost
from porter.events.envelope import Envelope
from porter.model.address import Address
from porter.model.bgp import RouteKey
from porter.model.reasons import Problem

ESTABLISHED = "Established"
IDLE = "Idle"


class UnknownOutcome(Exception):
    """A speaker's stream holds an event that does not belong there, or that this release does not know."""


class Confirmed(NamedTuple):
    """A route that was sent: `position` is the journal's that it realises, `since_ms` the confirmation's time."""

    next_hop: Address
    position: int
    since_ms: int


@dataclass(slots=True)
class PeerSession:
    """One speaker's session with one peer.

    `routes` counts what the last SYNC confirmed and every window since; `confirmed` holds the routes that were told one
    by one. `synced` holds from `RibSynced` until the session goes down or a window is not confirmed. `changed` is the
    place in the speaker's stream of the event that brought it into its state.
    """

    state: str = IDLE
    since_ms: int = 0
    changed: int = 0
    reason: str = ""
    last_error: str = ""
    flaps: int = 0
    families: tuple[str, ...] = ()
    add_path: tuple[str, ...] = ()
    hold_time_s: int = 0
    extended_next_hop: bool = False
    synced: bool = False
    routes: int = 0
    digest: str = ""
    position: int = 0
    end_of_rib: tuple[str, ...] = ()
    drifts: int = 0
    refused_updates: int = 0
    """UPDATEs that the router sent in this session, as far as they were told; 0 where they are few."""
    rejected_field: str = ""
    rejected: str = ""
    unsupported: tuple[Problem, ...] = ()
    bfd: str = ""
    """"Up" or "Down" as BFD told last; "" where nothing watches the path."""
    bfd_since_ms: int = 0
    bfd_reason: str = ""
    confirmed: dict[RouteKey, Confirmed] = field(default_factory=dict)

    @property
    def established(self) -> bool:
        """Whether the session is up."""
        return self.state == ESTABLISHED

    def down(self) -> None:
        """What a router held of this session is gone, or stale."""
        self.synced = False
        self.routes = 0
        self.digest = ""
        self.end_of_rib = ()
        self.confirmed = {}


@dataclass(slots=True)
class SpeakerSessions:
    """One speaker: `position` and `time_ms` are those of the last event of its stream that was folded."""

    name: str
    version: str = ""
    local_address: str = ""
    started_ms: int = 0
    engine_up: bool = False
    engine_reason: str = ""
    bfd_up: bool | None = None
    """Whether the program that runs BFD is there; None where no peer asked for BFD."""
    bfd_reason: str = ""
    epoch: int = 0
    position: int = 0
    time_ms: int = 0
    dropped: int = 0
    journal_lost_ms: int = 0
    peers: dict[str, PeerSession] = field(default_factory=dict)


@dataclass(slots=True)
class Sessions:
    """Every speaker's sessions, by the speaker's name."""

    speakers: dict[str, SpeakerSessions] = field(default_factory=dict)

    @staticmethod
    def empty() -> Sessions:
        """No speaker is known."""
        return Sessions()

    def local_addresses(self) -> dict[str, str]:
        """The own address of each speaker that told it, by name."""
        return {name: one.local_address for name, one in self.speakers.items() if one.local_address}

    def fork(self) -> Sessions:
        """An independent copy."""
        return Sessions(
            {
                name: replace(
                    speaker,
                    peers={
                        peer: replace(session, confirmed=dict(session.confirmed))
                        for peer, session in speaker.peers.items()
                    },
                )
                for name, speaker in self.speakers.items()
            }
        )

    def of_peer(self, peer: str) -> Iterator[tuple[str, PeerSession]]:
        """The sessions with one peer, as (speaker, session), by the speakers' names."""
        for name in sorted(self.speakers):
            session = self.speakers[name].peers.get(peer)
            if session is not None:
                yield name, session


def evolve_sessions(sessions: Sessions, speaker: str, envelope: Envelope) -> Sessions:
    """Apply one event of a speaker's stream; consumes the sessions.

    Raises:
        UnknownOutcome: the event does not belong into a speaker's stream.
    """
    step = _STEPS.get(type(envelope.payload))
    if step is None:
        raise UnknownOutcome(
            f"#{envelope.position} of the stream of speaker {speaker} is a {envelope.type}, which is no outcome; "
            "the stream's name may be the journal's"
        )
    known = sessions.speakers.get(speaker)
    if known is None:
        known = sessions.speakers[speaker] = SpeakerSessions(speaker)
    known.epoch, known.position, known.time_ms = envelope.epoch, envelope.position, envelope.time_ms
    step(known, envelope.payload, envelope.time_ms)
    return sessions


def forget_speaker(sessions: Sessions, speaker: str) -> Sessions:
    """Forget all that a speaker told; consumes the sessions."""
    sessions.speakers.pop(speaker, None)
    return sessions


def _session(speaker: SpeakerSessions, peer: str) -> PeerSession:
    known = speaker.peers.get(peer)
    if known is None:
        known = speaker.peers[peer] = PeerSession()
    return known


def _speaker_started(speaker: SpeakerSessions, event: routed.SpeakerStarted, time_ms: int) -> None:
    # The engine outlives a speaker: sessions and routes are what they were until it tells otherwise.
    speaker.version, speaker.local_address, speaker.started_ms = event.version, event.local_address, time_ms
    speaker.bfd_up, speaker.bfd_reason = None, ""
    for session in speaker.peers.values():
        session.synced, session.unsupported = False, ()
        session.bfd = session.bfd_reason = ""
        # What it still refuses it tells anew.
        session.rejected = session.rejected_field = ""


def _engine_state_changed(speaker: SpeakerSessions, event: routed.EngineStateChanged, time_ms: int) -> None:
    speaker.engine_up, speaker.engine_reason = event.up, event.reason
    if event.up:
        return
    for session in speaker.peers.values():
        if session.established:
            session.flaps += 1
        session.state, session.since_ms, session.reason = IDLE, time_ms, event.reason
        session.changed = speaker.position
        session.down()


def _session_state_changed(speaker: SpeakerSessions, event: routed.SessionStateChanged, time_ms: int) -> None:
    session = _session(speaker, event.peer)
    was_established = session.established
    if session.state != event.state:
        session.since_ms, session.changed = time_ms, speaker.position
    session.state, session.reason = event.state, event.reason
    if event.state == ESTABLISHED:
        session.families, session.add_path = event.families, event.add_path
        session.hold_time_s, session.extended_next_hop = event.hold_time_s, event.extended_next_hop
        session.rejected = session.rejected_field = ""
        session.refused_updates = 0
        return
    if was_established:
        session.flaps += 1
    if event.reason:
        session.last_error = event.reason
    session.down()


def _bfd_state_changed(speaker: SpeakerSessions, event: routed.BfdStateChanged, time_ms: int) -> None:
    session = _session(speaker, event.peer)
    if session.bfd != event.state:
        session.bfd_since_ms = time_ms
    session.bfd, session.bfd_reason = event.state, event.reason
    if event.state:
        speaker.bfd_up, speaker.bfd_reason = True, ""


def _bfd_daemon_state_changed(speaker: SpeakerSessions, event: routed.BfdDaemonStateChanged, _time_ms: int) -> None:
    speaker.bfd_up, speaker.bfd_reason = event.up, event.reason


def _rib_synced(speaker: SpeakerSessions, event: routed.RibSynced, _time_ms: int) -> None:
    session = _session(speaker, event.peer)
    session.synced, session.routes = True, event.routes
    session.digest, session.position = event.digest, event.position


def _end_of_rib_sent(speaker: SpeakerSessions, event: routed.EndOfRibSent, _time_ms: int) -> None:
    session = _session(speaker, event.peer)
    session.end_of_rib = tuple(sorted({*session.end_of_rib, *event.families}))


def _routes_announced(speaker: SpeakerSessions, event: routed.RoutesAnnounced, time_ms: int) -> None:
    session = _session(speaker, event.peer)
    confirmed = session.confirmed
    before = len(confirmed)
    for prefix, path_id, next_hop in event.paths:
        key = RouteKey(prefix, path_id)
        known = confirmed.get(key)
        since_ms = known.since_ms if known is not None and known.next_hop == next_hop else time_ms
        confirmed[key] = Confirmed(next_hop, event.position, since_ms)
    session.routes = max(len(confirmed), session.routes + len(confirmed) - before)
    session.position = max(session.position, event.position)


def _routes_withdrawn(speaker: SpeakerSessions, event: routed.RoutesWithdrawn, _time_ms: int) -> None:
    session = _session(speaker, event.peer)
    for prefix, path_id, _ in event.paths:
        session.confirmed.pop(RouteKey(prefix, path_id), None)
    session.routes = max(len(session.confirmed), session.routes - len(event.paths))
    session.position = max(session.position, event.position)


def _peer_unsynced(speaker: SpeakerSessions, event: routed.PeerUnsynced, _time_ms: int) -> None:
    session = _session(speaker, event.peer)
    session.synced, session.last_error = False, event.reason


def _drift_found(speaker: SpeakerSessions, event: routed.DriftFound, _time_ms: int) -> None:
    _session(speaker, event.peer).drifts += 1


def _imports_refused(speaker: SpeakerSessions, event: routed.ImportsRefused, _time_ms: int) -> None:
    _session(speaker, event.peer).refused_updates = event.updates


def _peer_rejected(speaker: SpeakerSessions, event: routed.PeerRejected, _time_ms: int) -> None:
    session = _session(speaker, event.peer)
    session.rejected_field, session.rejected = event.field, event.message


def _fields_unsupported(speaker: SpeakerSessions, event: routed.FieldsUnsupported, _time_ms: int) -> None:
    _session(speaker, event.peer).unsupported = event.problems


def _journal_lost(speaker: SpeakerSessions, _event: routed.JournalLost, time_ms: int) -> None:
    speaker.journal_lost_ms = time_ms


def _outcomes_dropped(speaker: SpeakerSessions, event: routed.OutcomesDropped, _time_ms: int) -> None:
    speaker.dropped += event.events


def _nothing(_speaker: SpeakerSessions, _event: object, _time_ms: int) -> None:
    """The stream was claimed, lost positions, or saw a head of the journal: no session changes by that."""


_STEPS: dict[type, Callable[[SpeakerSessions, Any, int], None]] = {
    EpochStarted: _nothing,
    PositionsLost: _nothing,
    routed.SpeakerStarted: _speaker_started,
    routed.EngineStateChanged: _engine_state_changed,
    routed.SessionStateChanged: _session_state_changed,
    routed.BfdStateChanged: _bfd_state_changed,
    routed.BfdDaemonStateChanged: _bfd_daemon_state_changed,
    routed.RibSynced: _rib_synced,
    routed.EndOfRibSent: _end_of_rib_sent,
    routed.RoutesAnnounced: _routes_announced,
    routed.RoutesWithdrawn: _routes_withdrawn,
    routed.PeerUnsynced: _peer_unsynced,
    routed.DriftFound: _drift_found,
    routed.ImportsRefused: _imports_refused,
    routed.PeerRejected: _peer_rejected,
    routed.FieldsUnsupported: _fields_unsupported,
    routed.JournalLost: _journal_lost,
    routed.OutcomesDropped: _outcomes_dropped,
    routed.HeadSeen: _nothing,
}
