"""What each session agreed on, as ExaBGP tells it: once, when the session comes up.

`show neighbor json` does not say whether a session agreed to extended next hops (RFC 8950). So the relay repeats each
neighbour's last agreement behind its first line, and what is told before stock is taken counts, too.
"""

from __future__ import annotations

from porter.bgp.backends.exabgp_text import EngineEvent, NegotiatedEvent, SessionId
from porter.model.bgp import Negotiated, SessionSettings

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

    def completed(self, settings: SessionSettings, shown: Negotiated | None) -> Negotiated | None:
        """Add to what ExaBGP shows of a session what it leaves out; None stands for a session that is down.

        Where nobody remembers it, the session is taken to have agreed to what was offered: a router that did not says
        so at the first such route.
        """
        if shown is None:
            return None
        session = SessionId.of(settings)
        told = self._last.get(session)
        extended = settings.extended_next_hop and (told is None or told.extended_next_hop)
        negotiated = self._last[session] = shown._replace(extended_next_hop=extended)
        return negotiated
