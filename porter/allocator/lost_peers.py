"""The blast-radius guard's second question: which prefixes would go to no peer any more if facts about the conf, peers,
advertisements or pools, or labels of nodes, were journaled.

1. A prefix *goes to a peer* that is not shut down, whose families it is of, and that the advertisements give it to.
2. With the last advertisement goes what all of them say: every prefix counts as lost, although every peer would be
   given it, with no attribute and against what somebody wrote.
3. A peer that the facts shut down (`adminDown`) still counts: that is said of one peer, in a field made for it.
4. A peer that the facts give another topology counts where a speaker is there to serve it: some central one, or the
   agent of a node that is a next hop of the prefix. Where nobody can say which speakers there are, it counts.
5. If more are lost than the rule allows, the facts wait: all removals, and those edits that lose some by themselves.
   Of a node its labels wait alone.
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
    NodeObserved,
    PeerGone,
    PeerObserved,
    PoolObserved,
)
from porter.model.address import Prefix, family_of
from porter.model.bgp import node_of
from porter.model.reasons import Reason
from porter.model.selector import Selector
from porter.policy.advertisements import PeerPolicy
from porter.policy.selectors import matches
from porter.policy.topology import serves, topology_of
from porter.projections.adj_rib_out import announced_by_bgp
from porter.projections.cluster import ClusterState
from porter.projections.exports import Exports
from porter.projections.inventory import DEFAULT_CONF, Inventory

ASKED_MAX = 20_000
"""Edits are asked about one by one while that is about so many prefixes at most; of more, all wait together."""

_OF_PEER = ("families", "node_selector", "node_expressions", "labels", "address", "topology")
_OF_ADVERTISEMENT = (
    "pools", "pool_selector", "service_selector", "peers", "peer_selector", "node_selectors", "prefixes", "neighbors"
)  # fmt: skip
_CHOOSING: dict[type, tuple[str, tuple[str, ...]]] = {
    PeerObserved: ("Peer", _OF_PEER),
    PoolObserved: ("Pool", ("labels",)),
    ConfObserved: ("Conf", ("topology",)),
}
"""What decides whether a prefix goes to a peer; all else is what it goes there as."""

Speakers = frozenset[str] | None
"""The names of the speakers that there are; None where nobody can say."""

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
        case NodeObserved():
            return _unselects(state, fact)
        case PeerObserved() | PoolObserved() | ConfObserved():
            kind, fields = _CHOOSING[type(fact)]
            return _differ(inventory.get(kind, fact.name), fact, fields)
        case _:
            return False


def _unselects(state: ClusterState, fact: NodeObserved) -> bool:
    """Whether a selector of a peer or an advertisement matches a node's labels no more."""
    before, inventory = state.inventory.nodes.get(fact.name), state.inventory
    if before is None or before.labels == fact.labels:
        return False
    selectors = {Selector(peer.node_selector, peer.node_expressions) for peer in inventory.peers.values()}
    selectors.update(*(one.node_selectors for one in state.exports.advertisements))
    return any(matches(one, before.labels) and not matches(one, fact.labels) for one in selectors)


def _differ(before: Event | None, now: Event, fields: Iterable[str]) -> bool:
    return before is not None and any(getattr(before, name) != getattr(now, name) for name in fields)


def withheld(
    state: ClusterState, facts: Sequence[Event], rule: Rule, recent: frozenset[Prefix], speakers: Speakers = None
) -> Withheld:
    """What of these facts must wait, by the rule; `recent` was lost a short while before."""
    goes = _Going(state, state.inventory, state.exports, None)
    before = frozenset(filter(goes, state.loc_rib.routes))
    lost = frozenset(_losses(state, facts, before, speakers))
    if not breaks(rule, len(lost | (recent - before)), len(state.loc_rib.routes)):
        return Withheld(frozenset(), lost)
    edits = [fact for fact in facts if not isinstance(fact, _Removal)]
    harmless: list[Event] = []
    if len(edits) * len(before) <= ASKED_MAX:
        harmless = [fact for fact in edits if not any(_losses(state, (fact,), before, speakers))]
    if len(harmless) > 1 and any(_losses(state, harmless, before, speakers)):
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


def _losses(
    state: ClusterState, facts: Iterable[Event], before: frozenset[Prefix], speakers: Speakers
) -> Iterator[Prefix]:
    """Those of the prefixes that would go to no peer behind the facts."""
    inventory = state.inventory.fork()
    for fact in facts:
        _take(inventory, fact)
    if state.inventory.advertisements and not inventory.advertisements:
        return iter(before)
    exports = Exports(inventory, state.pools, state.loc_rib)
    return filterfalse(_Going(state, inventory, exports, speakers), before)


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
        case NodeObserved() if (node := inventory.nodes.get(fact.name)) is not None:
            inventory.nodes[fact.name] = node._replace(labels=fact.labels)


def _moved(state: ClusterState, inventory: Inventory, speakers: frozenset[str]) -> dict[str, frozenset[str] | None]:
    """The peers that are of another topology by an inventory, each with the nodes whose agents serve it there; with
    None where central speakers do, and with no node where nobody does."""
    conf_before, conf = state.inventory.good_conf(DEFAULT_CONF), inventory.good_conf(DEFAULT_CONF)
    moved: dict[str, frozenset[str] | None] = {}
    for name in inventory.peers:
        before, now = state.inventory.good_peer(name), inventory.good_peer(name)
        if before is None or now is None or topology_of(before, conf_before) == topology_of(now, conf):
            continue
        nodes = frozenset(node_of(one) for one in speakers if serves(one, now, conf, inventory.nodes))
        moved[name] = None if "" in nodes else nodes
    return moved


def _shut_down(inventory: Inventory) -> frozenset[str]:
    return frozenset(name for name in inventory.peers if (fact := inventory.good_peer(name)) and fact.admin_down)


class _Going:
    """Whether a prefix goes to a peer, by one inventory. Of peers that it gives another topology than the state does,
    the `speakers` decide whether they count."""

    def __init__(self, state: ClusterState, inventory: Inventory, exports: Exports, speakers: Speakers) -> None:
        self._state = state
        self._exports = exports
        # Routers are many, and ways to choose what they are given few: each way is asked once.
        self._choices: dict[object, tuple[tuple[str, ...], PeerPolicy, frozenset[str] | None]] = {}
        if inventory.good_conf(DEFAULT_CONF) is None:
            return
        shut_down = _shut_down(state.inventory)
        moved = {} if speakers is None else _moved(state, inventory, speakers)
        for name in inventory.peers:
            fact, policy = inventory.good_peer(name), exports.policy(name)
            if fact is not None and policy is not None and name not in shut_down:
                agents = moved.get(name)
                self._choices[fact.families, policy.choice, agents] = fact.families, policy, agents

    def __call__(self, prefix: Prefix) -> bool:
        family = family_of(prefix)
        for families, policy, agents in self._choices.values():
            if family in families and self._is_given(policy, prefix, agents):
                return announced_by_bgp(self._state, prefix)
        return False

    def _is_given(self, policy: PeerPolicy, prefix: Prefix, agents: frozenset[str] | None) -> bool:
        if policy.plain and agents is None:
            return True
        given = self._exports.reached(policy, prefix)
        if given is None:
            return False
        return any(agents is None or hop.node in agents for hop in given.next_hops)
