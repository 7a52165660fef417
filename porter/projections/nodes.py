"""The nodes, and which of those that are not Ready still count: fail static.

Kubelets that lost the API server are not dead nodes. When a node turns NotReady, `recent` are the NotReady nodes that
turned within the last minute. If these are more than half of all nodes, or no Ready node would remain, they are
held: they stay next hops. When a node turns Ready or is deleted, and NotReady nodes are no majority any more, nobody
is held. The rule is evaluated over all changes of one time together, so that their order does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from porter.events.observed import NodeGone, NodeObserved

FAIL_STATIC_WINDOW_MS = 60_000


class NotReady(NamedTuple):
    """Since when a node is not Ready, and whether it ever was."""

    since_ms: int
    was_ready: bool


@dataclass(slots=True)
class Nodes:
    """The fold of the nodes. `facts` maps a name to the fact and the position of its last change.

    `held_before` and `improved` belong to the time `assessed_ms`: what was held before it, and whether a
    node turned Ready or went at that time.
    """

    facts: dict[str, tuple[NodeObserved, int]] = field(default_factory=dict)
    not_ready: dict[str, NotReady] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    held_before: frozenset[str] = frozenset()
    assessed_ms: int = 0
    improved: bool = False

    def fork(self) -> Nodes:
        """An independent copy."""
        return Nodes(
            dict(self.facts), dict(self.not_ready), self.held, self.held_before, self.assessed_ms, self.improved
        )

    def observe(self, event: NodeObserved, position: int, time_ms: int) -> frozenset[str]:
        """Fold a fact; return the nodes whose eligibility may have changed."""
        before = self.facts.get(event.name)
        self.facts[event.name] = (event, position)
        was_ready = before is not None and before[0].ready
        if event.ready and not was_ready:
            self.not_ready.pop(event.name, None)
            return self._assess(time_ms, improved=True) | {event.name}
        if not event.ready and (was_ready or before is None):
            self.not_ready[event.name] = NotReady(time_ms, was_ready)
            return self._assess(time_ms, improved=False) | {event.name}
        return frozenset((event.name,))

    def forget(self, event: NodeGone, time_ms: int) -> frozenset[str]:
        """Fold a deletion; return the nodes whose eligibility may have changed."""
        if self.facts.pop(event.name, None) is None:
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
        any_ready = any(fact.ready and not fact.excluded for fact, _ in self.facts.values())
        held = {name for name in self.held_before if name in self.not_ready}
        if any_ready and self.improved:
            majority = 2 * len(self.not_ready) > len(self.facts)
            # A node that was never Ready is held only while there is no other.
            held = {name for name in held if majority and self.not_ready[name].was_ready}
        now = self.assessed_ms
        if all(absence.since_ms != now for absence in self.not_ready.values()):
            return frozenset(held)
        recent = {name for name, absence in self.not_ready.items() if absence.since_ms >= now - FAIL_STATIC_WINDOW_MS}
        turned = {name for name in recent if self.not_ready[name].was_ready}
        if not any_ready:
            held |= recent
        elif 2 * len(turned) > len(self.facts):
            held |= turned
        return frozenset(held)
