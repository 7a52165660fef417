"""What each peer is given of each route: the advertisements, the peers and the nodes' labels, applied to the Loc-RIB.

It is no part of the state: what it remembers follows from the inventory, and is forgotten when that changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from porter.events.observed import AdvertisementObserved, PoolObserved, ServiceObserved
from porter.model.address import (
    Address,
    AddressRange,
    InvalidAddress,
    Prefix,
    address_from_number,
    family_of,
    host_prefix,
    is_aggregate,
    prefix_address,
)
from porter.model.bgp import NextHop
from porter.model.reasons import Problem
from porter.model.selector import Pairs
from porter.policy import advertisement_problems
from porter.policy.advertisements import PeerPolicy, Which, by_age
from porter.policy.aggregation import aggregate_of, span_of
from porter.policy.next_hops import LOCAL, united
from porter.policy.pool_choice import ranges_of
from porter.policy.racks import local_as
from porter.projections.inventory import DEFAULT_CONF, Inventory
from porter.projections.loc_rib import LocRib, LocRoute
from porter.projections.pools import Allocation, Pools


class Given(NamedTuple):
    """One prefix as a peer is given it: its next hops, and the advertisements that say so. `source` is the route that
    it stands for; of an aggregate that of one member, whose next hops are those of all members together."""

    prefix: Prefix
    next_hops: tuple[NextHop, ...]
    which: Which
    source: LocRoute


class Exports:
    """The policies of all peers."""

    __slots__ = ("_inventory", "_loc_rib", "_policies", "_pools", "_ranges", "_usable")

    def __init__(self, inventory: Inventory, pools: Pools, loc_rib: LocRib) -> None:
        self._inventory = inventory
        self._pools = pools
        self._loc_rib = loc_rib
        self._usable: tuple[AdvertisementObserved, ...] | None = None
        self._policies: dict[tuple[str, str], PeerPolicy] = {}
        self._ranges: dict[str, tuple[AddressRange, ...]] = {}

    def forget(self) -> None:
        """An advertisement, a peer, a pool, the conf or a node's labels changed."""
        self._usable = None
        self._policies = {}
        self._ranges = {}

    @property
    def advertisements(self) -> tuple[AdvertisementObserved, ...]:
        """The advertisements that count, the oldest first."""
        if self._usable is None:
            self._usable = by_age(self._inventory.good_advertisements())
        return self._usable

    @property
    def select_nodes(self) -> bool:
        """Whether any route depends on the nodes' labels."""
        return any(fact.node_selectors for fact in self.advertisements) or any(
            peer.node_selector or peer.node_expressions for peer in self._inventory.peers.values()
        )

    def policy(self, peer: str, node: str = "") -> PeerPolicy | None:
        """What all advertisements together say of a peer; None where there is no such peer.

        With the node of an agent, what they say of the agent's own session: it may be in another AS.
        """
        found = self._policies.get((peer, node))
        if found is None:
            fact = self._inventory.good_peer(peer)
            if fact is None:
                return None
            found = PeerPolicy(
                fact, self.advertisements, self._inventory.nodes, self._labels, internal=self.internal(peer, node)
            )
            self._policies[peer, node] = found
        return found

    def internal(self, peer: str, node: str = "") -> bool:
        """Whether the session with a peer, of a central speaker or of a node's agent, is within our own AS."""
        fact, conf = self._inventory.good_peer(peer), self._inventory.good_conf(DEFAULT_CONF)
        agent = self._inventory.nodes.get(node)
        return fact is not None and conf is not None and fact.peer_as == local_as(fact, conf, agent)

    def problems(self) -> Mapping[str, tuple[Problem, ...]]:
        """What is wrong with each advertisement beside other objects, by name."""
        inventory = self._inventory
        around = advertisement_problems.Surroundings(
            inventory.pools,
            inventory.peers,
            inventory.nodes,
            frozenset(name for name in inventory.peers if self.internal(name)),
            self._services_of_pool,
        )
        return advertisement_problems.problems(self.advertisements, around)

    def _services_of_pool(self, pool: str) -> Iterator[ServiceObserved]:
        for address in self._pools.counted_for(pool):
            yield from self._services(self._pools.by_address[address])

    # -------------------------------------------------------------------------------------------- what a peer is given

    def given(self, policy: PeerPolicy, prefixes: Iterable[Prefix] | None = None) -> Iterator[Given]:
        """What a peer is given of every route; with `prefixes`, only of these, aggregates among them."""
        if prefixes is None:
            yield from self._given_all(policy)
            return
        find = self._loc_rib.find
        for prefix in prefixes:
            route = find(prefix)
            found = self._aggregated(policy, prefix) if route is None else self._single(policy, route)
            if found is not None:
                yield found

    def with_aggregates(self, policy: PeerPolicy, prefixes: frozenset[Prefix]) -> frozenset[Prefix]:
        """Prefixes of addresses, and the aggregates that these are or could be members of."""
        if not policy.aggregates:
            return prefixes
        over: set[Prefix] = set()
        # Nothing says which pool an address counted for that is free by now: each pool is asked.
        for pool in self._known_pools():
            for prefix in prefixes:
                found = self._aggregate_in(policy, pool, prefix_address(prefix))
                if found is not None:
                    over.add(found)
        return prefixes | over

    def reached(self, policy: PeerPolicy, prefix: Prefix) -> Given | None:
        """What a peer is given of a host route, by itself or in an aggregate; None where no advertisement gives it."""
        route = self._loc_rib.find(prefix)
        return None if route is None else self._single(policy, route, own=True)

    def peers_given(self, prefix: Prefix) -> tuple[str, ...]:
        """The peers that advertisements give an address's route to, by itself or in an aggregate, sorted by name."""
        route = self._loc_rib.find(prefix)
        if route is None:
            return ()
        policies = ((name, self.policy(name)) for name in sorted(self._inventory.peers))
        return tuple(name for name, policy in policies if policy is not None and self._reaches(policy, route))

    def _given_all(self, policy: PeerPolicy) -> Iterator[Given]:
        seen: set[Prefix] = set()
        for route in self._loc_rib.routes.values():
            over = self._aggregate_over(policy, route) if policy.aggregates else None
            if over is None:
                found = self._single(policy, route, own=True)
                if found is not None:
                    yield found
            elif over not in seen:
                seen.add(over)
                yield self._of_member(policy, over, route)

    def _single(self, policy: PeerPolicy, route: LocRoute, *, own: bool = False) -> Given | None:
        """A route by itself; None where no advertisement gives it, or an aggregate stands for it (unless `own`)."""
        if not own and policy.aggregates and self._aggregate_over(policy, route) is not None:
            return None
        address = prefix_address(route.prefix)
        pool = self._pool_of(address)
        services = self._services(self._pools.by_address[address])
        which = policy.about(pool, services, route.prefix)
        return Given(route.prefix, policy.hops(which, route.next_hops), which, route) if which else None

    def _aggregated(self, policy: PeerPolicy, prefix: Prefix) -> Given | None:
        """An aggregate, as long as one of its members has a route."""
        if not policy.aggregates or not is_aggregate(prefix):
            return None
        for route in self._within(prefix):
            if self._aggregate_over(policy, route) == prefix:
                return self._of_member(policy, prefix, route)
        return None

    def _of_member(self, policy: PeerPolicy, prefix: Prefix, route: LocRoute) -> Given:
        pool = self._pool_of(prefix_address(route.prefix))
        which = policy.about_aggregate(pool, prefix)
        hops = route.next_hops
        if self._loc_rib.uneven:
            for other in self._within(prefix):
                if other is not route and self._aggregate_over(policy, other) == prefix:
                    hops = united(hops, other.next_hops)
        return Given(prefix, policy.hops(which, hops), which, route)

    def _within(self, prefix: Prefix) -> Iterator[LocRoute]:
        """The routes within a prefix, looked for in the shorter way."""
        routes, family = self._loc_rib.routes, family_of(prefix)
        first, last = span_of(prefix)
        if last - first < len(routes):
            hosts = (host_prefix(address_from_number(number, family)) for number in range(first, last + 1))
            yield from (routes[host] for host in hosts if host in routes)
        else:
            yield from routes.values()

    def _aggregate_over(self, policy: PeerPolicy, route: LocRoute) -> Prefix | None:
        """The aggregate that stands for a route; Local Services keep their own, since not every node serves them."""
        address = prefix_address(route.prefix)
        over = self._aggregate_in(policy, self._pool_of(address), address)
        if over is None or any(one.traffic_policy == LOCAL for one in self._services(self._pools.by_address[address])):
            return None
        return over

    def _aggregate_in(self, policy: PeerPolicy, pool: str, address: Address) -> Prefix | None:
        length = policy.aggregation_length(pool, family_of(address))
        return aggregate_of(address, length, self._ranges_of(pool)) if length else None

    def _known_pools(self) -> frozenset[str]:
        gone = (name for kind, name in self._inventory.last_good if kind == "Pool")
        return frozenset(self._inventory.pools).union(gone)

    def _reaches(self, policy: PeerPolicy, route: LocRoute) -> bool:
        found = self._single(policy, route, own=True)
        return found is not None and bool(found.next_hops)

    # ---------------------------------------------------------------------------------------------------------- inside

    def _services(self, holders: Iterable[Allocation]) -> Iterator[ServiceObserved]:
        facts = (self._inventory.services.get(one.uid) for one in holders)
        return (fact for fact in facts if fact is not None)

    def _pool_of(self, address: Address) -> str:
        allocation = self._pools.allocation(address)
        return "" if allocation is None else self._pools.pool_of(allocation)

    def _labels(self, pool: str) -> Pairs:
        fact = self._inventory.good_pool(pool)
        return () if fact is None else fact.labels

    def _ranges_of(self, pool: str) -> tuple[AddressRange, ...]:
        found = self._ranges.get(pool)
        if found is None:
            fact = self._inventory.good_pool(pool)
            found = self._ranges[pool] = () if fact is None else _parsed(fact)
        return found


def _parsed(fact: PoolObserved) -> tuple[AddressRange, ...]:
    try:
        return ranges_of(fact)
    except InvalidAddress:
        return ()
