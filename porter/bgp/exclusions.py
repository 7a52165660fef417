"""Sessions that exclude each other, whatever the engine: the first given stays; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from porter.bgp.rejections import Rejections
from porter.model.bgp import SessionSettings


def distinct(sessions: Iterable[SessionSettings], rejections: Rejections) -> list[SessionSettings]:
    """Of two sessions between the same addresses the first given stays; the order stays as it is, too."""
    seen: dict[tuple[str, str], SessionSettings] = {}
    for settings in sessions:
        first = seen.setdefault((settings.peer_address, settings.local_address), settings)
        if first is not settings:
            message = f"{first.peer} has the same address; use one"
            rejections.reject(settings.peer, "spec.conf.neighborAddress", message)
    return list(seen.values())


def listening_apart(sessions: Iterable[SessionSettings], rejections: Rejections) -> list[SessionSettings]:
    """For an engine with a process for each session: of two that wait at the same address and port, the first given
    stays, because only one process can listen there."""
    seen: dict[tuple[str, int], SessionSettings] = {}
    kept = []
    for settings in sessions:
        first = seen.setdefault((settings.local_address, settings.port), settings) if settings.passive else settings
        if first is settings:
            kept.append(settings)
            continue
        message = (
            f"{first.peer} waits for its peer on {settings.local_address} port {settings.port}, and with --engine "
            "gobgp only one can: give this one another port or local address, let it connect, or use --engine exabgp"
        )
        rejections.reject(settings.peer, "passive", message)
    return kept


def as_before(
    before: SessionSettings | None, settings: SessionSettings, sessions: Sequence[SessionSettings]
) -> SessionSettings | None:
    """The session as it was, which stays where it cannot be as it is asked for.

    None where there was none with the same router, or another of the sessions has its addresses by now.
    """
    if before is None or before.peer_address != settings.peer_address:
        return None
    taken = {(one.peer_address, one.local_address): one.peer for one in sessions}
    same = taken.get((before.peer_address, before.local_address), settings.peer) == settings.peer
    return before if same else None
