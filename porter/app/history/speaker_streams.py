"""The controller's reading of the speakers' streams: each is folded into the sessions, and its head is witnessed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from porter.app.history.streams import Streams
from porter.events.decided import HeadWitnessed
from porter.events.envelope import BEGINNING, Checkpoint, Envelope
from porter.events.routed import JournalLost
from porter.ports import JournalError, JournalUnavailable, Newer
from porter.projections.sessions import Sessions, evolve_sessions, forget_speaker

DISCOVERY_INTERVAL_S = 1.0
RETRY_S = 0.5
NEWER_RETRY_S = 30.0

OutcomeListener = Callable[[Sessions, str, Envelope], None]

_log = structlog.get_logger(__name__)


class SpeakerStreams:
    """Follows every speaker's stream and keeps `sessions` up to date.

    `reports` holds the newest `JournalLost` of each speaker, until `forget_reports` is called: recovery asks for them.
    `on_change` is called after each page that changed something, `on_outcome` before each event, with the sessions as
    they are before it.
    """

    def __init__(
        self, streams: Streams, on_change: Callable[[], None], on_outcome: OutcomeListener | None = None
    ) -> None:
        self.sessions = Sessions.empty()
        self.reports: dict[str, JournalLost] = {}
        self._streams = streams
        self._on_change = on_change
        self._on_outcome = on_outcome
        self._checkpoints: dict[str, Checkpoint] = {}
        self._followed: set[str] = set()

    async def run(self) -> None:
        """Discover and follow speakers until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    for name in await self._streams.speakers():
                        if name not in self._followed:
                            self._followed.add(name)
                            tasks.create_task(self._follow(name), name=f"stream of speaker {name}")
                except JournalError as error:
                    _log.debug("speakers cannot be listed", reason=str(error))
                await asyncio.sleep(DISCOVERY_INTERVAL_S)

    def names(self) -> tuple[str, ...]:
        """Every speaker whose stream is followed."""
        return tuple(sorted(self._followed))

    def forget_reports(self) -> None:
        """Forget what speakers reported of an earlier loss."""
        self.reports.clear()

    def witnessed(self) -> tuple[HeadWitnessed, ...]:
        """The head of every stream as far as it was read, for the leader to journal."""
        return tuple(
            HeadWitnessed(name, checkpoint.epoch, checkpoint.position, checkpoint.hash.hex())
            for name, checkpoint in sorted(self._checkpoints.items())
        )

    def _report(self, name: str, report: JournalLost) -> None:
        """Keep the newest report; one of an earlier epoch knows less."""
        known = self.reports.get(name)
        if known is None or report.epoch >= known.epoch:
            self.reports[name] = report

    async def _follow(self, name: str) -> None:
        checkpoint = BEGINNING
        while True:
            journal = self._streams.speaker(name)
            try:
                async for page in journal.read(checkpoint, follow=True):
                    for commit in page:
                        for envelope in commit.events:
                            if isinstance(envelope.payload, JournalLost):
                                self._report(name, envelope.payload)
                            if self._on_outcome is not None:
                                self._on_outcome(self.sessions, name, envelope)
                            self.sessions = evolve_sessions(self.sessions, name, envelope)
                        checkpoint = self._checkpoints[name] = commit.checkpoint
                    if page:
                        self._on_change()
            except JournalUnavailable:
                await asyncio.sleep(RETRY_S)
            except Newer as error:
                # What is known of its sessions stays; the release that reads it goes on from here.
                _log.warning("a speaker's stream is beyond this release", speaker=name, reason=str(error))
                await asyncio.sleep(NEWER_RETRY_S)
            except JournalError as error:
                _log.info("speaker's stream begins anew", speaker=name, reason=str(error))
                checkpoint = BEGINNING
                self._checkpoints.pop(name, None)
                self.sessions = forget_speaker(self.sessions, name)
                await asyncio.sleep(RETRY_S)
