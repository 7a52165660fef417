"""Why a session does not come up, of what GoBGP lets one know, told through `porter.bgp.attempts`.

GoBGP counts NOTIFICATIONs and does not tell their codes. The AS number is in the OPEN that the router was looked at
for (`looking`). Where there is no connection, `porter.bgp.probing` looks: not before GoBGP has tried.
"""

from __future__ import annotations

import math

from porter.bgp.attempts import Verdict
from porter.bgp.backends.gobgp.looking import Look, Seen
from porter.bgp.backends.gobgp.protocol import gobgp_pb2 as wire
from porter.bgp.session import PeerSession
from porter.model.bgp import SessionSettings

CONNECTS_WITHIN_S = 15.0
"""GoBGP waits 5 to 10 s before it first connects: until then an open port proves nothing."""
RETRIES_WITHIN_S = 60.0
"""After a NOTIFICATION it stays idle for 30 s first; until it had the time to try again, the cause stands."""
OPENING = (wire.PeerState.OPENSENT, wire.PeerState.OPENCONFIRM)


class Troubles:
    """Tells a session's attempts what its neighbour in GoBGP goes through."""

    def __init__(self, session: PeerSession) -> None:
        self._session = session
        self._peer_as: int | None = None
        self._sent = self._received = 0
        self._opening = False
        self._known_until_s = math.inf

    def begin(self, seen: Seen, now_s: float) -> None:
        """The router was looked at, and its neighbour is added next, with nothing counted yet."""
        session = self._session
        self._peer_as = seen.peer_as
        self._sent = self._received = 0
        self._opening = False
        self._known_until_s = now_s + CONNECTS_WITHIN_S
        if seen.look is Look.CLOSED:
            session.attempts.looked(Verdict.REFUSED, session.settings)
        elif reason := other_as(session.settings, seen.peer_as):
            session.attempts.closed(reason, session.settings, now_s)

    def see(self, peer: wire.Peer, now_s: float) -> None:
        """A look at the neighbour, whose session is not up."""
        attempts, settings = self._session.attempts, self._session.settings
        sent, received = peer.state.messages.sent.notification, peer.state.messages.received.notification
        reason = ""
        if sent > self._sent:
            reason = other_as(settings, self._peer_as) or _refused_by_us(settings)
        elif received > self._received:
            reason = _refused_by_router(settings)
        self._sent, self._received = sent, received
        was_opening, self._opening = self._opening, peer.state.session_state in OPENING
        if reason or (was_opening and not self._opening):
            attempts.closed(reason, settings, now_s)
        if reason:
            self._known_until_s = now_s + RETRIES_WITHIN_S
        if self._opening and (reason or not was_opening):
            attempts.connected(now_s)

    def puzzling(self, now_s: float) -> bool:
        """Whether GoBGP gives no cause: somebody else should look."""
        return now_s > self._known_until_s


def other_as(settings: SessionSettings, peer_as: int | None) -> str:
    """That a router says to have another AS number than it is to have; "" where it does not."""
    if peer_as is None or peer_as == settings.peer_as:
        return ""
    return (
        f"the router has another AS number than {settings.peer_as}; correct spec.conf.peerAs, or see that "
        f"{settings.peer_address} is the router that is meant (its OPEN says AS {peer_as})"
    )


def _refused_by_us(settings: SessionSettings) -> str:
    return (
        "ended over what the router sent, and GoBGP does not tell what: see that its AS number is "
        f"{settings.peer_as}, that its router id is not our {settings.router_id}, and that BGP runs there"
    )


def _refused_by_router(settings: SessionSettings) -> str:
    return (
        "the router ended it by a NOTIFICATION, and GoBGP does not tell its code: see that it expects our AS "
        f"{settings.local_as} from {settings.local_address}, and what its log says"
    )
