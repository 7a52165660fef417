"""The leader's part of every trace: what changed, the commit that carries it, and the decisions that follow.

    service.change > journal.append > allocate, one for each decision

The commit's span is open while the commit is made, so that its decisions lie inside of it; the envelope of a fact
carries the commit's trace context, that of a decision the decision's: whoever acts on an event goes on below it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog

from porter.events import decided, observed
from porter.events.catalogue import Event
from porter.events.envelope import Commit
from porter.ports import FactKey, Instrumentation, Span
from porter.telemetry import spans
from porter.telemetry.instruments import APPEND_SECONDS

MAX_REMEMBERED = 4096
"""Decisions may come in a later commit than their cause: so many causes are remembered with their traces."""

DECISIONS = (
    decided.AddressAllocated,
    decided.AddressAdopted,
    decided.AddressReleased,
    decided.AllocationRefused,
)

_SERVICE = (observed.ServiceObserved, observed.ServiceGone, observed.EndpointsObserved)
_OBJECT = (
    observed.NodeObserved,
    observed.NodeGone,
    observed.NamespaceObserved,
    observed.NamespaceGone,
    observed.PoolObserved,
    observed.PoolGone,
    observed.ConfObserved,
    observed.ConfGone,
    observed.PeerObserved,
    observed.PeerGone,
    observed.AdvertisementObserved,
    observed.AdvertisementGone,
    observed.ServiceRangeObserved,
    observed.ServiceRangeGone,
)
_TIMER = (
    decided.CoolDownElapsed,
    decided.NodeDrainElapsed,
    decided.ServiceDrainElapsed,
    decided.SpeakerDrainElapsed,
    decided.HoldExpired,
    decided.HoldEnded,
)
ROOTS: dict[type, str] = {
    **dict.fromkeys(_SERVICE, spans.SERVICE_CHANGE),
    **dict.fromkeys(_OBJECT, spans.OBJECT_CHANGE),
    **dict.fromkeys(decided.OPERATOR_ACTIONS, spans.OPERATOR_ACTION),
    **dict.fromkeys(_TIMER, spans.TIMER_ELAPSED),
}
"""What begins a trace, and how its root is called; the journal's own events belong to none."""

_log = structlog.get_logger(__name__)


class _Change(NamedTuple):
    """One object's change in the commit in the making; both are `NO_SPAN` where the sampler left it out."""

    root: Span
    append: Span


class ChangeTraces:
    """One leader's traces and the time that its appends take. Without traces each call returns at once."""

    def __init__(self, instrumentation: Instrumentation, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._instrumentation = instrumentation
        self._wall_ns = wall_ns
        self._seen_ns: dict[str, int] = {}
        self._open: dict[str, _Change] = {}
        self._recent: OrderedDict[int, str] = OrderedDict()
        self._deciding_ns = 0

    def saw(self, keys: Iterable[FactKey], *, behind_others: bool) -> None:
        """The watches brought changes of these objects just now, `behind_others` that are still to be looked at."""
        if not self._instrumentation.tracing:
            return
        if not behind_others:
            # What is left was no event.
            self._seen_ns.clear()
        now_ns = self._wall_ns()
        for kind, name in keys:
            self._seen_ns.setdefault(f"{'service' if kind == 'Endpoints' else kind.lower()}/{name}", now_ns)

    def deciding(self) -> None:
        """The next decisions are being made from now on."""
        if self._instrumentation.tracing:
            self._deciding_ns = self._wall_ns()

    def traceparent(self, payload: Event, causation: int, position: int) -> str:
        """What the envelope of an event carries that joins the commit in the making; "" where it is not traced."""
        if not self._instrumentation.tracing:
            return ""
        if isinstance(payload, DECISIONS):
            return self._decision(payload, causation, position)
        root = ROOTS.get(type(payload))
        if root is None:
            return ""
        traceparent = self._change(root, payload, position).append.traceparent
        self._remember(position, traceparent)
        return traceparent

    @contextmanager
    def appending(self) -> Iterator[Callable[[Commit], None]]:
        """Around one append and all of its attempts; what it gives is called with the commit."""
        commits: list[Commit] = []
        began_s = time.monotonic()
        first = next((change.append.traceparent for change in self._open.values()), "")
        try:
            yield commits.append
        except BaseException as error:
            self._appended(began_s, first, type(error).__name__)
            self._end(None, str(error) or type(error).__name__)
            raise
        self._appended(began_s, first, "committed")
        self._end(commits[0] if commits else None, "")

    # ------------------------------------------------------------------------------------------------------- inside

    def _appended(self, began_s: float, traceparent: str, result: str) -> None:
        took_s = time.monotonic() - began_s
        self._instrumentation.observe(APPEND_SECONDS, took_s, {"result": result}, traceparent=traceparent)

    def _change(self, name: str, payload: Any, position: int) -> _Change:
        aggregate = payload.aggregate
        change = self._open.get(aggregate)
        if change is not None:
            return change
        begin, event = self._instrumentation.begin, type(payload).__name__
        attributes: dict[str, str | int] = {spans.OBJECT: aggregate, spans.EVENT: event}
        version = getattr(payload, "resource_version", "")
        if version:
            attributes[spans.RESOURCE_VERSION] = version
        root = begin(name, start_ns=self._seen_ns.pop(aggregate, None), attributes=attributes)
        append = root
        if root.traceparent:
            about: dict[str, str | int] = {spans.EVENT: event, spans.POSITION: position}
            append = begin(spans.APPEND, parent=root.traceparent, attributes=about)
        change = self._open[aggregate] = _Change(root, append)
        return change

    def _decision(self, payload: Any, causation: int, position: int) -> str:
        change = self._open.get(payload.aggregate)
        parent = self._recent.get(causation) if change is None else change.append.traceparent
        if parent is None:
            # Its cause is of an earlier epoch: whoever led then, its trace is not gone on with.
            parent = self._change(spans.SERVICE_CHANGE, payload, position).append.traceparent
        if not parent:
            return ""
        attributes: dict[str, str | int] = {
            spans.OBJECT: payload.aggregate,
            spans.POSITION: position,
            spans.CAUSE: causation,
            spans.DECISION: type(payload).__name__,
            spans.REASON: str(payload.reason),
        }
        if not isinstance(payload, decided.AllocationRefused):
            attributes |= {spans.ADDRESS: payload.address, spans.POOL: payload.pool}
        span = self._instrumentation.begin(
            spans.ALLOCATE, parent=parent, start_ns=self._deciding_ns or None, attributes=attributes
        )
        span.end()
        return span.traceparent

    def _remember(self, position: int, traceparent: str) -> None:
        self._recent[position] = traceparent
        if len(self._recent) > MAX_REMEMBERED:
            self._recent.popitem(last=False)

    def _end(self, commit: Commit | None, error: str) -> None:
        if not self._open:
            return
        known: dict[str, str | int] = {}
        if commit is not None:
            known = {
                spans.FIRST_POSITION: commit.first_position,
                spans.LAST_POSITION: commit.last_position,
                spans.EPOCH: commit.epoch,
            }
        for aggregate, (root, append) in self._open.items():
            if not root.traceparent:
                continue
            append.end(known, error=error)
            root.end(error=error)
            if commit is not None:
                _log.debug(
                    "change journaled", object=aggregate, position=commit.last_position, traceparent=root.traceparent
                )
        self._open.clear()
