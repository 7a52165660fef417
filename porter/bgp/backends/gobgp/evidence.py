"""What proves that a route went out over the present session; pure.

GoBGP computes the Adj-RIB-Out that it shows from its table: it says what should be at the peer, never what was sent.
But it counts the UPDATEs of a session after each was written to the connection, they leave in the order of the changes,
and how many a change makes is known. So a change is confirmed when the count has come to where it must be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from porter.model.bgp import PathAttributes, RouteKey

Routes = Sequence[tuple[RouteKey, PathAttributes]]


class Sent(NamedTuple):
    """Changes that went out together."""

    announced: Routes
    withdrawn: Sequence[RouteKey]


class Evidence:
    """Counts a session's UPDATEs against what is owed."""

    def __init__(self) -> None:
        self._owed = 0
        self._seen = -1
        self._pending: deque[tuple[int, Sent]] = deque()
        self._whole: Routes | None = None
        """A transfer of the whole table: it ends only when the count stands still, too."""

    def begin(self, count: int = 0) -> None:
        """A session began, or was found; so many UPDATEs it had sent before."""
        self._owed = count
        self._seen = -1
        self._pending.clear()
        self._whole = None

    def owe(self, updates: int, sent: Sent) -> None:
        """A change is on its way, and makes so many UPDATEs."""
        assert self._whole is None
        self._owed += updates
        self._pending.append((self._owed, sent))

    def owe_all(self, updates: int, routes: Routes) -> None:
        """Everything is on its way, in at least so many UPDATEs."""
        self._owed += updates
        self._whole = routes

    def recount(self) -> None:
        """How many UPDATEs the last changes make is not known: begin anew when the count stands still."""
        self._pending.clear()
        self._owed = max(self._owed, self._seen)
        self._whole = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is owed."""
        return self._whole is None and not self._pending

    @property
    def transferring(self) -> bool:
        """Whether changes must wait, because what they make could not be told from the rest."""
        return self._whole is not None

    def count(self, updates: int) -> list[Sent]:
        """The session has sent so many UPDATEs by now; return what this confirms."""
        stands = updates == self._seen
        self._seen = updates
        if self._whole is not None:
            if not stands or (updates < self._owed and self._whole):
                return []
            sent = [Sent(self._whole, ())] if self._whole else []
            self.begin(updates)
            return sent
        confirmed = []
        while self._pending and self._pending[0][0] <= updates:
            confirmed.append(self._pending.popleft()[1])
        return confirmed
