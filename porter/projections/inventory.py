"""The inventory: the newest fact about every object, as the journal has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from porter.events.catalogue import Event
from porter.events.observed import (
    AdvertisementObserved,
    ConfObserved,
    EndpointsObserved,
    NamespaceObserved,
    NodeObserved,
    PeerObserved,
    PoolObserved,
    ServiceObserved,
    ServiceRangeObserved,
)
from porter.model.selector import Pairs
from porter.policy.problems import disqualifying
from porter.projections.readiness import Readiness

Lasting = AdvertisementObserved | ConfObserved | PeerObserved | PoolObserved
"""Facts whose last good version goes on to hold after an edit that made the object malformed."""

SINCE = "PoolSince"
"""Stands for a kind in `changed`: where a pool without a creationTimestamp was observed first. Manifests in a folder
have none, and their journal says which pool is the older one."""

DEFAULT_CONF = "default"
"""The one BgpConf that is acted on."""


@dataclass(slots=True)
class Inventory:
    """Facts by key, and the position of each one's last change.

    Services are kept by UID, because one that is re-created under the same name is another Service; `service_uids`
    and `endpoints` go by "namespace/name". `changed` holds positions: of a Service by its UID, of endpoints by
    "namespace/name", of the others by (kind, name). `last_good` holds, by (kind, name), what an object said before
    an edit made it malformed, and what a pool said that is gone while its addresses are in use.
    """

    services: dict[str, ServiceObserved] = field(default_factory=dict)
    service_uids: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, EndpointsObserved] = field(default_factory=dict)
    nodes: dict[str, NodeObserved] = field(default_factory=dict)
    namespaces: dict[str, NamespaceObserved] = field(default_factory=dict)
    pools: dict[str, PoolObserved] = field(default_factory=dict)
    confs: dict[str, ConfObserved] = field(default_factory=dict)
    peers: dict[str, PeerObserved] = field(default_factory=dict)
    changed: dict[str | tuple[str, str], int] = field(default_factory=dict)
    advertisements: dict[str, AdvertisementObserved] = field(default_factory=dict)
    service_ranges: dict[str, ServiceRangeObserved] = field(default_factory=dict)
    last_good: dict[tuple[str, str], Lasting] = field(default_factory=dict)
    readiness: Readiness = field(init=False)

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.nodes)

    def fork(self) -> Inventory:
        """An independent copy."""
        copy = Inventory(
            dict(self.services),
            dict(self.service_uids),
            dict(self.endpoints),
            dict(self.nodes),
            dict(self.namespaces),
            dict(self.pools),
            dict(self.confs),
            dict(self.peers),
            dict(self.changed),
            dict(self.advertisements),
            dict(self.service_ranges),
            dict(self.last_good),
        )
        copy.readiness = self.readiness.fork(copy.nodes)
        return copy

    def get(self, kind: str, name: str) -> Event | None:
        """The fact about an object, or None.

        `kind` is a `FactKind` of the ports; Service and Endpoints go by "namespace/name", the others by name.

        Raises:
            KeyError: there is no such kind.
        """
        if kind == "Service":
            uid = self.service_uids.get(name)
            return None if uid is None else self.services[uid]
        fact: Event | None = self._tables()[kind].get(name)
        return fact

    def put(self, kind: str, fact: Lasting, position: int) -> None:
        """Take the newest fact about an object; its last good version is kept for as long as it is malformed."""
        table: dict[str, Any] = self._tables()[kind]
        before: Lasting | None = table.get(fact.name)
        table[fact.name] = fact
        self.changed[kind, fact.name] = position
        if isinstance(fact, PoolObserved) and not fact.created_ms:
            self.changed.setdefault((SINCE, fact.name), position)
        if disqualifying(fact.problems) is None:
            self.last_good.pop((kind, fact.name), None)
        elif before is not None and disqualifying(before.problems) is None:
            self.last_good[kind, fact.name] = before

    def drop(self, kind: str, name: str, *, remembered: bool = False) -> None:
        """Forget an object; where it is `remembered`, what it said when it was last well-formed is kept."""
        before = self._tables()[kind].pop(name, None)
        self.changed.pop((kind, name), None)
        if kind == "Pool":
            self.changed.pop((SINCE, name), None)
        if not remembered:
            self.last_good.pop((kind, name), None)
        elif before is not None and disqualifying(before.problems) is None:
            self.last_good[kind, name] = before

    def good_advertisements(self) -> Iterator[AdvertisementObserved]:
        """The advertisements that count: each as it was when it was last well-formed, if it ever was."""
        for name, fact in self.advertisements.items():
            good = self.last_good.get(("Advertisement", name), fact)
            if isinstance(good, AdvertisementObserved) and disqualifying(good.problems) is None:
                yield good

    def good_peer(self, name: str) -> PeerObserved | None:
        """A peer as it was when it was last well-formed, else as it is."""
        good = self.last_good.get(("Peer", name), self.peers.get(name))
        return good if isinstance(good, PeerObserved) else None

    @property
    def extended_next_hops(self) -> bool:
        """Whether any peer wants IPv6 next hops of IPv4 routes."""
        return any(peer.extended_next_hop for name in self.peers if (peer := self.good_peer(name)) is not None)

    def good_conf(self, name: str) -> ConfObserved | None:
        """A BgpConf as it was when it was last well-formed, else as it is."""
        good = self.last_good.get(("Conf", name), self.confs.get(name))
        return good if isinstance(good, ConfObserved) else None

    def good_pool(self, name: str) -> PoolObserved | None:
        """A pool as it was when it was last well-formed and there, else as it is."""
        good = self.last_good.get(("Pool", name), self.pools.get(name))
        return good if isinstance(good, PoolObserved) else None

    def held_pool(self, name: str) -> PoolObserved | None:
        """A pool as it counts for what is held of it; None for one that is not there.

        An edit that made it malformed changes nothing of that: it is what it was, with the problems that it has now.
        """
        fact, good = self.pools.get(name), self.last_good.get(("Pool", name))
        if fact is None or not isinstance(good, PoolObserved):
            return fact
        return good._replace(
            uid=fact.uid,
            resource_version=fact.resource_version,
            generation=fact.generation,
            created_ms=fact.created_ms,
            problems=fact.problems,
        )

    def held_pools(self) -> tuple[list[PoolObserved], frozenset[str], dict[str, int]]:
        """Every pool as `held_pool` tells it, the names of those that were well-formed once and are not now, and the
        positions where those without a creationTimestamp were observed first."""
        facts = [fact for name in self.pools if (fact := self.held_pool(name)) is not None]
        once_good = frozenset(name for name in self.pools if ("Pool", name) in self.last_good)
        return facts, once_good, {name: self.changed.get((SINCE, name), 0) for name in self.pools}

    def position_of(self, uid: str) -> int:
        """The position of a Service's last change; 0 for one that is not there."""
        return self.changed.get(uid, 0)

    def position_of_object(self, kind: str, name: str) -> int:
        """The position of an object's last change, by the same key as `get`; 0 for one that is not there."""
        if kind == "Service":
            return self.changed.get(self.service_uids.get(name, ""), 0)
        return self.changed.get(name if kind == "Endpoints" else (kind, name), 0)

    def namespace_labels(self, namespace: str) -> Pairs:
        """A namespace's labels; none for one that is not known."""
        fact = self.namespaces.get(namespace)
        return fact.labels if fact is not None else ()

    def keys(self) -> Iterator[tuple[str, str]]:
        """Every object that there is a fact about, as (kind, name)."""
        for name in self.service_uids:
            yield "Service", name
        for kind, table in self._tables().items():
            for name in table:
                yield kind, name

    def _tables(self) -> dict[str, dict[str, Any]]:
        return {
            "Namespace": self.namespaces,
            "Node": self.nodes,
            "Pool": self.pools,
            "Conf": self.confs,
            "Peer": self.peers,
            "Advertisement": self.advertisements,
            "ServiceRange": self.service_ranges,
            "Endpoints": self.endpoints,
        }
