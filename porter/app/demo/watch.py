"""Looks at the lab router's RIB all the time and remembers every moment at which an expected route was missing."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from porter.app.demo.routers import Router, Routes

LOSSES_MAX = 1000


class Loss(NamedTuple):
    """An expected next hop that was not there."""

    at_s: float
    prefix: str
    missing: frozenset[str]


class RibWatch:
    """What the router holds, what it must hold, and what was lost so far.

    `expected` holds the next hops that must be there without a break from the moment they were first seen.
    """

    def __init__(self, router: Router) -> None:
        self.routes: Routes = {}
        self.expected: Routes = {}
        self.losses: list[Loss] = []
        self.looks = 0
        self._router = router
        self._looked = asyncio.Condition()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            routes = await self._router.routes()
            self.routes = routes
            self.looks += 1
            for prefix, next_hops in self.expected.items():
                missing = next_hops - routes.get(prefix, frozenset())
                if missing and len(self.losses) < LOSSES_MAX:
                    self.losses.append(Loss(time.monotonic(), prefix, missing))
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(self._router.look_every_s)

    async def until(self, prefix: str, next_hops: frozenset[str], limit_s: float) -> None:
        """Wait until a prefix has exactly these next hops (none: until it is gone); from then on they are expected.

        Raises:
            TimeoutError: not within `limit_s`.
        """
        self.expected.pop(prefix, None)
        async with asyncio.timeout(limit_s), self._looked:
            await self._looked.wait_for(lambda: self.routes.get(prefix, frozenset()) == next_hops)
        if next_hops:
            self.expected[prefix] = next_hops
