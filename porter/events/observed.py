"""Facts from the Kubernetes API: only what a decision or a route depends on, never whole objects.

A payload is a named tuple of plain values: it packs into msgpack as an array in field order, so that fields are
only ever added at the end, with a default. Pairs and lists are sorted tuples, so that equal facts are equal values.
`resource_version` names the object's version for people; it takes no part in comparing facts.
"""

from __future__ import annotations

from typing import NamedTuple

from porter.model.address import Address, Prefix
from porter.model.reasons import Problem
from porter.model.selector import Pairs, Requirement, Selector


class ServiceObserved(NamedTuple):
    """A Service of ours, as the allocator and the RIB see it."""

    uid: str
    namespace: str
    name: str
    resource_version: str
    created_ms: int
    generation: int
    ports: tuple[tuple[str, int], ...]
    traffic_policy: str
    families: tuple[str, ...]
    family_policy: str
    requested_pool: str = ""
    requested_addresses: tuple[Address, ...] = ()
    sharing_key: str = ""
    selector: Pairs = ()
    labels: Pairs = ()
    held: tuple[Address, ...] = ()
    """The addresses in its status when it was observed: they matter for adoption, not for equality."""
    held_decision: int = 0
    """The position in its `porter.io/decision` annotation: a hint in recovery, never proof."""
    problems: tuple[Problem, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class ServiceGone(NamedTuple):
    """A Service of ours was deleted, or is ours no longer."""

    uid: str
    namespace: str
    name: str
    reason: str

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class EndpointsObserved(NamedTuple):
    """The nodes of a Service's endpoints per family, over all its EndpointSlices; nobody is an empty tuple.

    A node's name is "" for an endpoint that names none. `terminating` holds the nodes with an endpoint that is
    serving while terminating and none that is ready (KEP-1669).
    """

    namespace: str
    name: str
    ready: tuple[tuple[str, tuple[str, ...]], ...] = ()
    terminating: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def aggregate(self) -> str:
        return f"service/{self.namespace}/{self.name}"


class NodeObserved(NamedTuple):
    """A Node: its InternalIPs in the API's order, whether it is Ready, and whether the standard label excludes it.

    `cordoned` is told only where the settings let it count as a drain.
    """

    name: str
    uid: str
    resource_version: str
    addresses: tuple[Address, ...]
    ready: bool
    excluded: bool = False
    labels: Pairs = ()
    cordoned: bool = False

    @property
    def aggregate(self) -> str:
        return f"node/{self.name}"


class NodeGone(NamedTuple):
    """A Node was deleted."""

    name: str

    @property
    def aggregate(self) -> str:
        return f"node/{self.name}"


class NamespaceObserved(NamedTuple):
    """A Namespace's labels."""

    name: str
    labels: Pairs = ()

    @property
    def aggregate(self) -> str:
        return f"namespace/{self.name}"


class NamespaceGone(NamedTuple):
    """A Namespace was deleted."""

    name: str

    @property
    def aggregate(self) -> str:
        return f"namespace/{self.name}"


class Reservation(NamedTuple):
    """An address that is kept for one Service, by name."""

    address: Address
    namespace: str
    name: str


class PoolObserved(NamedTuple):
    """An Eip. `ranges` and `excludes` are canonical `first-last` pairs; an Eip with `problems` gives no address.

    `service_selector` and `namespace_label_selector` hold none or one selector. `quota_per_namespace` is the most
    addresses that a namespace may hold (-1: no limit), unless `quota_overrides` names the namespace.
    `sharing_namespaces` are those whose Services may share an address across namespaces ("*": all).
    """

    name: str
    uid: str
    resource_version: str
    generation: int
    created_ms: int
    ranges: tuple[tuple[Address, Address], ...] = ()
    protocol: str = "bgp"
    interface: str = ""
    disabled: bool = False
    default: bool = False
    auto_assign: bool | None = None
    priority: int = 0
    namespaces: tuple[str, ...] = ()
    namespace_selector: Pairs = ()
    problems: tuple[Problem, ...] = ()
    labels: Pairs = ()
    excludes: tuple[tuple[Address, Address], ...] = ()
    avoid_buggy: bool = False
    service_selector: tuple[Selector, ...] = ()
    namespace_label_selector: tuple[Selector, ...] = ()
    quota_per_namespace: int = -1
    quota_overrides: tuple[tuple[str, int], ...] = ()
    reservations: tuple[Reservation, ...] = ()
    release_delay_ms: int = 0
    sharing_namespaces: tuple[str, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"pool/{self.name}"


class PoolGone(NamedTuple):
    """An Eip was deleted; what it gave stays given."""

    name: str
    uid: str

    @property
    def aggregate(self) -> str:
        return f"pool/{self.name}"


class ConfObserved(NamedTuple):
    """The BgpConf; only the one named `default` is acted on."""

    name: str
    uid: str
    resource_version: str
    generation: int
    as_number: int
    router_id: str = ""
    listen_port: int = 179
    topology: str = "central"
    restart_time_s: int = 120
    as_per_rack: tuple[tuple[str, int], ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"conf/{self.name}"


class ConfGone(NamedTuple):
    """A BgpConf was deleted."""

    name: str

    @property
    def aggregate(self) -> str:
        return f"conf/{self.name}"


class PeerObserved(NamedTuple):
    """A BgpPeer. A password never enters the journal: `password_source` says where the speaker finds it.

    `node_selector` and `node_expressions` are the two halves of its nodeSelector.
    """

    name: str
    uid: str
    resource_version: str
    generation: int
    address: Address
    peer_as: int
    port: int = 179
    local_as: int = 0
    local_address: str = ""
    families: tuple[str, ...] = ("IPv4", "IPv6")
    hold_time_s: int = 90
    connect_retry_s: int = 5
    multihop_ttl: int = 0
    ttl_security: bool = False
    passive: bool = False
    admin_down: bool = False
    max_next_hops: int = 0
    """0: no limit of the peer's own."""
    topology: str = ""
    node_selector: Pairs = ()
    restart_time_s: int = 120
    password_source: str = ""
    description: str = ""
    problems: tuple[Problem, ...] = ()
    created_ms: int = 0
    labels: Pairs = ()
    node_expressions: tuple[Requirement, ...] = ()
    extended_next_hop: bool = False
    """IPv4 routes are given the nodes' IPv6 addresses as next hops (RFC 8950)."""
    bfd_receive_ms: int = 0
    """0: no BFD with this peer (RFC 5880)."""
    bfd_transmit_ms: int = 0
    bfd_multiplier: int = 0
    bfd_passive: bool = False
    restart_time_set: bool = False
    """Whether the object itself says `restart_time_s`, so that the BgpConf has no say in it."""

    @property
    def aggregate(self) -> str:
        return f"peer/{self.name}"


class PeerGone(NamedTuple):
    """A BgpPeer was deleted."""

    name: str

    @property
    def aggregate(self) -> str:
        return f"peer/{self.name}"


class AdvertisedPrefixes(NamedTuple):
    """Which prefixes an advertisement is about: those within `prefix` whose length is between the two bounds."""

    prefix: Prefix
    min_length: int
    max_length: int


class AdvertisementObserved(NamedTuple):
    """A BgpAdvertisement, or a statement of an old policy ConfigMap: which routes go to which peers, and as what.

    Names and selectors that are empty tuples restrict nothing; names and selectors of one kind are alternatives.
    `local_pref` and `med` are None where they are not set; the aggregation lengths are 0 where there is none.
    """

    name: str
    uid: str
    resource_version: str
    generation: int
    created_ms: int
    pools: tuple[str, ...] = ()
    pool_selector: tuple[Selector, ...] = ()
    service_selector: tuple[Selector, ...] = ()
    peers: tuple[str, ...] = ()
    peer_selector: tuple[Selector, ...] = ()
    node_selectors: tuple[Selector, ...] = ()
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    local_pref: int | None = None
    med: int | None = None
    as_path_prepend: int = 0
    aggregation_length: int = 0
    aggregation_length_v6: int = 0
    prefixes: tuple[AdvertisedPrefixes, ...] = ()
    neighbors: tuple[Address, ...] = ()
    """Peers by their address, as old policies name them; beside `peers`."""
    problems: tuple[Problem, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"advertisement/{self.name}"


class AdvertisementGone(NamedTuple):
    """A BgpAdvertisement was deleted."""

    name: str

    @property
    def aggregate(self) -> str:
        return f"advertisement/{self.name}"


class ServiceRangeObserved(NamedTuple):
    """A ServiceCIDR: the prefixes that the cluster's own Service addresses come from (KEP-1880)."""

    name: str
    prefixes: tuple[Prefix, ...] = ()

    @property
    def aggregate(self) -> str:
        return f"servicerange/{self.name}"


class ServiceRangeGone(NamedTuple):
    """A ServiceCIDR was deleted."""

    name: str

    @property
    def aggregate(self) -> str:
        return f"servicerange/{self.name}"


class InventorySynced(NamedTuple):
    """Every reflector has listed, and all that differed is journaled: from here on absence means absence."""

    services: int
    nodes: int
    pools: int
    peers: int

    @property
    def aggregate(self) -> str:
        return "inventory"
