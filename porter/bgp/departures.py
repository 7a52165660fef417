"""What a new list of sessions ends: which routers must be rid of their routes first, and what is told of it.

ExaBGP knows sessions by their transport, and the application by the names of BgpPeers. A session that only changes its
name goes on. One whose peer goes on from another address of ours is its *predecessor*: it has a name of its own for as
long as it stays, carries the same routes, and is told of to nobody. It goes when the next one has everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from porter.bgp.backends.exabgp_text import SessionId
from porter.bgp.session import PeerSession
from porter.bgp.states import LIVE
from porter.events.routed import SessionStateChanged
from porter.model.bgp import PeerKey, SessionSettings

ESTABLISHED = "Established"
_OF = "~"
"""No BgpPeer has it in its name."""

_Sessions = Mapping[SessionId, PeerSession]


def is_predecessor(name: str) -> bool:
    """Whether a session's name is not a BgpPeer's."""
    return _OF in name


def own(sessions: _Sessions) -> Iterator[PeerSession]:
    """The sessions that are BgpPeers' own."""
    return (session for session in sessions.values() if not is_predecessor(session.settings.peer))


def predecessors_of(sessions: _Sessions, peer: PeerKey) -> Iterator[PeerSession]:
    """The sessions that carry a peer's routes beside its own one."""
    for session in sessions.values():
        if is_predecessor(session.settings.peer) and _peer(session.settings) == peer:
            yield session


def predecessors(sessions: _Sessions, wanted: Sequence[SessionSettings], now_s: float) -> list[SessionSettings]:
    """The sessions that stay beside those that are wanted, until the next ones are live.

    A router that does not know our new address is left after its restart time.
    """
    ids, ends = {SessionId.of(one) for one in wanted}, {_ends(one) for one in wanted}
    routers = {(one.peer, one.peer_address) for one in wanted}
    found = []
    for session_id, session in sessions.items():
        settings = session.settings
        peer = _peer(settings)
        if session.session_state != ESTABLISHED or session_id in ids or _ends(settings) in ends:
            continue
        done = is_predecessor(settings.peer) and (
            _live(sessions, peer) or now_s - session.since_s > settings.restart_time_s
        )
        if (peer, settings.peer_address) in routers and not done:
            found.append(settings._replace(peer=PeerKey(f"{peer}{_OF}{settings.local_address}")))
    return found


def succeeded(sessions: _Sessions, now_s: float) -> bool:
    """Whether a predecessor need not stay any longer."""
    before = [session for session in sessions.values() if is_predecessor(session.settings.peer)]
    if not before:
        return False
    after = [session.settings for session in own(sessions)]
    return len(predecessors(sessions, after, now_s)) < len(before)


def going(sessions: _Sessions, wanted: Sequence[SessionSettings]) -> list[PeerSession]:
    """The sessions that are up, and whose routes nothing would take from their routers for as long as these keep them.

    Where another session takes the place of one between the same two addresses, its End-of-RIB does that. What a
    predecessor carries stays with the router if the next session never came up.
    """
    staying, ends = {one.peer for one in wanted}, {_ends(one) for one in wanted}
    found = []
    for session in sessions.values():
        settings = session.settings
        waiting = is_predecessor(settings.peer) and _peer(settings) in staying and not _live(sessions, _peer(settings))
        if session.session_state == ESTABLISHED and _ends(settings) not in ends and not waiting:
            found.append(session)
    return found


def endings(sessions: _Sessions, wanted: Sequence[SessionSettings]) -> Iterable[SessionStateChanged]:
    """What is told of the peers that lose a session that is up."""
    names = {SessionId.of(settings): _peer(settings) for settings in wanted}
    staying = set(names.values())
    for session_id, session in sessions.items():
        peer = session.settings.peer
        if session.session_state != ESTABLISHED or is_predecessor(peer) or names.get(session_id) == peer:
            continue
        if session_id in names:
            yield SessionStateChanged(peer, "Idle", f"BgpPeer {names[session_id]} has its session")
        elif peer not in staying:
            yield SessionStateChanged(peer, "Idle", "the peer was removed")


def _peer(settings: SessionSettings) -> PeerKey:
    return PeerKey(settings.peer.partition(_OF)[0])


def _ends(settings: SessionSettings) -> tuple[str, str]:
    return settings.peer_address, settings.local_address


def _live(sessions: _Sessions, peer: PeerKey) -> bool:
    return any(session.settings.peer == peer and session.sync is LIVE for session in sessions.values())
