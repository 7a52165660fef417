"""What the leader takes from its source: changed facts in order, and before them the holds that they call for.

A fact that would take the last next hop from a prefix waits for a moment, so that what belongs together is judged
together, and what comes back at once is no change. Nothing gets worse by the wait: its clients have nowhere else to go.
No such fact is given out before it was judged, whatever the source says meanwhile: it is looked at when it is taken.

So it is with a fact that would take a prefix from its last peer. If such facts are too many they are not given out at
all while the hold stands that is journaled for them: what is watched is compared again by every leader. Of a Node only
its labels are withheld: whatever else becomes of it is journaled, with the labels that the journal has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import structlog

from porter.allocator import lost_peers
from porter.allocator.withdrawals import (
    WINDOW_MS,
    Rule,
    may_hold,
    nodes_take_last,
    removes_next_hop,
    takes_last,
    withdrawals,
)
from porter.app.controller import facts
from porter.events.catalogue import Event
from porter.events.decided import WithdrawalHeld
from porter.events.observed import EndpointsObserved, NodeObserved, ServiceGone, ServiceObserved
from porter.model.address import Prefix
from porter.model.selector import Pairs
from porter.policy.facts import same_fact
from porter.ports import Clock, FactKey, FactKind, Source
from porter.projections.cluster import ClusterState

QUIET_S = 0.5
"""Losing facts are judged when none has come for this long,"""
WAIT_S_MAX = 2.0
"""and at the latest when the first has waited for this long."""

OBJECTS_TOLD_MAX = 20
"""Of so many objects at most the log says that their changes are withheld."""

_OF_PEERS: frozenset[FactKind] = frozenset({"Pool", "Conf", "Peer", "Advertisement"})
"""What decides which prefix goes to which peer."""

_log = structlog.get_logger(__name__)


class Taken(NamedTuple):
    """An event to be journaled now, and what it belongs to."""

    event: Event
    correlation: str


class Intake:
    """The keys of objects that changed, those among them that wait, and those that were judged and may pass."""

    def __init__(
        self, source: Source, rule: Rule, clock: Clock, speakers: Callable[[], lost_peers.Speakers] = lambda: None
    ) -> None:
        """`speakers` tells which there are; a change of topology is judged by it."""
        self.dirty: set[FactKey] = set()
        self._source = source
        self._rule = rule
        self._clock = clock
        self._waiting: set[FactKey] = set()
        self._speakers = speakers
        self._withheld: set[FactKey] = set()
        # Of Nodes among them: the labels that are withheld.
        self._labels: dict[FactKey, Pairs] = {}
        self._judged_by: lost_peers.Speakers = None
        # What vanished, or was put off, while its kind was being listed: what is so is known when that is through.
        self._unseen: set[FactKey] = set()
        # What facts took from their last peer lately (monotonic); a new leader begins to count anew.
        self._lost_s: dict[Prefix, float] = {}
        # What was judged of each key: should the source say something else by then, that is judged again.
        self._passed: dict[FactKey, tuple[Event, ...]] = {}
        self._due_s = 0.0
        self._latest_s = 0.0

    def __bool__(self) -> bool:
        """Whether there is anything left to take, now or later."""
        return bool(self.dirty or self._waiting)

    @property
    def settled(self) -> bool:
        """Whether every fact that was judged is journaled: what was held for it can be looked at."""
        unseen = any(key.kind not in _OF_PEERS for key in self._unseen)
        return not self._waiting and not self._passed and not unseen

    @property
    def withholding(self) -> bool:
        """Whether facts wait for the end of a hold, or may do so once they are known."""
        return bool(self._withheld) or any(key.kind in _OF_PEERS for key in self._unseen)

    @property
    def due_s(self) -> float | None:
        """When (monotonic) what waits is to be judged; None while nothing waits."""
        return min(self._due_s, self._latest_s) if self._waiting else None

    def put_off(self, keys: Iterable[FactKey]) -> None:
        """Take nothing of these keys before all of their kind is listed."""
        self._unseen |= {key for key in keys if not self._source.listed(key.kind)}
        self.dirty -= self._unseen

    def take(
        self, state: Callable[[], ClusterState], full: Callable[[], bool], *, time_ms: int, hurry: bool
    ) -> Iterator[Taken]:
        """Yield what is to be journaled now, in order; each must be folded before the next is asked for.

        With `hurry` nothing waits longer than until all else is taken. Ends early once `full` says so.
        """
        seen = {key for key in self._unseen if self._source.listed(key.kind)}
        self.dirty |= seen
        self._unseen -= seen
        self._release(state())
        if self._withheld and self._known_speakers() != self._judged_by:
            self._judge_again()
        self._keep_nodes(state())
        due_s = self.due_s
        if due_s is not None and (self._clock.monotonic_s() >= due_s or (hurry and not self.dirty)):
            for held in self._judge(state, time_ms):
                yield Taken(held, held.aggregate)
        for key in facts.in_order(self.dirty):
            if full():
                return
            self.dirty.discard(key)
            if self._source.listed(key.kind) or (key in self._source.facts and key not in self._unseen):
                yield from self._of_key(state, key)
            else:
                self._unseen.add(key)
                self._passed.pop(key, None)

    def _of_key(self, state: Callable[[], ClusterState], key: FactKey) -> Iterator[Taken]:
        if self._withheld and (key.kind in _OF_PEERS or self._relabels(state(), key)):
            # It may bring back what the withheld facts take.
            self._judge_again()
        for fact in self._differences(state(), key):
            if self._waits(state(), key, fact):
                return
            yield Taken(fact, f"{fact.aggregate}@{getattr(fact, 'resource_version', '')}")
            if isinstance(fact, ServiceObserved | ServiceGone):
                # A Service's endpoints come and go with it.
                endpoints = facts.endpoints_key(key)
                for other in facts.differences(state(), self._source, endpoints):
                    if endpoints not in self._unseen and not self._waits(state(), endpoints, other):
                        yield Taken(other, other.aggregate)
        self._passed.pop(key, None)

    def _waits(self, state: ClusterState, key: FactKey, fact: Event) -> bool:
        if fact in self._passed.get(key, ()):
            return False
        may_lose = takes_last(state, fact) if isinstance(fact, EndpointsObserved) else lost_peers.may_lose(state, fact)
        if not may_lose or not may_hold(state, self._rule):
            return False
        self._wait(key)
        return True

    def _differences(self, state: ClusterState, key: FactKey) -> Iterator[Event]:
        """What the journal lags behind one object by, but for labels that are withheld."""
        for fact in facts.differences(state, self._source, key):
            before = state.inventory.nodes.get(key.name) if key in self._labels else None
            if before is None or not isinstance(fact, NodeObserved):
                yield fact
            elif not same_fact(before, as_labelled := fact._replace(labels=before.labels), frozenset(), False):
                yield as_labelled

    def _relabels(self, state: ClusterState, key: FactKey) -> bool:
        """Whether a Node has other labels than were judged last."""
        if key.kind != "Node":
            return False
        now, before = self._source.facts.get(key), state.inventory.nodes.get(key.name)
        judged = self._labels.get(key, before.labels if before is not None else None)
        return judged is not None and judged != (now.labels if isinstance(now, NodeObserved) else None)

    def _known_speakers(self) -> lost_peers.Speakers:
        """The speakers that there are, or those that were judged by last where nobody can say now."""
        speakers = self._speakers()
        return self._judged_by if speakers is None else speakers

    def _judge_again(self) -> None:
        for withheld in self._withheld:
            self._wait(withheld)
        self._withheld.clear()
        self._labels.clear()

    def _wait(self, key: FactKey) -> None:
        now_s = self._clock.monotonic_s()
        if not self._waiting:
            self._latest_s = now_s + WAIT_S_MAX
        if key not in self._waiting:
            self._due_s = now_s + QUIET_S
        self._waiting.add(key)

    def _keep_nodes(self, state: ClusterState) -> None:
        """Nodes are looked at together: of a list that names none, each alone would leave the others."""
        keys = [key for key in self.dirty if key.kind == "Node"]
        if not keys:
            return
        waiting = [key for key in self._waiting if key.kind == "Node"]
        removing = {
            key: fact
            for key in (*keys, *waiting)
            for fact in self._differences(state, key)
            if fact not in self._passed.get(key, ()) and removes_next_hop(state, fact)
        }
        if removing and nodes_take_last(state, removing.values()) and may_hold(state, self._rule):
            for key in removing:
                self.dirty.discard(key)
                self._wait(key)

    def _release(self, state: ClusterState) -> None:
        """Let pass what was withheld once its hold is over: nobody asks for the same approval twice."""
        standing = any(hold.of_facts for hold in state.ledger.holds.open.values())
        if not self._withheld or (standing and may_hold(state, self._rule)):
            return
        self._labels.clear()
        for key in self._withheld:
            self._passed[key] = tuple(self._differences(state, key))
        self.dirty |= self._withheld
        self._withheld.clear()
        self._lost_s.clear()

    def _judge(self, state: Callable[[], ClusterState], time_ms: int) -> Iterator[WithdrawalHeld]:
        """Decide about all that waits; it is taken next, behind the holds that are given."""
        if self._withheld and any(self._relabels(state(), key) for key in self._waiting):
            # Nodes that lose next hops as well were not looked at on their way here.
            self._judge_again()
        keys, self._waiting = facts.in_order(self._waiting), set()
        self.dirty.update(keys)
        for key in keys:
            self._passed[key] = tuple(self._differences(state(), key))
        losing = [fact for key in keys if key.kind not in _OF_PEERS for fact in self._passed[key]]
        for held in withdrawals(state(), losing, self._rule, time_ms=time_ms):
            _tell(held, "too many prefixes would lose their last next hop at once")
            yield held
        of_peers = {
            fact: key
            for key in keys
            for fact in self._passed[key]
            if key.kind in _OF_PEERS or (isinstance(fact, NodeObserved) and lost_peers.may_lose(state(), fact))
        }
        if of_peers:
            yield from self._judge_of_peers(state(), of_peers)

    def _judge_of_peers(self, state: ClusterState, of_peers: dict[Event, FactKey]) -> Iterator[WithdrawalHeld]:
        now_s = self._clock.monotonic_s()
        self._lost_s = {each: at_s for each, at_s in self._lost_s.items() if now_s - at_s < WINDOW_MS / 1000}
        self._judged_by = self._known_speakers()
        found = lost_peers.withheld(state, tuple(of_peers), self._rule, frozenset(self._lost_s), self._judged_by)
        if not found.facts:
            self._lost_s |= dict.fromkeys(found.prefixes, now_s)
            return
        self._withheld = {of_peers[fact] for fact in found.facts}
        self._labels = {of_peers[fact]: fact.labels for fact in found.facts if isinstance(fact, NodeObserved)}
        for key in self._withheld - self._labels.keys():
            self.dirty.discard(key)
            del self._passed[key]
        for key in self._labels:
            self._passed[key] = tuple(self._differences(state, key))
        objects = sorted(f"{key.kind} {key.name}" for key in self._withheld)
        for held in lost_peers.hold(state, found, self._rule):
            _tell(held, "too many prefixes would go to no peer any more", changes_of=objects[:OBJECTS_TOLD_MAX])
            yield held


def _tell(held: WithdrawalHeld, why: str, **more: object) -> None:
    _log.error(
        f"withdrawals are held back: {why}",
        hold=held.hold,
        cause=held.cause,
        prefixes=len(held.prefixes),
        lost=held.lost,
        total=held.total,
        bound_s=held.bound_ms / 1000,
        mend=f"`porter approve {held.hold}` lets it happen",
        **more,
    )
