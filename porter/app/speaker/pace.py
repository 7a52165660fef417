"""How often an agent reads the journal while changes come without a pause: the more agents there are, the less often.

Every commit wakes each follower that waits for one, and each read costs the journal's server about as much as the next
one, however little it brings. Agents are as many as nodes, so that they read less often together when commits come
fast: what came meanwhile is read at once. After a quiet moment the first reads are immediate, so that a single change
is never late.
"""

from __future__ import annotations

READS_PER_S = 3000.0
"""What all agents together may read a second without a pause: a few per cent of a core of the server."""

READS_AT_ONCE = 5
"""So many reads in a row come without a pause: a Service and its endpoints are a few commits."""

PAUSE_S_MAX = 0.25
"""The longest that a change may wait for an agent to read it, however many agents there are."""


class Pace:
    """The pace of one agent; pure: the time comes in (seconds, monotonic)."""

    def __init__(self) -> None:
        self._due_s = 0.0
        """When the reads so far would all have been due, had they come at the pace (the GCRA of ATM's cells)."""

    def pause_s(self, followers: int, now_s: float) -> float:
        """How long to wait after a page that `followers` read, each for itself, before the next one is asked for."""
        interval_s = min(PAUSE_S_MAX, followers / READS_PER_S)
        self._due_s = max(self._due_s, now_s) + interval_s
        return max(0.0, self._due_s - now_s - (READS_AT_ONCE - 1) * interval_s)
