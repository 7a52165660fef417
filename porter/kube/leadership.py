"""What both elections tell those who wait for leadership to begin or end."""

from __future__ import annotations

import asyncio


class Leadership:
    """Whether this process leads, as something that can be waited for."""

    def __init__(self) -> None:
        self.transitions = 0
        self._elected = asyncio.Event()
        self._deposed = asyncio.Event()
        self._deposed.set()

    @property
    def held(self) -> bool:
        """Whether it was gained and not given up since."""
        return self._elected.is_set()

    def gain(self, transitions: int) -> None:
        """Note that this process leads."""
        self.transitions = transitions
        self._deposed.clear()
        self._elected.set()

    def lose(self) -> None:
        """Note that this process leads no more."""
        self._elected.clear()
        self._deposed.set()

    async def elected(self) -> int:
        """Wait until this process leads; return the number of transitions."""
        await self._elected.wait()
        return self.transitions

    async def deposed(self) -> None:
        """Wait until this process does not lead."""
        await self._deposed.wait()
