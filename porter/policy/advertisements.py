"""Which routes go to which peers, through which nodes, and as what: what BgpAdvertisements say.

1. Without any advertisement every route goes to every peer, with no attribute but its next hop.
2. With some, a route goes to a peer if one of them is about the route's pool, its Service, its prefix and the peer.
   Names, selectors and addresses of one kind are alternatives; a kind that is not given restricts nothing.
3. Next hops are the nodes that one of the matching advertisements selects (one without nodeSelectors selects all), and
   that the peer's own nodeSelector selects.
4. A path carries what those of them say that select its node: their communities united, and of each single value the
   oldest one's. The younger one is told by a condition (`porter.policy.advertisement_problems`); the rest of it counts.
5. LOCAL_PREF is for internal sessions, and our own number in the AS path for external ones: elsewhere they are left out
   (RFC 4271, sections 5.1.5 and 5.1.2; in an internal path it would be a loop to the peer).
6. A malformed advertisement counts as it was when it was last well-formed, and not at all if it never was: a typing
   error neither takes a route away nor gives it to peers that nobody named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Literal, NamedTuple, TypeVar, cast

from porter.events.observed import (
    AdvertisedPrefixes,
    AdvertisementObserved,
    NodeObserved,
    PeerObserved,
    ServiceObserved,
)
from porter.model.address import IPV4, Address, Family, Prefix
from porter.model.bgp import NextHop, PathAttributes
from porter.model.selector import Pairs, Selector
from porter.policy.selectors import matches, matches_any

NOWHERE = Address("")
PLAIN = PathAttributes(NOWHERE)
"""The attributes of a route that no advertisement says more of; the next hop is set by the caller."""

Single = Literal["local_pref", "med", "as_path_prepend", "aggregation_length", "aggregation_length_v6"]
SINGLE_VALUES: Mapping[Single, str] = {
    "local_pref": "spec.localPref",
    "med": "spec.med",
    "as_path_prepend": "spec.asPathPrepend",
    "aggregation_length": "spec.aggregationLength",
    "aggregation_length_v6": "spec.aggregationLengthV6",
}
"""The attributes of which a route has one value, with the field that sets each."""

_Value = TypeVar("_Value")


def single_value(fact: AdvertisementObserved, name: Single) -> int | None:
    """What an advertisement sets a single-valued attribute to; None where it does not set it."""
    value = cast("int | None", getattr(fact, name))
    return value if value is not None and (value or name in {"local_pref", "med"}) else None


def by_age(facts: Iterable[AdvertisementObserved]) -> tuple[AdvertisementObserved, ...]:
    """The oldest first, and of equal age by name."""
    return tuple(sorted(facts, key=lambda fact: (fact.created_ms, fact.name)))


def about_pool(fact: AdvertisementObserved, name: str, labels: Pairs) -> bool:
    """Whether an advertisement is about a pool."""
    if not fact.pools and not fact.pool_selector:
        return True
    return name in fact.pools or matches_any(fact.pool_selector, labels)


def about_peer(fact: AdvertisementObserved, peer: PeerObserved) -> bool:
    """Whether an advertisement is about a peer."""
    if not fact.peers and not fact.peer_selector and not fact.neighbors:
        return True
    named = peer.name in fact.peers or peer.address in fact.neighbors
    return named or matches_any(fact.peer_selector, peer.labels)


def about_service(fact: AdvertisementObserved, services: Iterable[ServiceObserved]) -> bool:
    """Whether an advertisement is about one of the Services that hold an address."""
    return not fact.service_selector or any(matches_any(fact.service_selector, one.labels) for one in services)


def about_prefix(fact: AdvertisementObserved, prefix: Prefix) -> bool:
    """Whether an advertisement is about a prefix."""
    return not fact.prefixes or any(_within(prefix, bounds) for bounds in fact.prefixes)


def about_node(fact: AdvertisementObserved, labels: Pairs) -> bool:
    """Whether an advertisement lets a node be a next hop."""
    return not fact.node_selectors or matches_any(fact.node_selectors, labels)


def left_out(
    fact: AdvertisementObserved, peer: PeerObserved, pool: tuple[str, Pairs], services: Sequence[ServiceObserved]
) -> str:
    """What of an advertisement leaves a route to a peer out, as a clause; "" where nothing but the prefix could.

    `pool` is the name and the labels of the pool that the address counts for; `services` hold the address.
    """
    if not about_peer(fact, peer):
        return "it is about other peers (spec.peers, spec.peerSelector)"
    if not about_pool(fact, *pool):
        return "it is about other Eips (spec.eips, spec.eipSelector)"
    if not about_service(fact, services):
        return "it is about other Services (spec.serviceSelector)"
    return ""


def about_every_service(fact: AdvertisementObserved) -> bool:
    """Whether an advertisement leaves out no Service of its pools: only such a one can aggregate them."""
    return not fact.service_selector and not fact.prefixes


def _within(prefix: Prefix, bounds: AdvertisedPrefixes) -> bool:
    network, outer = ip_network(prefix), ip_network(bounds.prefix)
    if network.version != outer.version or not bounds.min_length <= network.prefixlen <= bounds.max_length:
        return False
    return network.prefixlen >= outer.prefixlen and network.network_address in outer


def template(facts: Sequence[AdvertisementObserved], *, internal: bool) -> PathAttributes:
    """The attributes that advertisements, the oldest first, give together to a path of one session."""
    prepend = first_set(single_value(fact, "as_path_prepend") for fact in facts)
    return PathAttributes(
        NOWHERE,
        med=first_set(single_value(fact, "med") for fact in facts),
        local_pref=first_set(single_value(fact, "local_pref") for fact in facts) if internal else None,
        communities=tuple(sorted({one for fact in facts for one in fact.communities})),
        large_communities=tuple(sorted({one for fact in facts for one in fact.large_communities})),
        as_path_prepend=0 if internal else prepend or 0,
    )


def first_set(values: Iterable[_Value | None]) -> _Value | None:
    """The first value that is set."""
    return next((value for value in values if value is not None), None)


class _OfPool(NamedTuple):
    """The advertisements about one pool, and whether some of them leave out some of its routes."""

    which: tuple[int, ...]
    choosy: bool


Which = tuple[int, ...]
"""Advertisements of one `PeerPolicy` by their index, the oldest first."""


class PeerPolicy:
    """What all advertisements together say of one peer. It remembers what was asked; make a new one when a fact of
    an advertisement, the peer or a pool, or a node's labels change.

    `plain` says that the peer is given every route through every node, with plain attributes; `aggregates`, whether
    it is given aggregates of any pool.
    """

    __slots__ = (
        "_facts",
        "_node_facts",
        "_nodes",
        "_of_node",
        "_of_pool",
        "_pool_labels",
        "_select_nodes",
        "_selector",
        "_templates",
        "aggregates",
        "internal",
        "plain",
    )

    def __init__(
        self,
        peer: PeerObserved,
        advertisements: Sequence[AdvertisementObserved],
        nodes: Mapping[str, NodeObserved],
        pool_labels: Callable[[str], Pairs],
        *,
        internal: bool,
    ) -> None:
        """Args:
        peer: the peer's fact.
        advertisements: all that count, `by_age`; none lets everything pass.
        nodes: the nodes by name, for their labels.
        pool_labels: gives a pool's labels by its name.
        internal: whether the session is within our own AS.
        """
        self._selector = Selector(peer.node_selector, peer.node_expressions)
        self.plain = not advertisements and self._selector == Selector()
        everything = AdvertisementObserved("", "", "", 0, 0)
        self._facts = tuple(one for one in advertisements if about_peer(one, peer)) if advertisements else (everything,)
        self.internal = internal
        self._nodes = nodes
        self._pool_labels = pool_labels
        self._select_nodes = self._selector != Selector() or any(fact.node_selectors for fact in self._facts)
        self.aggregates = any(fact.aggregation_length or fact.aggregation_length_v6 for fact in self._facts)
        self._of_pool: dict[str, _OfPool] = {}
        self._of_node: dict[str, bool] = {}
        self._node_facts: dict[tuple[Which, str], Which] = {}
        self._templates: dict[Which, PathAttributes] = {}

    @property
    def choice(self) -> tuple[Selector, tuple[str, ...]]:
        """What decides which routes, through which nodes, the peer is given: by an equal choice it is the same."""
        return self._selector, tuple(fact.name for fact in self._facts)

    def _pool(self, name: str) -> _OfPool:
        found = self._of_pool.get(name)
        if found is None:
            labels = self._pool_labels(name)
            which = tuple(index for index, fact in enumerate(self._facts) if about_pool(fact, name, labels))
            choosy = not all(about_every_service(self._facts[index]) for index in which)
            found = self._of_pool[name] = _OfPool(which, choosy)
        return found

    def about(self, pool: str, services: Iterable[ServiceObserved], prefix: Prefix) -> Which:
        """The advertisements that give a route to the peer; none: it does not go there.

        Args:
            pool: the pool that its address counts for.
            labels: that pool's labels.
            services: the Services that hold the address.
            prefix: what is announced.
        """
        which, choosy = self._pool(pool)
        if not choosy:
            return which
        holders = tuple(services)
        return tuple(
            index
            for index in which
            if about_service(self._facts[index], holders) and about_prefix(self._facts[index], prefix)
        )

    def about_aggregate(self, pool: str, prefix: Prefix) -> Which:
        """The advertisements that count for an aggregate of a pool: those that are about each of its Services."""
        return tuple(
            index
            for index in self._pool(pool).which
            if not self._facts[index].service_selector and about_prefix(self._facts[index], prefix)
        )

    def aggregation_length(self, pool: str, family: Family) -> int:
        """The length that a pool's Services are aggregated to for this peer; 0: they are not."""
        name: Single = "aggregation_length" if family == IPV4 else "aggregation_length_v6"
        facts = (self._facts[index] for index in self._pool(pool).which)
        return first_set(single_value(fact, name) for fact in facts if about_every_service(fact)) or 0

    def hops(self, which: Which, hops: tuple[NextHop, ...]) -> tuple[NextHop, ...]:
        """Those next hops that advertisements and the peer select."""
        if not self._select_nodes:
            return hops
        return tuple(hop for hop in hops if self._selected(hop.node) and self._at_node(which, hop.node))

    def attributes(self, which: Which, node: str) -> PathAttributes:
        """The attributes of a path through a node, but for its next hop."""
        at_node = self._at_node(which, node) if self._select_nodes else which
        found = self._templates.get(at_node)
        if found is None:
            facts = [self._facts[index] for index in at_node]
            found = self._templates[at_node] = template(facts, internal=self.internal)
        return found

    def _selected(self, node: str) -> bool:
        found = self._of_node.get(node)
        if found is None:
            found = self._of_node[node] = matches(self._selector, self._labels(node))
        return found

    def _at_node(self, which: Which, node: str) -> Which:
        found = self._node_facts.get((which, node))
        if found is None:
            labels = self._labels(node)
            found = tuple(index for index in which if about_node(self._facts[index], labels))
            self._node_facts[which, node] = found
        return found

    def _labels(self, node: str) -> Pairs:
        fact = self._nodes.get(node)
        return () if fact is None else fact.labels
