"""What a router announces to us: nothing is taken of it, and one that announces much is told of."""

from __future__ import annotations

TOLD_FROM_UPDATES = 20
"""A default route, a few networks and End-of-RIB are everyday; beyond this somebody should know."""
TOLD_AGAIN_FACTOR = 10


class Imports:
    """Counts the UPDATEs that a router sent within one session."""

    def __init__(self) -> None:
        self.told = 0
        """How many were told last in this session; 0 while they are few."""
        self._next = TOLD_FROM_UPDATES

    def begin(self) -> None:
        """A session began: it counts from zero."""
        self.told = 0
        self._next = TOLD_FROM_UPDATES

    def count(self, updates: int) -> bool:
        """Whether so many are to be told: the first time, and each time that they are ten times as many."""
        if updates < self._next:
            return False
        while self._next <= updates:
            self._next *= TOLD_AGAIN_FACTOR
        self.told = updates
        return True
