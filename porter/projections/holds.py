"""Withdrawals that are held back: the fold of the blast-radius guard's decisions.

A hold keeps the next hops that its prefixes had when it began, for as long as it stands. A prefix with next hops of
its own uses those; the kept ones count only while it has none, and only while a Service of it is there.

A hold of a cause in `OF_FACTS` keeps nothing here: the facts that would take its prefixes from their peers are not
journaled while it stands, so that every reader goes on with the objects that were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from porter.events.decided import WithdrawalHeld
from porter.model.address import Prefix
from porter.model.bgp import NextHop
from porter.model.reasons import Reason

OF_FACTS = frozenset({Reason.NO_PEER, Reason.NOT_ADVERTISED})
"""The causes of holds that hold facts about the conf, peers, advertisements and pools back."""


class Hold(NamedTuple):
    """One hold: why, since when, for how long at most, and the rule that was broken. Its number is its position."""

    cause: str
    since_ms: int
    bound_ms: int
    lost: int
    total: int
    share_percent: int
    minimum: int

    @property
    def of_facts(self) -> bool:
        """Whether it is facts that wait for its end."""
        return self.cause in OF_FACTS


class HeldRoute(NamedTuple):
    """The next hops that a prefix keeps, and the hold that keeps them; none where facts are held back instead."""

    hold: int
    next_hops: tuple[NextHop, ...]


@dataclass(slots=True)
class Holds:
    """Open holds by number, and what they keep by prefix.

    `settled_ms` says for each cause until when an operator accepted its losses, by an approval.
    """

    open: dict[int, Hold] = field(default_factory=dict)
    routes: dict[Prefix, HeldRoute] = field(default_factory=dict)
    settled_ms: dict[str, int] = field(default_factory=dict)

    def fork(self) -> Holds:
        """An independent copy."""
        return Holds(dict(self.open), dict(self.routes), dict(self.settled_ms))

    def held(self, event: WithdrawalHeld, time_ms: int, kept: Mapping[Prefix, tuple[NextHop, ...]]) -> None:
        """Fold a hold, or more prefixes of one that stands. What an earlier hold keeps stays there; what one of facts
        stands for passes to the one that has next hops to keep."""
        before = self.open.get(event.hold)
        since_ms = time_ms if before is None else before.since_ms
        self.open[event.hold] = Hold(
            event.cause, since_ms, event.bound_ms, event.lost, event.total, event.share_percent, event.minimum
        )
        for prefix, next_hops in kept.items():
            earlier = self.routes.get(prefix)
            if earlier is None or not earlier.next_hops:
                self.routes[prefix] = HeldRoute(event.hold, next_hops)

    def ends(self, number: int, time_ms: int, *, settles: bool) -> tuple[Prefix, ...]:
        """Fold the end of a hold; return the prefixes that it kept."""
        hold = self.open.pop(number, None)
        if hold is None:
            return ()
        if settles:
            self.settled_ms[hold.cause] = time_ms
        prefixes = tuple(self.prefixes_of(number))
        for prefix in prefixes:
            del self.routes[prefix]
        return prefixes

    def forget(self, prefix: Prefix) -> None:
        """Nobody holds the address any more: whoever gets it next has nothing to do with what was."""
        self.routes.pop(prefix, None)

    def prefixes_of(self, number: int) -> Iterable[Prefix]:
        """The prefixes of a hold that are still in use."""
        return (prefix for prefix, route in self.routes.items() if route.hold == number)


def encode_holds(holds: Holds) -> list[Any]:
    """As a baseline holds it."""
    return [sorted(holds.open.items()), sorted(holds.routes.items()), sorted(holds.settled_ms.items())]


def decode_holds(row: Any) -> Holds:
    """What `encode_holds` gave."""
    opened, routes, settled_ms = row
    return Holds(
        {number: Hold._make(hold) for number, hold in opened},
        {
            prefix: HeldRoute(number, tuple(NextHop(*hop) for hop in next_hops))
            for prefix, (number, next_hops) in routes
        },
        dict(settled_ms),
    )
