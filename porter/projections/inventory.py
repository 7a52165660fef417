"""The inventory: the newest fact about every object, as the journal has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from porter.events.catalogue import Event
from porter.events.observed import (
    ConfObserved,
    EndpointsObserved,
    NamespaceObserved,
    PeerObserved,
    PoolObserved,
    ServiceObserved,
)
from porter.projections.nodes import Nodes

DEFAULT_CONF = "default"
"""The one BgpConf that is acted on."""


@dataclass(slots=True)
class Inventory:
    """Facts by key, each with the position of its last change.

    Services are kept by UID, because one that is re-created under the same name is another Service; `service_uids`
    and `endpoints` go by "namespace/name".
    """

    services: dict[str, tuple[ServiceObserved, int]] = field(default_factory=dict)
    service_uids: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, tuple[EndpointsObserved, int]] = field(default_factory=dict)
    nodes: Nodes = field(default_factory=Nodes)
    namespaces: dict[str, tuple[NamespaceObserved, int]] = field(default_factory=dict)
    pools: dict[str, tuple[PoolObserved, int]] = field(default_factory=dict)
    confs: dict[str, tuple[ConfObserved, int]] = field(default_factory=dict)
    peers: dict[str, tuple[PeerObserved, int]] = field(default_factory=dict)

    def fork(self) -> Inventory:
        """An independent copy."""
        return replace(
            self,
            services=dict(self.services),
            service_uids=dict(self.service_uids),
            endpoints=dict(self.endpoints),
            nodes=self.nodes.fork(),
            namespaces=dict(self.namespaces),
            pools=dict(self.pools),
            confs=dict(self.confs),
            peers=dict(self.peers),
        )

    def entry(self, kind: str, name: str) -> tuple[Event, int] | None:
        """The fact about an object and the position of its last change.

        `kind` is one of Service, Endpoints, Node, Namespace, Pool, Conf and Peer; the first two go by
        "namespace/name".

        Raises:
            KeyError: there is no such kind.
        """
        if kind == "Service":
            uid = self.service_uids.get(name)
            return None if uid is None else self.services[uid]
        return self._tables()[kind].get(name)

    def _tables(self) -> dict[str, Mapping[str, tuple[Event, int]]]:
        return {
            "Namespace": self.namespaces,
            "Node": self.nodes.facts,
            "Pool": self.pools,
            "Conf": self.confs,
            "Peer": self.peers,
            "Endpoints": self.endpoints,
        }

    def get(self, kind: str, name: str) -> Event | None:
        """The fact about an object, or None."""
        entry = self.entry(kind, name)
        return None if entry is None else entry[0]

    def position_of(self, kind: str, name: str) -> int:
        """The position of an object's last change; 0 where it is not known."""
        entry = self.entry(kind, name)
        return 0 if entry is None else entry[1]

    def service(self, uid: str) -> ServiceObserved | None:
        """A Service by its UID."""
        entry = self.services.get(uid)
        return None if entry is None else entry[0]

    def keys(self) -> Iterator[tuple[str, str]]:
        """Every object that there is a fact about, as (kind, name)."""
        for name in self.service_uids:
            yield "Service", name
        for kind, table in self._tables().items():
            for name in table:
                yield kind, name
