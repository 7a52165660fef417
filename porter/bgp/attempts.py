"""Whether a session comes up and stays up, and why not, told when that changes. Pure: time comes in.

ExaBGP says nothing of a connection that is not accepted, or that it lost before the peer answered. So such a session
is *due* for a look from outside (`porter.bgp.probing`), rarely. A peer that ends its session as soon as it is up, over
and over, is told of at a bounded pace (RFC 4271, section 8.1.1, calls it oscillation): its session counts as
established only when it has stood for a moment.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import NamedTuple

from porter.bgp.notifications import LOST, explained
from porter.model.bgp import SessionSettings

PATIENCE_S = 5.0
"""So long after its begin or end a session is given time to come up by itself."""
LOOK_INTERVAL_S = 30.0
OPEN_PATIENCE_S = 10.0
"""Within this time of a connection the peer has to answer with its OPEN."""
RETELL_INTERVAL_S = 10.0
"""A cause is told once. Where several take turns, the next one is told at the earliest after this."""
OSCILLATION_FLAPS = 5
OSCILLATION_S = 30.0
STANDS_S = 2.0
FIRST_PATIENCE_S = 2.0
"""A session that is not up after this is told to be on its way, before anybody knows why it takes so long."""


class Verdict(StrEnum):
    """What became of a TCP connection without a password."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENT = "silent"
    UNREACHABLE = "unreachable"


class News(NamedTuple):
    """A state of RFC 4271, section 8.2.2, and why it is not Established."""

    state: str
    reason: str


UP = News("Established", "")


class Attempts:
    """The attempts to have a session with one peer."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._up_s: float | None = None
        self._connected_s: float | None = None
        self._lost = False
        self._look_s = now_s + PATIENCE_S
        self._looked_s = float("-inf")
        self._news: News | None = None
        self._told: News | None = None
        self._told_s = float("-inf")
        self._ends_s: deque[float] = deque(maxlen=OSCILLATION_FLAPS)

    # ------------------------------------------------------------------------------------------------ what happens

    def up(self, now_s: float, *, told: bool) -> None:
        """The session came up; `told` says that somebody else tells of it."""
        self._up_s, self._connected_s, self._lost, self._news = now_s, None, False, None
        self._told, self._told_s = (UP if told else None), now_s

    def connected(self, now_s: float) -> None:
        """The TCP connection is there; the peer's OPEN is awaited."""
        self._connected_s = now_s

    def closed(self, reason: str, settings: SessionSettings, now_s: float) -> bool:
        """The session ended, or an attempt did; return whether it was up."""
        was_up, told_up = self._up_s is not None, self._told == UP
        unanswered = self._connected_s is not None and now_s - self._connected_s > OPEN_PATIENCE_S
        self._since_s, self._up_s, self._connected_s = now_s, None, None
        if was_up:
            self._ends_s.append(now_s)
            self._look_s = now_s + PATIENCE_S
            self._news = News("Idle", explained(reason, settings))
            if told_up:
                self._told, self._told_s = self._news, now_s
        elif reason == LOST and not settings.passive:
            # Refused, or closed by the peer: a look will tell.
            self._lost = True
            self._look_s = min(self._look_s, now_s)
        elif reason and not unanswered:
            self._news = News("Idle", explained(reason, settings))
            self._look_s = now_s + LOOK_INTERVAL_S
        return was_up

    def due(self, settings: SessionSettings, now_s: float) -> bool:
        """Whether somebody should look why there is no connection; the answer goes to `looked`."""
        waiting = settings.passive or self._up_s is not None or self._connected_s is not None
        if waiting or now_s < max(self._look_s, self._looked_s + LOOK_INTERVAL_S):
            return False
        self._looked_s, self._look_s = now_s, now_s + LOOK_INTERVAL_S
        return True

    def looked(self, verdict: Verdict, settings: SessionSettings) -> None:
        """Somebody looked."""
        if self._up_s is None and self._connected_s is None:
            self._news = News("Connect", _seen(verdict, settings, lost=self._lost))

    # ------------------------------------------------------------------------------------------------ what to tell

    def news(self, settings: SessionSettings, now_s: float) -> News | None:
        """What there is to tell now, if anything."""
        if self._up_s is not None:
            if self._told == UP or (self._oscillates(now_s) and now_s - self._up_s < STANDS_S):
                return None
            self._told = UP
            return UP
        self._notice_silence(settings, now_s)
        if self._told is None and self._news is None and now_s - self._since_s >= FIRST_PATIENCE_S:
            # The cause may follow at once: this tells of none.
            waiting = "Active" if settings.passive else "Connect"
            self._told = News(waiting if self._connected_s is None else "OpenSent", "")
            return self._told
        if self._news is None or self._news == self._told or now_s - self._told_s < RETELL_INTERVAL_S:
            return None
        self._told, self._told_s = self._news, now_s
        return self._news

    def _oscillates(self, now_s: float) -> bool:
        return len(self._ends_s) == OSCILLATION_FLAPS and now_s - self._ends_s[0] < OSCILLATION_S

    def _notice_silence(self, settings: SessionSettings, now_s: float) -> None:
        if self._connected_s is not None and now_s - self._connected_s > OPEN_PATIENCE_S:
            reason = f"{settings.peer_address} took the connection and has not answered our OPEN; is BGP running there?"
            self._news = News("OpenSent", reason)
        elif settings.passive and self._news is None and now_s - self._since_s > OPEN_PATIENCE_S:
            where = f"{settings.local_address} port {settings.port}"
            self._news = News("Active", f"the router has not connected to {where}; passiveMode leaves that to it")


def _seen(verdict: Verdict, settings: SessionSettings, *, lost: bool) -> str:
    where = f"{settings.peer_address} port {settings.port}"
    match verdict:
        case Verdict.REFUSED:
            return f"{where} refuses connections: no BGP runs there; correct spec.transport.remotePort, or start it"
        case Verdict.UNREACHABLE:
            return f"{where} cannot be reached from {settings.local_address}: there is no route to it, or it is away"
        case Verdict.ACCEPTED if settings.password_source and not lost:
            return f"{where} takes connections without a password, and not ours with one; set the same one there"
        case Verdict.ACCEPTED:
            return (
                f"{where} closes the connection before the session is up; see that {settings.local_address} with AS "
                f"{settings.local_as} is configured as its neighbour"
            )
        case Verdict.SILENT:
            wrong = "the password is not the router's" if settings.password_source else "the router wants a password"
            if settings.ttl_security:
                wrong = f"ttlSecurity (RFC 5082) is not set there for this neighbour, or it is hops away, {wrong}"
            return f"{where} does not answer {settings.local_address}: {wrong}, a filter drops it, or it is away"
