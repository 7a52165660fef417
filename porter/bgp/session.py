"""One peer's session: brings its Adj-RIB-Out to what is desired. Pure: time comes in, commands and outcomes go out.

Theory of operation
===================

The engine (ExaBGP) acknowledges a command when it has parsed it, not when it has sent it. What it sent is told by its
send events alone, so only they confirm. Four of its habits shape this machine:

* *Changes overtake each other.* It batches changes by attributes, so that two changes of one prefix in one batch can
  go out in the wrong order. Hence at most one operation of a key is in flight, until its send event came.
* *The first batch of a session loses its withdrawals.* Hence a withdrawal waits for the first announcement that this
  session is known to have carried. Where nothing is announced, End-of-RIB alone purges.
* *What it already holds it does not send again.* Hence the diff is against what it holds, and a key that it holds but
  did not send is repaired by resending all, never by withdrawing it in between.
* *It brings its whole RIB back by itself when a session returns.* Hence routes that are no longer desired are removed
  from it while the session is down, and the routes that it brings back are awaited rather than announced.

    DOWN      no session. Outdated routes are removed from the engine at once, if absence is certain.
    SYNC      a session came up. Wait for a desire that was computed for it; announce what the engine does not hold,
              await what it holds; then withdraw the rest and send End-of-RIB for each family, both only when the
              desire is certain (End-of-RIB at last shortly before the peer's restart time runs out).
    LIVE      changes go out as they come, in windows.
    UNSYNCED  something was not confirmed in time, or went out in the wrong order: read what the engine holds, then
              announce, resend or withdraw explicitly until all agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256

from porter.bgp.commands import (
    Announce,
    Command,
    ReadRib,
    Resend,
    SendEndOfRib,
    Withdraw,
    announcements,
    withdrawals,
)
from porter.bgp.rib import PeerRib, Routes, Window
from porter.events.catalogue import Event
from porter.events.routed import (
    DriftFound,
    EndOfRibSent,
    Path,
    PeerUnsynced,
    RibSynced,
    RoutesAnnounced,
    RoutesWithdrawn,
    SessionStateChanged,
)
from porter.model.address import FAMILIES, Family
from porter.model.bgp import Negotiated, PathAttributes, RouteKey, SessionSettings
from porter.ports import Desired

MAX_WINDOWS_IN_FLIGHT = 4
MAX_OPERATIONS_PER_WINDOW = 500
CONFIRM_TIMEOUT_S = 5.0
SLOWEST_ROUTES_PER_S = 1000.0
"""Below this rate of send events something is wrong; it stretches the time-out of large transfers."""
FIRST_REPAIR_DELAY_S = 1.0
LAST_REPAIR_DELAY_S = 30.0
RECONCILE_S = 45.0
END_OF_RIB_MARGIN_S = 10.0
MAX_SAMPLE = 10


class SyncState(StrEnum):
    """How far a peer's Adj-RIB-Out is known to be as desired."""

    DOWN = "DOWN"
    SYNC = "SYNC"
    LIVE = "LIVE"
    UNSYNCED = "UNSYNCED"


class Trigger(StrEnum):
    """What moves a session between its states."""

    ESTABLISHED = "established"
    CLOSED = "closed"
    COMPLETED = "completed"
    DOUBTED = "doubted"
    REPAIRED = "repaired"


DOWN, SYNC, LIVE, UNSYNCED = SyncState.DOWN, SyncState.SYNC, SyncState.LIVE, SyncState.UNSYNCED

