"""Short journals for unit tests: facts with sensible defaults, and a `Story` that folds and decides."""

from __future__ import annotations

from typing import Any

from porter.allocator.decide import decide, unsettled
from porter.events import decided, observed
from porter.events.catalogue import Event
from porter.events.envelope import Envelope
from porter.model.address import Address
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve

NOON_MS = 12 * 3_600_000


def service(name: str = "web", **fields: Any) -> observed.ServiceObserved:
    """A Service of namespace "shop", whose UID is its name."""
    namespace = fields.pop("namespace", "shop")
    fact = observed.ServiceObserved(
        name, namespace, name, "1", 1, 1, (("TCP", 80),), "Cluster", ("IPv4",), "SingleStack"
    )
    return fact._replace(**fields)


def node(number: int, *, ready: bool = True, **fields: Any) -> observed.NodeObserved:
    """Node n<number> with an IPv4 and an IPv6 address."""
    addresses = (Address(f"10.0.0.{number}"), Address(f"fd00::{number}"))
    return observed.NodeObserved(f"n{number}", f"n{number}", "1", addresses, ready)._replace(**fields)


def pool(name: str = "p", *ranges: str, **fields: Any) -> observed.PoolObserved:
    """A pool of ranges like "192.0.2.0-192.0.2.9"."""
    ends = tuple(tuple(Address(end) for end in one.split("-")) for one in ranges or ("192.0.2.0-192.0.2.9",))
    return observed.PoolObserved(name, name, "1", 1, 1, ends)._replace(**fields)  # type: ignore[arg-type]


def endpoints(name: str = "web", *nodes: str, families: tuple[str, ...] = ("IPv4", "IPv6"), **fields: Any) -> Any:
    """Ready endpoints on these nodes."""
    ready = tuple((family, tuple(sorted(nodes))) for family in families) if nodes else ()
    return observed.EndpointsObserved("shop", name, ready)._replace(**fields)


DUAL: dict[str, Any] = {"families": ("IPv4", "IPv6"), "family_policy": "RequireDualStack"}
SYNCED = observed.InventorySynced(0, 0, 0, 0)


class Story:
    """A journal that begins with a genesis, and its fold; a minute passes only where a test says so."""

    def __init__(self, *payloads: Event, synced: bool = True) -> None:
        self.state = ClusterState.empty()
        self.position = 0
        self.time_ms = NOON_MS
        self.says(decided.EpochStarted("g", "leader", 0, ""), *payloads)
        if synced:
            self.says(SYNCED)

    def says(self, *payloads: Event) -> Story:
        for payload in payloads:
            self.position += 1
            self.state = evolve(self.state, Envelope(self.position, 1, self.time_ms, 0, "", "", payload))
        return self

    def settles(self) -> list[Event]:
        """Decide until there is nothing to say; return what was decided."""
        made: list[Event] = []
        while uids := unsettled(self.state, 1):
            decisions = decide(self.state, uids[0])
            made += decisions
            self.says(*decisions)
        return made

    def addresses(self, uid: str = "web") -> set[str]:
        return set(self.state.pools.addresses_of(uid))

    def refusal(self, uid: str = "web") -> decided.AllocationRefused:
        refusal = self.state.pools.refusal(uid)
        assert refusal is not None, f"{uid} has {self.addresses(uid)}"
        return refusal

    def hops(self, prefix: str = "192.0.2.0/32") -> list[str]:
        route = self.state.loc_rib.routes.get(prefix)  # type: ignore[call-overload]
        return [hop.node for hop in route.next_hops] if route else []
