"""What a session tells: events of `porter.events.routed`, built from its values."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from porter.bgp.rib import Routes, Window
from porter.events.catalogue import Event
from porter.events.routed import (
    DriftFound,
    EndOfRibSent,
    Path,
    RibSynced,
    RoutesAnnounced,
    RoutesWithdrawn,
    SessionStateChanged,
)
from porter.model.address import FAMILIES, Family
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey

MAX_SAMPLE = 10
"""Most paths that a drift names."""


def families_in_order(families: frozenset[Family]) -> tuple[Family, ...]:
    """Families as outcomes list them."""
    return tuple(family for family in FAMILIES if family in families)


def state_changed(peer: PeerKey, state: str, reason: str, negotiated: Negotiated | None) -> SessionStateChanged:
    """A session came or went; `negotiated` tells more of one that is established."""
    if negotiated is None:
        return SessionStateChanged(peer, state, reason)
    return SessionStateChanged(
        peer,
        state,
        reason,
        families_in_order(negotiated.families),
        families_in_order(negotiated.add_path_send),
        negotiated.hold_time_s,
        negotiated.extended_next_hop,
    )


def synced(peer: PeerKey, families: tuple[Family, ...], position: int, wire: Routes) -> Iterator[Event]:
    """A SYNC ended: End-of-RIB is out, and the routes are confirmed."""
    yield EndOfRibSent(peer, families)
    yield RibSynced(peer, position, len(wire), rib_digest(wire))


def window_confirmed(peer: PeerKey, window: Window) -> Iterator[Event]:
    """A window's operations were all sent."""
    announced = [_path(key, attributes) for key, attributes in window.operations.items() if attributes is not None]
    if announced:
        yield RoutesAnnounced(peer, window.position, tuple(announced))
    withdrawn = [
        _path(key, window.former[key])
        for key, attributes in window.operations.items()
        if attributes is None and key in window.former
    ]
    if withdrawn:
        yield RoutesWithdrawn(peer, window.position, tuple(withdrawn))


def drift_found(peer: PeerKey, differing: set[RouteKey], held: Routes, found: Routes) -> DriftFound:
    """The engine was believed to hold `held`, and holds `found`: they differ in these keys."""
    unexpected = sum(key not in held for key in differing)
    sample = tuple(_path(key, found.get(key) or held[key]) for key in sorted(differing)[:MAX_SAMPLE])
    return DriftFound(peer, len(differing) - unexpected, unexpected, sample)


def rib_digest(routes: Routes) -> str:
    """Digest an Adj-RIB-Out (SHA-256, hex): equal for equal routes, whatever their order."""
    digest = sha256()
    for key, attributes in sorted(routes.items(), key=lambda route: route[0]):
        digest.update(repr((*key, *attributes)).encode("ascii"))
    return digest.hexdigest()


def _path(key: RouteKey, attributes: PathAttributes) -> Path:
    return Path(key.prefix, key.path_id, attributes.next_hop)
