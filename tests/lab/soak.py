"""Two faults at once, chosen by chance, for as many rounds as wanted: `python -m tests.lab.soak --rounds 30`.

It begins with a minute without Redis and a minute without the API server. The first loss or difference ends it, with
the seed and the round that repeat it: `--seed N --first ROUND`. `--engine gobgp` tries the same with GoBGP.
"""

import argparse
import random
import time
from collections.abc import Sequence

from tests.lab import gobgp_engine
from tests.lab.fault_world import FLEET_SIZE, World, check_in_time, world_in
from tests.lab.faults import FAULTS, Fault, Result, Spell, try_faults
from tests.lab.lab import Lab

MINUTE_S = 60.0
PAIR_S = 3.0
ROUNDS = 30


def pair(seed: int, number: int, faults: Sequence[Fault] = FAULTS) -> tuple[Fault, Fault, Spell]:
    """The two faults of a round, and how long they last."""
    chosen = random.Random(f"{seed}/{number}").sample(faults, 2)
    # What is begun first is ended last, and the end of these waits for routers that must not stand still any more.
    first, second = sorted(chosen, key=lambda fault: fault not in gobgp_engine.OWN_FAULTS)
    return first, second, Spell(PAIR_S, PAIR_S, PAIR_S, number)


def one_round(world: World, name: str, spell: Spell, *faults: Fault) -> Result:
    """Let faults strike and print what came of it. Raises AssertionError with the evidence."""
    began_s = time.monotonic()
    result, evidence = try_faults(world, name, spell, *faults)
    took = ", ".join(f"{router} {seconds:.2f} s" for router, seconds in result.consistency.router_s.items())
    leader_s = result.consistency.leader_s
    print(
        f"{name}: a leader after {leader_s:.2f} s, consistent: {took} ({time.monotonic() - began_s:.0f} s)", flush=True
    )
    assert not result.losses, f"{name}: {evidence}"
    check_in_time(result.consistency)
    return result


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--first", type=int, default=0, help="the round to begin with; the two minutes are left out")
    parser.add_argument("--services", type=int, default=FLEET_SIZE)
    parser.add_argument("--engine", choices=("exabgp", "gobgp"), default="exabgp")
    arguments = parser.parse_args()
    over_gobgp = arguments.engine == "gobgp"
    faults, options = (gobgp_engine.LOSSLESS, gobgp_engine.OPTIONS) if over_gobgp else (FAULTS, ())
    with Lab() as lab, world_in(lab, arguments.services, options=options) as world:
        try:
            for fault in faults:
                if fault.name.endswith(" away") and not arguments.first:
                    one_round(world, f"{fault.name} for {MINUTE_S:.0f} s", Spell(away_s=MINUTE_S), fault)
            for number in range(arguments.first, arguments.rounds):
                first, second, spell = pair(arguments.seed, number, faults)
                name = f"seed {arguments.seed}, round {number}: {first.name} + {second.name}"
                one_round(world, name, spell, first, second)
        except AssertionError:
            print(lab.run.tails())
            raise
    count = arguments.rounds - arguments.first
    print(f"{count} rounds of seed {arguments.seed}: no route was lost, and everything agreed after each")


if __name__ == "__main__":
    main()
