"""(b) 1,000 Services created by 8 connections until all are routed, beside a floor; (c) memory with and without them.

The floor is the same creates and then the same status writes by a bare client. Both run in pairs; the median of three
pairs counts. Each measurement has a lab of its own: a control plane that took a thousand Services before is slower,
and one that is to forget them again takes minutes for it. kube-proxy runs with its own default of a second between
two writes of its rules, as it does in clusters. Memory is resident memory of the processes, once after start and once
with all Services routed. `python -m tests.bench.bench_burst [SERVICES [PAIRS]]`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from porter.kube.facts.service import DECISION_ANNOTATION, POOL_LABEL
from tests.bench.figures import cpu_seconds, resident_mib, table
from tests.lab import manifests, plan
from tests.lab.cluster import DEFAULT_PROXY_SYNC, ingress_of
from tests.lab.lab import WEB_LABELS, Lab
from tests.lab.porter import Porter
from tests.lab.waiting import NotInTime, eventually

SERVICES = 1000
CONNECTIONS = 8
PAIRS = 3
POOL = "100.64.0.0/16"
ANY_ADDRESS = "100.64.255.1"
PREFIXES = "100.64."
TIMEOUT_S = 300.0
SETTLED_S = 3.0
"""Memory is looked at so long after the start: the parts come up one after the other."""


class Burst(NamedTuple):
    """What one burst took: seconds until the last create was answered, until all was routed (or written), and until
    every status was written.

    `cpu_s` are CPU seconds of each program meanwhile, `memory` the MiB of Porter's parts before and with the Services.
    """

    created_s: float
    done_s: float
    written_s: float
    cpu_s: dict[str, float]
    memory: dict[str, tuple[float, float]] = {}


def main(services: int = SERVICES, pairs: int = PAIRS) -> None:
    rows: list[list[str]] = []
    ratios: list[float] = []
    for pair in range(1, pairs + 1):
        with Lab(proxy_sync=DEFAULT_PROXY_SYNC) as lab:
            floor = bare(lab, services)
        with Lab(proxy_sync=DEFAULT_PROXY_SYNC) as lab:
            try:
                ours = routed(lab, services)
            except AssertionError:
                print(lab.run.tails())
                raise
        ratios.append(ours.done_s / floor.done_s)
        measured = [ours.done_s, ours.created_s, ours.written_s, floor.done_s, floor.created_s]
        rows.append([f"pair {pair}", *(f"{seconds:.1f}" for seconds in measured), f"{ratios[-1]:.2f}"])
        print(" ".join(rows[-1]), flush=True)
    heads = (f"{services} Services", "routed s", "created s", "statuses s", "floor s", "created s", "ratio")
    print(table(heads, rows))
    print(f"median ratio {statistics.median(ratios):.2f}\n")
    print(cpu_table(ours, floor))
    print()
    print(memory_table(ours.memory, services))


def each(services: int, do: Callable[[str], object]) -> None:
    """Call `do` for every Service's name, by 8 threads with a connection each."""
    names = [f"burst-{number}" for number in range(services)]
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for _ in threads.map(do, names):
            pass


def create(lab: Lab, name: str) -> None:
    lab.client.create(manifests.service(name, selector=WEB_LABELS))


def write_status(lab: Lab, name: str) -> None:
    """Write what the controller writes, in one merge patch: ingress, the pool's label, and the decision's annotation.

    The label counts: for it the controller-manager writes the EndpointSlice and the Endpoints once more.
    """
    metadata = {"labels": {POOL_LABEL: "default"}, "annotations": {DECISION_ANNOTATION: "1:0123456789ab"}}
    ingress = [{"ip": ANY_ADDRESS, "ipMode": "VIP"}]
    written = {"metadata": metadata, "status": {"loadBalancer": {"ingress": ingress}}}
    lab.client.patch("Service", name, written, subresource="status")


def bare(lab: Lab, services: int) -> Burst:
    """The creates, and then a status write each, by a bare client."""
    before = cpu(lab)
    began_s = time.monotonic()
    each(services, lambda name: create(lab, name))
    created_s = time.monotonic() - began_s
    each(services, lambda name: write_status(lab, name))
    done_s = time.monotonic() - began_s
    return Burst(created_s, done_s, done_s, spent(before, cpu(lab)))


