"""The next hops of some addresses while history is folded: since which event each is there, and which events changed
them.

The folds keep what is, and of a prefix the last event that touched it; since when one next hop is there stands in the
journal alone. Only the watched routes are derived, and only behind events that may matter to them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from porter.events import decided, observed
from porter.events.envelope import Envelope
from porter.model.address import FAMILIES, Address
from porter.model.bgp import NextHop
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve

_UPKEEP = (
    decided.BaselineRecorded,
    decided.HeadWitnessed,
    decided.HeadSigned,
    observed.PoolObserved,
    observed.NamespaceObserved,
)
"""What no next hop depends on; other decisions follow where one does."""
_ADDRESSES = (decided.AddressAllocated, decided.AddressAdopted, decided.AddressReleased)
_NODES = (observed.NodeObserved, observed.NodeGone)


class HopKey(NamedTuple):
    """What makes a next hop the same one: the node, and the address that traffic is sent to."""

    node: str
    address: Address


class Joined(NamedTuple):
    """The event by which a next hop joined; of position 0 where it was there when the watch began."""

    position: int = 0
    time_ms: int = 0
    type: str = ""


CARRIED = Joined()


class Change(NamedTuple):
    """An event that changed the next hops of an address, and the addresses of those that joined and that left."""

    position: int
    joined: frozenset[Address]
    left: frozenset[Address]


def key_of(hop: NextHop) -> HopKey:
    """The key of a next hop."""
    return HopKey(hop.node, hop.address)


class RouteWatch:
    """Folds events into a state that it is given for its own, and follows the next hops of some addresses."""

    def __init__(self, state: ClusterState, addresses: Collection[Address]) -> None:
        self.state = state
        self.joined: dict[Address, dict[HopKey, Joined]] = {}
        """The next hops of each address as they stand, and since when."""
        self.changes: dict[Address, list[Change]] = {address: [] for address in addresses}
        """What changed the next hops of each address, in order."""
        self._hops: dict[Address, tuple[NextHop, ...]] = {}
        self._of_service: dict[str, set[Address]] = {}
        for address in addresses:
            self._hops[address] = self._derived(address)
            self.joined[address] = dict.fromkeys(map(key_of, self._hops[address]), CARRIED)
            for one in state.pools.by_address.get(address, ()):
                self._of_service.setdefault(one.service, set()).add(address)

    def relevant(self, events: Sequence[Envelope]) -> list[Envelope]:
        """The events that follow without those that change no next hop of these addresses, of which most are:
        endpoints of Services that hold none of them meanwhile."""
        given = (one.payload for one in events if isinstance(one.payload, _ADDRESSES))
        services = {f"{one.namespace}/{one.name}" for one in given if one.address in self._hops}
        services.update(self._of_service)
        return [
            one
            for one in events
            if not isinstance(one.payload, observed.EndpointsObserved)
            or f"{one.payload.namespace}/{one.payload.name}" in services
        ]

    def fold(self, envelope: Envelope) -> None:
        """Apply the next event.

        Raises:
            UnknownEvent, OutOfOrder: as `porter.projections.fold.evolve`.
        """
        self.state = evolve(self.state, envelope)
        for address in self._concerned(envelope):
            before, now = self._hops[address], self._derived(address)
            if now == before:
                continue
            self._hops[address] = now
            old, new = _addresses_of(before), _addresses_of(now)
            self.changes[address].append(Change(envelope.position, new - old, old - new))
            known, since = self.joined[address], Joined(envelope.position, envelope.time_ms, envelope.type)
            self.joined[address] = {key: known.get(key, since) for key in map(key_of, now)}

    def services_of(self, address: Address) -> frozenset[str]:
        """The Services ("namespace/name") that held an address while it was watched."""
        return frozenset(name for name, addresses in self._of_service.items() if address in addresses)

    def _concerned(self, envelope: Envelope) -> Collection[Address]:
        event = envelope.payload
        if isinstance(event, _UPKEEP):
            return ()
        if isinstance(event, _ADDRESSES):
            if event.address not in self._hops:
                return ()
            self._of_service.setdefault(f"{event.namespace}/{event.name}", set()).add(event.address)
            return (event.address,)
        if isinstance(event, _NODES):
            stamps = self.state.loc_rib.cluster_stamps
            changed = any(stamps[family][0] == envelope.position for family in FAMILIES)
            return self._hops if changed else ()
        kind, _, name = event.aggregate.partition("/")
        return self._of_service.get(name, ()) if kind == "service" else self._hops

    def _derived(self, address: Address) -> tuple[NextHop, ...]:
        route = self.state.loc_rib.derived(address)
        return () if route is None else route.next_hops


def _addresses_of(hops: tuple[NextHop, ...]) -> frozenset[Address]:
    """By which outcomes may tell these next hops: the extended ones (RFC 8950) by the node's other address."""
    return frozenset(address for hop in hops for address in (hop.address, hop.extended) if address)
