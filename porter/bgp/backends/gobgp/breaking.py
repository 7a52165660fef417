"""A session that somebody outside wants ended, once, and never the next one in its place; pure.

A cut means the session that was up when its cause came. While the daemon is out of reach it waits until it is known
whether that session is still up.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class _Cut(NamedTuple):
    """Why the session is to end, and when the cause came."""

    reason: str
    at_s: float


class BreakOff:
    """The cut that is asked for, and since when the session is up."""

    def __init__(self) -> None:
        self._asked: _Cut | None = None
        self._since_s = math.inf
        self._known = False

    def ask(self, reason: str, at_s: float) -> None:
        """End the session that was up at a moment; where it is known that none was, nothing happens."""
        if not self._known or at_s >= self._since_s:
            self._asked = self._asked or _Cut(reason, at_s)

    def take(self) -> str:
        """Why the session has to end now, which is told once; "" where it has not to, or that is not known."""
        if self._asked is None or not self._known:
            return ""
        asked, self._asked = self._asked, None
        return asked.reason if asked.at_s >= self._since_s else ""

    def up(self, since_s: float) -> None:
        """The session is up since a moment."""
        self._known, self._since_s = True, since_s

    def down(self) -> None:
        """There is no session."""
        self._known, self._since_s, self._asked = True, math.inf, None

    def unknown(self) -> None:
        """The daemon is out of reach."""
        self._known = False
