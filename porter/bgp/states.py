"""The states of one peer's Adj-RIB-Out, and what moves between them.

Theory of operation
===================

The engine (ExaBGP) acknowledges a command when it has parsed it, not when it has sent it. What it sent is told by its
send events alone, so only they confirm. Four of its habits shape this machine:

* *Changes overtake each other.* It batches changes by attributes, so that two changes of one prefix in one batch can
  go out in the wrong order. Hence at most one operation of a key is in flight, until its send event came.
* *The first batch of a session loses its withdrawals.* Hence a withdrawal waits for the first announcement that this
  session is known to have carried; where nothing is announced, one withdrawal is spent on that batch.
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

from enum import StrEnum


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
