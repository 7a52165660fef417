"""The Loc-RIB: every address in use with the next hops of its Service, equal everywhere at one position.

What is folded are the eligible nodes and *stamps*: the last event that touched what a route is derived from. The routes
themselves follow from the inventory, the allocations and the stamps, and are brought up to date when they are asked
for: a replay of a long journal does not pay for routes that nobody looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from porter.events.observed import EndpointsObserved, NodeObserved, ServiceObserved
from porter.model.address import FAMILIES, Address, Family, Prefix, family_of, host_prefix, prefix_address
from porter.model.bgp import NextHop
from porter.model.reasons import Reason
from porter.policy.next_hops import (
    LOCAL,
    absence,
    in_service,
    inputs_differ,
    leaving,
    next_hops,
    node_next_hops,
    serving_nodes,
    united,
)
from porter.projections.inventory import Inventory
from porter.projections.ledger import Ledger
from porter.projections.pools import Allocation, Pools

MAX_DIRTY = 65536
"""Most changes that are remembered one by one until routes are asked for; beyond, every route is derived anew."""

Stamp = tuple[int, int]
"""The position and the time (ms) of an event."""

NEVER: Stamp = (0, 0)


class LocRoute(NamedTuple):
    """A prefix with its next hops, sorted by node. `position` and `since_ms` are those of its cause: the last
    event that touched what it is derived from. Of Services that share it, `service` ("namespace/name") and `uid`
    are the oldest holder's."""

    prefix: Prefix
    service: str
    uid: str
    next_hops: tuple[NextHop, ...]
    position: int
    since_ms: int


class Lost(NamedTuple):
    """A prefix in use without next hops of its own: why, and when the last event that its Services have to do with
    was. A prefix that is held is one of them, and has a route all the same."""

    reason: Reason
    since_ms: int


