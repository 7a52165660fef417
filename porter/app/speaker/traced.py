"""The publisher and the outcome stream of a speaker that traces: they pass everything on, and note what passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from porter.app.settings import Settings
from porter.app.speaker.traces import RouteTraces
from porter.events.catalogue import Event
from porter.journal.outcomes import OutcomeStream
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.ports import Desired, PeerView, Publisher, Tracer


class TracedPublisher:
    """`porter.ports.Publisher` over another one."""

    def __init__(self, publisher: Publisher, traces: RouteTraces) -> None:
        self._publisher = publisher
        self._traces = traces
        self._told: tuple[Sequence[Event], Mapping[int, str]] = ((), {})

    async def run(self) -> None:
        await self._publisher.run()

    async def configure(self, sessions: Sequence[SessionSettings]) -> None:
        await self._publisher.configure(sessions)

    def desire(self, desired: Desired) -> None:
        self._traces.desired(desired)
        self._publisher.desire(desired)

    def presumed(self) -> Mapping[PeerKey, Negotiated]:
        return self._publisher.presumed()

    async def outcomes(self) -> Sequence[Event]:
        outcomes = await self._publisher.outcomes()
        self._told = outcomes, self._traces.confirmed(outcomes)
        return outcomes

    def peers(self) -> Mapping[PeerKey, PeerView]:
        return self._publisher.peers()

    def confirmed(self, peer: PeerKey) -> Mapping[RouteKey, PathAttributes]:
        return self._publisher.confirmed(peer)

    def standing(self) -> Sequence[Event]:
        return self._publisher.standing()

    def contexts_of(self, events: Sequence[Event]) -> Mapping[int, str]:
        """The trace contexts of these outcomes, by their index, where they are the ones that were told last."""
        outcomes, contexts = self._told
        return contexts if events is outcomes else {}


class TracedOutcomes:
    """Where outcomes go, each with its trace context."""

    def __init__(self, stream: OutcomeStream, publisher: TracedPublisher) -> None:
        self._stream = stream
        self._publisher = publisher

    def add(self, events: Sequence[Event]) -> None:
        """Queue outcomes; never blocks."""
        contexts = self._publisher.contexts_of(events)
        if not contexts:
            self._stream.add(events)
            return
        for index, event in enumerate(events):
            self._stream.add((event,), traceparent=contexts.get(index, ""))


class Ends(NamedTuple):
    """What a speaker stands between."""

    publisher: Publisher
    outcomes: OutcomeStream | TracedOutcomes
    traces: RouteTraces | None = None


def ends(settings: Settings, publisher: Publisher, stream: OutcomeStream, tracer: Tracer | None) -> Ends:
    """The speaker's two ends, as they are, or traced where there is a tracer."""
    if tracer is None:
        return Ends(publisher, stream)
    traces = RouteTraces(tracer, settings.name, settings.engine)
    traced = TracedPublisher(publisher, traces)
    return Ends(traced, TracedOutcomes(stream, traced), traces)
