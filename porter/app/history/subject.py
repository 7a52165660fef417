"""What a history is asked about, and which events concern it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from porter.app.history.reading import BadQuestion
from porter.events import decided, observed, routed
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.model.address import (
    Address,
    AddressRange,
    InvalidAddress,
    address_number,
    family_of,
    host_prefix,
    parse_address,
)
from porter.policy.pool_choice import ranges_of
from porter.projections.cluster import ClusterState
from porter.projections.timeline import Told


class Subject(NamedTuple):
    """A Service ("namespace/name"), an address, a peer; "" for any."""

    service: str = ""
    ip: Address = Address("")
    peer: str = ""

    @staticmethod
    def from_query(query: Mapping[str, str]) -> Subject:
        """Read `service`, `ip` and `peer`.

        Raises:
            BadQuestion: one of them is malformed.
        """
        service, ip = query.get("service", ""), query.get("ip", "")
        namespace, _, name = service.partition("/")
        if service and (not namespace or not name or "/" in name):
            raise BadQuestion(f"service={service!r} is no Service; write NAMESPACE/NAME")
        try:
            return Subject(service, parse_address(ip) if ip else Address(""), query.get("peer", ""))
        except InvalidAddress as error:
            raise BadQuestion(f"ip={ip}: {error}") from error


class Concerned:
    """Says of each event whether it concerns the subject.

    A Service is concerned by what is said of it, decided about it, and announced of its addresses; by its pools and the
    nodes of its endpoints; by sessions and leadership, since its routes hang on those; and by what caused any of it. An
    address is concerned by every pool that holds it at some time, too.
    """

    def __init__(self, subject: Subject, state: ClusterState, events: Sequence[Envelope]) -> None:
        self._subject = subject
        self._addresses: set[Address] = {subject.ip} if subject.ip else set()
        self._services: set[str] = {subject.service} if subject.service else set()
        self._pools: set[str] = set()
        self._nodes: set[str] = set()
        self._any_node = False
        self._causes: set[int] = set()
        for pool in state.pools.table.by_name.values():
            if self._asked_lies_in(pool.ranges):
                self._pools.add(pool.name)
        for allocations in state.pools.by_address.values():
            for one in allocations:
                self._allocated(one.namespace, one.name, one.address, one.pool)
        for name in self._services:
            known = state.inventory.endpoints.get(name)
            if known is not None:
                self._endpoints(known)
        for service in state.inventory.services.values():
            self._service(service)
        for envelope in events:
            self.learn(envelope)
        for envelope in reversed(events):
            if envelope.position in self._causes:
                self._causes.add(envelope.causation)

    def learn(self, envelope: Envelope) -> None:
        """Take note of what an event says about who holds what."""
        event = envelope.payload
        if isinstance(event, decided.AddressAllocated | decided.AddressAdopted | decided.AddressReleased):
            self._allocated(event.namespace, event.name, event.address, event.pool)
        elif isinstance(event, decided.AllocationRefused) and f"{event.namespace}/{event.name}" in self._services:
            self._pools |= {one.pool for one in event.candidates}
        elif isinstance(event, observed.PoolObserved):
            self._pool(event)
        elif isinstance(event, observed.EndpointsObserved):
            self._endpoints(event)
        elif isinstance(event, observed.ServiceObserved):
            self._service(event)
        if envelope.causation and self._subject != Subject() and self._is_told(envelope):
            self._causes.add(envelope.causation)

    def _allocated(self, namespace: str, name: str, address: Address, pool: str) -> None:
        service = f"{namespace}/{name}"
        if service in self._services and not self._subject.ip:
            self._addresses.add(address)
            self._pools.add(pool)
        elif address in self._addresses and not self._subject.service:
            self._services.add(service)
            self._pools.add(pool)

    def _pool(self, event: observed.PoolObserved) -> None:
        try:
            ranges = ranges_of(event)
        except InvalidAddress:
            return
        if self._asked_lies_in(ranges):
            self._pools.add(event.name)

    def _asked_lies_in(self, ranges: Sequence[AddressRange]) -> bool:
        """Whether ranges hold the address that is asked about, held by somebody or free."""
        address = self._subject.ip
        if not address:
            return False
        family, number = family_of(address), address_number(address)
        return any(one.family == family and one.first <= number <= one.last for one in ranges)

    def _service(self, event: observed.ServiceObserved) -> None:
        if f"{event.namespace}/{event.name}" in self._services and event.traffic_policy == "Cluster":
            # Every node is a next hop of it.
            self._any_node = True

    def _endpoints(self, event: observed.EndpointsObserved) -> None:
        if f"{event.namespace}/{event.name}" in self._services:
            self._nodes |= {node for _, nodes in (*event.ready, *event.terminating) for node in nodes}

    def holds(self, told: Told) -> bool:
        """Whether an event concerns the subject."""
        if self._subject == Subject():
            return True
        if told.stream:
            return self._outcome(told.envelope.payload)
        return told.envelope.position in self._causes or self._is_told(told.envelope)

    def _outcome(self, event: Event) -> bool:
        if self._subject.peer and getattr(event, "peer", "") != self._subject.peer:
            return False
        return not self._by_route or self._carries(event)

    def _is_told(self, envelope: Envelope) -> bool:
        event = envelope.payload
        kind, _, name = event.aggregate.partition("/")
        if self._subject.peer and not self._by_route:
            return kind == "peer" and name == self._subject.peer
        if isinstance(event, decided.WithdrawalHeld):
            return any(host_prefix(address) in event.prefixes for address in self._addresses)
        names = {"service": self._services, "pool": self._pools}.get(kind)
        if names is not None:
            return name in names
        if kind == "node":
            return self._any_node or name in self._nodes
        return kind in {"journal", "hold"}

    @property
    def _by_route(self) -> bool:
        return bool(self._subject.service or self._subject.ip)

    def _carries(self, event: object) -> bool:
        """Whether an outcome is of one of the addresses, by itself or within an aggregate; or of no route at all."""
        if not isinstance(event, routed.RoutesAnnounced | routed.RoutesWithdrawn):
            return True
        prefixes = {path.prefix for path in event.paths}
        if any(host_prefix(address) in prefixes for address in self._addresses):
            return True
        aggregates = [ip_network(prefix) for prefix in prefixes if not prefix.endswith(("/32", "/128"))]
        return any(ip_address(address) in network for network in aggregates for address in self._addresses)
