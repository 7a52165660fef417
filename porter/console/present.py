"""The folds as they are now: the journal and every speaker's stream, followed; and as they were, kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping

from porter.app.answer_json import Json, time_json
from porter.app.history.follow import from_newest_baseline
from porter.app.history.moments import Moment
from porter.app.history.speaker_streams import SpeakerStreams
from porter.app.history.streams import Streams
from porter.app.history.time_travel import FOREVER_MS, AsOf, as_of
from porter.app.read_model import ReadModel
from porter.events.envelope import Head
from porter.ports import JournalError, JournalUnavailable
from porter.projections.cluster import ClusterState
from porter.projections.fold import OutOfOrder, UnknownEvent, fold
from porter.projections.sessions import Sessions

PASTS_KEPT = 3
"""How many earlier moments are kept folded: a page asks several questions about each."""
RETRY_S = 1.0


class Present:
    """Follows the streams. `changed` is called after each page of commits, and whenever `problem` changes."""

    def __init__(self, streams: Streams, changed: Callable[[], None]) -> None:
        self.state = ClusterState.empty()
        self.head: Head | None = None
        self.problem = "the journal was not read yet"
        self.ready = asyncio.Event()
        """Set when the head was reached for the first time."""
        self._streams = streams
        self._changed = changed
        self._speakers = SpeakerStreams(streams, changed)

    @property
    def sessions(self) -> Sessions:
        """What the speakers told."""
        return self._speakers.sessions

    def model(self) -> ReadModel:
        """The folds as they stand; they are mutated later, so read them without awaiting."""
        return ReadModel(self.state, self.sessions)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speakers.run(), name="speakers' streams")
            tasks.create_task(self._follow(), name="the journal")

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except JournalUnavailable as error:
                self._say(f"the journal does not answer: {error}")
            except JournalError as error:
                # Emptied, replaced, restored: it is read anew from its newest baseline.
                self._say(f"the journal cannot be read: {error}")
            except (UnknownEvent, OutOfOrder) as error:
                self._say(f"the journal cannot be folded: {error}; is this console older than the controllers?")
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        journal = self._streams.journal()
        head = await journal.head()
        if head is None:
            self._say("the journal is empty")
            return
        state, checkpoint = await from_newest_baseline(journal)
        async for page in journal.read(checkpoint, follow=True):
            for commit in page:
                state, checkpoint = fold(state, commit.events), commit.checkpoint
            self.state, self.head = state, Head(head.genesis, *checkpoint)
            # Until the head is reached nothing is shown: half of a history would look like a loss.
            if checkpoint.position >= head.position:
                self.ready.set()
                self._say("")
                if page:
                    self._changed()

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._changed()


class Pasts:
    """The folds as of earlier moments; one is folded at a time, and the last few are kept."""

    def __init__(self, streams: Streams, *, closed: bool) -> None:
        self._streams = streams
        self._closed = closed
        """Nothing is appended any more: a file."""
        # A time is finer than the position that it names: the speakers told of their sessions in between.
        self._kept: OrderedDict[Moment, AsOf] = OrderedDict()
        self._folding = asyncio.Lock()

    async def at(self, moment: Moment | None, name: str = "at") -> AsOf:
        """The folds at a moment (None: the head).

        Raises:
            BadQuestion, JournalError: as `porter.app.history.time_travel.as_of`.
        """
        key = moment or Moment()
        async with self._folding:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
            folded = await as_of(self._streams, moment, name)
            # Of the newest position, and of a time that is to come, more may be told later.
            if self._closed or (folded.until_ms != FOREVER_MS and not key.time_ms):
                self._kept[key] = folded
                while len(self._kept) > PASTS_KEPT:
                    self._kept.popitem(last=False)
            return folded


def told_head(model: ReadModel, problem: str) -> Mapping[str, Json]:
    """What a live page is told of the present."""
    ledger = model.state.ledger
    return {
        "position": ledger.position,
        "time": time_json(ledger.time_ms),
        "outcomes": sum(told.position for told in model.sessions.speakers.values()),
        "problem": problem,
    }