def routed(lab: Lab, services: int) -> Burst:
    """The creates, until every Service's route has all next hops in the kernel."""
    for manifest in (
        manifests.eip(address=POOL),
        manifests.bgp_conf(),
        manifests.bgp_peer("bird", plan.BIRD.v4, plan.BIRD_AS),
    ):
        lab.client.apply(manifest)
    porter = lab.porter(redis=False, name="burst").start()
    porter.wait_ready(path="/readyz?sessions=all")
    time.sleep(SETTLED_S)
    resident, before = resident_mib(porter.pids()), cpu(lab, porter)
    began_s = time.monotonic()
    each(services, lambda name: create(lab, name))
    created_s = time.monotonic() - began_s
    done_s = wait_routed(lab, services) - began_s
    after = cpu(lab, porter)
    now = resident_mib(porter.pids())
    memory = {part: (mib, now.get(part, 0.0)) for part, mib in resident.items()}
    written_s = wait_written(lab, services) - began_s
    return Burst(created_s, done_s, written_s, spent(before, after), memory)


def wait_routed(lab: Lab, services: int) -> float:
    """When the kernel told of the last route that was missing a next hop (monotonic seconds)."""
    hops, kernel = frozenset(lab.next_hops()), lab.bird.kernel

    def complete() -> list[str]:
        return [name for name, found in kernel.prefixes().items() if name.startswith(PREFIXES) and found == hops]

    try:
        eventually(lambda: len(complete()) >= services, f"{services} routes with {len(hops)} next hops", TIMEOUT_S)
    except NotInTime as error:
        raise NotInTime(f"{len(complete())} of {services} Services were routed: {error}") from error
    return max(kernel.events_of(prefix)[-1].at_s for prefix in complete())


def wait_written(lab: Lab, services: int) -> float:
    """When every Service was seen to have its address in its status (monotonic seconds)."""

    def complete() -> bool:
        return sum(bool(ingress_of(each)) for each in lab.client.list("Service", "default")) >= services

    # The server closes a connection that was idle for as long as a slow burst takes.
    eventually(complete, f"{services} statuses are written", TIMEOUT_S, ignore=(OSError,))
    return time.monotonic()


# -------------------------------------------------------------------------------------------------------------- figures


def cpu(lab: Lab, porter: Porter | None = None) -> dict[str, float]:
    """CPU seconds so far of each program of the lab, each part of Porter, and this client; kube-proxies are one."""
    names = {process.pid: process.name for process in lab.run.processes if process.alive}
    if porter is not None:
        names |= {pid: f"porter: {part}" for part, pid in porter.pids().items()}
    found = {"this client": time.process_time()}
    for pid, name in names.items():
        kind = "kube-proxy, all" if name.startswith("kube-proxy") else name
        found[kind] = found.get(kind, 0.0) + cpu_seconds(pid)
    return found


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def cpu_table(ours: Burst, floor: Burst) -> str:
    """Who spent the last pair's CPU time; what is below a tenth of a second is left out.

    The sums tell the two apart also where neighbours on the machine take their share of the seconds.
    """
    names = sorted(ours.cpu_s, key=lambda name: -ours.cpu_s[name])
    rows = [
        [name, f"{ours.cpu_s[name]:.1f}", f"{floor.cpu_s[name]:.1f}" if name in floor.cpu_s else ""]
        for name in names
        if ours.cpu_s[name] >= 0.1
    ]
    total, total_floor = sum(ours.cpu_s.values()), sum(floor.cpu_s.values())
    rows.append([f"in all (ratio {total / total_floor:.2f})", f"{total:.1f}", f"{total_floor:.1f}"])
    return table(("CPU seconds of the last pair", "ours", "floor"), rows)


def memory_table(memory: dict[str, tuple[float, float]], services: int) -> str:
    rows = [
        [part, f"{before:.0f}", f"{after:.0f}", f"{after - before:+.0f}"]
        for part, (before, after) in sorted(memory.items())
    ]
    return table(("resident MiB", "started", f"{services} Services", "more"), rows)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
