"""(b) 1,000 Services created by 8 connections until all are routed, beside a floor; (c) memory with and without them.

The floor is the same creates and then the same status writes by a bare client. Both run in pairs; the median of three
pairs counts. Memory is resident memory of the processes, once after start and once with all Services routed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.figures import table
from tests.lab import manifests, plan
from tests.lab.lab import WEB_LABELS, Lab
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

SERVICES = 1000
CONNECTIONS = 8
PAIRS = 3
POOL = "100.64.0.0/16"
TIMEOUT_S = 240.0
PAGE_BYTES = 4096


def main(services: int = SERVICES, pairs: int = PAIRS) -> None:
    with Lab() as lab:
        for manifest in (
            manifests.eip(address=POOL),
            manifests.bgp_conf(),
            manifests.bgp_peer("bird", plan.BIRD.v4, plan.BIRD_AS),
        ):
            lab.client.apply(manifest)
        ratios, rows, memory = [], [], ""
        for pair in range(pairs):
            floor_s = bare(lab, services)
            clean(lab, services)
            porter = lab.porter(redis=False, name=f"burst{pair}").start()
            porter.wait_ready(path="/readyz?sessions=all")
            before = resident(porter)
            ours_s = routed(lab, services)
            memory = memory_table(before, resident(porter), services)
            if pair + 1 < pairs:
                # The lab's end takes the last ones with it.
                clean(lab, services)
            porter.end()
            lab.bird.flush()
            ratios.append(ours_s / floor_s)
            rows.append([f"pair {pair + 1}", f"{ours_s:.1f}", f"{floor_s:.1f}", f"{ratios[-1]:.2f}"])
    print(table((f"{services} Services", "routed s", "floor s", "ratio"), rows))
    print(f"median ratio {statistics.median(ratios):.2f}")
    print(memory)


def each(lab: Lab, services: int, do: Callable[[str], object]) -> None:
    """Call `do` for every Service's name, by 8 threads with a connection each."""
    names = [f"burst-{number}" for number in range(services)]
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for _ in threads.map(do, names, chunksize=1):
            pass


def create(lab: Lab, name: str) -> None:
    lab.client.create(manifests.service(name, selector=WEB_LABELS))


def bare(lab: Lab, services: int) -> float:
    """Seconds for the creates, and then a status write each."""
    began_s = time.monotonic()
    each(lab, services, lambda name: create(lab, name))
    each(lab, services, lambda name: lab.cluster.set_ingress(name, ["100.64.255.1"]))
    return time.monotonic() - began_s


def routed(lab: Lab, services: int) -> float:
    """Seconds from the first create until every Service's route has all next hops in the kernel."""
    hops, kernel = frozenset(lab.next_hops()), lab.bird.kernel
    began_s = time.monotonic()
    each(lab, services, lambda name: create(lab, name))

    def complete() -> bool:
        return (
            sum(found == hops for prefix, found in kernel.prefixes().items() if prefix.startswith("100.64."))
            >= services
        )

    eventually(complete, f"{services} routes with {len(hops)} next hops", TIMEOUT_S)
    return time.monotonic() - began_s


def clean(lab: Lab, services: int) -> None:
    """Delete the Services and their EndpointSlices, which the garbage collector would take minutes for."""
    each(lab, services, lambda name: lab.client.delete("Service", name))
    slices = lab.client.path("EndpointSlice", None, "default")
    lab.client.request("DELETE", slices, query={"labelSelector": "kubernetes.io/service-name!=kubernetes"})
    eventually(
        lambda: (
            not any(
                prefix.startswith("100.64.")
                for prefix in lab.bird.kernel.prefixes()
                if lab.bird.kernel.next_hops(prefix)
            )
        ),
        "routes gone",
        TIMEOUT_S,
    )


def resident(porter: Porter) -> dict[str, float]:
    """MiB of resident memory of each part."""
    pids = porter.pids()
    return {
        part: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 2**20 for part, pid in pids.items()
    }


def memory_table(before: dict[str, float], after: dict[str, float], services: int) -> str:
    rows = [[part, f"{before[part]:.0f}", f"{after.get(part, 0):.0f}"] for part in sorted(before)]
    return table(("resident MiB", "started", f"{services} Services"), rows)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
