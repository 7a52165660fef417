"""A session as the application sees it, whatever its engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from porter.bgp.session import PeerSession
from porter.events.routed import ImportsRefused
from porter.model.bgp import PathAttributes, RouteKey
from porter.ports import PeerView


def view_of(session: PeerSession, origin_ms: int) -> PeerView:
    """The present state; `origin_ms` is the wall clock's time at which the monotonic one was 0."""
    up = session.session_state == "Established"
    return PeerView(
        session.settings.peer,
        str(session.sync),
        session.session_state,
        session.reason,
        origin_ms + int(session.since_s * 1000),
        session.flaps,
        session.rib.negotiated if up else None,
        len(session.rib.desired),
        len(session.rib.wire),
    )


def confirmed_of(session: PeerSession) -> Mapping[RouteKey, PathAttributes]:
    """The routes whose sending was confirmed in the present session, with their attributes as desired."""
    rib = session.rib
    return {
        key: rib.desired[key] if rib.wanted(key) == attributes else attributes for key, attributes in rib.wire.items()
    }


def imports_of(sessions: Iterable[PeerSession]) -> list[ImportsRefused]:
    """What was told last of the routers that announce much to us, in the sessions that are up."""
    up = [session for session in sessions if session.session_state == "Established"]
    return [ImportsRefused(session.settings.peer, session.imports.told) for session in up if session.imports.told]
