"""Every fault alone, and two at once by chance, while two hundred Services are up: no route is lost on FRR and BIRD.

After each: desired = ExaBGP's RIB = router's RIB = kernel, within 5 s of a leader leading.
"""

import os
import random
from collections.abc import Iterator

import pytest

from tests.lab.fault_world import World, world_in
from tests.lab.faults import FAULTS, ROLLING, Fault, Spell, try_faults
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

SEED = int(os.environ.get("PORTER_FAULT_SEED", "20261125"))
ROUNDS = 10
PAIR_SPELL_S = 3.0


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    """Two controllers, a speaker, and two hundred Services."""
    with world_in(lab) as made:
        yield made


@pytest.mark.parametrize("fault", [*FAULTS, ROLLING], ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(world: World, fault: Fault) -> None:
    check(world, fault.name, Spell(), fault)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_two_at_once(world: World, number: int) -> None:
    chance = random.Random(f"{SEED}/{number}")
    first, second = chance.sample(FAULTS, 2)
    spell = Spell(PAIR_SPELL_S, PAIR_SPELL_S, PAIR_SPELL_S, number)
    check(world, f"seed {SEED}, round {number}: {first.name} + {second.name}", spell, first, second)


def check(world: World, name: str, spell: Spell, *faults: Fault) -> None:
    """Let faults strike; nothing may be lost."""
    result, evidence = try_faults(world, name, *(fault.act(world, spell) for fault in faults))
    took = {router: f"{seconds:.2f} s" for router, seconds in result.consistency.router_s.items()}
    print(f"{name}: a leader after {result.consistency.leader_s:.2f} s, consistent after {took}")
    assert not result.losses, f"{name}: {evidence}"
