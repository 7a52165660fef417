"""What a new list of sessions ends: which routers must be rid of their routes first, and what is told of it.

ExaBGP knows sessions by their transport, and the application by the names of BgpPeers. A session that only changes its
name goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from porter.bgp.backends.exabgp_text import SessionId
from porter.bgp.session import PeerSession
from porter.events.routed import SessionStateChanged
from porter.model.bgp import SessionSettings

ESTABLISHED = "Established"


def going(sessions: Mapping[SessionId, PeerSession], wanted: Sequence[SessionSettings]) -> list[PeerSession]:
    """The sessions that are up, and whose routes nothing would take from their routers for as long as these keep them.

    Where another session takes the place of one between the same two addresses, its End-of-RIB does that. Where a peer
    goes on from or to another address, its routes must not be gone before it is up.
    """
    stay = {(one.peer_address, one.local_address) for one in wanted}
    moved = {(one.peer, one.peer_address) for one in wanted}
    return [
        session
        for session in sessions.values()
        if session.session_state == ESTABLISHED
        and (session.settings.peer_address, session.settings.local_address) not in stay
        and (session.settings.peer, session.settings.peer_address) not in moved
    ]


def endings(
    sessions: Mapping[SessionId, PeerSession], wanted: Sequence[SessionSettings]
) -> Iterable[SessionStateChanged]:
    """What is told of the peers that lose a session that is up."""
    names = {SessionId.of(settings): settings.peer for settings in wanted}
    staying = set(names.values())
    for session_id, session in sessions.items():
        peer = session.settings.peer
        if session.session_state != ESTABLISHED or names.get(session_id) == peer:
            continue
        if session_id in names:
            yield SessionStateChanged(peer, "Idle", f"BgpPeer {names[session_id]} has its session")
        elif peer not in staying:
            yield SessionStateChanged(peer, "Idle", "the peer was removed")
