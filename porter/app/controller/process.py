"""The controller: follows the journal while it stands by, and leads when it is elected; the leader's only wiring."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import get_args

import structlog

from porter import __version__
from porter.allocator.withdrawals import Rule
from porter.app.clock import SystemClock
from porter.app.controller.leader import Leading
from porter.app.controller.start import Beginning, Recovery, Seen, begin, positions_are_lost
from porter.app.controller.status import StatusDesk
from porter.app.edge import connect
from porter.app.history.follow import Folded, from_newest_baseline, up_to_head
from porter.app.history.speaker_streams import SpeakerStreams
from porter.app.metrics.route_latency import RouteLatency
from porter.app.passwords import keep_inline
from porter.app.process import set_imports_aside
from porter.app.retention.kept import Kept, keep
from porter.app.retention.upkeep import NOT_KEPT
from porter.app.settings import DRAIN_DELAY_MS, Settings
from porter.app.upgrade.activation import Activation, Reading
from porter.app.upgrade.readers import LiveReaders, declare
from porter.app.view import View
from porter.events.envelope import BEGINNING, Head
from porter.events.observed import ServiceObserved
from porter.model.address import Address
from porter.ports import (
    CONTROLLER,
    NO_INSTRUMENTATION,
    Anchor,
    AnchorUnavailable,
    Conflict,
    Election,
    FactKind,
    Fenced,
    ForeignJournal,
    Fork,
    Journal,
    JournalError,
    JournalMissing,
    JournalUnavailable,
    Newer,
    Source,
    StatusWriter,
    Trimmed,
    UnsafeServer,
)
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from porter.telemetry import tracing
from porter.telemetry.instruments import Instruments

SPEAKER_REPORT_TIMEOUT_S = 3.0
"""How long recovery waits for the speakers to say what they still announce."""
REPORT_POLL_S = 0.05
RETRY_S = 0.3

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Parts:
    """What a controller is made of; the manifests and the API server differ in the first three."""

    source: Source
    election: Election
    writer: StatusWriter
    journal: Journal
    speakers: SpeakerStreams
    desk: StatusDesk
    view: View
    gate: Callable[[], Awaitable[object]]
    """Checks the server's settings before this process leads; raises `UnsafeServer`."""
    activation: Activation
    kept: Kept | None = None


