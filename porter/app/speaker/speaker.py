"""The speaker: replays the journal into the BGP engine, and tells in its own stream what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from porter import __version__
from porter.app.history.follow import from_newest_baseline
from porter.app.passwords import POLL_S, Passwords
from porter.app.settings import Settings
from porter.app.speaker import last_good, retelling
from porter.app.speaker.adj_rib import AdjRibsOut
from porter.app.speaker.configuring import Configuring, View
from porter.app.speaker.local_address import AddressBook
from porter.app.speaker.pace import Pace
from porter.app.speaker.ready_file import announce_readiness
from porter.app.speaker.traces import RouteTraces
from porter.app.upgrade.readers import declare
from porter.events.catalogue import Event
from porter.events.decided import EpochStarted, HeadSigned
from porter.events.envelope import BEGINNING, Checkpoint, Commit
from porter.events.routed import HeadSeen, JournalLost, SessionStateChanged, SpeakerStarted
from porter.model.address import Address
from porter.model.bgp import PeerKey, SpeakerName
from porter.ports import (
    NO_INSTRUMENTATION,
    SPEAKER,
    ForeignJournal,
    Journal,
    JournalError,
    JournalUnavailable,
    Newer,
    Publisher,
    Readers,
    Trimmed,
)
from porter.projections import baseline
from porter.projections.adj_rib_out import exported_from
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold

RETRY_S = 0.2
NEWER_RETRY_S = 5.0
TELL_PRESENT_EVENTS = 5_000
"""After so many outcomes the sessions are told anew: the speaker's stream only keeps the newest ones."""
LAST_GOOD_MIN_INTERVAL_S = 1.0
LAST_GOOD_COST_FACTOR = 20
"""The last-good file is rewritten when the state changed, spending at most one part in this many of the time on it."""

_log = structlog.get_logger(__name__)


class OutcomeSink(Protocol):
    """Where outcomes go: `porter.journal.outcomes.OutcomeStream`, of which only this is used."""

    def add(self, events: Sequence[Event]) -> None:
        """Queue outcomes; never blocks."""
        ...


