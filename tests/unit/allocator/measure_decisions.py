"""Print what a decision and a folded event cost, in CPU time: `python -m tests.unit.allocator.measure_decisions`."""

from __future__ import annotations

import gc
import time

from porter.allocator.decide import decide, unsettled
from porter.events.catalogue import Event
from porter.events.decided import AddressReleased, EpochStarted
from porter.events.envelope import Envelope
from porter.events.observed import (
    EndpointsObserved,
    InventorySynced,
    NodeObserved,
    PoolObserved,
    ServiceGone,
    ServiceObserved,
)
from porter.model.address import Address
from porter.projections import baseline
from porter.projections.cluster import ClusterState, evolve, fold

SIZES = (20, 2_000, 20_000)
EVENTS = 1_000_000
LIVE = 20_000
NODES = ("n1", "n2", "n3")


def envelope(position: int, payload: Event) -> Envelope:
    return Envelope(position, 1, 1_000 + position, 0, "", "", payload)


def service(number: int) -> ServiceObserved:
    ports = (("TCP", 80),)
    return ServiceObserved(
        f"u{number}", "shop", f"web-{number}", "1", number, 1, ports, "Cluster", ("IPv4",), "SingleStack"
    )


def beginning() -> list[Event]:
    nodes = [NodeObserved(name, name, "1", (Address(f"10.0.0.{n}"),), True) for n, name in enumerate(NODES, 1)]
    pool = PoolObserved("p", "p", "1", 1, 1, ((Address("172.16.0.0"), Address("172.31.255.255")),), default=True)
    return [EpochStarted("g", "me", 0, ""), *nodes, pool, InventorySynced(0, 3, 1, 0)]


def measure_decisions(size: int) -> float:
    """Microseconds from a Service's fact to its folded decision, at `size` Services, over the last of them."""
    events = beginning()
    state = ClusterState.empty()
    position = 0
    measured = min(size, 1_000)
    elapsed_s = 0.0
    for number in range(-len(events), size):
        position += 1
        state = evolve(state, envelope(position, events[number] if number < 0 else service(number)))
        if number < 0:
            continue
        began_s = time.process_time()
        for uid in unsettled(state, 128):
            for decision in decide(state, uid):
                position += 1
                state = evolve(state, envelope(position, decision))
        if number >= size - measured:
            elapsed_s += time.process_time() - began_s
    return elapsed_s / measured * 1e6


def history(events: int, live: int) -> list[Envelope]:
    """Services that come with endpoints and an address, and go again, `live` of them at a time."""
    payloads = beginning()
    state = fold(ClusterState.empty(), [envelope(n, one) for n, one in enumerate(payloads, 1)])
    number = 0
    given: dict[int, Address] = {}
    while len(payloads) < events:
        one = service(number)
        key = (one.namespace, one.name)
        ready = (("IPv4", (NODES[number % 3],)),)
        more: list[Event] = [one, EndpointsObserved(*key, ready)]
        state = fold(state, [envelope(len(payloads) + n, event) for n, event in enumerate(more, 1)])
        more += decide(state, one.uid)
        given[number] = more[-1].address  # type: ignore[union-attr]
        if number >= live:
            old = service(number - live)
            address = given.pop(number - live)
            more.append(ServiceGone(old.uid, old.namespace, old.name, "ServiceDeleted"))
            more.append(AddressReleased(old.uid, old.namespace, old.name, address, "p", "ServiceDeleted"))
            more.append(EndpointsObserved(old.namespace, old.name))
        state = fold(state, [envelope(len(payloads) + n, event) for n, event in enumerate(more, 1) if n > 2])
        payloads += more
        number += 1
    return [envelope(n, one) for n, one in enumerate(payloads, 1)]


def main() -> None:
    for size in SIZES:
        print(f"{size:>6} Services: {measure_decisions(size):7.1f} us per decision, asked and folded")
    envelopes = history(EVENTS, LIVE)
    pages = [envelopes[start : start + 2] for start in range(0, len(envelopes), 2)]
    # A replay streams: it has no million events in memory for the collector to walk over.
    gc.collect()
    gc.freeze()
    began_s = time.process_time()
    state = ClusterState.empty()
    for page in pages:
        state = fold(state, page)
    folded_s = time.process_time() - began_s
    print(f"{len(envelopes)} events in commits of 2: {folded_s / len(envelopes) * 1e6:.2f} us per event")
    began_s = time.process_time()
    routes = len(state.loc_rib.routes)
    print(f"first look at {routes} routes: {time.process_time() - began_s:.3f} s")
    began_s = time.process_time()
    encoded = baseline.encode(state)
    encoded_s = time.process_time() - began_s
    began_s = time.process_time()
    decoded = baseline.decode(encoded)
    decoded_s = time.process_time() - began_s
    print(f"baseline of {len(encoded)} bytes: encoded in {encoded_s:.3f} s, decoded in {decoded_s:.3f} s")
    began_s = time.process_time()
    decoded.fork()
    print(f"fork: {time.process_time() - began_s:.3f} s")


if __name__ == "__main__":
    main()
