"""One peer's session: brings its Adj-RIB-Out to what is desired. Pure: time comes in, commands and outcomes go out.

`porter.bgp.states` holds the theory of operation.
"""

from __future__ import annotations

from collections.abc import Iterable

from porter.bgp.attempts import Attempts
from porter.bgp.commands import Announce, Command, ReadRib, Resend, SendEndOfRib, Withdraw, announcements, withdrawals
from porter.bgp.endofrib import EndOfRib
from porter.bgp.imports import Imports
from porter.bgp.notifications import explained
from porter.bgp.outcomes import drift_found, families_in_order, state_changed, synced, window_confirmed
from porter.bgp.reading import Reading
from porter.bgp.rib import PeerRib, Routes
from porter.bgp.states import DOWN, LIVE, SYNC, TRANSITIONS, UNSYNCED, Trigger
from porter.events.catalogue import Event
from porter.events.routed import ImportsRefused, PeerUnsynced
from porter.model.address import Family, is_aggregate
from porter.model.bgp import Negotiated, PathAttributes, RouteKey, SessionSettings
from porter.ports import Desired

MAX_WINDOWS_IN_FLIGHT = 4
MAX_OPERATIONS_PER_WINDOW = 500
CONFIRM_TIMEOUT_S = 5.0
SLOWEST_ROUTES_PER_S = 1000.0
"""Below this rate of send events something is wrong; it stretches the time-out of large transfers."""