TRANSITIONS: dict[tuple[SyncState, Trigger], SyncState] = {
    (DOWN, Trigger.ESTABLISHED): SYNC,
    (DOWN, Trigger.CLOSED): DOWN,
    (SYNC, Trigger.ESTABLISHED): SYNC,
    (SYNC, Trigger.CLOSED): DOWN,
    (SYNC, Trigger.COMPLETED): LIVE,
    (SYNC, Trigger.DOUBTED): UNSYNCED,
    (LIVE, Trigger.ESTABLISHED): SYNC,
    (LIVE, Trigger.CLOSED): DOWN,
    (LIVE, Trigger.DOUBTED): UNSYNCED,
    (UNSYNCED, Trigger.ESTABLISHED): SYNC,
    (UNSYNCED, Trigger.CLOSED): DOWN,
    (UNSYNCED, Trigger.DOUBTED): UNSYNCED,
    # What End-of-RIB still lacks is done in SYNC; where nothing lacks, SYNC completes at once.
    (UNSYNCED, Trigger.REPAIRED): SYNC,
}


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
        self._attached = False
        self._fresh = False
        self._carried_announcement = False
        self._end_of_rib_due_s = 0.0
        self._end_of_rib_pending: set[Family] = set()
        self._end_of_rib_sent = False
        self._purge_answers = 0
        self._waiting_until_s = 0.0
        self._reading: set[RouteKey] | None = None
        """While the engine's RIB is being read: the keys touched meanwhile."""
        self._read_serial = 0
        self._resend = False
        self._reconcile_at_s = now_s + RECONCILE_S
        self._repair_delay_s = 0.0
        self._repair_at_s: float | None = None
        self._doubted: set[RouteKey] = set()
        self._removable = False
        self._in_question: set[RouteKey] = set()
        """Changed shortly before the session closed: the engine may still have the change waiting."""

    # ------------------------------------------------------------------------------------------------- what is desired

    def desire(self, desired: Desired, *, informed: bool = True) -> None:
        """Take a new desired Adj-RIB-Out; `informed` says that it was computed after the session's outcome was told."""
        before = self.desired
        self.desired = desired
        self.rib.desired = desired.routes
        if self.sync is DOWN:
            self._queue_outdated(desired.changed if before is not None else None)
        elif self._fresh:
            keys = desired.changed if before is not None and before.certain == desired.certain else None
            self.rib.settle_all(keys)
        elif informed and all(self.rib.fits(key) for key in desired.routes):
            # A key that does not fit shows that it was computed before this session's negotiation was known.
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

    # ----------------------------------------------------------------------------------------------- what the engine says

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
        fresh = self._fresh or (unchanged and self.desired is not None)
        self._begin(negotiated, now_s, resumed=True)
        if unchanged:
            self._fresh = fresh and self.desired is not None
        if not unchanged or told_gone:
            self._tell_state("Established", "", now_s)

    def readmitted(self, now_s: float) -> None:
        """The peer was removed, and is back before the engine let it go: whoever desires must be told anew."""
        self.session_state = "Idle"
        if self._attached:
            negotiated = None if self.sync is DOWN else self.rib.negotiated
            self.attached(negotiated, self.rib.engine, now_s, same_engine=True)

    def detached(self) -> None:
        """The engine is out of reach. The session may stand all the same: nothing is known until it is back."""
        self._attached = False
        self.sync = DOWN
        self.rib.end()
        self._forget_waits()

    def established(self, negotiated: Negotiated, now_s: float) -> None:
        """The session came up; the engine now sends what it holds by itself."""
        self._begin(negotiated, now_s, resumed=False)
        self._fresh = False
        self._tell_state("Established", "", now_s)

    def closed(self, reason: str, now_s: float) -> None:
        """The session went down."""
        was_up = self.session_state == "Established"
        self._removable = True
        self._in_question = self._doubted | set(self.rib.flight)
        self._move(Trigger.CLOSED)
        self.rib.end()
        self._forget_waits()
        self._fresh = False
        self._queue_outdated(None)
        if was_up:
            self.flaps += 1
            self._tell_state("Idle", reason, now_s)
        self.reason = reason

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
            self._carried_announcement = True
            self._carried(key, attributes, now_s)

    def _carried(self, key: RouteKey, attributes: PathAttributes | None, now_s: float) -> None:
        window = self.rib.carried(key, attributes)
        if self._reading is not None:
            self._reading.add(key)
        if window is not None:
            self._confirm(window, now_s)

    def end_of_rib_sent(self, family: Family) -> None:
        """End-of-RIB went out for a family: every earlier update is in the socket, too."""
        self._end_of_rib_pending.discard(family)

    def answered(self, command: Command, now_s: float, *, accepted: bool) -> None:
        """The engine parsed a command, or refused it."""
        if isinstance(command, Withdraw) and self._purge_answers:
            self._purge_answers -= 1
        if accepted or self.sync is DOWN:
            return
        if isinstance(command, Announce | Withdraw):
            for prefix in command.prefixes:
                # It holds something else now than was thought; what, the next reading will tell.
                self.rib.engine.pop(RouteKey(prefix, command.path_id), None)
        self._doubt(f"the engine refused a command: {type(command).__name__}", now_s)

    def rib_read(self, command: ReadRib, rib: Routes, now_s: float) -> None:
        """The engine told what it holds."""
        if self._reading is None or command.serial != self._read_serial:
            return
        touched, self._reading = self._reading, None
        if self._repair_at_s is not None:
            # Doubt came up while an ordinary reading was under way; its own reading follows.
            return
        self._reconcile_at_s = now_s + RECONCILE_S
        held = dict(self.rib.engine)
        differing = self.rib.replace_engine(rib, besides=touched)
        if self.sync is UNSYNCED:
            self._repair(now_s)
            return
        if differing:
            self._tell_drift(differing, held, rib)
        self.rib.exhume(now_s)

    # ------------------------------------------------------------------------------------------------------ what to do now

    def commands(self, now_s: float) -> list[Command]:
        """Return what the engine should be told now; the keys count as in flight from here on."""
        if not self._attached:
            return []
        if self.sync is DOWN:
            return list(self._remove_outdated())
        self._check_waits(now_s)
        if self.sync is UNSYNCED and (self._repair_at_s is not None or self._reading is not None):
            return self._read_when_due(now_s)
        out: list[Command] = []
        if self._fresh:
            out += self._purge_foreign()
            if not self._purge_answers:
                out += self._advance(now_s)
        if self._reading is None and self.sync is LIVE and now_s >= self._reconcile_at_s:
            out.append(self._read())
        return out

    def _read(self) -> ReadRib:
        self._reading = set()
        self._read_serial += 1
        return ReadRib(self._read_serial)

    def _advance(self, now_s: float) -> list[Command]:
        out: list[Command] = []
        if self._resend:
            self._resend = False
            self._wait(now_s)
            return [Resend()]
        self._open_windows(self.rib.announce_queue, out, now_s)
        may_withdraw = self.certain and self._carried_announcement and (self._settled or self.rib.idle())
        if may_withdraw:
            self._open_windows(self.rib.withdraw_queue, out, now_s)
        if out or not self.rib.idle():
            return out
        if self.sync is UNSYNCED:
            self._repair_delay_s = 0.0
            self._move(Trigger.REPAIRED)
        if self.sync is SYNC:
            return self._complete(now_s)
        return out

    @property
    def _settled(self) -> bool:
        """Whether End-of-RIB is out: from then on withdrawals need not wait for announcements."""
        return self._end_of_rib_sent and not self._end_of_rib_pending

    def _complete(self, now_s: float) -> list[Command]:
        """End SYNC: withdrawals are done or must wait for certainty; then End-of-RIB, its confirmation, and LIVE."""
        assert self.rib.negotiated is not None
        if not self._end_of_rib_sent:
            withdrawals_left = self.rib.withdraw_queue and self._carried_announcement
            if (not self.certain or withdrawals_left) and now_s < self._end_of_rib_due_s:
                return []
            self._end_of_rib_sent = True
            families = [family for family in FAMILIES if family in self.rib.negotiated.families]
            self._end_of_rib_pending = set(families)
            self._wait(now_s)
            return [SendEndOfRib(family) for family in families]
        if not self._end_of_rib_pending:
            self._move(Trigger.COMPLETED)
            self._reconcile_at_s = now_s + RECONCILE_S
            families = tuple(family for family in FAMILIES if family in self.rib.negotiated.families)
            self.outcomes.append(EndOfRibSent(self.settings.peer, families))
            self.outcomes.append(
                RibSynced(self.settings.peer, self.position, len(self.rib.wire), rib_digest(self.rib.wire))
            )
        return []

    def _open_windows(self, queue: dict[RouteKey, None], out: list[Command], now_s: float) -> None:
        while queue and len(self.rib.windows) < MAX_WINDOWS_IN_FLIGHT:
            in_transfer = len(self.rib.flight) + len(self.rib.awaited)
            deadline_s = now_s + CONFIRM_TIMEOUT_S + in_transfer / SLOWEST_ROUTES_PER_S
            operations = self.rib.open_window(queue, MAX_OPERATIONS_PER_WINDOW, self.position, deadline_s)
            if self._reading is not None:
                self._reading |= operations.keys()
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
        if not self.certain or not self.rib.withdraw_queue:
            return []
        keys = list(self.rib.withdraw_queue)
        self.rib.withdraw_queue.clear()
        for key in keys:
            self.rib.engine.pop(key, None)
        return withdrawals(keys)

    def _purge_foreign(self) -> list[Command]:
        """Clear the engine of keys that this session cannot name; without ADD-PATH that withdraws the prefix itself.

        Its announcement follows behind the answers, so that it cannot be overtaken.
        """
        if self.sync is not SYNC or not self.rib.engine:
            return []
        keys = [key for key in self.rib.foreign() if self.certain or RouteKey(key.prefix, 0) in self.rib.desired]
        for key in keys:
            del self.rib.engine[key]
        out: list[Command] = list(withdrawals(keys))
        self._purge_answers += len(out)
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
        elif not rib.awaited and not self._end_of_rib_pending:
            self._wait(now_s)
        elif now_s > self._waiting_until_s and self._repair_at_s is None and self._reading is None:
            self._doubt(f"{len(rib.awaited)} routes and {len(self._end_of_rib_pending)} End-of-RIB are missing", now_s)

    def _doubt(self, reason: str, now_s: float) -> None:
        if self.sync is not UNSYNCED:
            self.outcomes.append(PeerUnsynced(self.settings.peer, reason))
        self._move(Trigger.DOUBTED)
        self.reason = reason
        self._doubted |= self.rib.ground()
        if self._end_of_rib_pending:
            self._end_of_rib_pending.clear()
            self._end_of_rib_sent = False
        if self._repair_at_s is None:
            self._repair_at_s = now_s + self._repair_delay_s
            self._repair_delay_s = min(max(self._repair_delay_s * 2, FIRST_REPAIR_DELAY_S), LAST_REPAIR_DELAY_S)

    def _read_when_due(self, now_s: float) -> list[Command]:
        if self._reading is not None or self._repair_at_s is None or now_s < self._repair_at_s:
            return []
        self._repair_at_s = None
        return [self._read()]

    def _repair(self, now_s: float) -> None:
        for key in self._doubted:
            if self.rib.wanted(key) is None and not self.rib.silent(key):
                self.rib.forced.add(key)
            self.rib.settle(key)
        self._doubted.clear()
        self.rib.overtaken.clear()
        # What the engine holds as desired, and did not send in this session, it sends only when told to send all.
        self._resend = bool(self.rib.awaited)
        self._wait(now_s)

    # ------------------------------------------------------------------------------------------------- states, outcomes

    def _move(self, trigger: Trigger) -> None:
        self.sync = TRANSITIONS[self.sync, trigger]

    def _begin(self, negotiated: Negotiated, now_s: float, *, resumed: bool) -> None:
        self._move(Trigger.ESTABLISHED)
        self._forget_waits()
        self.rib.begin(negotiated, resumed=resumed)
        self._carried_announcement = bool(self.rib.wire)
        margin_s = min(END_OF_RIB_MARGIN_S, self.settings.restart_time_s / 2)
        self._end_of_rib_due_s = now_s + self.settings.restart_time_s - margin_s
        self._reconcile_at_s = now_s + RECONCILE_S
        self._wait(now_s)

    def _forget_waits(self) -> None:
        self._carried_announcement = False
        self._end_of_rib_sent = False
        self._end_of_rib_pending.clear()
        self._purge_answers = 0
        self._reading = None
        self._resend = False
        self._repair_at_s = None
        self._repair_delay_s = 0.0
        self._doubted.clear()

    def _tell_state(self, state: str, reason: str, now_s: float) -> None:
        self.session_state, self.reason, self.since_s = state, reason, now_s
        negotiated = self.rib.negotiated
        if state != "Established" or negotiated is None:
            self.outcomes.append(SessionStateChanged(self.settings.peer, state, reason))
            return
        families = tuple(family for family in FAMILIES if family in negotiated.families)
        add_path = tuple(family for family in FAMILIES if family in negotiated.add_path_send)
        self.outcomes.append(
            SessionStateChanged(self.settings.peer, state, reason, families, add_path, negotiated.hold_time_s)
        )

    def _tell_drift(self, differing: set[RouteKey], held: Routes, rib: Routes) -> None:
        unexpected = sum(key in rib and key not in held for key in differing)
        sample = tuple(
            Path(key.prefix, key.path_id, (rib.get(key) or held[key]).next_hop)
            for key in sorted(differing)[:MAX_SAMPLE]
        )
        self.outcomes.append(DriftFound(self.settings.peer, len(differing) - unexpected, unexpected, sample))

    def _confirm(self, window: Window, now_s: float) -> None:
        withdrawn = [key for key, attributes in window.operations.items() if attributes is None]
        self.rib.bury(withdrawn, now_s)
        if self.sync is SYNC:
            # A whole SYNC is one outcome, at its end.
            return
        announced = [_path(key, attributes) for key, attributes in window.operations.items() if attributes is not None]
        gone = [_path(key, window.former[key]) for key in withdrawn if key in window.former]
        if announced:
            self.outcomes.append(RoutesAnnounced(self.settings.peer, window.position, tuple(announced)))
        if gone:
            self.outcomes.append(RoutesWithdrawn(self.settings.peer, window.position, tuple(gone)))


def _path(key: RouteKey, attributes: PathAttributes) -> Path:
    return Path(key.prefix, key.path_id, attributes.next_hop)


def rib_digest(routes: Routes) -> str:
    """Digest an Adj-RIB-Out (SHA-256, hex): equal for equal routes, whatever their order."""
    digest = sha256()
    for key, attributes in sorted(routes.items(), key=lambda route: route[0]):
        digest.update(repr((*key, *attributes)).encode("ascii"))
    return digest.hexdigest()
