"""What operators take out of service for a while: the fold of drains of nodes, Services and speakers, and their steps.

A drain has two steps. From its first event on the paths carry GRACEFUL_SHUTDOWN (RFC 8326), so that routers turn to
others while these still work. When the delay has elapsed, which is an event too, the paths go: a Service's and a
speaker's always, a node's where another next hop is left, or everywhere if the drain is forced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from porter.events.decided import NodeDrained, ServiceDrained, SpeakerDrained
from porter.events.observed import NodeObserved
from porter.model.bgp import IN_SERVICE, LAST_RESORT, LEAVING

CORDON = "cordon"
"""Who drains a node that is unschedulable, where the settings let that count."""


class NodeDrain(NamedTuple):
    """One node's drain: who wants it and why, since when, and whether its delay is over."""

    uid: str
    by: str
    why: str
    position: int
    since_ms: int
    delay_ms: int
    force: bool = False
    elapsed: bool = False


class ServiceDrain(NamedTuple):
    """One Service's drain."""

    by: str
    why: str
    position: int
    since_ms: int
    delay_ms: int
    elapsed: bool = False


class SpeakerDrain(NamedTuple):
    """One speaker's drain. `until_ms` is when its delay ends or ended; 0 if there was none, as there were none once."""

    by: str
    why: str
    position: int
    until_ms: int = 0
    elapsed: bool = True


@dataclass(slots=True)
class Maintenance:
    """Drains of nodes by name, of Services by UID, and of speakers by name."""

    nodes: dict[str, NodeDrain] = field(default_factory=dict)
    services: dict[str, ServiceDrain] = field(default_factory=dict)
    speakers: dict[str, SpeakerDrain] = field(default_factory=dict)

    def fork(self) -> Maintenance:
        """An independent copy."""
        return Maintenance(dict(self.nodes), dict(self.services), dict(self.speakers))

    def speaker_standing(self, speaker: str) -> int | None:
        """What all paths of a speaker are worth; None if it is to have none at all."""
        drain = self.speakers.get(speaker)
        if drain is None:
            return IN_SERVICE
        return None if drain.elapsed else LEAVING

    @property
    def withdrawn_speakers(self) -> frozenset[str]:
        """The speakers whose drain is over: they announce nothing."""
        return frozenset(name for name, drain in self.speakers.items() if drain.elapsed)

    def standing(self, node: str) -> int | None:
        """What a node's paths are worth; None if it is to have none at all."""
        drain = self.nodes.get(node)
        if drain is None:
            return IN_SERVICE
        if not drain.elapsed:
            return LEAVING
        return None if drain.force else LAST_RESORT

    def node_drained(self, event: NodeDrained, position: int, time_ms: int) -> None:
        """Fold a drain. One that repeats an earlier drain of the node does not go back to its first step."""
        before = self.nodes.get(event.node)
        elapsed = before is not None and before.elapsed
        self.nodes[event.node] = NodeDrain(
            event.uid, event.by, event.why, position, time_ms, event.delay_ms, event.force, elapsed
        )

    def node_drain_elapsed(self, node: str) -> None:
        """Fold the end of a node's delay."""
        drain = self.nodes.get(node)
        if drain is not None:
            self.nodes[node] = drain._replace(elapsed=True)

    def node_observed(self, event: NodeObserved) -> None:
        """A Node that was made anew is another one, which nobody has drained. One that is gone may only be unseen."""
        drain = self.nodes.get(event.name)
        if drain is not None and drain.uid != event.uid:
            del self.nodes[event.name]

    def service_drained(self, event: ServiceDrained, position: int, time_ms: int) -> None:
        """Fold a drain, as `node_drained` does."""
        before = self.services.get(event.uid)
        elapsed = before is not None and before.elapsed
        self.services[event.uid] = ServiceDrain(event.by, event.why, position, time_ms, event.delay_ms, elapsed)

    def service_drain_elapsed(self, uid: str) -> None:
        """Fold the end of a Service's delay."""
        drain = self.services.get(uid)
        if drain is not None:
            self.services[uid] = drain._replace(elapsed=True)

    def speaker_drained(self, event: SpeakerDrained, position: int, time_ms: int) -> None:
        """Fold a drain, as `node_drained` does; one without a delay has no first step."""
        before = self.speakers.get(event.speaker)
        elapsed = not event.delay_ms or (before is not None and before.elapsed)
        until_ms = time_ms + event.delay_ms if event.delay_ms else 0
        self.speakers[event.speaker] = SpeakerDrain(event.by, event.why, position, until_ms, elapsed)

    def speaker_drain_elapsed(self, speaker: str) -> None:
        """Fold the end of a speaker's delay."""
        drain = self.speakers.get(speaker)
        if drain is not None:
            self.speakers[speaker] = drain._replace(elapsed=True)


def encode_maintenance(maintenance: Maintenance) -> list[Any]:
    """As a baseline holds it; drains of speakers stand in the ledger's row, where they always stood."""
    return [sorted(maintenance.nodes.items()), sorted(maintenance.services.items())]


def decode_maintenance(row: Any, speakers: dict[str, SpeakerDrain]) -> Maintenance:
    """What `encode_maintenance` gave, together with the drains of speakers."""
    nodes, services = row
    return Maintenance(_by_name(nodes, NodeDrain._make), _by_name(services, ServiceDrain._make), speakers)


def _by_name(rows: Any, make: Callable[[Any], Any]) -> dict[Any, Any]:
    return {name: make(row) for name, row in rows}


def routes_on_last_resort(maintenance: Maintenance, routes: Mapping[Any, Any]) -> dict[str, int]:
    """The drained nodes that routes still depend on, with the number of these routes."""
    counted: dict[str, int] = {}
    if not any(drain.elapsed for drain in maintenance.nodes.values()):
        return counted
    for route in routes.values():
        for hop in route.next_hops:
            if hop.standing == LAST_RESORT:
                counted[hop.node] = counted.get(hop.node, 0) + 1
    return counted
