"""One epoch of leadership: claim it, bring the journal up to what is watched, and decide from then on.

One shape of loop: take what changed, fold it, ask `decide` until it has no more to say, append it all as one commit.
Decisions need the facts of their own commit, so events are folded before they are durable: every effect (a status, the
anchor) waits for the append, and a failed append ends the epoch. Meanwhile the next commit gathers: a group commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Iterable

import structlog

from porter.allocator.adopt import adopt
from porter.allocator.decide import cause, decide, unsettled
from porter.allocator.elapsed import Due, cordons, elapsed, ended, next_ms
from porter.allocator.path_identifiers import assign
from porter.allocator.timers import due, next_due_ms
from porter.allocator.withdrawals import Rule
from porter.app.controller import facts
from porter.app.controller.batch import Batch
from porter.app.controller.intake import Intake
from porter.app.controller.start import Beginning, Recovery
from porter.app.controller.status import StatusDesk
from porter.app.controller.traces import ChangeTraces
from porter.app.controller.writer import Writer
from porter.app.history.follow import from_newest_baseline, up_to_head
from porter.app.history.speaker_streams import SpeakerStreams
from porter.app.http import actions
from porter.app.retention.upkeep import NOT_KEPT, Keeping, Upkeep
from porter.app.upgrade.activation import Activation
from porter.app.view import View
from porter.events.catalogue import Event
from porter.events.codec import as_read
from porter.events.decided import OperatorAction, RecoveryCompleted
from porter.events.envelope import Commit, Draft, Envelope, Head
from porter.events.observed import InventorySynced
from porter.ports import (
    NO_INSTRUMENTATION,
    Anchor,
    Clock,
    Election,
    Instrumentation,
    Journal,
    JournalError,
    Source,
)
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve

FACTS_PER_COMMIT = 96
"""Leaves room in a commit for the decisions that follow from its facts."""
LISTED_WITHIN_S = 5.0
"""How long a new leader waits for what it has listed anew, before it goes on without; its takeover is to last 8 s."""
SCHEDULE_S_MIN = 0.02
"""What is overdue is not waited for, but neither asked for without a pause while it cannot be decided yet."""
MAX_ACTIONS_WAITING = 64
LAST_WORDS_S = 0.1
"""How long a deposed leader lets the facts come in that its watches hold already."""

_log = structlog.get_logger(__name__)


class Leading:
    """One epoch, from its claim to its end. Make a new one for every epoch."""

    def __init__(
        self,
        *,
        journal: Journal,
        source: Source,
        election: Election,
        desk: StatusDesk,
        speakers: SpeakerStreams,
        view: View,
        clock: Clock,
        state: ClusterState,
        rule: Rule,
        cordon_delay_ms: int | None = None,
        instrumentation: Instrumentation = NO_INSTRUMENTATION,
        activation: Activation | None = None,
        keeping: Keeping = NOT_KEPT,
    ) -> None:
        """`rule` is the guard's; a `cordon_delay_ms` lets cordoned nodes be drained with that delay; without an
        `activation` nothing is written that was not released or activated before.
        """
        self.state = state
        self._journal = journal
        self._writer = Writer(journal, clock, view)
        self._source = source
        self._election = election
        self._desk = desk
        self._speakers = speakers
        self._view = view
        self._clock = clock
        self._cordon_delay_ms = cordon_delay_ms
        self._actions: deque[tuple[OperatorAction, asyncio.Future[int]]] = deque()
        self._answers: list[asyncio.Future[int]] = []
        self._wake = asyncio.Event()
        self._activation = activation or Activation(None, clock, None)
        self._intake = Intake(source, rule, clock, self._activation.speakers)
        self._upkeep = Upkeep(speakers, clock, keeping)
        self._traces = ChangeTraces(instrumentation)

    @property
    def head(self) -> Head | None:
        """The end of what this epoch wrote; None before it is claimed."""
        return self._writer.head

    async def run(self, beginning: Beginning, recovery: Recovery) -> None:
        """Lead until deposed.

        Raises:
            Fenced: another process claimed an epoch.
            Conflict, Fork, JournalMissing: the journal is not what this epoch wrote; recovery must follow.
            JournalUnavailable: the server stayed away for `GIVE_UP_S`.
        """
        await self._claim(beginning)
        watching = asyncio.create_task(self._watch(), name="changes of the source")
        deposed = asyncio.create_task(self._election.deposed(), name="deposition")
        deposed.add_done_callback(lambda _: self._wake.set())
        self._view.act = self.submit
        try:
            await self._establish(beginning, recovery, deposed)
            while not deposed.done():
                await self._wait()
                await self._step()
            # What waits is still tried: the epoch, not the lease, decides. A process that was stopped past its lease
            # learns this way, from FENCED, that another one leads.
            await asyncio.sleep(LAST_WORDS_S)
            await self._step()
        finally:
            self._view.act = None
            watching.cancel()
            deposed.cancel()
            self._answers.extend(answer for _, answer in self._actions)
            for answer in self._answers:
                if not answer.done():
                    answer.set_exception(JournalError("the leader changed before this was journaled; ask again"))
            await self._upkeep.stop()

    async def submit(self, action: OperatorAction) -> int:
        """Journal an operator's action; return its position.

        Raises:
            OverflowError: too many actions wait.
            NotPossible: not every reader of the journal reads such an event yet.
            JournalError: this process stopped leading before the action was journaled.
        """
        if len(self._actions) >= MAX_ACTIONS_WAITING:
            raise OverflowError(f"{MAX_ACTIONS_WAITING} operator actions are waiting for the journal; try again later")
        if self._version(action) is None:
            raise actions.NotPossible(self._activation.held(self.state.ledger.activated, action))
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._actions.append((action, answer))
        self._wake.set()
        return await answer

    # ------------------------------------------------------------------------------------------------- beginning

    async def _claim(self, beginning: Beginning) -> None:
        commit = await self._writer.claim(beginning)
        if beginning.recovering:
            # Whatever is left before the claim, every reader folds too.
            self.state, _ = await up_to_head(self._journal, await from_newest_baseline(self._journal))
        else:
            for envelope in commit.events:
                self.state = evolve(self.state, envelope)
        self._committed()
        _log.info("epoch claimed", epoch=commit.epoch, position=commit.last_position, recovering=beginning.recovering)

    async def _establish(self, beginning: Beginning, recovery: Recovery, deposed: asyncio.Task[None]) -> None:
        """Bring the journal up to what is watched; nothing is decided before this is through."""
        await self._see_all(deposed)
        kinds = frozenset() if deposed.done() else facts.unconfirmed(self.state, self._source)
        if kinds:
            _log.info("listing anew what the journal may know more of than the watch", kinds=sorted(kinds))
            self._source.relist(kinds)
            await self._see_all(deposed, self._clock.monotonic_s() + LISTED_WITHIN_S)
        if deposed.done():
            return
        every = facts.all_keys(self.state, self._source)
        self._intake.dirty |= every
        # What cannot be listed now, perhaps because its CRD is gone, stays as it is journaled; the rest goes on.
        self._intake.put_off(key for key in every if key.kind in kinds)
        while self._intake:
            await self._step(deciding=False)
        if not self.state.ledger.synced:
            adopted = adopt(self.state, recovery.holders)
            await self._append_all(Draft(payload) for payload in adopted)
            inventory = self.state.inventory
            tables = (inventory.services, inventory.nodes, inventory.pools, inventory.peers)
            closing = [Draft(InventorySynced(*(len(table) for table in tables)))]
            if beginning.recovering:
                closing.append(Draft(RecoveryCompleted(len(adopted), recovery.heard, recovery.missing)))
            await self._append_all(closing)
            self._speakers.forget_reports()
        await self._step()
        self._desk.everything(self.state)

    async def _see_all(self, deposed: asyncio.Task[None], until_s: float = math.inf) -> None:
        """Wait until every kind is listed, until this process is deposed, or until a time (monotonic)."""
        while not self._source.synced and not deposed.done() and self._clock.monotonic_s() < until_s:
            await self._wait()
            await self._writer.check()

    # ------------------------------------------------------------------------------------------------------ loop

    async def _watch(self) -> None:
        while True:
            changed = await self._source.changed()
            self._traces.saw(changed, behind_others=bool(self._intake))
            self._intake.dirty |= changed
            self._wake.set()

    async def _wait(self) -> None:
        due_s = self._intake.due_s
        until_s = self._writer.next_check_s if due_s is None else min(self._writer.next_check_s, due_s)
        timeout_s = max(0.0, until_s - self._clock.monotonic_s())
        for scheduled_ms in (next_ms(self.state), next_due_ms(self.state)):
            if scheduled_ms is not None:
                timeout_s = min(timeout_s, max(SCHEDULE_S_MIN, (scheduled_ms - self._clock.wall_ms()) / 1000))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        self._wake.clear()

    async def _step(self, *, deciding: bool = True) -> None:
        """Commit until nothing is left to say."""
        while True:
            batch = self._new_batch()
            answers = self._take_actions(batch)
            if deciding:
                self._take_elapsed(batch)
            self._take_facts(batch, hurry=not deciding)
            if deciding:
                self._take_decisions(batch)
            if not batch.drafts:
                break
            commit = await self._append(batch)
            for position, answer in zip(range(commit.first_position, commit.last_position + 1), answers, strict=False):
                if not answer.done():
                    answer.set_result(position)
            if not deciding and not self._intake:
                break
        await self._writer.check()
        await self._keep_up()

    def _take_actions(self, batch: Batch) -> list[asyncio.Future[int]]:
        answers = []
        while self._actions and len(batch.drafts) < FACTS_PER_COMMIT:
            action, answer = self._actions.popleft()
            self._fold(batch, action, correlation=f"operator {action.by}")
            answers.append(answer)
        self._answers = answers
        return answers

    def _take_elapsed(self, batch: Batch) -> None:
        """What is due by now; a hold's end is looked at when all that it was made for is journaled."""
        room = FACTS_PER_COMMIT - len(batch.drafts)
        found = [*elapsed(self.state, batch.time_ms), *self._ended()]
        if self._cordon_delay_ms is not None:
            found += cordons(self.state, self._cordon_delay_ms)
        for event, causation in found[:room]:
            self._fold(batch, event, causation=causation, correlation=event.aggregate)
        for cool_down in due(self.state, batch.time_ms, FACTS_PER_COMMIT - len(batch.drafts)):
            since = self.state.pools.cooling[cool_down.address]
            self._fold(batch, cool_down, causation=since.position, correlation=cool_down.aggregate)

    def _ended(self) -> Iterable[Due]:
        return ended(self.state, withholding=self._intake.withholding) if self._intake.settled else ()

    def _take_facts(self, batch: Batch, *, hurry: bool) -> None:
        taken = self._intake.take(
            lambda: self.state, lambda: len(batch.drafts) >= FACTS_PER_COMMIT, time_ms=batch.time_ms, hurry=hurry
        )
        for fact, correlation in taken:
            self._fold(batch, fact, correlation=correlation)

    def _take_decisions(self, batch: Batch) -> None:
        for payload in assign(self.state):
            if batch.room:
                self._fold(batch, payload, correlation=payload.aggregate)
        for uid in unsettled(self.state, batch.room):
            self._traces.deciding()
            decisions = decide(self.state, uid)
            if len(decisions) > batch.room:
                return
            causation = cause(self.state, uid)
            for decision in decisions:
                self._fold(batch, decision, causation=causation, correlation=decision.aggregate)

    def _new_batch(self) -> Batch:
        assert self.head is not None
        return Batch(self._clock.wall_ms(), self.head.position + 1)

    def _version(self, payload: Event) -> int | None:
        return self._activation.version(self.state.ledger.activated, payload)

    def _fold(self, batch: Batch, payload: Event, *, causation: int = 0, correlation: str = "") -> None:
        assert self.head is not None
        version = self._version(payload)
        if version is None:
            self._activation.held(self.state.ledger.activated, payload)
            return
        payload = as_read(payload, version)
        trace = self._traces.traceparent(payload, causation, batch.position)
        envelope = Envelope(batch.position, self.head.epoch, batch.time_ms, causation, correlation, trace, payload)
        self.state = evolve(self.state, envelope)
        self._desk.touched(envelope)
        self._view.note(envelope)
        batch.drafts.append(Draft(payload, causation, correlation, trace, version))
        batch.position += 1

    # ------------------------------------------------------------------------------------------------- durability

    async def _append_all(self, drafts: Iterable[Draft]) -> None:
        batch = self._new_batch()
        for draft in drafts:
            if not batch.room:
                await self._append(batch)
                batch = self._new_batch()
            self._fold(batch, draft.payload, causation=draft.causation, correlation=draft.payload.aggregate)
        if batch.drafts:
            await self._append(batch)

    async def _append(self, batch: Batch) -> Commit:
        with self._traces.appending() as appended:
            commit = await self._writer.append(batch)
            appended(commit)
        self._committed()
        return commit

    def _committed(self) -> None:
        """All that may only follow what is durable."""
        head = self.head
        assert head is not None
        self._view.state = self.state
        self._view.head = head
        self._view.journal_problem = ""
        self._election.write_anchor(
            Anchor(head.genesis, head.epoch, head.position, head.hash.hex(), self._speakers.names())
        )
        if self.state.ledger.synced and not self.state.ledger.recovering:
            self._desk.durable(self.state)

    async def _keep_up(self) -> None:
        await self._append_all(Draft(event) for event in self._upkeep.heads())
        activated = self._activation.due(self.state.ledger.activated) if self.state.ledger.open else None
        if activated is not None:
            await self._append_all((Draft(activated),))
            # What was held back, or told in an older form, is told now.
            self._intake.dirty |= facts.all_keys(self.state, self._source)
            self._wake.set()
        for upkeep in (lambda: self._upkeep.baseline(self.state), lambda: self._upkeep.signature(self.head)):
            if (event := upkeep()) is not None:
                await self._append_all((Draft(event),))
        self._upkeep.trim()
