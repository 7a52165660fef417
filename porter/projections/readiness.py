"""Which nodes that are not Ready still count: fail static.

Kubelets that lost the API server are not dead nodes. When a node turns NotReady, `recent` are the NotReady nodes that
turned within the last minute. If these are more than half of all nodes, or no Ready node would remain, they are
held: they stay next hops. When a node turns Ready or is deleted, and NotReady nodes are no majority any more, nobody
is held. The rule is evaluated over all changes of one time together, so that their order does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from porter.events.observed import NodeGone, NodeObserved

FAIL_STATIC_WINDOW_MS = 60_000


class NotReady(NamedTuple):
    """Since when a node is not Ready, and whether it ever was."""

    since_ms: int
    was_ready: bool


@dataclass(slots=True)
class Readiness:
    """The fold of the nodes' readiness beside `nodes`, the facts by name, which it keeps up.

    `held_before` and `improved` belong to the time `assessed_ms`: what was held before it, and whether a
    node turned Ready or went at that time.
    """

    nodes: dict[str, NodeObserved]
    not_ready: dict[str, NotReady] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    held_before: frozenset[str] = frozenset()
    assessed_ms: int = 0
    improved: bool = False

    def fork(self, nodes: dict[str, NodeObserved]) -> Readiness:
        """An independent copy over a copy of the facts."""
        return replace(self, nodes=nodes, not_ready=dict(self.not_ready))

    def observe(self, event: NodeObserved, time_ms: int) -> frozenset[str]:
        """Fold a fact; return the nodes whose eligibility may have changed."""
        before = self.nodes.get(event.name)
        self.nodes[event.name] = event
        was_ready = before is not None and before.ready
        if event.ready and not was_ready:
            self.not_ready.pop(event.name, None)
            return self._assess(time_ms, improved=True) | {event.name}
        if not event.ready and (was_ready or before is None):
            self.not_ready[event.name] = NotReady(time_ms, was_ready)
            return self._assess(time_ms, improved=False) | {event.name}
        return frozenset((event.name,))

    def forget(self, event: NodeGone, time_ms: int) -> frozenset[str]:
        """Fold a deletion; return the nodes whose eligibility may have changed."""
        if self.nodes.pop(event.name, None) is None:
            return frozenset()
        self.not_ready.pop(event.name, None)
        return self._assess(time_ms, improved=True) | {event.name}

    def _assess(self, time_ms: int, *, improved: bool) -> frozenset[str]:
        if time_ms != self.assessed_ms:
            self.held_before, self.assessed_ms, self.improved = self.held, time_ms, False
        self.improved = self.improved or improved
        before, self.held = self.held, self._held_now()
        return before ^ self.held

    def _held_now(self) -> frozenset[str]:
        any_ready = any(fact.ready and not fact.excluded for fact in self.nodes.values())
        held = {name for name in self.held_before if name in self.not_ready}
        if any_ready and self.improved:
            majority = 2 * len(self.not_ready) > len(self.nodes)
            # A node that was never Ready is held only while there is no other.
            held = {name for name in held if majority and self.not_ready[name].was_ready}
        now = self.assessed_ms
        if all(absence.since_ms != now for absence in self.not_ready.values()):
            return frozenset(held)
        recent = {name for name, absence in self.not_ready.items() if absence.since_ms >= now - FAIL_STATIC_WINDOW_MS}
        turned = {name for name in recent if self.not_ready[name].was_ready}
        if not any_ready:
            held |= recent
        elif 2 * len(turned) > len(self.nodes):
            held |= turned
        return frozenset(held)
