"""The dialogue with one ExaBGP process, through its relay: lines in, lines out. Pure, so that a simulation can hold it.

How ExaBGP 5.0 answers, and what follows from it:

* Answers carry no name. They come in the order of the commands, save those to commands that are answered on the spot
  (`reload`, `announce eor`, `flush`): these are sent alone, when nothing else is outstanding.
* A relay may hand over answers that an earlier speaker had asked for, and says how many. Each connection starts with
  `show neighbor json`: behind those answers, everything before the line that only it can give is skipped.
* `reload` says `done` before it tries, silently does nothing while any neighbour has changes waiting (a neighbour that
  is down keeps them until its next connection attempt fails), and never works again after one failure. So it is
  repeated until `show neighbor configuration` shows the digest that the configuration's descriptions carry.
* Many commands outstanding cost it quadratic time, so that few are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from porter.bgp.backends.asking import Asked, Hello
from porter.bgp.backends.cuts import Cuts
from porter.bgp.backends.exabgp_agreements import AGREEMENT, Agreements
from porter.bgp.backends.exabgp_text import (
    Answer,
    EndOfRibWasSent,
    EngineEvent,
    NegotiatedEvent,
    NeighborState,
    SessionId,
    StateEvent,
    UnknownText,
    UpdateSent,
    command_line,
    read_event,
    read_neighbors,
    read_routes,
)
from porter.bgp.backends.reloading import Reloading
from porter.bgp.commands import Command, ReadRib, Resend, SendEndOfRib
from porter.bgp.session import PeerSession
from porter.bgp.states import DOWN
from porter.events.catalogue import Event
from porter.events.routed import EngineStateChanged
from porter.model.bgp import PathAttributes, PeerKey, RouteKey, SessionSettings

MAX_OUTSTANDING_COMMANDS = 32
ANSWER_TIMEOUT_S = 30.0
ANSWERS = frozenset({"done", "error"})
MIN_STOCK_INTERVAL_S = 1.0
COUNT_INTERVAL_S = 15.0
"""How often it is asked how much the routers announce to us, among other things."""
LOOK_INTERVAL_S = 3.0
"""How often ExaBGP is asked about sessions that seem to be down: an event may have been written before the answer that
stock was taken by, and speak of what came after it."""
REMOVED = "stop, message"
"""How ExaBGP's reason begins when it removes a neighbour, and forgets what it held for it."""

Rib = dict[RouteKey, PathAttributes]


