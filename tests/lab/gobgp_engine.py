"""GoBGP as the engine, in the lab: its own faults beside those that both engines have.

`python -m tests.lab.gobgp_engine --rounds N` tries each fault so often, prints what was lost, and goes on; `--write`
has it write docs/reference/faults-gobgp.md.
"""

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.fault_table import COLUMNS, row
from tests.lab.fault_world import FLEET_SIZE, World, world_in
from tests.lab.faults import FAULTS, GRACEFUL, GRACEFUL_FRR, Fault, Spell, try_faults
from tests.lab.lab import Lab
from tests.lab.porter import Porter
from tests.lab.waiting import eventually

OPTIONS = ("--engine", "gobgp")
BACK_WITHIN_S = 60.0
"""GoBGP waits 5 to 10 seconds before each attempt to connect."""
EXABGPS_OWN = (" of exabgp", " of relay")
DAEMONS = "kill -9 of every gobgpd"


def daemons(porter: Porter) -> list[int]:
    """The pids of the daemons, one for each session."""
    return [int(file.read_text()) for file in sorted((porter.state_dir / "gobgp").glob("*.pid"))]


@contextmanager
def _daemons_killed(world: World, _: Spell) -> Iterator[None]:
    killed = daemons(world.up)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    yield
    eventually(
        lambda: len(daemons(world.up)) == len(killed) and not set(daemons(world.up)) & set(killed),
        "other daemons run",
        BACK_WITHIN_S,
        ignore=(OSError, ValueError),
    )
    for router in world.lab.routers:
        router.wait_sessions({world.up.address}, BACK_WITHIN_S)


@contextmanager
def _keeper(world: World, _: Spell, *, number: int) -> Iterator[None]:
    struck = world.signal_part("gobgp", number)
    yield
    world.up.wait_restarted("gobgp", struck)
    for router in world.lab.routers:
        router.wait_sessions({world.up.address}, BACK_WITHIN_S)


OWN_FAULTS = (
    Fault(DAEMONS, _daemons_killed),
    Fault("kill -9 of the keeper", lambda world, spell: _keeper(world, spell, number=signal.SIGKILL)),
    Fault("SIGTERM of the keeper", lambda world, spell: _keeper(world, spell, number=signal.SIGTERM)),
)
SHARED_FAULTS = tuple(fault for fault in FAULTS if not fault.name.endswith(EXABGPS_OWN))
LOSSLESS = tuple(fault for fault in (*OWN_FAULTS, *SHARED_FAULTS) if fault.name != GRACEFUL_FRR)
"""What costs no route: NOTES tells of the other one."""
BOTH_ENDS = tuple(
    (OWN_FAULTS[0], next(fault for fault in FAULTS if fault.name == f"{GRACEFUL}, {router}"))
    for router in ("frr", "bird")
)


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults-gobgp.md"
HEAD = """# Faults with GoBGP as the engine

Written by `python -m tests.lab.gobgp_engine --write` from a real run: {services} Services ({prefixes} prefixes of three
next hops), two controllers, one speaker with `--engine gobgp` (GoBGP 3.10), FRR 8.4 and BIRD 2.0, on two cores. Each
fault was tried {rounds}. What the columns mean is told with [the same for ExaBGP](faults.md).
"""
NOTES = """
## FRR that restarts gracefully

It costs the routes of IPv4, or of IPv6, or of both for 0.01 to 0.1 s, by chance: of two tries with 50 Services one lost
48 of IPv4 and the other none. Those of IPv6 are not counted above, because FRR makes some such gaps with either engine.
The debug logs of bgpd and zebra (8.4.4) show why:

1. bgpd takes routes without choosing among them (`DEFER route`), and asks zebra for a next hop when the first route
   with it comes.
2. At a family's End-of-RIB it chooses, and tells zebra that the family is complete. A route whose next hop zebra has
   not answered for yet is not chosen; it is 50 ms later.
3. At the first family that is complete zebra deletes what it kept as stale, of both families.

GoBGP writes the routes of one family, its End-of-RIB, the routes of the other and its End-of-RIB, in whatever order a
Go map has. IPv4's End-of-RIB was 0.4 ms behind the first of its routes where they were lost. The same by a session made
by hand, 50 prefixes of IPv4 and 10 of IPv6, each twice:

| what is sent to FRR, in this order | IPv4 lost | IPv6 lost |
|---|---|---|
| the routes of both, End-of-RIB of both | all, for 52 ms | all, for 51 ms |
| **the routes of both, 100 ms later End-of-RIB of both** | **none** | **none** |
| IPv4, 100 ms, its End-of-RIB, IPv6, its End-of-RIB | none | all, for 51 ms |
| IPv4, 100 ms, its End-of-RIB, IPv6, 100 ms, its End-of-RIB | none | all, for 100 ms |
| IPv6, 100 ms, its End-of-RIB, IPv4, 100 ms, its End-of-RIB | all, for 100 ms | none |
| IPv4, its End-of-RIB, IPv6, its End-of-RIB, with the Restart State bit | all, for 252 ms | all, for 252 ms |

The second line is what Porter does with ExaBGP, where it sends End-of-RIB when all routes are confirmed. GoBGP's
interface has no way to it: End-of-RIB belongs to the batch that is written when a session comes up and at each soft
reset, `deferral_time` counts only with the Restart State bit, and without graceful restart every router would drop our
routes whenever a daemon ends.

The machine's load average was {load:.0f} at the end.
"""


def main() -> None:
    """Try every fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--services", type=int, default=FLEET_SIZE)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    tries = [(fault,) for fault in (*OWN_FAULTS, *SHARED_FAULTS)] + list(BOTH_ENDS)
    lines: list[str] = []
    with Lab() as lab, world_in(lab, arguments.services, options=OPTIONS) as world:
        prefixes = len(world.fleet.expected)
        for faults in tries:
            name = " + ".join(fault.name for fault in faults)
            if arguments.only not in name:
                continue
            results = []
            for number in range(arguments.rounds):
                result, evidence = try_faults(world, name, Spell(seed=number), *faults)
                results.append(result)
                if result.losses:
                    print(evidence, flush=True)
            lines.append(row(results).replace(" / -", ""))
            print(lines[-1], flush=True)
    if arguments.write:
        times = "once" if arguments.rounds == 1 else f"{arguments.rounds} times"
        page = HEAD.format(services=arguments.services, prefixes=prefixes, rounds=times) + COLUMNS
        PAGE.write_text(page + "".join(f"{line}\n" for line in lines) + NOTES.format(load=os.getloadavg()[0]))


if __name__ == "__main__":
    main()
