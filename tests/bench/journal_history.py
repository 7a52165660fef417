"""A journal of recorded shapes: 1 to 3 events a commit, 20,000 live Services whose endpoints change all the time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from porter.events.catalogue import Event
from porter.events.decided import AddressAllocated, AddressReleased, EpochStarted
from porter.events.observed import (
    ConfObserved,
    EndpointsObserved,
    InventorySynced,
    NodeObserved,
    PoolObserved,
    ServiceGone,
    ServiceObserved,
)
from porter.model.address import Address

LIVE_SERVICES = 20_000
NODES = 50
GENESIS = "5e" * 16


def address_of(number: int) -> Address:
    return Address(f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}")


def service(number: int, incarnation: int) -> ServiceObserved:
    return ServiceObserved(
        uid=f"6ba7b810-9dad-11d1-80b4-{number:06x}{incarnation:06x}",
        namespace=f"team-{number % 200}",
        name=f"web-{number}",
        resource_version=str(1_000_000 + number + incarnation),
        created_ms=1_700_000_000_000 + number,
        generation=1,
        ports=(("TCP", 80), ("TCP", 443)),
        traffic_policy="Cluster" if number % 3 else "Local",
        families=("IPv4",),
        family_policy="SingleStack",
        labels=(("app", f"web-{number}"),),
    )


def allocated(observed: ServiceObserved, number: int) -> AddressAllocated:
    return AddressAllocated(
        observed.uid, observed.namespace, observed.name, address_of(number), "default", "DefaultPool"
    )


def endpoints(observed: ServiceObserved, nodes: list[str]) -> EndpointsObserved:
    return EndpointsObserved(observed.namespace, observed.name, ready=(("IPv4", tuple(sorted(nodes))),))


def beginning() -> Iterator[list[Event]]:
    yield [EpochStarted(GENESIS, "bench", 0, "")]
    pool = PoolObserved(
        "default", "pool-uid", "1", 1, 1, ((address_of(0), address_of(LIVE_SERVICES * 4)),), default=True
    )
    yield [ConfObserved("default", "conf-uid", "1", 1, 64512), pool]
    for number in range(NODES):
        yield [NodeObserved(f"node-{number}", f"node-uid-{number}", "1", (Address(f"172.16.0.{number + 1}"),), True)]
    yield [InventorySynced(0, NODES, 1, 0)]


def history(events: int, seed: int = 7, services: int = LIVE_SERVICES) -> Iterator[list[Event]]:
    """Yield commits that hold `events` events in all, or one or two more; so many Services live at a time."""
    rng = random.Random(seed)
    names = [f"node-{number}" for number in range(NODES)]
    live: dict[int, ServiceObserved] = {}
    count = 0
    for commit in beginning():
        count += len(commit)
        yield commit
    for number in range(min(services, events // 10)):
        live[number] = observed = service(number, 0)
        count += 3
        yield [observed, endpoints(observed, rng.sample(names, 3)), allocated(observed, number)]
    incarnation = 0
    while count < events:
        number = rng.randrange(len(live))
        observed = live[number]
        if rng.random() < 0.85:
            commit = [
                endpoints(live[n], rng.sample(names, rng.randint(1, 4)))
                for n in rng.sample(range(len(live)), rng.choice((1, 1, 2, 3)))
            ]
            count += len(commit)
            yield commit
            continue
        incarnation += 1
        address = address_of(number)
        released = AddressReleased(
            observed.uid, observed.namespace, observed.name, address, "default", "ServiceDeleted"
        )
        live[number] = fresh = service(number, incarnation)
        count += 5
        yield [ServiceGone(observed.uid, observed.namespace, observed.name, "deleted"), released]
        yield [fresh, endpoints(fresh, rng.sample(names, 3)), allocated(fresh, number)]