class Controller:
    """Stands by, leads, and stands by again, until cancelled."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._clock = SystemClock()
        self._folded = Folded(ClusterState.empty(), BEGINNING)
        self._seen = Seen()
        self._known_anchor: Anchor | None = None
        self._problem = ""
        parts.view.parts = self.health
        parts.view.leader = parts.election.leader

    def health(self) -> Mapping[str, str]:
        """Each part's state: "ok", or a sentence with the reason why not."""
        ledger = self._parts.view.state.ledger
        journal = self._problem or self._parts.view.journal_problem or "ok"
        inventory = "ok" if ledger.synced else "no leader has compared the journal with the cluster yet"
        if ledger.recovering:
            inventory = "the journal lost positions and is being recovered; nothing is allocated or withdrawn meanwhile"
        # A kind that can be done without is "synced", and goes on to say that it is not there.
        parts = self._parts.source.parts()
        sources = {name: re.sub("^synced", "ok", state) for name, state in parts.items()}
        schema = self._parts.activation.condition(ledger.activated)
        kept = self._parts.kept.parts() if self._parts.kept is not None else {}
        return {"journal": journal, "inventory": inventory, "schema": schema, **kept, **sources}

    def reading(self) -> tuple[Callable[[], int], Callable[[], str]]:
        """How far the journal is applied, and why not further: what is declared of this reader."""
        return lambda: self._parts.view.state.ledger.position, lambda: self._problem

    async def run(self) -> None:
        """Follow and lead for ever.

        Every failure of the journal ends in another attempt: what is announced stays announced meanwhile.
        """
        while True:
            transitions = await self._stand_by()
            try:
                await self._lead(transitions)
            except Fenced as error:
                _log.warning("deposed: another process claimed an epoch", reason=str(error))
                self._parts.election.resign(str(error))
            except Newer as error:
                self._refuse(error)
                await asyncio.sleep(RETRY_S)
            except (Conflict, Fork, JournalMissing) as error:
                _log.error("the journal is not what this leader wrote; recovery follows", reason=str(error))
                self._folded = Folded(ClusterState.empty(), BEGINNING)
            except (ForeignJournal, UnsafeServer) as error:
                self._problem = str(error)
                _log.error("this journal cannot be led", reason=str(error))
                await asyncio.sleep(RETRY_S)
            except AnchorUnavailable as error:
                _log.warning("the anchor cannot be read; nothing is led without it", reason=str(error))
                await asyncio.sleep(RETRY_S)
            except JournalUnavailable as error:
                self._problem = str(error)
                _log.error("giving the lease up: the journal is out of reach", reason=str(error))
                self._parts.election.resign(str(error))
            except JournalError as error:
                self._problem = str(error)
                _log.error("the journal cannot be read", reason=str(error))
                await asyncio.sleep(RETRY_S)
            finally:
                self._parts.view.leading = False
                self._parts.desk.drop()

    def _refuse(self, error: Newer) -> None:
        """The journal is beyond this release: say so, and leave the lead to one that reads it."""
        if self._problem != str(error):
            _log.error("this release cannot read the journal, and does not lead", reason=str(error))
        self._problem = str(error)
        self._parts.election.resign(str(error))

    # --------------------------------------------------------------------------------------------------- standing by

    async def _stand_by(self) -> int:
        """Follow the journal until elected; return the lease's transitions."""
        following = asyncio.create_task(self._follow(), name="follow the journal")
        try:
            return await self._parts.election.elected()
        finally:
            following.cancel()
            # Awaiting the task itself would swallow a cancellation of this one.
            await asyncio.wait([following])

    async def _follow(self) -> None:
        while True:
            try:
                if await self._parts.journal.head() is not None:
                    await self._follow_pages()
            except JournalUnavailable as error:
                self._problem = str(error)
            except Newer as error:
                self._refuse(error)
            except JournalError as error:
                _log.warning("the journal begins anew for this follower", reason=str(error))
                self._folded = Folded(ClusterState.empty(), BEGINNING)
            await asyncio.sleep(RETRY_S)

    async def _follow_pages(self) -> None:
        if self._folded.checkpoint == BEGINNING:
            self._folded = await from_newest_baseline(self._parts.journal)
        async for page in self._parts.journal.read(self._folded.checkpoint, follow=True):
            self._problem = ""
            for commit in page:
                state = fold(self._folded.state, commit.events)
                self._folded = Folded(state, commit.checkpoint)
                self._remember(Seen(commit.epoch, commit.last_position, commit.hash.hex()))
            view = self._parts.view
            view.state = self._folded.state
            checkpoint = self._folded.checkpoint
            view.head = Head(view.state.ledger.genesis, checkpoint.epoch, checkpoint.position, checkpoint.hash)

    # ------------------------------------------------------------------------------------------------------- leading

    async def _lead(self, transitions: int) -> None:
        parts = self._parts
        await parts.gate()
        head, left = await self._head()
        anchor = await parts.election.read_anchor() or self._known_anchor
        if anchor is not None:
            self._remember(Seen(anchor.epoch, anchor.position, anchor.hash))
        recovery = Recovery()
        if positions_are_lost(head, anchor, self._seen):
            _log.error("positions of the journal are lost", head=str(head), seen=str(self._seen))
            recovery = await self._gather_reports(anchor)
            head, left = await self._head()
        beginning = self._begin(head, anchor, transitions, left)
        state = await self._fold_to(head)
        # A watch whose connection died unnoticed shows what was so long ago.
        await parts.source.refresh()
        settings = self._settings
        leading = Leading(
            journal=parts.journal,
            source=parts.source,
            election=parts.election,
            desk=parts.desk,
            speakers=parts.speakers,
            view=parts.view,
            clock=self._clock,
            state=state,
            rule=Rule(settings.hold_share_percent, settings.hold_minimum, settings.hold_bound_s * 1000),
            cordon_delay_ms=DRAIN_DELAY_MS if settings.drain_cordoned else None,
            instrumentation=parts.view.instruments or NO_INSTRUMENTATION,
            activation=parts.activation,
            keeping=parts.kept.keeping if parts.kept is not None else NOT_KEPT,
        )
        parts.view.leading = True
        self._problem = ""
        try:
            await leading.run(beginning, recovery)
        finally:
            self._folded = Folded(ClusterState.empty(), BEGINNING)
            if leading.head is not None:
                self._remember(Seen(leading.head.epoch, leading.head.position, leading.head.hash.hex()))
                self._known_anchor = Anchor(
                    leading.head.genesis, leading.head.epoch, leading.head.position, leading.head.hash.hex()
                )

    async def _head(self) -> tuple[Head | None, int]:
        """The stream's end; half a journal has none, but perhaps entries up to the position that comes with it."""
        try:
            return await self._parts.journal.head(), 0
        except JournalMissing as error:
            _log.error("the journal is incomplete", reason=str(error))
            if error.last_known is not None:
                left = error.last_known
                self._remember(Seen(left.epoch, left.position, left.hash.hex()))
            return None, error.left_position

    def _begin(self, head: Head | None, anchor: Anchor | None, transitions: int, left: int) -> Beginning:
        return begin(
            head,
            anchor,
            self._seen,
            transitions=transitions,
            holder=self._settings.name,
            new_genesis=secrets.token_hex(8),
            version=__version__,
            left=left,
        )

    async def _fold_to(self, head: Head | None) -> ClusterState:
        """The state at the head, from what was followed so far when it is still in the stream."""
        if head is None:
            return ClusterState.empty()
        try:
            folded = self._folded
            if folded.checkpoint == BEGINNING:
                folded = await from_newest_baseline(self._parts.journal)
            folded = await up_to_head(self._parts.journal, folded)
        except (Fork, JournalMissing, Trimmed):
            # The tail that was followed is gone, or was trimmed; what is left is folded from its own beginning.
            folded = await up_to_head(self._parts.journal, await from_newest_baseline(self._parts.journal))
        return folded.state

    async def _gather_reports(self, anchor: Anchor | None) -> Recovery:
        """Wait, bounded, until the watch is complete and every known speaker said what it still announces."""
        parts = self._parts
        await parts.source.refresh()
        # What Services hold stands for what the journal lost: a watch that lags would lose it, too.
        parts.source.relist(get_args(FactKind))
        while not parts.source.synced:
            await asyncio.sleep(REPORT_POLL_S)
            if not parts.election.leads():
                raise Fenced("the lease went away before recovery could begin")
        for fact in parts.source.facts.values():
            if isinstance(fact, ServiceObserved) and fact.held_decision:
                self._remember(Seen(position=fact.held_decision))
        expected = set(anchor.speakers if anchor else ()) | set(parts.speakers.names())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SPEAKER_REPORT_TIMEOUT_S):
                while not expected <= self._fresh_reports():  # noqa: ASYNC110 - streams are read, they set no event
                    await asyncio.sleep(REPORT_POLL_S)
        fresh = self._fresh_reports()
        holders: list[tuple[Address, str, str, str]] = []
        for name in sorted(fresh):
            report = parts.speakers.reports[name]
            self._remember(Seen(report.epoch, report.position, report.hash))
            holders.extend(report.holders)
        return Recovery(tuple(holders), tuple(sorted(fresh)), tuple(sorted(expected - fresh)))

    def _fresh_reports(self) -> set[str]:
        """The speakers whose report is of the present loss: they had followed the last known epoch."""
        return {name for name, report in self._parts.speakers.reports.items() if report.epoch >= self._seen.epoch}

    def _remember(self, seen: Seen) -> None:
        self._seen = Seen.highest(self._seen, seen)