class PeerSession:
    """The state machine of one peer. `outcomes` fills with events of `porter.events.routed`."""

    def __init__(self, settings: SessionSettings, now_s: float) -> None:
        self.settings = settings
        self.sync = DOWN
        self.rib = PeerRib(settings)
        self.outcomes: list[Event] = []
        self.session_state = "Idle"
        self.reason = ""
        self.since_s = now_s
        self.flaps = 0
        self.desired: Desired | None = None
        self.attempts = Attempts(now_s)
        self.imports = Imports()
        self._attached = False
        self._aggregates = False
        """Whether an aggregate was ever desired: only then an announcement can stand for what is withdrawn."""
        self._fresh = False
        self._withdrawals_pass = False
        self._spending = False
        self._end_of_rib = EndOfRib()
        self._reading = Reading(now_s)
        self._purge_due = False
        self._unconfirmed_answers = 0
        """How many commands without a send event of their own are not answered yet."""
        self._resend = False
        self._waiting_until_s = 0.0
        self._removable = False
        self._in_question: set[RouteKey] = set()
        """Changed shortly before the session closed: the engine may still have the change waiting."""

    # ------------------------------------------------------------------------------------------------- what is desired

    def desire(self, desired: Desired, *, informed: bool = True) -> None:
        """Take a new desired Adj-RIB-Out; `informed` says that it was computed after the session's outcome was told."""
        before = self.desired
        self.desired = desired
        self.rib.desired = desired.routes
        self._aggregates = self._aggregates or any(
            is_aggregate(key.prefix) for key in (desired.routes if desired.changed is None else desired.changed)
        )
        if self.sync is DOWN:
            self._queue_outdated(desired.changed if before is not None else None)
        elif self._fresh:
            certainty_changed = before is None or before.certain != desired.certain
            self._purge_due |= certainty_changed
            self.rib.settle_all(None if certainty_changed else desired.changed)
        elif informed and all(self.rib.suits(*route) for route in desired.routes.items()):
            # A route that does not suit shows that it was computed before this session's negotiation was known.
            self._fresh = True
            self.rib.settle_all()

    @property
    def certain(self) -> bool:
        """Whether the absence of a route means that it must go."""
        return self.desired is not None and self.desired.certain

    @property
    def position(self) -> int:
        """The journal position of what is desired."""
        return 0 if self.desired is None else self.desired.position

    # ------------------------------------------------------------------------------------------ what the engine says

    def attached(
        self, negotiated: Negotiated | None, rib: Routes, now_s: float, *, same_engine: bool, told_gone: bool = False
    ) -> None:
        """The engine was taken stock of: whether the session is up (then what it negotiated), and what it holds.

        `told_gone`: the engine was told to be gone meanwhile, so that nobody takes the session for established.
        """
        told = self.session_state == "Established"
        unchanged = told and same_engine and negotiated is not None and negotiated == self.rib.negotiated
        self.rib.engine = dict(rib)
        self._attached = True
        if negotiated is None:
            if told:
                self.closed("the session was lost while the engine was out of reach", now_s)
            self._removable = False
            self.rib.withdraw_queue.clear()
            return
        if told and not same_engine:
            self._tell_state("Idle", "the engine was replaced", now_s)
        self._begin(negotiated, now_s, resumed=True)
        self._fresh = unchanged and self.desired is not None
        if not unchanged or told_gone:
            self._tell_state("Established", "", now_s)

    def readmitted(self, settings: SessionSettings, now_s: float) -> None:
        """The peer is back before the engine let it go, or another one has its session now: whoever desires must be
        told anew. Until then all that the engine holds stays."""
        if settings.peer != self.settings.peer:
            self.desired, self.attempts = None, Attempts(now_s)
        self.settings, self.session_state = settings, "Idle"
        if self._attached:
            negotiated = None if self.sync is DOWN else self.rib.negotiated
            self.attached(negotiated, self.rib.engine, now_s, same_engine=True)

    def detached(self, now_s: float) -> None:
        """The engine is out of reach. The session may stand all the same: nothing is known until it is back."""
        self._attached = False
        self.sync = DOWN
        self.rib.end()
        self._forget_waits(now_s)

    def established(self, negotiated: Negotiated, now_s: float) -> None:
        """The session came up; the engine now sends what it holds by itself."""
        self._begin(negotiated, now_s, resumed=False)
        self._fresh = False
        self.tell_news(now_s)

    def closed(self, reason: str, now_s: float) -> None:
        """The session went down."""
        told_up = self.session_state == "Established"
        self.flaps += self.attempts.closed(reason, self.settings, now_s) or told_up
        self._removable = True
        self._in_question = self._reading.doubted | self.rib.flight.keys()
        self._move(Trigger.CLOSED)
        self.rib.end()
        self._forget_waits(now_s)
        self._fresh = False
        self._queue_outdated(None)
        if told_up:
            self._tell_state("Idle", explained(reason, self.settings), now_s)

    def sent(
        self,
        announced: Iterable[tuple[RouteKey, PathAttributes]],
        withdrawn: Iterable[RouteKey],
        now_s: float,
    ) -> None:
        """One update went out: its withdrawals first, as on the wire."""
        if self.sync is DOWN:
            return
        for key in withdrawn:
            self._carried(key, None, now_s)
        for key, attributes in announced:
            self._withdrawals_pass = True
            self._carried(key, attributes, now_s)

    def _carried(self, key: RouteKey, attributes: PathAttributes | None, now_s: float) -> None:
        window = self.rib.carried(key, attributes)
        self._reading.touch([key])
        if window is None:
            return
        self.rib.bury((key for key, value in window.operations.items() if value is None), now_s)
        if self.sync is not SYNC:
            # A whole SYNC is one outcome, at its end.
            self.outcomes += window_confirmed(self.settings.peer, window)

    def end_of_rib_sent(self, family: Family) -> None:
        """End-of-RIB went out for a family: every earlier update is in the socket, too."""
        self._end_of_rib.confirmed(family)

    def received(self, updates: int) -> None:
        """The engine counted so many UPDATEs from the router in this session."""
        if self.sync is not DOWN and self.imports.count(updates):
            self.outcomes.append(ImportsRefused(self.settings.peer, updates))

    def answered(self, command: Command, now_s: float, *, accepted: bool) -> None:
        """The engine parsed a command, or refused it."""
        if isinstance(command, Withdraw) and self._unconfirmed_answers:
            self._unconfirmed_answers -= 1
            self._withdrawals_pass |= self._spending and not self._unconfirmed_answers
        if accepted or self.sync is DOWN:
            return
        if isinstance(command, Announce | Withdraw):
            for prefix in command.prefixes:
                # It holds something else now than was thought; what, the next reading will tell.
                self.rib.engine.pop(RouteKey(prefix, command.path_id), None)
        self._doubt(f"the engine refused a command: {type(command).__name__}", now_s)

    def rib_read(self, command: ReadRib, rib: Routes, now_s: float) -> None:
        """The engine told what it holds."""
        touched = self._reading.finish(command, now_s)
        if touched is None:
            return
        held = dict(self.rib.engine)
        differing = self.rib.replace_engine(rib, besides=touched)
        if self.sync is UNSYNCED:
            self._repair(now_s)
            return
        if differing:
            self.outcomes.append(drift_found(self.settings.peer, differing, held, rib))
        self.rib.exhume(now_s)

    # ----------------------------------------------------------------------------------------------- what to do now

    def commands(self, now_s: float) -> list[Command]:
        """Return what the engine should be told now; the keys count as in flight from here on."""
        if not self._attached:
            return []
        self.tell_news(now_s)
        if self.sync is DOWN:
            return list(self._remove_outdated())
        self._check_waits(now_s)
        if self.sync is UNSYNCED and self._reading.repairing:
            return list(self._reading.for_repair(now_s))
        out: list[Command] = []
        if self._fresh:
            out += self._purge_foreign()
            if not self._unconfirmed_answers:
                out += self._advance(now_s)
        if self.sync is LIVE:
            out += self._reading.for_reconciliation(now_s)
        return out

    def _advance(self, now_s: float) -> list[Command]:
        out: list[Command] = []
        if self._resend:
            self._resend = False
            self._wait(now_s)
            return [Resend()]
        self._open_windows(self.rib.announce_queue, out, now_s)
        if self.certain and self.rib.withdraw_queue and (self._end_of_rib.done or self.rib.idle()):
            if not self._withdrawals_pass and self.rib.idle():
                return self._spend_first_batch()
            if self._withdrawals_pass and not (self._aggregates and self.rib.replacing()):
                self._open_windows(self.rib.withdraw_queue, out, now_s)
        if out or not self.rib.idle():
            return out
        if self.sync is UNSYNCED:
            self._reading.cleared()
            self._move(Trigger.REPAIRED)
        if self.sync is SYNC:
            return self._complete(now_s)
        return out

    def _complete(self, now_s: float) -> list[Command]:
        """End SYNC: withdrawals are done or must wait for certainty; then End-of-RIB, its confirmation, and LIVE."""
        assert self.rib.negotiated is not None
        families = families_in_order(self.rib.negotiated.families)
        if not self._end_of_rib.sent:
            if not self.certain and not self._end_of_rib.overdue(now_s):
                return []
            self._end_of_rib.send(families)
            self._wait(now_s)
            return [SendEndOfRib(family) for family in families]
        if self._end_of_rib.done:
            self._move(Trigger.COMPLETED)
            self._reading.postpone(now_s)
            self.outcomes += synced(self.settings.peer, families, self.position, self.rib.wire)
        return []

    def _spend_first_batch(self) -> list[Command]:
        """Where nothing was announced, one withdrawal is given to the first batch to lose; the others pass then."""
        self._spending = True
        lost = list(withdrawals([next(iter(self.rib.withdraw_queue))]))
        self._unconfirmed_answers += len(lost)
        return [*lost]

    def _open_windows(self, queue: dict[RouteKey, None], out: list[Command], now_s: float) -> None:
        while queue and len(self.rib.windows) < MAX_WINDOWS_IN_FLIGHT:
            in_transfer = len(self.rib.flight) + len(self.rib.awaited)
            deadline_s = now_s + CONFIRM_TIMEOUT_S + in_transfer / SLOWEST_ROUTES_PER_S
            operations = self.rib.open_window(queue, MAX_OPERATIONS_PER_WINDOW, self.position, deadline_s)
            self._reading.touch(operations)
            out += announcements((key, value) for key, value in operations.items() if value is not None)
            out += withdrawals(key for key, value in operations.items() if value is None)

    def _queue_outdated(self, keys: Iterable[RouteKey] | None) -> None:
        """Queue the removal of outdated routes from the engine of a session that is down.

        A change that the engine has waiting goes out with the first batch of the next session, a removal behind it
        does not: so a key in question stays, and so does every key where the end of the session was not watched. SYNC
        takes them away.
        """
        if not self._removable:
            return
        for key in list(self.rib.engine) if keys is None else keys:
            if self.rib.outdated(key) and key not in self._in_question:
                self.rib.withdraw_queue[key] = None
            else:
                self.rib.withdraw_queue.pop(key, None)

    def _remove_outdated(self) -> Iterable[Command]:
        keys = [key for key in self.rib.withdraw_queue if self.certain or self.rib.refused(key)]
        for key in keys:
            del self.rib.withdraw_queue[key]
            self.rib.engine.pop(key, None)
        return withdrawals(keys)

    def _purge_foreign(self) -> list[Command]:
        """Clear the engine of keys that this session cannot name; without ADD-PATH that withdraws the prefix itself.

        Its announcement follows behind the answers, so that it cannot be overtaken.
        """
        if not self._purge_due:
            return []
        self._purge_due = False
        keys = [key for key in self.rib.foreign() if self.certain or RouteKey(key.prefix, 0) in self.rib.desired]
        for key in keys:
            del self.rib.engine[key]
        out: list[Command] = list(withdrawals(keys))
        self._unconfirmed_answers += len(out)
        return out

    # ------------------------------------------------------------------------------------------------- doubt and repair

    def _wait(self, now_s: float) -> None:
        self._waiting_until_s = now_s + CONFIRM_TIMEOUT_S + len(self.rib.awaited) / SLOWEST_ROUTES_PER_S

    def _check_waits(self, now_s: float) -> None:
        rib = self.rib
        if rib.overtaken and not rib.flight:
            self._doubt(f"{len(rib.overtaken)} changes went out in the wrong order", now_s)
        elif rib.windows and now_s > rib.windows[0].deadline_s:
            self._doubt(f"{len(rib.flight)} changes were not confirmed in time", now_s)
        elif not rib.awaited and not self._end_of_rib.missing:
            self._wait(now_s)
        elif now_s > self._waiting_until_s and not self._reading.repairing:
            self._doubt(f"{len(rib.awaited)} routes and {self._end_of_rib.missing} End-of-RIB are missing", now_s)

    def _doubt(self, reason: str, now_s: float) -> None:
        if self.sync is not UNSYNCED:
            self.outcomes.append(PeerUnsynced(self.settings.peer, reason))
        self._move(Trigger.DOUBTED)
        self.reason = reason
        self._reading.doubt(self.rib.ground(), now_s)
        self._end_of_rib.doubted()

    def _repair(self, now_s: float) -> None:
        for key in self._reading.doubted:
            if self.rib.wanted(key) is None and not self.rib.silent(key):
                self.rib.forced.add(key)
            self.rib.settle(key)
        self._reading.doubted.clear()
        self.rib.overtaken.clear()
        # What the engine holds as desired, and did not send in this session, it sends only when told to send all.
        self._resend = bool(self.rib.awaited)
        self._wait(now_s)

    # ------------------------------------------------------------------------------------------------- states, outcomes

    def _move(self, trigger: Trigger) -> None:
        self.sync = TRANSITIONS[self.sync, trigger]

    def _begin(self, negotiated: Negotiated, now_s: float, *, resumed: bool) -> None:
        self._move(Trigger.ESTABLISHED)
        self.imports.begin()
        self.attempts.up(now_s, told=resumed)
        self._forget_waits(now_s)
        self.rib.begin(negotiated, resumed=resumed)
        self._withdrawals_pass = bool(self.rib.wire)
        self._purge_due = True
        self._end_of_rib.begin(now_s, self.settings.restart_time_s)
        self._wait(now_s)

    def _forget_waits(self, now_s: float) -> None:
        self._withdrawals_pass = False
        self._spending = False
        self._end_of_rib = EndOfRib()
        self._reading.begin(now_s)
        self._purge_due = False
        self._unconfirmed_answers = 0
        self._resend = False

    def tell_news(self, now_s: float) -> None:
        """Tell what is new of a session that comes up, or does not."""
        news = self.attempts.news(self.settings, now_s)
        if news is not None:
            self._tell_state(*news, now_s)

    def _tell_state(self, state: str, reason: str, now_s: float) -> None:
        self.session_state, self.reason, self.since_s = state, reason, now_s
        negotiated = self.rib.negotiated if state == "Established" else None
        self.outcomes.append(state_changed(self.settings.peer, state, reason, negotiated))
