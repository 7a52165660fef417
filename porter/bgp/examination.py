"""Which sessions ExaBGP refuses: another ExaBGP is asked, of all of them, and of ever smaller parts.

To ask takes half a second, whatever the number of sessions. One that is refused costs four questions for each level,
and is not asked of again until its settings change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from porter.bgp.validation import unfinished
from porter.model.bgp import SessionSettings

PARTS = 4
"""Finds one among many with as many questions as halves would, and many with a third fewer."""
MAX_AT_ONCE = 2
"""More would take the processor from the sessions that stand."""


class Examination:
    """Remembers what was refused."""

    def __init__(
        self,
        judge: Callable[[Sequence[SessionSettings]], Awaitable[str]],
        fragment: Callable[[SessionSettings], str],
    ) -> None:
        """Args:
        judge: has ExaBGP read these sessions; returns "" or what it complains of.
        fragment: a session's part of the configuration.
        """
        self._judge = judge
        self._fragment = fragment
        self._complaints: dict[str, str] = {}
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)

    def begin(self, sessions: Iterable[SessionSettings]) -> None:
        """These are looked at; what is known of others, and of those that could not be looked at, is forgotten."""
        fragments = {self._fragment(settings) for settings in sessions}
        self._complaints = {
            fragment: complaint
            for fragment, complaint in self._complaints.items()
            if fragment in fragments and not unfinished(complaint)
        }

    def complaint(self, settings: SessionSettings) -> str:
        """What ExaBGP complained of, or ""."""
        return self._complaints.get(self._fragment(settings), "")

    async def split(self, sessions: Sequence[SessionSettings]) -> None:
        """Find the sessions that are refused among some that are refused together."""
        size = max(1, -(-len(sessions) // PARTS))
        await asyncio.gather(*(self._look_at(sessions[at : at + size]) for at in range(0, len(sessions), size)))

    async def _look_at(self, sessions: Sequence[SessionSettings]) -> None:
        async with self._turns:
            complaint = await self._judge(sessions)
        if complaint and len(sessions) == 1:
            self._complaints[self._fragment(sessions[0])] = complaint
        elif complaint:
            await self.split(sessions)
