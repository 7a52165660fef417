"""Which sessions the publisher has: those that the state asks for, brought to it beside the following of the journal.

An engine may take long to take other sessions, as where it refuses many and each of them has to be found. Meanwhile the
journal is folded, and routes go on to the sessions that stand.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from porter.app.speaker.adj_rib import AdjRibsOut
from porter.app.speaker.local_address import AddressBook
from porter.model.bgp import PeerKey, SessionSettings, SpeakerName
from porter.ports import Publisher
from porter.projections.adj_rib_out import malformed, session_settings
from porter.projections.cluster import ClusterState

CONFIGURE_INTERVAL_S = 1.0
"""While pages come in, the sessions are looked at this often although no fact about them changed: this machine's own
addresses, which they are made of, are no facts."""
QUIET_INTERVAL_S = 5.0
"""The same while no page comes."""
FIRST_PATIENCE_S = 5.0
"""A speaker that starts begins with the rest when its sessions are with the publisher, or else after this."""


class View(NamedTuple):
    """The state, whether it is certain, and a value that changes whenever facts that sessions are made of do."""

    state: ClusterState
    certain: bool
    exported: object


class Configuring:
    """Keeps the publisher's sessions up with the state. `view` gives the present one."""

    def __init__(
        self,
        speaker: SpeakerName,
        addresses: AddressBook,
        publisher: Publisher,
        ribs: AdjRibsOut,
        view: Callable[[], View],
    ) -> None:
        self.sessions: tuple[SessionSettings, ...] = ()
        """What the publisher was given last."""
        self.complete = False
        """Whether the publisher was ever given the sessions of a certain state."""
        self._speaker = speaker
        self._addresses = addresses
        self._publisher = publisher
        self._ribs = ribs
        self._view = view
        self._looked: tuple[object, ClusterState | None] = (None, None)
        self._look_s = 0.0
        self._due = asyncio.Event()
        self._changed_beside = False
        self._first = asyncio.Event()

    def look(self) -> None:
        """A page was folded: have the sessions looked at if they may differ. This is asked often, and is cheap."""
        exported, retained = self._looked
        if retained is not self._ribs.retained or exported != self._view().exported or time.monotonic() >= self._look_s:
            self._due.set()

    def changed_beside(self) -> None:
        """Something changed that the publisher reads by itself, as a password: only that session restarts."""
        self._changed_beside = True
        self._due.set()

    async def begun(self) -> None:
        """Wait until the publisher has its first sessions, or too long for the rest to wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_PATIENCE_S):
                await self._first.wait()

    async def run(self) -> None:
        """Configure the publisher until cancelled, at first with the `sessions` that there were before."""
        if self.sessions:
            await self._publisher.configure(self.sessions)
        await self._configure()
        self._first.set()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_INTERVAL_S):
                    await self._due.wait()
            self._due.clear()
            await self._configure()

    async def _configure(self) -> None:
        """Tell the publisher which sessions there are, when that changed; an uncertain state takes none away."""
        view, before = self._view(), self._ribs.retained
        self._looked = (view.exported, before)
        self._look_s = time.monotonic() + CONFIGURE_INTERVAL_S
        kept = () if before is None else self._wanted(before)
        sessions = {session.peer: session for session in (*kept, *self._wanted(view.state))}
        wanted = tuple(sorted(sessions.values(), key=self._seniority(view.state)))
        changed_beside, self._changed_beside = self._changed_beside, False
        if changed_beside or wanted != self.sessions:
            self.sessions = wanted
            self._ribs.forget(sessions)
            await self._publisher.configure(wanted)
        self.complete |= view.certain
        self._presume()

    def _seniority(self, state: ClusterState) -> Callable[[SessionSettings], tuple[int, int, str]]:
        """Of two sessions that exclude each other the older object's stays; of one age, the one that there is."""
        peers = state.inventory.peers
        there = {settings.peer: index for index, settings in enumerate(self.sessions)}

        def key(settings: SessionSettings) -> tuple[int, int, str]:
            fact = peers.get(settings.peer)
            return fact.created_ms if fact else 0, there.get(settings.peer, len(there)), settings.peer

        return key

    def _presume(self) -> None:
        """Desire for the sessions that must have their routes before they come up, whatever they will agree on."""
        view, presumed = self._view(), self._publisher.presumed()
        unknown = [peer for peer in presumed if not self._ribs.knows(peer)]
        for peer in unknown:
            self._ribs.negotiated(peer, presumed[peer])
        for desired in self._ribs.whole(view.state, certain=view.certain, peers=unknown):
            self._publisher.desire(desired)

    def _wanted(self, state: ClusterState) -> Sequence[SessionSettings]:
        """The sessions of a state; one whose object was made malformed by an edit stays as it was before."""
        former = {session.peer: session for session in self.sessions}
        up = {peer for peer, view in self._publisher.peers().items() if view.state == "Established"}
        wanted = []
        for name in sorted(state.inventory.peers):
            key = PeerKey(name)
            settings = former.get(key)
            fact = state.inventory.good_peer(name)
            if fact is not None and (settings is None or not malformed(state, name)):
                own = self._addresses.own(fact.address, settings, up=key in up)
                settings = None if own is None else session_settings(state, key, speaker=self._speaker, **own._asdict())
            if settings is not None:
                wanted.append(settings)
        return wanted
