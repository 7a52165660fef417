"""The table of docs/reference/faults.md, from a run: `python -m tests.lab.fault_table [--rounds N]`."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from tests.lab import dropped_routes
from tests.lab.fault_world import FLEET_SIZE, World, world_in
from tests.lab.faults import FAULTS, ROLLING, Result, Spell, try_faults
from tests.lab.lab import Lab

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
ROUTERS = ("frr", "bird")
COLUMNS = """
| fault | FRR: routes lost | next hops lost | consistent after | BIRD: routes lost | next hops lost | consistent after |
|---|---|---|---|---|---|---|
"""
HEAD = """# Faults and what they cost

Written by `python -m tests.lab.fault_table` from a real run: {services} Services ({prefixes} prefixes of three next
hops), two controllers, one speaker, FRR 8.4 and BIRD 2.0, on two cores. Each fault was tried {rounds}. A route is lost
when a prefix has no next hop in the router's kernel at any moment, a next hop when it lacks one of the three.
Consistent means that what is desired, ExaBGP's RIB, the router's RIB and its kernel are the same; the time, the longest
of all rounds, runs from the moment at which a leader leads after the end of the fault.
"""
BUSY = """
The machine's load average was about {load:.0f} at the end of it; of the lab alone it is three, and the times are
shorter.
"""
DROPPED = """
## Where the protocol itself drops routes

{services} Services and a hold time of {hold} s. The time runs from the session's return to the last route in the
kernel.
"""
NOTES = """
A restart without graceful restart empties that router's own kernel; the other router keeps everything, and with it the
traffic that comes by way of it.

More of it, two faults at once by chance: `make soak ROUNDS=30`.
"""
GAPS = """
FRR's own graceful restart: zebra removes what is stale before it has taken all of the new routes from its queue, so
that {count} IPv6 routes went and came back less than a millisecond later. No announcement changes that; they are not
counted above.
"""


def row(results: list[Result]) -> str:
    """One line: the worst of all rounds of a fault."""
    cells = [results[0].name]
    for router in ROUTERS:
        cells.append(str(max(result.routes_lost(router) for result in results)))
        cells.append(str(max(result.next_hops_lost(router) for result in results)))
        cells.append(f"{max(result.consistency.router_s[router] for result in results):.1f} s")
    return f"| {' | '.join(cells)} |"


def dropped(world: World) -> Iterator[Result]:
    """The faults by which the protocol drops routes; the second speaker comes last."""
    yield dropped_routes.let_hold_time_expire(world)
    for number in range(len(ROUTERS)):
        yield dropped_routes.restart_plainly(world, number)
    yield dropped_routes.let_hold_time_expire(world, dropped_routes.add_speaker(world))


def main() -> None:
    """Run every fault, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    with Lab() as lab:
        page, gaps = "", 0
        with world_in(lab) as world:
            times = "once" if rounds == 1 else f"{rounds} times"
            page += HEAD.format(services=FLEET_SIZE, prefixes=len(world.fleet.expected), rounds=times) + COLUMNS
            for fault in (*FAULTS, ROLLING):
                results = [try_faults(world, fault.name, Spell(seed=number), fault)[0] for number in range(rounds)]
                gaps = max([gaps, *(result.own_gaps for result in results)])
                print(row(results), flush=True)
                page += f"{row(results)}\n"
            page += BUSY.format(load=os.getloadavg()[0])
        page += GAPS.format(count=gaps) if gaps else ""
        page += DROPPED.format(services=dropped_routes.FLEET_SIZE, hold=dropped_routes.HOLD_TIME_S) + COLUMNS
        with world_in(lab, dropped_routes.FLEET_SIZE, timers=dropped_routes.TIMERS) as world:
            for result in dropped(world):
                print(row([result]), flush=True)
                page += f"{row([result])}\n"
    PAGE.write_text(page + NOTES)


if __name__ == "__main__":
    main()