class Speaker:
    """One speaker process between the journal and its publisher."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        publisher: Publisher,
        outcomes: OutcomeSink,
        passwords: Passwords | None = None,
        *,
        traces: RouteTraces | None = None,
    ) -> None:
        self.state = ClusterState.empty()
        self.checkpoint: Checkpoint = BEGINNING
        self.problem = ""
        """Why the journal is not followed any further; "" while it is."""
        self._name = SpeakerName(settings.name)
        self._settings = settings
        self._journal = journal
        self._publisher = publisher
        self._outcomes = outcomes
        self._passwords = passwords
        self._traces = traces or RouteTraces(NO_INSTRUMENTATION, settings.name)
        self._ribs = AdjRibsOut(self._name)
        self._addresses = AddressBook(settings.local_address)
        self._certain = False
        self._target_position = 0
        self._exported: object = None
        self._configuring = Configuring(self._name, self._addresses, publisher, self._ribs, self._view)
        self._genesis = ""
        self._unsaved = asyncio.Event()
        self._pace = Pace()

    async def run(self) -> None:
        """Follow the journal and the engine until cancelled; sessions and routes stay as they are afterwards."""
        remembered = await asyncio.to_thread(last_good.read, self._settings.last_good_file)
        if remembered is not None:
            self._genesis, self.checkpoint, self.state, self._configuring.sessions = remembered
            self._ribs.retained = self.state.fork()
            _log.info("last-good state read", position=self.checkpoint.position)
        self._outcomes.add(
            (SpeakerStarted(self._name, __version__, self._addresses.router_id(), self.checkpoint.position),)
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._configuring.run(), name="sessions")
            await self._configuring.begun()
            tasks.create_task(self._publisher.run(), name="publisher")
            tasks.create_task(self._relay_outcomes(), name="outcomes")
            tasks.create_task(self._follow(), name="journal")
            tasks.create_task(self._save(), name="last-good file")
            ready = announce_readiness(self._settings.ready_file, self._publisher, lambda: self._configuring.complete)
            tasks.create_task(ready, name="readiness")
            if self._passwords is not None:
                tasks.create_task(self._watch_passwords(self._passwords), name="passwords")

    async def declare(self, readers: Readers, after: Callable[[], None]) -> None:
        """Tell, until cancelled, that this speaker reads the journal, and what of it."""
        name = f"{SPEAKER}/{self._name}"
        await declare(readers, name, lambda: self.checkpoint.position, lambda: self.problem, after)

    # ------------------------------------------------------------------------------------------------ the journal

    async def _follow(self) -> None:
        while True:
            try:
                head = await self._journal.head()
                if head is not None:
                    self._check_genesis(head.genesis)
                    self._target_position = head.position
                    await self._apply_all()
            except JournalUnavailable as error:
                _log.warning("the journal is unavailable; all routes stay", reason=str(error))
            except Newer as error:
                await self._stand_still(error)
                continue
            except Trimmed as error:
                _log.warning("the journal was trimmed beyond this speaker; all routes stay", reason=str(error))
                self._begin_anew()
            except ForeignJournal as error:
                self._certain = False
                _log.error("the journal is another cluster's; all routes stay", reason=str(error))
            except JournalError as error:
                self._lost(error)
            else:
                if self.checkpoint != BEGINNING:
                    self._lost(JournalError("the journal is gone"))
            await asyncio.sleep(RETRY_S)

    async def _stand_still(self, error: Newer) -> None:
        """The journal went beyond this release: nothing is lost, and nothing further can be known."""
        if self.problem != str(error):
            _log.error("this release cannot read the journal any further; all routes stay", reason=str(error))
        self.problem = str(error)
        await asyncio.sleep(NEWER_RETRY_S)

    def _check_genesis(self, genesis: str) -> None:
        if self._genesis and genesis != self._genesis:
            raise ForeignJournal(
                f"it has the genesis {genesis}, this speaker follows {self._genesis}: "
                "point --redis-url at this cluster's own journal, or remove the speaker's state directory"
            )

    async def _apply_all(self) -> None:
        """Fold pages for ever; ends only by an exception."""
        if self.checkpoint == BEGINNING:
            self.state, self.checkpoint = await from_newest_baseline(self._journal)
            self._exported = None
        if self.checkpoint.position == self._target_position:
            # Nothing follows what is folded already: do not wait for the first page to say so.
            await anext(aiter(self._journal.read(self.checkpoint)), None)
            self._publish_page()
            self._configuring.look()
        async for page in self._journal.read(self.checkpoint, follow=True):
            for commit in page:
                self._fold(commit)
            self._publish_page()
            if page:
                self._unsaved.set()
                self._configuring.look()
                await self._rest()

    async def _rest(self) -> None:
        """Let an agent that is at the head wait, where many of them follow and commits come fast."""
        if self._settings.topology == "node" and self.checkpoint.position >= self._target_position:
            await asyncio.sleep(self._pace.pause_s(len(self.state.inventory.nodes), time.monotonic()))

    def _fold(self, commit: Commit) -> None:
        # An epoch begins with this event, as every reader checks, and it stands nowhere else.
        first = commit.events[0].payload
        if isinstance(first, EpochStarted):
            self._genesis = first.genesis
            if first.recovering and self._ribs.retained is None:
                self._certain = False
                self._ribs.retained = self.state.fork()
        live = commit.last_position > self._target_position
        if isinstance(first, HeadSigned) and live:  # The chain vouches for the hash of what this commit links to.
            self._outcomes.add((HeadSeen(first.epoch, first.position, commit.previous_hash.hex()),))
        self.state = fold(self.state, commit.events)
        self._traces.folded(self.state, commit.events, live=live)
        self.checkpoint = commit.checkpoint
        self.problem = ""

    def _publish_page(self) -> None:
        """Bring the publisher's desired routes up to the state."""
        self._traces.page()
        ledger = self.state.ledger
        prefixes = self.state.loc_rib.take_changed()
        certain = ledger.synced and not ledger.recovering and ledger.position >= self._target_position
        exported = exported_from(self.state, self._name)
        if certain != self._certain or exported != self._exported:
            if certain and self._ribs.retained is not None:
                self._ribs.retained = None
                # What recovery stamped anew is announced already: no outcome would follow.
                self._outcomes.add(retelling.synced(self._publisher, ledger.position))
            self._certain = certain
            self._exported = exported
            desired = self._ribs.whole(self.state, certain=certain)
        elif prefixes:
            desired = self._ribs.changed(self.state, prefixes, certain=certain)
        else:
            return
        for each in desired:
            self._publisher.desire(each)

    def _lost(self, error: JournalError) -> None:
        """The journal is not the one that was followed: keep everything, tell what is announced, and begin anew.

        While the journal stays lost there is nothing new to tell: the report that counts is the first one.
        """
        if self.checkpoint == BEGINNING:
            _log.debug("the journal cannot be followed", reason=str(error))
            return
        _log.error("the journal lost what this speaker followed; all routes stay", reason=str(error))
        # What is announced is what was desired before an earlier loss, too, as long as that is not recovered.
        holders = tuple(self._holders(self._ribs.retained) | self._holders(self.state))
        self._outcomes.add(
            (
                JournalLost(
                    self._genesis,
                    self.checkpoint.epoch,
                    self.checkpoint.position,
                    self.checkpoint.hash.hex(),
                    holders,
                ),
            )
        )
        # The server that lost the journal lost this speaker's own stream with it.
        self._outcomes.add(retelling.standing(self._publisher, self.state.ledger.position))
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Keep everything that is announced, until the journal's head is reached from its newest baseline."""
        self._certain = False
        if self._ribs.retained is None:
            self._ribs.retained = self.state.fork()
        self.state = ClusterState.empty()
        self.checkpoint = BEGINNING

    @staticmethod
    def _holders(state: ClusterState | None) -> dict[tuple[Address, str, str, str], None]:
        allocations = state.pools.allocations() if state is not None else ()
        return dict.fromkeys((one.address, one.namespace, one.name, one.uid) for one in allocations)

    # ------------------------------------------------------------------------------------------------- the engine

    def _view(self) -> View:
        return View(self.state, self._certain, self._exported)

    async def _watch_passwords(self, passwords: Passwords) -> None:
        """Have the engine take a changed password: only that session restarts."""
        while True:
            await asyncio.sleep(POLL_S)
            if await asyncio.to_thread(passwords.refresh):
                self._configuring.changed_beside()

    async def _relay_outcomes(self) -> None:
        told = 0
        while True:
            outcomes = await self._publisher.outcomes()
            self._outcomes.add(outcomes)
            told += len(outcomes)
            if told >= TELL_PRESENT_EVENTS:
                told = 0
                self._outcomes.add(retelling.standing(self._publisher, self.state.ledger.position))
            came_up = [one for one in outcomes if isinstance(one, SessionStateChanged) and one.state == "Established"]
            if came_up:
                self._outcomes.add(retelling.still_rejected(self._publisher, {one.peer for one in came_up}))
            for outcome in came_up:
                self._established(outcome)

    def _established(self, session: SessionStateChanged) -> None:
        peer = PeerKey(session.peer)
        view = self._publisher.peers().get(peer)
        leaving = all(one.peer != peer for one in self._configuring.sessions)
        if leaving or view is None or view.negotiated is None:
            return
        self._ribs.negotiated(peer, view.negotiated)
        for desired in self._ribs.whole(self.state, certain=self._certain, peers=(peer,)):
            self._publisher.desire(desired)

    # ---------------------------------------------------------------------------------------------- the last good

    async def _save(self) -> None:
        """Keep the last-good file up with the state. A lost or uncertain state never replaces a good one."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            cost_s = 0.0
            if self._certain:
                began_s = time.monotonic()
                encoded = baseline.encode(self.state)
                good = last_good.Encoded(
                    self._genesis, self.checkpoint, encoded, self._configuring.sessions, baseline.layout(self.state)
                )
                cost_s = time.monotonic() - began_s
                try:
                    await asyncio.to_thread(last_good.write, self._settings.last_good_file, good)
                except OSError as error:
                    _log.error("the last-good file cannot be written", reason=str(error))
            await asyncio.sleep(max(LAST_GOOD_MIN_INTERVAL_S, cost_s * LAST_GOOD_COST_FACTOR))
