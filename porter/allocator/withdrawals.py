"""The blast-radius guard: which withdrawals are held back, decided before the facts that would cause them.

A prefix that loses its last next hop leaves its clients nowhere to go: one Service without endpoints is everyday, a
third of all at once is more often a mistake (an empty list, a selector that matches nothing, labels on every node).

1. A fact is *losing* if by it, or together with others that wait, a prefix would lose its last next hop.
2. Losing facts are judged together, on a copy of the state: which prefixes would have no next hop left, and why.
3. Those of one cause, with those that it took within the last minute, are more than the rule's share of all prefixes
   and at least its minimum: `WithdrawalHeld` names them, and stands in the journal before the facts.

Nodes that turn NotReady are not judged here: `porter.projections.readiness` has kept what it keeps of them. A Service
that is deleted, drained, or of another class is never held; neither is an address that is given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from porter.events.catalogue import Event
from porter.events.decided import WithdrawalHeld
from porter.events.envelope import Envelope
from porter.events.observed import EndpointsObserved, NodeGone, NodeObserved
from porter.model.address import FAMILIES, Family, Prefix, prefix_address
from porter.model.reasons import Reason
from porter.policy.next_hops import LOCAL, node_next_hops, serving_nodes
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold

WINDOW_MS = 60_000
"""Losses of one cause within this time count together."""
PREFIXES_PER_EVENT = 4096


class Rule(NamedTuple):
    """How much may be withdrawn at once, and how long more than that is held.

    A Service with externalTrafficPolicy Local that has no endpoint is held for `local_bound_ms` at most: its nodes
    drop what still comes.
    """

    share_percent: int = 25
    minimum: int = 20
    bound_ms: int = 600_000
    local_bound_ms: int = 5_000


def may_hold(state: ClusterState, rule: Rule) -> bool:
    """Whether there is anything to guard: fewer prefixes than the minimum may go at any time."""
    rib = state.loc_rib
    return state.ledger.open and rule.share_percent < 100 and len(rib.routes) + len(rib.absent) >= rule.minimum


def breaks(rule: Rule, count: int, total: int) -> bool:
    """Whether so many of so many prefixes are too many to go at once."""
    return count >= rule.minimum and count * 100 > rule.share_percent * total


def takes_last(state: ClusterState, fact: EndpointsObserved) -> bool:
    """Whether by these endpoints a prefix of the Service would have no next hop of this Service any more."""
    key = f"{fact.namespace}/{fact.name}"
    uid = state.inventory.service_uids.get(key)
    if uid is None or not state.pools.of(uid):
        return False
    policy = state.inventory.services[uid].traffic_policy
    before = state.inventory.endpoints.get(key)
    return any(
        _reached(state, policy, serving_nodes(before, family), family)
        and not _reached(state, policy, serving_nodes(fact, family), family)
        for family in FAMILIES
    )


def _reached(state: ClusterState, policy: str, serving: tuple[str, ...], family: Family) -> bool:
    if policy != LOCAL:
        return bool(serving)
    eligible = state.loc_rib.eligible[family]
    return any(node in eligible for node in serving)


def removes_next_hop(state: ClusterState, fact: Event) -> bool:
    """Whether a Node would cease to be a next hop of a family for another reason than that it turned NotReady."""
    if not isinstance(fact, NodeGone | NodeObserved):
        return False
    had = [family for family in FAMILIES if fact.name in state.loc_rib.eligible[family]]
    if not had or isinstance(fact, NodeGone):
        return bool(had)
    extended = state.inventory.extended_next_hops
    now = node_next_hops(fact._replace(ready=True), False, state.ledger.path_identifiers, extended=extended)
    return any(family not in now for family in had)


def nodes_take_last(state: ClusterState, facts: Iterable[Event]) -> bool:
    """Whether a prefix would lose its last next hop if all of these Nodes ceased to be next hops."""
    names = {fact.name for fact in facts if isinstance(fact, NodeGone | NodeObserved)}
    inventory, rib = state.inventory, state.loc_rib
    for family in FAMILIES:
        eligible = rib.eligible[family].keys()
        if not eligible & names:
            continue
        if not eligible - names:
            return True
        for key, endpoints in inventory.endpoints.items():
            uid = inventory.service_uids.get(key)
            if uid is None or inventory.services[uid].traffic_policy != LOCAL:
                continue
            reached = eligible & set(serving_nodes(endpoints, family))
            if reached and reached <= names:
                return True
    return False


def withdrawals(state: ClusterState, facts: Sequence[Event], rule: Rule, *, time_ms: int) -> tuple[WithdrawalHeld, ...]:
    """What must be held before these facts are journaled; empty if they take no more than the rule allows.

    The events are to be journaled next, in this order: the first one's position names its hold.
    """
    within_window = sum(1 for lost in state.loc_rib.lost.values() if lost.since_ms >= time_ms - WINDOW_MS)
    if within_window + _concerned(state, facts) < rule.minimum:
        return ()
    losing = _lost_by(state, facts)
    held: list[WithdrawalHeld] = []
    for cause in sorted(set(losing.values())):
        now = [prefix for prefix in sorted(losing) if losing[prefix] == cause]
        recent = _recently_lost(state, cause, time_ms)
        total = len(state.loc_rib.routes) + sum(1 for prefix in recent if prefix not in state.loc_rib.routes)
        count = len(recent.union(now))
        if not breaks(rule, count, total):
            continue
        for bound_ms, prefixes in _by_bound(state, cause, now, rule):
            broken = (count, total, rule.share_percent, rule.minimum, bound_ms)
            number = _open_hold(state, cause, bound_ms, time_ms) or state.ledger.position + 1 + len(held)
            for start in range(0, len(prefixes), PREFIXES_PER_EVENT):
                some = tuple(prefixes[start : start + PREFIXES_PER_EVENT])
                held.append(WithdrawalHeld(number, cause, some, *broken))
    return tuple(held)


def _concerned(state: ClusterState, facts: Iterable[Event]) -> int:
    """At most so many prefixes are concerned: a copy of the state is only made where that could be too many."""
    count = 0
    for fact in facts:
        if not isinstance(fact, EndpointsObserved):
            return len(state.loc_rib.routes)
        uid = state.inventory.service_uids.get(f"{fact.namespace}/{fact.name}", "")
        count += len(state.pools.of(uid))
    return count


def _lost_by(state: ClusterState, facts: Iterable[Event]) -> dict[Prefix, Reason]:
    """The prefixes with next hops of their own now that would have none, and why; those that are held already aside."""
    ledger = state.ledger
    if_so = fold(
        state.fork(),
        (
            Envelope(position, ledger.epoch, ledger.time_ms, 0, "", "", fact)
            for position, fact in enumerate(facts, ledger.position + 1)
        ),
    )
    routes, before = state.loc_rib.routes, state.loc_rib.lost
    kept = {prefix for prefix, held in ledger.holds.routes.items() if held.next_hops}
    return {
        prefix: lost.reason
        for prefix, lost in if_so.loc_rib.lost.items()
        if prefix in routes and prefix not in before and prefix not in kept
    }


def _recently_lost(state: ClusterState, cause: str, time_ms: int) -> set[Prefix]:
    """The prefixes that the same cause took within the window, and that nobody said may go."""
    since_ms = max(time_ms - WINDOW_MS, state.ledger.holds.settled_ms.get(cause, -1) + 1)
    return {prefix for prefix, lost in state.loc_rib.lost.items() if lost.reason == cause and lost.since_ms >= since_ms}


def _by_bound(
    state: ClusterState, cause: str, prefixes: Iterable[Prefix], rule: Rule
) -> Iterable[tuple[int, list[Prefix]]]:
    by_bound: dict[int, list[Prefix]] = {}
    for prefix in prefixes:
        short = cause == Reason.NO_READY_ENDPOINT and _only_local(state, prefix)
        bound_ms = min(rule.bound_ms, rule.local_bound_ms) if short else rule.bound_ms
        by_bound.setdefault(bound_ms, []).append(prefix)
    return sorted(by_bound.items())


def _only_local(state: ClusterState, prefix: Prefix) -> bool:
    services = state.inventory.services
    holders = state.pools.by_address.get(prefix_address(prefix), ())
    return all(services[one.uid].traffic_policy == LOCAL for one in holders if one.uid in services)


def _open_hold(state: ClusterState, cause: str, bound_ms: int, time_ms: int) -> int | None:
    """The hold that more losses of the same outage belong to."""
    for number, hold in state.ledger.holds.open.items():
        if (hold.cause, hold.bound_ms) == (cause, bound_ms) and hold.since_ms >= time_ms - WINDOW_MS:
            return number
    return None
