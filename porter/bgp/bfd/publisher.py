"""A publisher whose sessions end when BFD finds the path down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from porter.bgp.bfd.watch import BfdWatch
from porter.events.catalogue import Event
from porter.events.routed import FieldsUnsupported
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.model.reasons import Problem
from porter.ports import Desired, PeerView, Publisher

CUT_REASON = "BFD found the path to the router down"

log = structlog.get_logger("porter.bfd")


class CuttingPublisher(Publisher, Protocol):
    """A publisher that can end a session from outside."""

    def cut(self, peer: PeerKey, reason: str, age_s: float = 0.0) -> None:
        """End a peer's session, unless it is younger than its cause; the engine goes on to try for the next one."""
        ...

    async def held(self) -> Mapping[PeerKey, Mapping[RouteKey, PathAttributes]]:
        """Every route that the engine holds, by peer."""
        ...


class BfdPublisher:
    """`porter.ports.Publisher` over an engine's own, with BFD beside it.

    A session that was cut off comes up again as soon as BGP can: BGP itself is the proof of a path then, as it is with
    a router that runs no BFD.
    """

    def __init__(self, engine: CuttingPublisher, watch: BfdWatch) -> None:
        self._engine = engine
        self._watch = watch
        self._of_engine: dict[PeerKey, tuple[Problem, ...]] = {}
        self._of_bfd: dict[PeerKey, tuple[Problem, ...]] = {}
        self._unsupported: dict[PeerKey, tuple[Problem, ...]] = {}
        self._engine_outcomes: asyncio.Task[Sequence[Event]] | None = None
        self._configuring = asyncio.Lock()

    async def run(self) -> None:
        """Drive the engine and watch its paths until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._engine.run(), name="engine")
                tasks.create_task(self._watch.run(), name="BFD")
        finally:
            if self._engine_outcomes is not None:
                self._engine_outcomes.cancel()

    async def configure(self, sessions: Sequence[SessionSettings]) -> None:
        """Set the whole list of sessions. What BFD alone is about does not touch the engine's."""
        # Facts, passwords and own addresses each call this when they change: the last one to call has the last word.
        async with self._configuring:
            await self._engine.configure(sessions)
            self._of_bfd = await self._watch.configure(sessions)

    def desire(self, desired: Desired) -> None:
        """Set a peer's desired Adj-RIB-Out; returns at once."""
        self._engine.desire(desired)

    def presumed(self) -> Mapping[PeerKey, Negotiated]:
        """As the engine has it."""
        return self._engine.presumed()

    async def outcomes(self) -> Sequence[Event]:
        """Wait for outcomes, of the engine or of BFD; return and forget them, oldest first."""
        while True:
            if self._engine_outcomes is None:
                self._engine_outcomes = asyncio.ensure_future(self._engine.outcomes())
            changed = asyncio.ensure_future(self._watch.changed.wait())
            try:
                await asyncio.wait([self._engine_outcomes, changed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            told = [*self._of_paths(), *self._of_the_engine()]
            told += self._news_of_fields()
            if told:
                return told

    def peers(self) -> Mapping[PeerKey, PeerView]:
        """The present state of every configured peer."""
        return {
            peer: view._replace(bfd=self._watch.sessions.state_of(peer)) for peer, view in self._engine.peers().items()
        }

    def confirmed(self, peer: PeerKey) -> Mapping[RouteKey, PathAttributes]:
        """The routes whose sending was confirmed in the present session."""
        return self._engine.confirmed(peer)

    def standing(self) -> Sequence[Event]:
        """What still holds of what was told, of the engine and of BFD."""
        of_engine = [event for event in self._engine.standing() if not isinstance(event, FieldsUnsupported)]
        fields = [FieldsUnsupported(peer, problems) for peer, problems in sorted(self._unsupported.items()) if problems]
        return [*of_engine, *fields, *self._watch.sessions.standing()]

    async def held(self) -> Mapping[PeerKey, Mapping[RouteKey, PathAttributes]]:
        """Every route that the engine holds, by peer, read from it now.

        Raises:
            TimeoutError: it does not answer.
        """
        return await self._engine.held()

    def _of_paths(self) -> Sequence[Event]:
        self._watch.changed.clear()
        sessions = self._watch.sessions
        cut, sessions.cut = sessions.cut, []
        for peer, age_s in cut:
            log.warning("BFD found the path down: the session is ended", peer=peer)
            self._engine.cut(peer, CUT_REASON, age_s)
        outcomes, sessions.outcomes = sessions.outcomes, []
        return outcomes

    def _of_the_engine(self) -> Sequence[Event]:
        if self._engine_outcomes is None or not self._engine_outcomes.done():
            return ()
        outcomes, self._engine_outcomes = self._engine_outcomes.result(), None
        for event in outcomes:
            if isinstance(event, FieldsUnsupported):
                self._of_engine[PeerKey(event.peer)] = event.problems
        return [event for event in outcomes if not isinstance(event, FieldsUnsupported)]

    def _news_of_fields(self) -> Sequence[Event]:
        """One event says all of a peer: what its engine does not honour, and what its BFD does not."""
        told: list[Event] = []
        for peer in sorted(self._of_engine.keys() | self._of_bfd.keys() | self._unsupported.keys()):
            problems = (*self._of_engine.get(peer, ()), *self._of_bfd.get(peer, ()))
            if problems != self._unsupported.get(peer, ()):
                told.append(FieldsUnsupported(peer, problems))
                self._unsupported[peer] = problems
        return told
