"""The speaker's part of every trace: from the event that it folds to the engine's last send event, peer by peer.

    allocate (or journal.append) > announce, one for each speaker > exabgp.send, one for each peer

It stands between the speaker and its publisher, and looks at what passes: what is desired, and what is confirmed. A
trace is gone on with only by a speaker that follows live. What it catches up with, or tells a session that came back,
is its own trace, linked to those of the events that it stands for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from porter.events.catalogue import Event
from porter.events.decided import AddressAdopted, AddressAllocated, AddressReleased
from porter.events.envelope import Envelope
from porter.events.routed import RibSynced, RoutesAnnounced, RoutesWithdrawn, SessionStateChanged
from porter.model.address import Prefix, host_prefix, is_aggregate, prefix_address
from porter.model.bgp import PeerKey, RouteKey
from porter.ports import Desired, Span, Tracer
from porter.projections.cluster import ClusterState
from porter.telemetry import spans

MAX_WAITING = 4096
"""Sends that wait for their confirmations; what comes on top is not traced."""
CONFIRM_TIMEOUT_S = 60.0
MAX_NAMED = 10
"""Most prefixes that a span names."""
MAX_LINKS = 32

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Announce:
    """An `announce` or `withdraw`, and how many of its sends are open."""

    span: Span
    sends: int = 0
    error: str = ""


@dataclass(slots=True, eq=False)
class _Send:
    """One peer's part of it: the keys that are not confirmed yet, each with whether it is announced."""

    announce: _Announce
    span: Span
    peer: PeerKey
    position: int
    since_s: float
    keys: dict[RouteKey, bool]
    announced: int = 0
    withdrawn: int = 0


@dataclass(slots=True)
class _Causes:
    """The trace contexts of one page of the journal, by what leads from a route to its event."""

    live: bool = True
    by_position: dict[int, str] = field(default_factory=dict)
    by_prefix: dict[Prefix, str] = field(default_factory=dict)
    by_service: dict[str, str] = field(default_factory=dict)
    last: str = ""

    def add(self, envelope: Envelope) -> None:
        payload, context = envelope.payload, envelope.traceparent
        self.by_position[envelope.position] = context
        if isinstance(payload, AddressAllocated | AddressAdopted | AddressReleased):
            self.by_prefix[host_prefix(payload.address)] = context
        elif envelope.aggregate.startswith("service/"):
            self.by_service[envelope.aggregate.removeprefix("service/")] = context
        else:
            self.last = context

    def of(self, state: ClusterState, prefix: Prefix) -> str:
        """The context of the event that changed a prefix's routes; "" where none is known."""
        route = state.loc_rib.routes.get(prefix)
        if route is not None and route.position in self.by_position:
            return self.by_position[route.position]
        if prefix in self.by_prefix:
            return self.by_prefix[prefix]
        for holder in state.pools.by_address.get(prefix_address(prefix), ()):
            if holder.service in self.by_service:
                return self.by_service[holder.service]
        if is_aggregate(prefix):
            return next(reversed(self.by_position.values()))
        return self.last


