"""What deciding costs, over 50 pools with all their rules: `python -m tests.bench.bench_decisions`.

1. One allocation at 20, 2,000 and 20,000 Services: asked, decided and folded, in CPU time. The cluster's size stays
   while it is measured: each new Service is followed by a deletion. The rounds of the sizes take turns.
2. A new default pool with 20,000 Services that were refused before: all are allocated, in memory and with every commit
   durable on an embedded server (appendfsync always).
3. The fold of that journal in a process of its own: resident memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from porter.allocator.decide import cause, decide, unsettled
from porter.events.catalogue import Event
from porter.events.decided import EpochStarted
from porter.events.envelope import MAX_EVENTS_PER_COMMIT, Draft, Envelope
from porter.events.observed import (
    EndpointsObserved,
    InventorySynced,
    NodeObserved,
    PoolObserved,
    Reservation,
    ServiceGone,
    ServiceObserved,
)
from porter.journal.redis import RedisJournals
from porter.model.address import Address
from porter.model.selector import Selector
from porter.ports import Claim
from porter.projections.cluster import ClusterState
from porter.projections.fold import evolve
from tests.bench.bench_journal import Server, replay_ours
from tests.bench.figures import table

SIZES = (20, 2_000, 20_000)
POOLS = 50
NODES = 50
ROUNDS = 9
DECISIONS_PER_ROUND = 100
WAITING = 20_000
GENESIS = "de" * 16
CLUSTER = "bench"
TIME_MS = 1_700_000_000_000


def pool(number: int, **fields: object) -> PoolObserved:
    """A pool of 4,096 addresses for one namespace, with an exclude, a reservation, a quota and a cool-down."""
    first, last = Address(f"10.{number}.0.0"), Address(f"10.{number}.15.255")
    excluded = (Address(f"10.{number}.0.10"), Address(f"10.{number}.0.19"))
    fact = PoolObserved(f"pool-{number:02}", f"pool-{number}", "1", 1, number, ((first, last),))
    return fact._replace(
        namespaces=(namespace(number),),
        excludes=(excluded,),
        avoid_buggy=True,
        quota_per_namespace=4_000,
        reservations=(Reservation(Address(f"10.{number}.0.20"), namespace(number), "kept"),),
        release_delay_ms=60_000,
        service_selector=(Selector(),),
        priority=number % 3,
    )._replace(**fields)  # type: ignore[arg-type]


def namespace(number: int) -> str:
    return f"team-{number % POOLS}"


def service(number: int, space: str = "") -> ServiceObserved:
    return ServiceObserved(
        uid=f"6ba7b810-9dad-11d1-80b4-{number:012x}",
        namespace=space or namespace(number),
        name=f"web-{number}",
        resource_version=str(1_000_000 + number),
        created_ms=TIME_MS + number,
        generation=1,
        ports=(("TCP", 80), ("TCP", 443)),
        traffic_policy="Cluster" if number % 3 else "Local",
        families=("IPv4",),
        family_policy="SingleStack",
        sharing_key=f"key-{number}" if number % 10 == 0 else "",
        labels=(("app", f"web-{number}"),),
    )


def beginning() -> Iterator[Event]:
    yield EpochStarted(GENESIS, "bench", 0, "")
    for number in range(NODES):
        yield NodeObserved(f"node-{number}", f"node-uid-{number}", "1", (Address(f"172.16.0.{number + 1}"),), True)
    for number in range(POOLS):
        yield pool(number)
    yield InventorySynced(0, NODES, POOLS, 0)


class Leader:
    """The leader's loop without its adapters: fold facts, decide, and hand each full commit on."""

    def __init__(self, written: Callable[[list[Draft]], None] = lambda _: None) -> None:
        self.state = ClusterState.empty()
        self.position = 0
        self._drafts: list[Draft] = []
        self._written = written

    def says(self, payload: Event, causation: int = 0) -> None:
        self.position += 1
        envelope = Envelope(self.position, 1, TIME_MS, causation, payload.aggregate, "", payload)
        self.state = evolve(self.state, envelope)
        self._drafts.append(Draft(payload, causation, payload.aggregate))
        if len(self._drafts) == MAX_EVENTS_PER_COMMIT:
            self.commit()

    def commit(self) -> None:
        if self._drafts:
            self._written(self._drafts)
            self._drafts = []

    def settles(self) -> None:
        while uids := unsettled(self.state, MAX_EVENTS_PER_COMMIT):
            for uid in uids:
                for decision in decide(self.state, uid):
                    self.says(decision, cause(self.state, uid))
        self.commit()


# ----------------------------------------------------------------------------------------------------- one decision


