"""The events of the journal by which speakers announced and withdrew routes, where exactly one can be named.

A speaker tells up to which position its routes are those of the journal. Which event changed them is found so, for each
path of an outcome that realises #N:

1. Only events behind what the speaker had told of this prefix and peer before, and up to #N, can have led to it.
2. Of these it is the last by which the path's next hop joined the route, or left it.
3. Where no next hop did, it is the last that changed the route at all.
4. Where none did, it is the one that has to do with what the peer is given, if there is one alone: its BgpPeer, an
   advertisement, the BgpConf, a drain of the speaker, a pool, a node, or the Service.

The last two hold where every event that can have led to it was looked at. All paths of an outcome must have come by the
same event; else none is named.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from porter.app.history.next_hops import FOLDED_MAX, events_until, state_before
from porter.app.history.route_watch import Change, RouteWatch
from porter.app.history.streams import Streams
from porter.events import decided, observed, routed
from porter.events.envelope import BEGINNING, Envelope
from porter.model.address import Address, Prefix, is_aggregate, prefix_address
from porter.ports import Trimmed
from porter.projections.cluster import ClusterState
from porter.projections.timeline import Told

PATHS_MAX = 256
"""An outcome of more paths is told without an event; and most addresses that are followed at a time, for the newest
outcomes."""
FOLDED_AT_A_TIME = 1024
"""After so many events the process's other tasks have their turn."""

Positioned = TypeVar("Positioned", Envelope, Change)

ByOutcome = Mapping[tuple[str, int], int]
"""The position of the event, by an outcome's stream and its position there."""

_GIVEN = (
    observed.PeerObserved,
    observed.PeerGone,
    observed.AdvertisementObserved,
    observed.AdvertisementGone,
    observed.ConfObserved,
    observed.ConfGone,
    observed.PoolObserved,
    observed.PoolGone,
    observed.NodeObserved,
    observed.NodeGone,
    observed.ServiceObserved,
    decided.SpeakerDrained,
    decided.SpeakerDrainElapsed,
    decided.SpeakerUndrained,
)
"""What a peer is given may hang on each of these."""


class _Before:
    """What each speaker had told of a prefix and a peer before: the positions that it realised, in their order."""

    def __init__(self) -> None:
        self._told: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)

    def add(self, stream: str, peer: str, prefix: str, position: int) -> None:
        """Note an outcome; "" is every prefix."""
        insort(self._told[stream, peer, prefix], position)

    def position(self, stream: str, peer: str, prefix: str, position: int) -> int:
        """The newest position before one that was realised for a prefix; 0 for none."""
        told = (self._told.get((stream, peer, one), ()) for one in (prefix, ""))
        return max(one[at - 1] if (at := bisect_left(one, position)) else 0 for one in told)


class _Outcome(NamedTuple):
    """An outcome that is asked about, and behind which position the cause of each of its paths lies."""

    stream: str
    position: int
    event: routed.RoutesAnnounced | routed.RoutesWithdrawn
    behind: Mapping[Prefix, int]


async def outcome_causes(
    told: Sequence[Told], shown: Iterable[int], state: ClusterState, events: Sequence[Envelope]
) -> ByOutcome:
    """The events that led to the outcomes of a stretch.

    Args:
        told: the stretch, merged.
        shown: the indexes in it that are asked about.
        state: the state before the stretch; it is consumed.
        events: the journal's events of the stretch, in order.
    """
    outcomes = _outcomes(told, frozenset(shown), events[0].position if events else 0)
    if not outcomes:
        return {}
    addresses: dict[Address, None] = {}
    for one in reversed(outcomes):
        more = [address for prefix in one.behind if (address := prefix_address(prefix)) not in addresses]
        if len(addresses) + len(more) <= PATHS_MAX:
            addresses.update(dict.fromkeys(more))
    watch, last = RouteWatch(state, tuple(addresses)), max(one.event.position for one in outcomes)
    given: list[Envelope] = []
    for number, envelope in enumerate(watch.relevant(events)):
        if envelope.position > last:
            break
        if not number % FOLDED_AT_A_TIME:
            # A leader has more to do than to answer.
            await asyncio.sleep(0)
        watch.fold(envelope)
        if isinstance(envelope.payload, _GIVEN):
            given.append(envelope)
    found = {(one.stream, one.position): _cause(one, watch, given, events[0].position) for one in outcomes}
    return {key: position for key, position in found.items() if position}


