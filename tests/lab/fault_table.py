"""The page docs/reference/faults.md, from a run: `python -m tests.lab.fault_table [--rounds N] [--seeds N]`."""

import argparse
import asyncio
import math
import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.integration.bgp import churn
from tests.lab import dropped_routes
from tests.lab.added_peer import add_peer
from tests.lab.fault_world import FLEET_SIZE, World, world_in
from tests.lab.faults import FAULTS, ROLLING, Fault, Result, Spell, try_faults
from tests.lab.lab import Lab
from tests.lab.naive_world import counterpart, naive_world_in

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
ROUTERS = ("frr", "bird")
COLUMNS = """
| fault | FRR: routes lost | next hops lost | consistent after | BIRD: routes lost | next hops lost | after |
|---|---|---|---|---|---|---|
"""
HEAD = """# Faults and what they cost

Written by `python -m tests.lab.fault_table` from a real run: {services} Services ({prefixes} prefixes of three next
hops), two controllers, one speaker, FRR 8.4 and BIRD 2.0, on two cores. Each fault was tried {rounds}. A route is lost
when a prefix has no next hop in the router's kernel at any moment, a next hop when it lacks one of the three.
Consistent means that what is desired, ExaBGP's RIB, the router's RIB and its kernel are the same; the time, the longest
of all rounds, runs from the moment at which a leader leads after the end of the fault.

Each cell tells **Porter / ExaBGP driven naively**, both from the same run; a dash stands where the naive one has no
such part. That one is what one writes first (`tests/lab/naive_controller.py`): ExaBGP with graceful restart and
ADD-PATH, in a shell loop that starts it again after a second, and as its API process a controller that watches Services
and EndpointSlices and prints a line for each change. It believes ExaBGP's answers, and knows nothing of End-of-RIB, of
sessions, or of what was announced before its own start; a changed list of peers is written and reloaded. In its favour
there is nothing to allocate, to elect or to store, and consistent means for it that what is desired, the router's RIB
and its kernel are the same. `never` means not within 20 seconds; everything was then started anew.
"""
BUSY = """
The machine's load average was {load:.0f} during it (the median); of the lab alone it is three, and the times are
shorter.
"""
DROPPED = """
## Where the protocol itself drops routes

{services} Services and a hold time of {hold} s, Porter only. The time runs from the session's return to the last route
in the kernel.
"""
NOTES = """
A restart without graceful restart empties that router's own kernel; the other router keeps everything, and with it the
traffic that comes by way of it.

More of it, two faults at once by chance: `make soak ROUNDS=30`.
"""
GAPS = """
FRR's own graceful restart: zebra removes what is stale before it has taken all of the new routes from its queue, so
that {count} IPv6 routes went and came back at once (less than a millisecond on a machine at rest). No announcement
changes that; they are not counted above.
"""
CHURN = """
## Changes in quick succession

{operations} random operations (announce, replace, withdraw) over {prefixes} prefixes at each router, {seeds} seeds, by
Porter's publisher and by a line for each operation written to ExaBGP as it happens (`tests/integration/bgp/churn.py`).
Counted is in how many paths the router differs from what it should have, after everything has come to rest: a ghost
was withdrawn and stays, a missing one was announced and is not there, a wrong one has another next hop.

| router | Porter: ghosts | missing | wrong | naive: ghosts | missing | wrong | naive seeds with one |
|---|---|---|---|---|---|---|---|
"""


def row(results: Sequence[Result], naive: Sequence[Result] = ()) -> str:
    """One line: the worst of all rounds of a fault."""
    cells = [results[0].name]
    for router in ROUTERS:
        for of in (_routes, _hops, _time):
            ours, theirs = of(results, router), of(naive, router) if naive else "-"
            cells.append(f"{ours} / {theirs}")
    return f"| {' | '.join(cells)} |"


def _routes(results: Sequence[Result], router: str) -> str:
    return str(max(result.routes_lost(router) for result in results))