class Dialogue:
    """Multiplexes the sessions of one speaker over one connection to ExaBGP."""

    def __init__(self, speaker: str) -> None:
        self.speaker = speaker
        self.sessions: dict[SessionId, PeerSession] = {}
        self._departing: dict[SessionId, PeerSession] = {}
        self.outcomes: list[Event] = []
        self.engine: Hello | None = None
        self.attached = False
        self.fault = ""
        """Why this connection should be dropped; "" while it is sound."""
        self.reloading = Reloading()
        self._last_boot = ""
        self._told_gone = False
        self._queue: deque[Asked] = deque()
        self._outstanding: deque[tuple[Asked, float]] = deque()
        self._text: list[str] = []
        self._synchronised = False
        self._stale_answers = 0
        self._neighbors: dict[SessionId, NeighborState] = {}
        self._up_since_s: dict[SessionId, float] = {}
        self._late_events: list[EngineEvent] = []
        self._counters: dict[SessionId, int] = {}
        self._agreements = Agreements()
        self._cuts = Cuts()
        self._stock_taken_s = float("-inf")
        self._stock_wanted = False
        self._newcomers = False
        self._look_s = float("-inf")
        self._suspects: frozenset[SessionId] = frozenset()

    # --------------------------------------------------------------------------------------------------- the connection

    def connected(self, hello: Hello, now_s: float) -> None:
        """A relay connected: take stock before anything else."""
        self._agreements.of_engine(hello.boot)
        self.engine = hello
        self.fault = ""
        self._outstanding.clear()
        self._stale_answers = hello.unanswered
        self._take_stock(now_s)

    def lost(self, reason: str, now_s: float) -> None:
        """The relay is gone: ExaBGP died, or the relay did."""
        if self.attached:
            self.outcomes.append(EngineStateChanged(self.speaker, up=False, reason=reason))
            self._told_gone = True
        self._detach(now_s)
        self.engine = None

    def _detach(self, now_s: float) -> None:
        self.attached = False
        self._synchronised = False
        self._queue.clear()
        self._stale_answers += len(self._outstanding)
        self._outstanding.clear()
        self._text.clear()
        self._late_events.clear()
        self._counters.clear()
        self._cuts.interrupted()
        self.reloading.interrupted()
        self._departing.clear()
        for session in self.sessions.values():
            session.detached(now_s)

    # ------------------------------------------------------------------------------------------------- which sessions

    def configure(self, sessions: Sequence[SessionSettings], digest: str, now_s: float) -> None:
        """Set the sessions; ExaBGP must come to show `digest` for each of them, and no other."""
        former = self.sessions | self._departing
        self.sessions = {}
        for settings in sessions:
            session_id = SessionId.of(settings)
            session = former.pop(session_id, None)
            if session is None:
                session = PeerSession(settings, now_s)
                self._admit(session, former, now_s)
            elif session_id in self._departing or session.settings.peer != settings.peer:
                session.readmitted(settings, now_s)
            session.settings = settings
            self.sessions[session_id] = session
        # What ExaBGP still tells of them counts in case that they come back before it has let them go.
        self._departing = former if self.attached else {}
        self._cuts.keep(self.sessions)
        self.reloading.want(digest, frozenset(self.sessions))

    def _admit(self, session: PeerSession, former: dict[SessionId, PeerSession], now_s: float) -> None:
        """A new session, for ExaBGP at least; the peer behind it may have had another one."""
        for other in former.values():
            if other.settings.peer == session.settings.peer and other.desired is not None:
                session.desire(other.desired)
        if self.attached:
            session.attached(None, {}, now_s, same_engine=True)
            self._newcomers = True

    def session(self, peer: PeerKey) -> PeerSession | None:
        """The session of a peer."""
        return next((session for session in self.sessions.values() if session.settings.peer == peer), None)

    def cut(self, peer: PeerKey, reason: str, at_s: float) -> None:
        """End the session that was up at a moment, and tell `reason` of it; ExaBGP tries for the next one at once."""
        for session_id, session in self.sessions.items():
            if session.settings.peer == peer:
                self._cuts.ask(session_id, reason, at_s)

    # -------------------------------------------------------------------------------------------------- taking stock

    def _take_stock(self, now_s: float) -> None:
        self._detach(now_s)
        self._stock_taken_s, self._stock_wanted = now_s, False
        self._queue.append(Asked("show neighbor json", self._neighbors_answered))

    def _neighbors_answered(self, answer: Answer) -> None:
        if self._neighbors_read(answer):
            self._queue.append(Asked("show adj-rib out extensive", self._ribs_answered))

    def _neighbors_read(self, answer: Answer) -> bool:
        try:
            states = read_neighbors(msgspec.json.decode(answer.text[0]))
        except (UnknownText, IndexError, msgspec.DecodeError) as error:
            self.fault = f"ExaBGP's list of neighbours was not understood: {error}"
            return False
        self._neighbors = {state.session: state for state in states}
        self._up_since_s = {one.session: answer.now_s - one.up_s for one in states if one.negotiated is not None}
        return True

    def _newcomers_answered(self, answer: Answer) -> None:
        """ExaBGP has the new neighbours; one may have been there all along, removed and back before it noticed."""
        if self._neighbors_read(answer) and self._up_unnoticed():
            self._stock_wanted = True

    def _looked(self, answer: Answer) -> None:
        """Seen up twice, a session is not about to be told of: the event that told it is lost."""
        if not self._neighbors_read(answer):
            return
        for session_id, session in self.sessions.items():
            if (state := self._neighbors.get(session_id)) is not None and state.negotiated is not None:
                session.received(state.updates)
        unnoticed = self._up_unnoticed()
        if unnoticed & self._suspects:
            self._stock_wanted = True
        self._suspects = unnoticed

    def _up_unnoticed(self) -> frozenset[SessionId]:
        """The sessions that ExaBGP has up, and that count as down here."""
        up = {session_id for session_id, state in self._neighbors.items() if state.negotiated is not None}
        return frozenset(one for one in up if one in self.sessions and self.sessions[one].sync is DOWN)

    def _ribs_answered(self, answer: Answer) -> None:
        ribs, now_s = self._read_routes(answer.text), answer.now_s
        if ribs is None or self.engine is None:
            return
        same = self.engine.boot == self._last_boot
        self._last_boot = self.engine.boot
        self.attached = True
        told_gone, self._told_gone = self._told_gone, False
        self.outcomes.append(EngineStateChanged(self.speaker, up=True, reason=""))
        self._cuts.seen(self._up_since_s)
        for session_id, session in self.sessions.items():
            state = self._neighbors.get(session_id)
            held = ribs.get(session_id, {})
            shown = None if state is None else state.negotiated
            negotiated = self._agreements.completed(session.settings, shown, held)
            session.attached(negotiated, held, now_s, same_engine=same, told_gone=told_gone)
        late, self._late_events = self._late_events, []
        for event in late:
            self._dispatch(event, now_s)

    def _read_routes(self, text: list[str]) -> dict[SessionId, Rib] | None:
        try:
            return read_routes(text, self._canonical)
        except UnknownText as error:
            self.fault = f"ExaBGP's routes were not understood: {error}"
            return None

    def ask_routes(self, told: Callable[[Mapping[PeerKey, Rib]], None]) -> bool:
        """Ask for every route that ExaBGP holds, beside all other work; False while there is no one to ask."""
        if not self.attached:
            return False
        self._queue.append(Asked("show adj-rib out extensive", lambda answer: told(self._by_peer(answer.text))))
        return True

    def _by_peer(self, text: list[str]) -> Mapping[PeerKey, Rib]:
        ribs = self._read_routes(text) or {}
        return {session.settings.peer: ribs.get(session_id, {}) for session_id, session in self.sessions.items()}

    def _canonical(self, session_id: SessionId, attributes: PathAttributes) -> PathAttributes:
        session = self.sessions.get(session_id)
        return attributes if session is None else session.rib.canonical(attributes)

    # -------------------------------------------------------------------------------------------------- lines in

    def receive(self, line: str, now_s: float) -> None:
        """Take one line from ExaBGP."""
        if line.startswith("{"):
            if self._synchronised:
                self._event(line, now_s)
            elif AGREEMENT in line:
                self._agreements.take(self._decoded(line))
            return
        if not self._synchronised:
            if self._stale_answers:
                self._stale_answers -= line in ANSWERS
                return
            if not line.startswith("[") or not self._outstanding:
                return
            self._synchronised = True
        if line not in ANSWERS:
            self._text.append(line)
            return
        if not self._outstanding:
            self.fault = f"ExaBGP answered {line!r} to nothing that was asked"
            return
        asked, _ = self._outstanding.popleft()
        text, self._text = self._text, []
        asked.answer(Answer(text, line == "done", now_s))

    def _decoded(self, line: str) -> EngineEvent | None:
        try:
            decoded: dict[str, Any] = msgspec.json.decode(line)
            return read_event(decoded)
        except (UnknownText, msgspec.DecodeError) as error:
            self.fault = f"ExaBGP's event was not understood: {error}"
            return None

    def _event(self, line: str, now_s: float) -> None:
        event = self._decoded(line)
        if event is None or (event.session not in self.sessions and event.session not in self._departing):
            return
        last = self._counters.get(event.session)
        self._counters[event.session] = event.counter
        if last is not None and event.counter not in {last + 1, 1}:
            self._stock_wanted = True
        if self.attached:
            self._dispatch(event, now_s)
        else:
            self._late_events.append(event)

    def _dispatch(self, event: EngineEvent, now_s: float) -> None:
        session = self.sessions.get(event.session) or self._departing[event.session]
        match event.body:
            case UpdateSent(announced, withdrawn):
                canonical = session.rib.canonical
                session.sent([(key, canonical(value)) for key, value in announced], withdrawn, now_s)
            case EndOfRibWasSent(family) if family is not None:
                session.end_of_rib_sent(family)
            case NegotiatedEvent():
                self._agreements.take(event)
            case StateEvent("up", _) if (negotiated := self._agreements.of(event.session)) is not None:
                self._cuts.up(event.session, now_s)
                session.established(negotiated, now_s)
            case StateEvent("up", _):
                # What was negotiated was told before stock was taken, and after the answer to it was made.
                self._stock_wanted = True
            case StateEvent("connected", _):
                session.attempts.connected(now_s)
            case StateEvent("down", reason):
                self._agreements.ended(event.session)
                session.closed(self._cuts.down(event.session, reason), now_s)
                if reason.startswith(REMOVED):
                    session.rib.engine.clear()

    # -------------------------------------------------------------------------------------------------- lines out

    def lines(self, now_s: float) -> list[str]:
        """Return the lines that may be written to ExaBGP now."""
        out: list[str] = []
        if self.engine is None or self.fault:
            return out
        if self._stock_wanted and now_s - self._stock_taken_s >= MIN_STOCK_INTERVAL_S:
            self._take_stock(now_s)
        if self._outstanding and now_s - self._outstanding[0][1] > ANSWER_TIMEOUT_S:
            self.fault = f"ExaBGP has not answered for {ANSWER_TIMEOUT_S:.0f} s"
            return out
        while len(self._outstanding) < MAX_OUTSTANDING_COMMANDS:
            if self._outstanding and self._outstanding[-1][0].alone:
                break
            if self.attached and self._cuts.due:
                if self._outstanding:
                    break
                self._queue.appendleft(self._cuts.take())
            if not self._queue and self.attached:
                self._ask_sessions(now_s)
            if not self._queue or (self._queue[0].alone and self._outstanding):
                break
            asked = self._queue.popleft()
            self._outstanding.append((asked, now_s))
            out.append(asked.line)
        return out

    def _ask_sessions(self, now_s: float) -> None:
        if not self.reloading.pending:
            self._departing.clear()
            if self._newcomers:
                self._newcomers = False
                self._queue.append(Asked("show neighbor json", self._newcomers_answered))
            elif now_s - self._look_s >= self._interval_s():
                self._look_s = now_s
                self._queue.append(Asked("show neighbor json", self._looked))
        step = self.reloading.step(now_s)
        if step == "show":
            self._queue.append(Asked("show neighbor configuration", self.reloading.shown))
        elif step == "reload":
            self._queue.append(Asked("reload", self.reloading.reloaded, alone=True))
        for _ in range(len(self.sessions)):
            if self._queue and (self._queue[-1].alone or len(self._queue) >= MAX_OUTSTANDING_COMMANDS):
                # What would wait behind it is better decided later.
                break
            session_id, session = self._next_session()
            # Changes of a neighbour that is down keep ExaBGP from reloading.
            if session.sync is DOWN and self.reloading.pending:
                continue
            for command in session.commands(now_s):
                self._queue.append(self._asked(session_id, session, command))

    def _interval_s(self) -> float:
        return LOOK_INTERVAL_S if any(one.sync is DOWN for one in self.sessions.values()) else COUNT_INTERVAL_S

    def _next_session(self) -> tuple[SessionId, PeerSession]:
        """The sessions in turn."""
        session_id = next(iter(self.sessions))
        session = self.sessions[session_id] = self.sessions.pop(session_id)
        return session_id, session

    def _asked(self, session_id: SessionId, session: PeerSession, command: Command) -> Asked:
        line = command_line(session_id, session.settings, command)
        if isinstance(command, ReadRib):
            return Asked(line, lambda answer: self._rib_answered(session_id, session, command, answer))
        alone = isinstance(command, SendEndOfRib | Resend)
        return Asked(line, lambda answer: session.answered(command, answer.now_s, accepted=answer.accepted), alone)

    def _rib_answered(self, session_id: SessionId, session: PeerSession, command: ReadRib, answer: Answer) -> None:
        ribs = self._read_routes(answer.text)
        if ribs is not None:
            session.rib_read(command, ribs.get(session_id, {}), answer.now_s)