class RouteTraces:
    """One speaker's traces. `folded` and `page` follow the journal; the others what passes the publisher."""

    def __init__(
        self, tracer: Tracer, speaker: str, engine: str = "exabgp", monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._tracer = tracer
        self._speaker = speaker
        self._send_name = spans.SEND.format(engine=engine)
        self._monotonic_s = monotonic_s
        self._state = ClusterState.empty()
        self._folding = _Causes()
        self._causes = _Causes()
        self._announces: dict[str, _Announce] = {}
        self._untold: deque[str] = deque(maxlen=MAX_LINKS)
        """Contexts of what was folded and not told to any peer: the next session that comes up is told of it."""
        self._up: set[PeerKey] = set()
        self._came_up_ns: dict[PeerKey, int] = {}
        """The sessions that came up and are not synced yet."""
        self._latest: dict[PeerKey, Desired] = {}
        self._sends: dict[_Send, None] = {}
        self._by_key: dict[tuple[PeerKey, RouteKey], list[_Send]] = {}

    # --------------------------------------------------------------------------------------------------- the journal

    def folded(self, state: ClusterState, events: Iterable[Envelope], *, live: bool) -> None:
        """These events are folded into the state: `live` is False for what was there when the reading began."""
        if not self._tracer.tracing:
            return
        self._state = state
        self._folding.live = self._folding.live and live
        for envelope in events:
            if envelope.traceparent:
                self._folding.add(envelope)

    def page(self) -> None:
        """What was folded so far is one page: what is desired next follows from it."""
        if not self._tracer.tracing:
            return
        self._causes, self._folding = self._folding, _Causes()
        self._announces = {}
        if self._up and self._causes.live:
            if self._causes.by_position:
                self._untold.clear()
        else:
            self._untold.extend(dict.fromkeys(self._causes.by_position.values()))

    # ------------------------------------------------------------------------------------------------- the publisher

    def desired(self, desired: Desired) -> None:
        """A peer's routes are handed over to the publisher."""
        if not self._tracer.tracing:
            return
        self._latest[desired.peer] = desired
        if desired.changed is None or desired.peer not in self._up or not self._causes.by_position:
            return
        groups: dict[str, dict[RouteKey, bool]] = {}
        contexts: dict[Prefix, str] = {}
        for key in desired.changed:
            context = contexts.get(key.prefix)
            if context is None:
                context = contexts[key.prefix] = self._causes.of(self._state, key.prefix)
            if context:
                groups.setdefault(context, {})[key] = key in desired.routes
        for context, keys in groups.items():
            if len(self._sends) < MAX_WAITING:
                self._send(self._announce(context, desired, keys), desired, keys)
        self._expire()

    def confirmed(self, outcomes: Sequence[Event]) -> Mapping[int, str]:
        """Outcomes came; return the trace contexts of those that have one, by their index."""
        contexts: dict[int, str] = {}
        for index, outcome in enumerate(outcomes):
            match outcome:
                case RoutesAnnounced() | RoutesWithdrawn():
                    context = self._landed(outcome)
                case RibSynced():
                    context = self._synced(outcome)
                case SessionStateChanged():
                    context = ""
                    self._session_changed(outcome)
                case _:
                    continue
            if context:
                contexts[index] = context
        self._expire()
        return contexts

    # -------------------------------------------------------------------------------------------------------- inside

    def _about(self, desired: Desired, prefixes: Iterable[Prefix]) -> dict[str, str | int | bool | tuple[str, ...]]:
        names = sorted(prefixes)
        return {
            spans.SPEAKER: self._speaker,
            spans.POSITION: desired.position,
            spans.PREFIXES: tuple(names[:MAX_NAMED]),
            spans.PREFIX_COUNT: len(names),
        }

    def _announce(self, context: str, desired: Desired, keys: Mapping[RouteKey, bool]) -> _Announce:
        """This speaker's span for one cause; its peers share it."""
        known = self._announces.get(context)
        if known is not None:
            return known
        prefixes = {key.prefix for key in keys}
        gone = not any(keys.values()) and not any(prefix in self._state.loc_rib.routes for prefix in prefixes)
        name = spans.WITHDRAW if gone else spans.ANNOUNCE
        about = self._about(desired, prefixes)
        if self._causes.live:
            span = self._tracer.begin(name, parent=context, attributes=about)
        else:
            span = self._tracer.begin(name, links=(context,), attributes=about | {spans.REPLAY: True})
        made = self._announces[context] = _Announce(span)
        return made

    def _send(self, announce: _Announce, desired: Desired, keys: dict[RouteKey, bool]) -> None:
        if not announce.span.traceparent:
            return
        about: dict[str, str | int] = {spans.PEER: desired.peer, spans.POSITION: desired.position}
        span = self._tracer.begin(self._send_name, parent=announce.span.traceparent, attributes=about)
        announce.sends += 1
        send = _Send(announce, span, desired.peer, desired.position, self._monotonic_s(), keys)
        self._sends[send] = None
        for key in keys:
            self._by_key.setdefault((desired.peer, key), []).append(send)

    def _landed(self, outcome: RoutesAnnounced | RoutesWithdrawn) -> str:
        context, peer = "", PeerKey(outcome.peer)
        announced = isinstance(outcome, RoutesAnnounced)
        for path in outcome.paths:
            key = RouteKey(path.prefix, path.path_id)
            for send in tuple(self._by_key.get((peer, key), ())):
                if send.position > outcome.position:
                    continue
                context = context or send.span.traceparent
                self._forget_key(send, key)
                del send.keys[key]
                send.announced += announced
                send.withdrawn += not announced
                if not send.keys:
                    self._end(send)
        return context

    def _synced(self, outcome: RibSynced) -> str:
        context, peer = "", PeerKey(outcome.peer)
        for send in tuple(self._sends):
            if send.peer == peer and send.position <= outcome.position:
                context = context or send.span.traceparent
                send.announced += sum(send.keys.values())
                send.withdrawn += sum(not announced for announced in send.keys.values())
                self._end(send)
        return self._told_anew(peer, outcome) or context

    def _told_anew(self, peer: PeerKey, outcome: RibSynced) -> str:
        """A session that came up was told everything: that is a trace of its own, from its beginning to now."""
        began_ns, desired = self._came_up_ns.pop(peer, None), self._latest.get(peer)
        if began_ns is None or desired is None or not (outcome.routes or self._untold):
            return ""
        about = self._about(desired, {key.prefix for key in desired.routes}) | {spans.REPLAY: True}
        links = tuple(self._untold)
        announce = self._tracer.begin(spans.ANNOUNCE, links=links, start_ns=began_ns, attributes=about)
        if not announce.traceparent:
            return ""
        sent: dict[str, str | int] = {spans.PEER: peer, spans.POSITION: outcome.position}
        sent |= {spans.ANNOUNCED: outcome.routes, spans.WITHDRAWN: 0}
        self._tracer.begin(self._send_name, parent=announce.traceparent, start_ns=began_ns, attributes=sent).end()
        announce.end()
        return announce.traceparent

    def _session_changed(self, outcome: SessionStateChanged) -> None:
        peer = PeerKey(outcome.peer)
        for send in tuple(self._sends):
            if send.peer == peer:
                self._end(send, f"the session is {outcome.state} before the routes are confirmed")
        if outcome.state == "Established":
            self._up.add(peer)
            self._came_up_ns[peer] = time.time_ns()
        else:
            self._up.discard(peer)
            self._came_up_ns.pop(peer, None)

    def _expire(self) -> None:
        """Give up what nobody confirms: they are in the order of their beginning."""
        while self._sends:
            oldest = next(iter(self._sends))
            if self._monotonic_s() - oldest.since_s < CONFIRM_TIMEOUT_S:
                return
            self._end(oldest, f"not confirmed within {CONFIRM_TIMEOUT_S:.0f} s")

    def _forget_key(self, send: _Send, key: RouteKey) -> None:
        waiting = self._by_key[send.peer, key]
        waiting.remove(send)
        if not waiting:
            del self._by_key[send.peer, key]

    def _end(self, send: _Send, error: str = "") -> None:
        for key in send.keys:
            self._forget_key(send, key)
        del self._sends[send]
        send.span.end({spans.ANNOUNCED: send.announced, spans.WITHDRAWN: send.withdrawn}, error=error)
        announce = send.announce
        announce.sends -= 1
        announce.error = announce.error or error
        if announce.sends == 0:
            announce.span.end(error=announce.error)
        _log.debug(
            "routes confirmed" if not error else "routes are not confirmed",
            peer=send.peer,
            position=send.position,
            announced=send.announced,
            withdrawn=send.withdrawn,
            reason=error,
            traceparent=send.span.traceparent,
        )
