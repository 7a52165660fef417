"""What each session agreed on, as ExaBGP tells it: once, when the session comes up.

`show neighbor json` does not say whether a session agreed to extended next hops (RFC 8950). So the relay repeats each
neighbour's last agreement behind its first line, and what is told before stock is taken counts, too. A relay that was
started anew has none, and neither has a speaker: then the routes that ExaBGP holds have to do.
"""

from __future__ import annotations

from collections.abc import Mapping

from porter.bgp.backends.exabgp_text import EngineEvent, NegotiatedEvent, SessionId
from porter.model.address import IPV4, IPV6, family_of
from porter.model.bgp import Negotiated, PathAttributes, RouteKey, SessionSettings

AGREEMENT = '"type": "negotiated"'
"""What the event of an agreement holds, and no other."""


class Agreements:
    """The last agreement of each session of one ExaBGP process."""

    def __init__(self) -> None:
        self._boot = ""
        self._last: dict[SessionId, Negotiated] = {}

    def of_engine(self, boot: str) -> None:
        """Another process has made none of these."""
        if boot != self._boot:
            self._boot = boot
            self._last.clear()

    def take(self, event: EngineEvent | None) -> None:
        """Take an event that tells one; others tell nothing."""
        if event is not None and isinstance(event.body, NegotiatedEvent):
            self._last[event.session] = event.body.negotiated

    def of(self, session: SessionId) -> Negotiated | None:
        """The last agreement of a session that is up, or about to be."""
        return self._last.get(session)

    def ended(self, session: SessionId) -> None:
        """The session went down: the next one agrees anew."""
        self._last.pop(session, None)

    def completed(
        self, settings: SessionSettings, shown: Negotiated | None, held: Mapping[RouteKey, PathAttributes]
    ) -> Negotiated | None:
        """Add to what ExaBGP shows of a session what it leaves out; None stands for a session that is down.

        Where nobody remembers it, the routes that ExaBGP holds for it tell.
        """
        if shown is None:
            return None
        session = SessionId.of(settings)
        told = self._last.get(session)
        extended = settings.extended_next_hop and (told.extended_next_hop if told is not None else _extended_by(held))
        negotiated = self._last[session] = shown._replace(extended_next_hop=extended)
        return negotiated


def _extended_by(held: Mapping[RouteKey, PathAttributes]) -> bool:
    """Whether a session agreed to IPv6 next hops of IPv4 routes, by the routes that it was given.

    One with IPv4 next hops alone did not, or its nodes have no others. Without any IPv4 route it may have agreed.
    """
    families = {family_of(one.next_hop) for key, one in held.items() if family_of(key.prefix) == IPV4}
    return not families or IPV6 in families