def _outcomes(told: Sequence[Told], shown: frozenset[int], first: int) -> list[_Outcome]:
    before, found = _Before(), list[_Outcome]()
    for number, (stream, envelope) in enumerate(told):
        event = envelope.payload
        if not stream:
            continue
        if isinstance(event, routed.RibSynced):
            before.add(stream, event.peer, "", event.position)
        if not isinstance(event, routed.RoutesAnnounced | routed.RoutesWithdrawn):
            continue
        prefixes = {path.prefix for path in event.paths}
        if number in shown and event.position >= first and 0 < len(event.paths) <= PATHS_MAX:
            behind = {one: before.position(stream, event.peer, one, event.position) for one in prefixes}
            if not any(is_aggregate(one) for one in prefixes):
                found.append(_Outcome(stream, envelope.position, event, behind))
        for one in prefixes:
            before.add(stream, event.peer, one, event.position)
    return found


def _cause(one: _Outcome, watch: RouteWatch, given: Sequence[Envelope], first: int) -> int:
    causes = set()
    for path in one.event.paths:
        address, behind = prefix_address(path.prefix), one.behind[path.prefix]
        if address not in watch.changes:
            return 0
        changes = _between(watch.changes[address], behind, one.event.position)
        moved = [each.position for each in changes if path.next_hop in _moved(each, one.event)]
        if moved:
            causes.add(moved[-1])
        elif behind < first - 1:
            return 0
        else:
            services = watch.services_of(address)
            causes.add(changes[-1].position if changes else _given(one, behind, services, given))
    return causes.pop() if len(causes) == 1 else 0


def _between(ordered: Sequence[Positioned], behind: int, last: int) -> Sequence[Positioned]:
    """Those of a sequence in order that lie behind a position, up to another."""
    first, end = (bisect_right(ordered, at, key=lambda one: one.position) for at in (behind, last))
    return ordered[first:end]


def _moved(change: Change, event: routed.RoutesAnnounced | routed.RoutesWithdrawn) -> frozenset[Address]:
    return change.joined if isinstance(event, routed.RoutesAnnounced) else change.left


def _given(one: _Outcome, behind: int, services: frozenset[str], given: Sequence[Envelope]) -> int:
    """The one event that what the peer is given may hang on; 0 for none or several."""
    candidates = _between(given, behind, one.event.position)
    found = [envelope.position for envelope in candidates if _matters(one, services, envelope)]
    return found[0] if len(found) == 1 else 0


def _matters(one: _Outcome, services: frozenset[str], envelope: Envelope) -> bool:
    kind, _, name = envelope.payload.aggregate.partition("/")
    if kind == "peer":
        return name == one.event.peer
    if kind == "service":
        return name in services
    return kind != "speaker" or name == one.stream


async def outcome_cause(streams: Streams, stream: str, outcome: Envelope) -> int:
    """The position of the event that led to one outcome; 0 where none can be named, or the outcome is of no route.

    Raises:
        JournalError: a stream could not be read.
    """
    event, journal = outcome.payload, streams.journal()
    if not isinstance(event, routed.RoutesAnnounced | routed.RoutesWithdrawn):
        return 0
    start = await state_before(journal, event.position)
    if start is None or event.position - start.checkpoint.position > FOLDED_MAX:
        return 0
    told: list[Told] = []
    async for page in streams.speaker(stream).read(BEGINNING):
        told += [Told(stream, one) for commit in page for one in commit.events if one.position <= outcome.position]
    try:
        events = [one async for one in events_until(journal, start, event.position)]
    except Trimmed:
        return 0
    found = await outcome_causes(told, (len(told) - 1,), start.state, events)
    return found.get((stream, outcome.position), 0)