class LocRib:
    """Routes by prefix.

    `service_stamps` go by "namespace/name", `cluster_stamps` by family (the set of eligible nodes changed),
    `node_stamps` by family and node (the node's eligibility or address changed).
    """

    __slots__ = (
        "_absent",
        "_all_dirty",
        "_all_retold",
        "_before",
        "_dirty_addresses",
        "_dirty_uids",
        "_extended",
        "_inventory",
        "_ledger",
        "_lost",
        "_pools",
        "_retold",
        "_routes",
        "cluster_stamps",
        "eligible",
        "everyone",
        "node_stamps",
        "service_stamps",
    )

    def __init__(self, ledger: Ledger, inventory: Inventory, pools: Pools) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._pools = pools
        # Whether some BgpPeer wants IPv6 next hops of IPv4 routes.
        self._extended = False
        self.service_stamps: dict[str, Stamp] = {}
        self.cluster_stamps: dict[Family, Stamp] = dict.fromkeys(FAMILIES, NEVER)
        self.node_stamps: dict[Family, dict[str, Stamp]] = {family: {} for family in FAMILIES}
        self.eligible: dict[Family, dict[str, NextHop]] = {family: {} for family in FAMILIES}
        self.everyone: dict[Family, tuple[NextHop, ...]] = dict.fromkeys(FAMILIES, ())
        self._routes: dict[Prefix, LocRoute] = {}
        self._absent: dict[Prefix, Reason] = {}
        self._lost: dict[Prefix, Lost] = {}
        self._dirty_uids: set[str] = set()
        self._dirty_addresses: set[Address] = set()
        self._all_dirty = True
        # The next hops that each changed prefix had when changes were last taken.
        self._before: dict[Prefix, tuple[NextHop, ...]] = {}
        self._retold: set[Prefix] = set()
        self._all_retold = False

    def fork(self, ledger: Ledger, inventory: Inventory, pools: Pools) -> LocRib:
        """An independent copy over other projections; its routes are derived anew."""
        copy = LocRib(ledger, inventory, pools)
        copy._extended = self._extended
        copy.service_stamps = dict(self.service_stamps)
        copy.cluster_stamps = dict(self.cluster_stamps)
        copy.node_stamps = {family: dict(stamps) for family, stamps in self.node_stamps.items()}
        copy.eligible = {family: dict(hops) for family, hops in self.eligible.items()}
        copy.everyone = dict(self.everyone)
        copy._routes = dict(self.routes)
        copy._absent = dict(self._absent)
        copy._lost = dict(self._lost)
        copy._before = dict(self._before)
        copy._retold, copy._all_retold = set(self._retold), self._all_retold
        copy._all_dirty = False
        return copy

    # ------------------------------------------------------------------------------------------------ folding

    def endpoints_changed(
        self, service: ServiceObserved, before: EndpointsObserved | None, now: EndpointsObserved | None, stamp: Stamp
    ) -> None:
        """A Service's endpoints changed; most such changes matter to no route."""
        if inputs_differ(service.traffic_policy, before, now):
            self.service_stamps[f"{service.namespace}/{service.name}"] = stamp
            self._dirty_uids.add(service.uid)

    def policy_changed(self, key: str, uid: str, stamp: Stamp) -> None:
        """A Service's externalTrafficPolicy changed, or its drain."""
        self.service_stamps[key] = stamp
        self._dirty_uids.add(uid)

    def service_gone(self, key: str, uid: str) -> None:
        """A Service went."""
        self.service_stamps.pop(key, None)
        self._dirty_uids.add(uid)

    def allocation_changed(self, address: Address) -> None:
        """An address was given or taken back."""
        self._dirty_addresses.add(address)

    def nodes_changed(self, names: Iterable[str], stamp: Stamp) -> None:
        """Compare the eligibility of some nodes with what it was; only real changes touch routes."""
        changed: set[Family] = set()
        for name in names:
            node = self._inventory.nodes.get(name)
            now = self._hops_of(node) if node is not None else {}
            for family in FAMILIES:
                if self._set_eligible(family, name, now.get(family)):
                    changed.add(family)
                    self.node_stamps[family][name] = stamp
            if node is None:
                self._forget_node(name, stamp)
        for family in sorted(changed):
            self.cluster_stamps[family] = stamp
            self.everyone[family] = in_service(tuple(hop for _, hop in sorted(self.eligible[family].items())))
        if changed:
            self._all_dirty = True

    def peers_changed(self, stamp: Stamp) -> None:
        """A BgpPeer came, went or changed: nodes without an IPv4 address may have become next hops of IPv4 routes."""
        if self._extended != self._inventory.extended_next_hops:
            self._extended = not self._extended
            self.nodes_changed(tuple(self._inventory.nodes), stamp)

    def _hops_of(self, node: NodeObserved) -> dict[Family, NextHop]:
        held = node.name in self._inventory.readiness.held
        hops = node_next_hops(node, held, self._ledger.path_identifiers, extended=self._extended)
        if node.name not in self._ledger.maintenance.nodes:
            return hops
        standing = self._ledger.maintenance.standing(node.name)
        if standing is None:
            return {}
        return {family: hop._replace(standing=standing) for family, hop in hops.items()}

    def _set_eligible(self, family: Family, name: str, hop: NextHop | None) -> bool:
        hops = self.eligible[family]
        if hops.get(name) == hop:
            return False
        if hop is None:
            del hops[name]
        else:
            hops[name] = hop
        return True

    def _forget_node(self, name: str, stamp: Stamp) -> None:
        # The stamp of a node that is gone moves to the Services that used it, so that names of nodes do not pile up.
        had = [family for family in FAMILIES if self.node_stamps[family].pop(name, None) is not None]
        for key, endpoints in self._inventory.endpoints.items():
            uid = self._inventory.service_uids.get(key)
            if uid is None or self._inventory.services[uid].traffic_policy != LOCAL:
                continue
            if any(name in serving_nodes(endpoints, family) for family in had):
                self.service_stamps[key] = stamp
                self._dirty_uids.add(uid)

    def retell(self, addresses: Iterable[Address] | None = None) -> None:
        """Count the prefixes of these addresses (None: of all in use) as changed: what depends on their routes depends
        on something that changed beside them."""
        if addresses is None:
            self._all_retold = True
        else:
            self._retold.update(host_prefix(address) for address in addresses)

    def bound_dirty(self) -> None:
        """Keep what waits for its routes within its limit."""
        if len(self._dirty_addresses) + len(self._dirty_uids) > MAX_DIRTY:
            self._dirty_addresses, self._dirty_uids = set(), set()
            self._all_dirty = True
        if len(self._retold) > MAX_DIRTY:
            # Those in use are told anew, and those that had a route when changes were last taken are known to differ.
            self._retold, self._all_retold = set(), True

    def recompute_eligible(self) -> None:
        """Derive the eligible nodes from the inventory, after decoding a baseline."""
        self._extended = self._inventory.extended_next_hops
        for name, node in self._inventory.nodes.items():
            for family, hop in self._hops_of(node).items():
                self.eligible[family][name] = hop
        for family in FAMILIES:
            self.everyone[family] = in_service(tuple(hop for _, hop in sorted(self.eligible[family].items())))

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def routes(self) -> Mapping[Prefix, LocRoute]:
        """The routes, each with at least one next hop."""
        self._update()
        return self._routes

    @property
    def find(self) -> Callable[[Prefix], LocRoute | None]:
        """Finds a route by its prefix, as `routes` has it now.

        Where all of them would have to be derived first, only this one is: one question is about few of them.
        """
        return self._found_alone if self._all_dirty else self.routes.get

    def _found_alone(self, prefix: Prefix) -> LocRoute | None:
        address = prefix_address(prefix)
        return self.derived(address) if prefix == host_prefix(address) else None

    def derived(self, address: Address) -> LocRoute | None:
        """The route of one address as it stands; for who follows a few addresses through a long history."""
        holders = self._pools.by_address.get(address)
        return None if holders is None else self._route(host_prefix(address), family_of(address), holders)[0]

    @property
    def absent(self) -> Mapping[Prefix, Reason]:
        """The prefixes of addresses in use that have no next hop, and why."""
        self._update()
        return self._absent

    @property
    def lost(self) -> Mapping[Prefix, Lost]:
        """The prefixes of Services in service that have no next hop of their own: absent ones and held ones."""
        self._update()
        return self._lost

    @property
    def uneven(self) -> bool:
        """Whether Services of the policy Cluster may have different next hops: by drains or holds of some of them."""
        return bool(self._ledger.maintenance.services or self._ledger.holds.routes)

    def take_changed(self) -> frozenset[Prefix]:
        """The prefixes whose next hops differ from what they were at the last call; and forget them.

        The first call names every route.
        """
        self._update()
        nothing: tuple[NextHop, ...] = ()
        changed = {
            prefix
            for prefix, before in self._before.items()
            if (self._routes[prefix].next_hops if prefix in self._routes else nothing) != before
        }
        changed |= self._retold
        if self._all_retold:
            changed.update(host_prefix(address) for address in self._pools.by_address)
        self._before = {}
        self._retold, self._all_retold = set(), False
        return frozenset(changed)

    def _update(self) -> None:
        if self._all_dirty:
            self._all_dirty = False
            addresses: set[Address] = {prefix_address(prefix) for prefix in (*self._routes, *self._absent)}
            addresses.update(self._pools.by_address)
        elif self._dirty_uids or self._dirty_addresses:
            addresses = self._dirty_addresses
            for uid in self._dirty_uids:
                addresses.update(one.address for one in self._pools.of(uid))
        else:
            return
        self._dirty_uids, self._dirty_addresses = set(), set()
        for address in addresses:
            self._derive(address)

    def _derive(self, address: Address) -> None:
        prefix = host_prefix(address)
        before = self._routes.get(prefix)
        holders = self._pools.by_address.get(address)
        route: LocRoute | None = None
        self._lost.pop(prefix, None)
        if holders is None:
            self._absent.pop(prefix, None)
        else:
            route, reason, lost = self._route(prefix, family_of(address), holders)
            if lost is not None:
                self._lost[prefix] = lost
            if route is None:
                self._absent[prefix] = reason
            else:
                self._absent.pop(prefix, None)
        if route is None:
            self._routes.pop(prefix, None)
        else:
            self._routes[prefix] = route
        if prefix not in self._before:
            old = () if before is None else before.next_hops
            if old != (() if route is None else route.next_hops):
                self._before[prefix] = old

    def _route(
        self, prefix: Prefix, family: Family, holders: tuple[Allocation, ...]
    ) -> tuple[LocRoute | None, Reason, Lost | None]:
        """The route, or why there is none; and what it lost if it has no next hop of its own."""
        hops: tuple[NextHop, ...] = ()
        stamp = touched = NEVER
        lost: Lost | None = None
        reason = Reason.SERVICE_DELETED
        drains = self._ledger.maintenance.services
        for holder in holders:
            service = self._inventory.services.get(holder.uid)
            if service is None:
                continue
            drain = drains.get(holder.uid) if drains else None
            if drain is not None and drain.elapsed:
                reason = Reason.DRAINED
                continue
            key = holder.service
            serving = serving_nodes(self._inventory.endpoints.get(key), family)
            more = next_hops(service.traffic_policy, serving, self.eligible[family], self.everyone[family])
            if drain is not None:
                more = leaving(more)
            hops = more if not hops else hops if not more else united(hops, more)
            reason = absence(serving)
            service_stamp = self.service_stamps.get(key, NEVER)
            nodes_stamp = self._nodes_stamp(service.traffic_policy, family, serving)
            stamp = max(stamp, (holder.position, holder.since_ms), service_stamp, nodes_stamp)
            touched = max(touched, service_stamp, nodes_stamp if serving else NEVER)
        if not hops and reason in (Reason.NO_READY_ENDPOINT, Reason.NO_ELIGIBLE_NODE):
            lost = Lost(reason, touched[1])
            hops = self._held(prefix, family)
        if not hops:
            return None, reason, lost
        if self._ledger.maintenance.nodes:
            hops = in_service(hops)
        first = holders[0]
        return LocRoute(prefix, first.service, first.uid, hops, *stamp), reason, lost

    def _held(self, prefix: Prefix, family: Family) -> tuple[NextHop, ...]:
        """The next hops that a hold keeps: those of them that are still eligible, or all where none is."""
        held = self._ledger.holds.routes.get(prefix)
        if held is None or not held.next_hops:
            return ()
        eligible = self.eligible[family]
        left = tuple(eligible[hop.node] for hop in held.next_hops if hop.node in eligible)
        return left or held.next_hops

    def _nodes_stamp(self, traffic_policy: str, family: Family, serving: tuple[str, ...]) -> Stamp:
        if traffic_policy != LOCAL:
            return self.cluster_stamps[family]
        stamps = self.node_stamps[family]
        return max((stamps.get(node, NEVER) for node in serving), default=NEVER)
