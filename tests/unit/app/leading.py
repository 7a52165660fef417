"""A leader over a journal in memory and a source that tests write into, with a clock that can be moved on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from porter.allocator.withdrawals import Rule
from porter.app.controller.leader import Leading
from porter.app.controller.start import Recovery, Seen, begin
from porter.app.upgrade.activation import Activation
from porter.app.view import View
from porter.events.catalogue import Event
from porter.events.envelope import BEGINNING, Commit
from porter.journal.memory import MemoryJournals
from porter.ports import FactKey, Journal
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold

KINDS = {
    "ServiceObserved": "Service",
    "EndpointsObserved": "Endpoints",
    "NodeObserved": "Node",
    "PoolObserved": "Pool",
    "ConfObserved": "Conf",
    "PeerObserved": "Peer",
    "AdvertisementObserved": "Advertisement",
}
WITHIN_S = 10.0


class Clock:
    """The machine's clocks, and what a test adds to them."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000 + int(self.added_s * 1000)

    def monotonic_s(self) -> float:
        return time.monotonic() + self.added_s


class Objects:
    """A source whose objects are put and taken by hand."""

    def __init__(self) -> None:
        self.facts: dict[FactKey, Event] = {}
        self.synced = True
        self._listing = False
        self.relisted: list[frozenset[str]] = []
        self.unlisted: frozenset[str] = frozenset()
        """Kinds that cannot be listed."""
        self._unseen: dict[FactKey, Event | None] = {}
        self._changed: set[FactKey] = set()
        self._wake = asyncio.Event()

    def put(self, *facts: Any) -> None:
        for fact in facts:
            kind = KINDS[type(fact).__name__]
            name = f"{fact.namespace}/{fact.name}" if kind in {"Service", "Endpoints"} else fact.name
            self.facts[FactKey(kind, name)] = fact  # type: ignore[arg-type]
            self._tell(FactKey(kind, name))  # type: ignore[arg-type]

    def take(self, *keys: tuple[str, str]) -> None:
        for kind, name in keys:
            self.facts.pop(FactKey(kind, name), None)  # type: ignore[arg-type]
            self._tell(FactKey(kind, name))  # type: ignore[arg-type]

    def lag(self, facts: dict[FactKey, Event | None]) -> None:
        """Show these (None: nothing) until the next listing of their kind brings what is so."""
        for key, fact in facts.items():
            self._unseen[key] = self.facts.get(key)
            self._show(key, fact)

    def listed(self, kind: str) -> bool:
        return self.synced or (kind not in self.unlisted and not self._listing)

    def relist(self, kinds: frozenset[str]) -> None:
        self.relisted.append(frozenset(kinds))
        self.synced = False
        self._listing = True
        asyncio.get_running_loop().call_later(0.05, self._listed, kinds)

    def _listed(self, kinds: frozenset[str]) -> None:
        for key in [key for key in self._unseen if key.kind in kinds - self.unlisted]:
            self._show(key, self._unseen.pop(key))
        self._listing = False
        self.synced = not self.unlisted
        self._wake.set()

    def _show(self, key: FactKey, fact: Event | None) -> None:
        if fact is None:
            self.facts.pop(key, None)
        else:
            self.facts[key] = fact
        self._tell(key)

    def _tell(self, key: FactKey) -> None:
        self._changed.add(key)
        self._wake.set()

    async def changed(self) -> frozenset[FactKey]:
        await self._wake.wait()
        self._wake.clear()
        changed, self._changed = frozenset(self._changed), set()
        return changed


class Alone:
    """An election that is never lost; a desk and speakers' streams that nobody asks."""

    def __init__(self) -> None:
        self.established = False

    def everything(self, _: ClusterState) -> None:
        """What a desk is asked for when all that a new leader found is journaled."""
        self.established = True

    async def deposed(self) -> None:
        await asyncio.Event().wait()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: ()


class World:
    """One journal and one source; leaders come and go."""

    def __init__(self, rule: Rule) -> None:
        self.objects = Objects()
        self.clock = Clock()
        self.rule = rule
        self.cordon_delay_ms: int | None = None
        self.journals = MemoryJournals(writer="leader")
        self.view = View()
        self.activation: Activation | None = None
        self.within_s = WITHIN_S

    @property
    def journal(self) -> Journal:
        return self.journals.journal()

    @contextlib.asynccontextmanager
    async def leader(self) -> AsyncIterator[Leading]:
        """A leader that takes over where the last one stopped."""
        head = await self.journal.head()
        seen = Seen() if head is None else Seen(head.epoch, head.position, head.hash.hex())
        beginning = begin(head, None, seen, transitions=0, holder="leader", new_genesis="g", version="0")
        alone: Any = Alone()
        leading = Leading(
            journal=self.journal,
            source=self.objects,  # type: ignore[arg-type]
            election=alone,
            desk=alone,
            speakers=alone,
            view=self.view,
            clock=self.clock,
            state=fold(ClusterState.empty(), [event for commit in await self.commits() for event in commit.events]),
            rule=self.rule,
            cordon_delay_ms=self.cordon_delay_ms,
            activation=self.activation,
        )
        running = asyncio.create_task(leading.run(beginning, Recovery()))
        try:
            await self.until(lambda: alone.established, running)
            yield leading
        finally:
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error

    async def commits(self) -> list[Commit]:
        if await self.journal.head() is None:
            return []
        return [commit async for page in self.journal.read(BEGINNING) for commit in page]

    async def events(self, *kinds: type) -> list[Any]:
        """The journaled events of some types, in order."""
        found = [event.payload for commit in await self.commits() for event in commit.events]
        return [event for event in found if isinstance(event, kinds)]

    async def until(self, holds: Any, running: asyncio.Task[None] | None = None) -> None:
        async with asyncio.timeout(self.within_s):
            while not (await holds() if asyncio.iscoroutinefunction(holds) else holds()):
                if running is not None and running.done():
                    running.result()
                await asyncio.sleep(0.005)

    async def followed(self) -> list[tuple[int, frozenset[str]]]:
        """What a reader has as routes behind each commit: the last position, and the prefixes with a next hop."""
        state = ClusterState.empty()
        told: list[tuple[int, frozenset[str]]] = []
        for commit in await self.commits():
            state = fold(state, commit.events)
            told.append((commit.last_position, frozenset(state.loc_rib.routes)))
        return told