def _hops(results: Sequence[Result], router: str) -> str:
    return str(max(result.next_hops_lost(router) for result in results))


def _time(results: Sequence[Result], router: str) -> str:
    longest_s = max(result.consistency.router_s[router] for result in results)
    return "never" if math.isinf(longest_s) else f"{longest_s:.1f} s"


def dropped(world: World) -> Iterator[Result]:
    """The faults by which the protocol drops routes; the second speaker comes last."""
    yield dropped_routes.let_hold_time_expire(world)
    for number in range(len(ROUTERS)):
        yield dropped_routes.restart_plainly(world, number)
    yield dropped_routes.let_hold_time_expire(world, dropped_routes.add_speaker(world))


def tried(world: World, faults: Sequence[Fault], rounds: int, loads: list[float]) -> dict[str, list[Result]]:
    """Every fault so many times, and another peer, by name."""
    found: dict[str, list[Result]] = {}
    for fault in faults:
        found[fault.name] = [try_faults(world, fault.name, Spell(seed=number), fault)[0] for number in range(rounds)]
        print(row(found[fault.name]), flush=True)
        loads.append(os.getloadavg()[0])
    added = [add_peer(world) for _ in range(rounds)]
    print(row(added), flush=True)
    return found | {added[0].name: added}


def faults_part(lab: Lab, rounds: int) -> str:
    """The first table."""
    loads: list[float] = []
    faults = (*FAULTS, ROLLING)
    with world_in(lab) as world:
        prefixes = len(world.fleet.expected)
        ours = tried(world, faults, rounds, loads)
    with naive_world_in(lab) as naive_world:
        naive = tried(naive_world, [each for fault in faults if (each := counterpart(fault))], rounds, loads)
    times = "once" if rounds == 1 else f"{rounds} times"
    page = HEAD.format(services=FLEET_SIZE, prefixes=prefixes, rounds=times) + COLUMNS
    page += "".join(f"{row(results, naive.get(name, ()))}\n" for name, results in ours.items())
    page += BUSY.format(load=statistics.median(loads))
    gaps = max(result.own_gaps for results in (*ours.values(), *naive.values()) for result in results)
    return page + (GAPS.format(count=gaps) if gaps else "")


def dropped_part(lab: Lab) -> str:
    """Where the protocol drops routes."""
    page = DROPPED.format(services=dropped_routes.FLEET_SIZE, hold=dropped_routes.HOLD_TIME_S) + COLUMNS
    with world_in(lab, dropped_routes.FLEET_SIZE, timers=dropped_routes.TIMERS) as world:
        for result in dropped(world):
            line = row([result]).replace(" / -", "")
            print(line, flush=True)
            page += f"{line}\n"
    return page


def churn_part(count: int) -> str:
    """The table of the churn."""
    seeds = range(churn.FIRST_SEED, churn.FIRST_SEED + count)
    ours = [asyncio.run(churn.by_publisher(seed)) for seed in seeds]
    naive = [asyncio.run(churn.by_exabgp(seed)) for seed in seeds]
    page = CHURN.format(operations=churn.OPERATIONS, prefixes=len(churn.PREFIXES), seeds=count)
    for router in ours[0]:
        cells = [{churn.WITHOUT_ADD_PATH: "bird without ADD-PATH"}.get(router, router)]
        for found in (ours, naive):
            cells += [str(sum(numbers)) for numbers in zip(*(each[router] for each in found), strict=True)]
        cells.append(str(sum(any(each[router]) for each in naive)))
        page += f"| {' | '.join(cells)} |\n"
    return page


def main() -> None:
    """Run every fault, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    with Lab() as lab:
        page = faults_part(lab, arguments.rounds) + dropped_part(lab)
    PAGE.write_text(page + NOTES + churn_part(arguments.seeds))


if __name__ == "__main__":
    main()