async def run_controller(settings: Settings) -> None:
    """Run a controller until cancelled.

    Raises:
        InvalidSettings: the options contradict each other.
        OSError: the HTTP address cannot be bound.
    """
    from porter.app.http.server import serve  # noqa: PLC0415
    from porter.journal.redis import RedisJournals  # noqa: PLC0415

    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    journals = RedisJournals(
        settings.redis_url, settings.cluster, writer=settings.name, max_bytes=settings.journal_max_bytes
    )
    clock = SystemClock()
    kept = keep(settings, journals, clock)
    view = View(kept=kept)
    tracer = tracing.connect("controller", settings.name)
    view.instruments = instruments = Instruments(tracer)
    readers = LiveReaders(journals.readers(), clock)
    activation = Activation(readers, clock, settings.activate_after_s)
    view.readers = Reading(readers, activation)
    latency = RouteLatency(view, instruments, clock.wall_ms())
    view.note = latency.note
    try:
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            source, election, writer, recorder, passwords, beside, access = await connect(
                settings, clock, stack, instruments
            )
            desk: StatusDesk
            speakers = SpeakerStreams(journals, lambda: _sessions_changed(view, speakers, desk), latency.outcome)
            desk = StatusDesk(writer, recorder, lambda: speakers.sessions)
            view.untold = lambda: recorder.dropped
            parts = Parts(
                source,
                election,
                writer,
                journals.journal(),
                speakers,
                desk,
                view,
                lambda: journals.check(settings.unsafe),
                activation,
                kept,
            )
            controller = Controller(settings, parts)
            set_imports_aside()
            for name, part in (
                ("source", source.run()),
                ("election", election.run()),
                ("status writer", writer.run()),
                ("recorder", recorder.run()),
                ("status desk", desk.run()),
                ("speakers' streams", speakers.run()),
                ("readers", readers.run()),
                ("declaration", declare(journals.readers(), f"{CONTROLLER}/{settings.name}", *controller.reading())),
                ("controller", controller.run()),
                ("passwords", keep_inline(settings.passwords_file, passwords)),
                ("archive", kept.archiver.run()),
                ("archive's gaps", kept.fill()),
                ("http", serve(settings, view, kept.streams, access)),
            ):
                tasks.create_task(part, name=name)
            for name, run in beside:
                tasks.create_task(run(), name=name)
    finally:
        if tracer is not None:
            tracer.close()
        await journals.close()


def _sessions_changed(view: View, speakers: SpeakerStreams, desk: StatusDesk) -> None:
    view.sessions = speakers.sessions
    desk.sessions_changed()