class Sized:
    """A cluster of one size, in which Services come and go."""

    def __init__(self, size: int) -> None:
        self.leader = Leader()
        for event in beginning():
            self.leader.says(event)
        for number in range(size):
            self.leader.says(service(number))
        self.leader.settles()
        self._live = [service(number) for number in range(size)]
        self._next = size
        self._random = random.Random(size)

    def round(self) -> float:
        """Microseconds of CPU per allocation."""
        elapsed_s = 0.0
        for _ in range(DECISIONS_PER_ROUND):
            leaving = self._live.pop(self._random.randrange(len(self._live)))
            self.leader.says(ServiceGone(leaving.uid, leaving.namespace, leaving.name, "ServiceDeleted"))
            self.leader.settles()
            coming = service(self._next)
            self._next += 1
            self._live.append(coming)
            self.leader.says(coming)
            began_s = time.process_time()
            self.leader.settles()
            elapsed_s += time.process_time() - began_s
        return elapsed_s / DECISIONS_PER_ROUND * 1e6


def bench_one() -> list[list[str]]:
    """Rows of the table of single allocations."""
    clusters = {size: Sized(size) for size in SIZES}
    gc.collect()
    gc.freeze()
    for cluster in clusters.values():
        cluster.round()
    rounds: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size, cluster in clusters.items():
            rounds[size].append(cluster.round())
    gc.unfreeze()
    first = statistics.median(rounds[SIZES[0]])
    rows = []
    for size in SIZES:
        median = statistics.median(rounds[size])
        rows.append([f"{size:,} Services over {POOLS} pools", f"{median:.0f}", f"{median / first:.2f}"])
    return rows


# --------------------------------------------------------------------------------------------------------- a burst


def waiting(leader: Leader) -> None:
    """20,000 Services that no pool serves: each was refused, with the pools that passed it over."""
    for event in beginning():
        leader.says(event)
    for number in range(WAITING):
        leader.says(service(number, "newcomers"))
        ready = tuple(sorted(f"node-{(number + step) % NODES}" for step in (0, 7, 19)))
        leader.says(EndpointsObserved("newcomers", f"web-{number}", (("IPv4", ready),)))
    leader.settles()
    refused = len(leader.state.pools.refusals)
    assert refused == WAITING, refused


def default_pool() -> PoolObserved:
    ranges = ((Address("172.24.0.0"), Address("172.25.255.255")),)
    return pool(99, ranges=ranges, namespaces=(), default=True, quota_per_namespace=-1)


def serve_all(leader: Leader) -> None:
    leader.says(default_pool())
    leader.settles()
    served = sum(1 for uid in leader.state.inventory.services if leader.state.pools.of(uid))
    assert served == WAITING, served


def burst_in_memory() -> float:
    """Seconds until all are allocated: decided and folded."""
    leader = Leader()
    waiting(leader)
    began_s = time.perf_counter()
    serve_all(leader)
    return time.perf_counter() - began_s


def burst_with_a_server(server: Server) -> float:
    """The same with durable commits; what is appended before is not timed."""
    journals = RedisJournals(server.embedded.url, CLUSTER, writer="bench")
    journal = journals.journal()
    with asyncio.Runner() as runner:

        def append(drafts: list[Draft]) -> None:
            if isinstance(drafts[0].payload, EpochStarted):
                runner.run(journal.claim(Claim(GENESIS, 1, None, 1, False, "bench"), drafts, time_ms=TIME_MS))
            else:
                runner.run(journal.append(drafts, time_ms=TIME_MS))

        leader = Leader(append)
        waiting(leader)
        began_s = time.perf_counter()
        serve_all(leader)
        took_s = time.perf_counter() - began_s
        runner.run(journals.close())
    return took_s


# --------------------------------------------------------------------------------------------------------- memory


def resident_mb() -> float:
    """What this process keeps in memory now."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def fold_here(socket: str) -> None:
    """Fold the journal in this process, look at all that follows from it, and print what it took as JSON."""
    before = resident_mb()
    asyncio.run(replay_ours(f"unix://{socket}", result := []))
    state = result[0]
    folded = resident_mb()
    routes = len(state.loc_rib.routes)
    state.pools.unsettled(1)
    given = sum(len(mine) for mine in state.pools.by_uid.values())
    indexed = resident_mb()
    events = state.ledger.position
    print(json.dumps({"mb": [before, folded, indexed], "events": events, "routes": routes, "given": given}))


def bench_memory(server: Server) -> list[list[str]]:
    """Rows of the memory table."""
    command = [sys.executable, "-m", "tests.bench.bench_decisions", "--fold", str(server.embedded.socket)]
    output = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    before, folded, indexed = output["mb"]
    return [
        ["a process that has not read yet", f"{before:.0f}"],
        [f"with the fold of {output['events']:,} events, {output['given']:,} allocations", f"{folded:.0f}"],
        [f"with its indexes and {output['routes']:,} routes", f"{indexed:.0f}"],
    ]


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fold", metavar="SOCKET", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.fold:
        fold_here(options.fold)
        return
    print(table(["one allocation, CPU time", "us", "ratio"], bench_one()), flush=True)
    rows = [["decided and folded in memory", f"{burst_in_memory():.2f}"]]
    with Server() as server:
        rows.append(["the same, each commit durable", f"{burst_with_a_server(server):.2f}"])
        print()
        print(table([f"a default pool for {WAITING:,} waiting Services", "seconds"], rows), flush=True)
        print()
        print(table(["resident memory", "MB"], bench_memory(server)))


if __name__ == "__main__":
    main()
