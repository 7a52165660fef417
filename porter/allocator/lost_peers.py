"""The blast-radius guard's second question: which prefixes would go to no peer any more if facts about the conf, peers,
advertisements or pools were journaled.

1. A prefix *goes to a peer* that is not shut down, whose families it is of, and that the advertisements give it to.
2. With the last advertisement goes what all of them say: every prefix counts as lost, although every peer would be
   given it, with no attribute and against what somebody wrote.
3. A peer that the facts shut down (`adminDown`) still counts: that is said of one peer, in a field made for it.
4. If more are lost than the rule allows, the facts wait: all removals, and those edits that lose some by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import filterfalse
from typing import NamedTuple

from porter.allocator.withdrawals import PREFIXES_PER_EVENT, Rule, breaks
from porter.events.catalogue import Event
from porter.events.decided import WithdrawalHeld
from porter.events.observed import (
    AdvertisementGone,
    AdvertisementObserved,
    ConfGone,
    ConfObserved,
    PeerGone,
    PeerObserved,
    PoolObserved,
)
from porter.model.address import Prefix, family_of
from porter.model.reasons import Reason
from porter.policy.advertisements import PeerPolicy
from porter.projections.adj_rib_out import announced_by_bgp
from porter.projections.cluster import ClusterState
from porter.projections.exports import Exports
from porter.projections.inventory import DEFAULT_CONF, Inventory

ASKED_MAX = 20_000
"""Edits are asked about one by one while that is about so many prefixes at most; of more, all wait together."""

_OF_PEER = ("families", "node_selector", "node_expressions", "labels", "address")
_OF_ADVERTISEMENT = (
    "pools", "pool_selector", "service_selector", "peers", "peer_selector", "node_selectors", "prefixes", "neighbors"
)  # fmt: skip
"""What decides whether a prefix goes to a peer; all else is what it goes there as."""

_Removal = ConfGone | PeerGone | AdvertisementGone


class Withheld(NamedTuple):
    """What must not be journaled now, and the prefixes that it is about; both empty where nothing is in the way."""

    facts: frozenset[Event]
    prefixes: frozenset[Prefix]


def may_lose(state: ClusterState, fact: Event) -> bool:
    """Whether a fact could take a prefix from a peer: what is new cannot, but for the first advertisement."""
    inventory = state.inventory
    match fact:
        case ConfGone() | PeerGone() | AdvertisementGone():
            return True
        case AdvertisementObserved():
            former = inventory.advertisements.get(fact.name)
            return not inventory.advertisements or _differ(former, fact, _OF_ADVERTISEMENT)
        case PeerObserved():
            return _differ(inventory.peers.get(fact.name), fact, _OF_PEER)
        case PoolObserved():
            return _differ(inventory.pools.get(fact.name), fact, ("labels",))
        case _:
            return False


def _differ(before: Event | None, now: Event, fields: Iterable[str]) -> bool:
    return before is not None and any(getattr(before, name) != getattr(now, name) for name in fields)


def withheld(state: ClusterState, facts: Sequence[Event], rule: Rule, recent: frozenset[Prefix]) -> Withheld:
    """What of these facts must wait, by the rule; `recent` was lost a short while before."""
    goes = _Going(state, state.inventory, state.exports, _shut_down(state.inventory))
    before = frozenset(filter(goes, state.loc_rib.routes))
    lost = frozenset(_losses(state, facts, before))
    if not breaks(rule, len(lost | (recent - before)), len(state.loc_rib.routes)):
        return Withheld(frozenset(), lost)
    edits = [fact for fact in facts if not isinstance(fact, _Removal)]
    harmless: list[Event] = []
    if len(edits) * len(before) <= ASKED_MAX:
        harmless = [fact for fact in edits if not any(_losses(state, (fact,), before))]
    if len(harmless) > 1 and any(_losses(state, harmless, before)):
        harmless = []
    return Withheld(frozenset(facts).difference(harmless), lost)


def hold(state: ClusterState, withheld: Withheld, rule: Rule) -> tuple[WithdrawalHeld, ...]:
    """The hold of withheld facts, or the prefixes that one that stands is about by now as well."""
    holds, routes = state.ledger.holds, state.loc_rib.routes
    standing = {number: one for number, one in holds.open.items() if one.of_facts}
    number = next(iter(standing), state.ledger.position + 1)
    named = {prefix for prefix, route in holds.routes.items() if route.hold in standing or route.next_hops}
    fresh = sorted(withheld.prefixes - named) if standing else sorted(withheld.prefixes)
    if number in standing:
        cause = standing[number].cause
    else:
        of_peers = any(isinstance(fact, PeerGone | PeerObserved | ConfGone | ConfObserved) for fact in withheld.facts)
        cause = Reason.NO_PEER if of_peers else Reason.NOT_ADVERTISED
    broken = (len(withheld.prefixes), len(routes), rule.share_percent, rule.minimum, rule.bound_ms)
    return tuple(
        WithdrawalHeld(number, cause, tuple(fresh[start : start + PREFIXES_PER_EVENT]), *broken)
        for start in range(0, len(fresh), PREFIXES_PER_EVENT)
    )


def _losses(state: ClusterState, facts: Iterable[Event], before: frozenset[Prefix]) -> Iterator[Prefix]:
    """Those of the prefixes that would go to no peer behind the facts."""
    inventory = state.inventory.fork()
    for fact in facts:
        _take(inventory, fact)
    if state.inventory.advertisements and not inventory.advertisements:
        return iter(before)
    exports = Exports(inventory, state.pools, state.loc_rib)
    return filterfalse(_Going(state, inventory, exports, _shut_down(state.inventory)), before)


def _take(inventory: Inventory, fact: Event) -> None:
    match fact:
        case ConfGone():
            inventory.drop("Conf", fact.name)
        case PeerGone():
            inventory.drop("Peer", fact.name)
        case AdvertisementGone():
            inventory.drop("Advertisement", fact.name)
        case ConfObserved():
            inventory.put("Conf", fact, 0)
        case PeerObserved():
            inventory.put("Peer", fact, 0)
        case AdvertisementObserved():
            inventory.put("Advertisement", fact, 0)
        case PoolObserved():
            inventory.put("Pool", fact, 0)


def _shut_down(inventory: Inventory) -> frozenset[str]:
    return frozenset(name for name in inventory.peers if (fact := inventory.good_peer(name)) and fact.admin_down)


class _Going:
    """Whether a prefix goes to a peer, by one inventory; `shut_down` names the peers that do not count."""

    def __init__(self, state: ClusterState, inventory: Inventory, exports: Exports, shut_down: frozenset[str]) -> None:
        self._state = state
        self._exports = exports
        # Routers are many, and ways to choose what they are given few: each way is asked once.
        self._choices: dict[object, tuple[tuple[str, ...], PeerPolicy]] = {}
        if inventory.good_conf(DEFAULT_CONF) is None:
            return
        for name in inventory.peers:
            fact, policy = inventory.good_peer(name), exports.policy(name)
            if fact is not None and policy is not None and name not in shut_down:
                self._choices[fact.families, policy.choice] = fact.families, policy

    def __call__(self, prefix: Prefix) -> bool:
        family = family_of(prefix)
        for families, policy in self._choices.values():
            if family in families and (policy.plain or self._is_given(policy, prefix)):
                return announced_by_bgp(self._state, prefix)
        return False

    def _is_given(self, policy: PeerPolicy, prefix: Prefix) -> bool:
        given = self._exports.reached(policy, prefix)
        return given is not None and bool(given.next_hops)
