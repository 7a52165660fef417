"""End-of-RIB (RFC 4724, section 2) of one session: when it is due, what was sent, and what was confirmed."""

from __future__ import annotations

from collections.abc import Iterable

from porter.model.address import Family

MARGIN_S = 10.0
"""How long before the peer's restart time runs out End-of-RIB goes out at last, certain or not."""


class EndOfRib:
    """The End-of-RIB markers of one session, one for each family."""

    def __init__(self) -> None:
        self._due_s = 0.0
        self._pending: set[Family] = set()
        self._sent = False

    def begin(self, now_s: float, restart_time_s: int) -> None:
        """A session began; by default a peer keeps stale routes for about as long as we said our restart takes."""
        self._pending.clear()
        self._sent = False
        self._due_s = now_s + restart_time_s - min(MARGIN_S, restart_time_s / 2)

    def send(self, families: Iterable[Family]) -> None:
        """They are on their way to the engine."""
        self._sent, self._pending = True, set(families)

    def confirmed(self, family: Family) -> None:
        """One went out."""
        self._pending.discard(family)

    def doubted(self) -> None:
        """One that was not confirmed yet must be sent again."""
        if self._pending:
            self._pending.clear()
            self._sent = False

    def overdue(self, now_s: float) -> bool:
        """Whether it should wait for nothing any more."""
        return now_s >= self._due_s

    @property
    def sent(self) -> bool:
        """Whether all of them were given to the engine."""
        return self._sent

    @property
    def missing(self) -> int:
        """How many were sent and are not confirmed."""
        return len(self._pending)

    @property
    def done(self) -> bool:
        """Whether all of them went out."""
        return self._sent and not self._pending
