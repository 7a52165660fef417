"""What is due: the events that say that time has passed, from a schedule that is derived from the state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from porter.events.catalogue import Event
from porter.events.decided import (
    HoldEnded,
    HoldExpired,
    NodeDrained,
    NodeDrainElapsed,
    NodeUndrained,
    ServiceDrainElapsed,
    SpeakerDrainElapsed,
)
from porter.projections.cluster import ClusterState
from porter.projections.maintenance import CORDON


class Due(NamedTuple):
    """An event that is due, and the position of the event that scheduled it."""

    event: Event
    causation: int


def elapsed(state: ClusterState, now_ms: int) -> Iterator[Due]:
    """What drains and holds have waited for by now."""
    maintenance, holds = state.ledger.maintenance, state.ledger.holds
    for name, node in sorted(maintenance.nodes.items()):
        if not node.elapsed and node.since_ms + node.delay_ms <= now_ms:
            yield Due(NodeDrainElapsed(name), node.position)
    for uid, drain in sorted(maintenance.services.items()):
        if not drain.elapsed and drain.since_ms + drain.delay_ms <= now_ms:
            service = state.inventory.services[uid]
            yield Due(ServiceDrainElapsed(uid, service.namespace, service.name), drain.position)
    for name, speaker in sorted(maintenance.speakers.items()):
        if not speaker.elapsed and speaker.until_ms <= now_ms:
            yield Due(SpeakerDrainElapsed(name), speaker.position)
    for number, hold in sorted(holds.open.items()):
        if hold.since_ms + hold.bound_ms <= now_ms:
            yield Due(HoldExpired(number), number)


def ended(state: ClusterState, *, withholding: bool = False) -> Iterator[Due]:
    """The holds whose cause has ended: each of their prefixes has next hops of its own again, or is in use no more.

    Ask only when every fact that a hold was made for is journaled, but those that a hold of facts is about: whether
    any is withheld says `withholding`.
    """
    holds, rib = state.ledger.holds, state.loc_rib
    if not holds.open:
        return
    lost = {route.hold for prefix, route in holds.routes.items() if prefix in rib.lost}
    for number, hold in sorted(holds.open.items()):
        if not (withholding if hold.of_facts else number in lost):
            yield Due(HoldEnded(number), number)


def next_ms(state: ClusterState) -> int | None:
    """When the next event is due; None while nothing is scheduled."""
    maintenance, holds = state.ledger.maintenance, state.ledger.holds
    times = [drain.since_ms + drain.delay_ms for drain in maintenance.nodes.values() if not drain.elapsed]
    times += [drain.since_ms + drain.delay_ms for drain in maintenance.services.values() if not drain.elapsed]
    times += [drain.until_ms for drain in maintenance.speakers.values() if not drain.elapsed]
    times += [hold.since_ms + hold.bound_ms for hold in holds.open.values()]
    return min(times, default=None)


def cordons(state: ClusterState, delay_ms: int) -> Iterator[Due]:
    """Drains of nodes that are unschedulable, and the ends of such drains. An operator's own drain stands above both.

    Which nodes are told to be cordoned is a setting of the reflector.
    """
    drains = state.ledger.maintenance.nodes
    for name, node in sorted(state.inventory.nodes.items()):
        drain = drains.get(name)
        causation = state.inventory.position_of_object("Node", name)
        if node.cordoned and drain is None:
            why = "the node is unschedulable; `kubectl uncordon` ends this"
            yield Due(NodeDrained(name, node.uid, CORDON, why, delay_ms), causation)
        elif not node.cordoned and drain is not None and drain.by == CORDON:
            yield Due(NodeUndrained(name, CORDON, "the node is schedulable again"), causation)
