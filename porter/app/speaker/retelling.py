"""What stands, told again: for readers who can no longer read how it came about.

The newest word about each thing is enough, in an order in which none undoes another: an engine that is gone takes its
sessions down, and a session that is told to be up ends what was told of its refusal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from porter.bgp.outcomes import rib_digest, state_changed
from porter.events.catalogue import Event
from porter.events.routed import EngineStateChanged, PeerRejected, RibSynced
from porter.ports import PeerView, Publisher


def standing(publisher: Publisher, position: int) -> Sequence[Event]:
    """Everything that stands; `position` is the journal's that the sessions' routes are of."""
    beside = publisher.standing()
    engine = [event for event in beside if isinstance(event, EngineStateChanged)]
    told: list[Event] = [*engine]
    for _, view in sorted(publisher.peers().items()):
        if not (engine and not engine[-1].up and view.state == "Established" and view.sync == "DOWN"):
            told += _session(publisher, view, position)
    return [*told, *(event for event in beside if not isinstance(event, EngineStateChanged))]


def synced(publisher: Publisher, position: int) -> Sequence[Event]:
    """The sessions that are up, and what stands of refusals beside them."""
    told: list[Event] = []
    for _, view in sorted(publisher.peers().items()):
        if view.state == "Established":
            told += _session(publisher, view, position)
    return [*told, *(event for event in publisher.standing() if not isinstance(event, EngineStateChanged))]


def still_rejected(publisher: Publisher, peers: Collection[str]) -> Sequence[Event]:
    """The refusals of peers whose session came up as it was before them."""
    return [event for event in publisher.standing() if isinstance(event, PeerRejected) and event.peer in peers]


def _session(publisher: Publisher, view: PeerView, position: int) -> Iterator[Event]:
    negotiated = view.negotiated if view.state == "Established" else None
    yield state_changed(view.peer, view.state, view.reason, negotiated)
    if negotiated is not None and view.sync == "LIVE":
        yield RibSynced(view.peer, position, view.confirmed, rib_digest(publisher.confirmed(view.peer)))
