"""Every fault alone, and two at once by chance, while two hundred Services are up: no route is lost on FRR and BIRD.

After each: desired = ExaBGP's RIB = router's RIB = kernel, within 5 s of a leader leading.
"""

import os
from collections.abc import Iterator

import pytest

from tests.lab.fault_world import World, world_in
from tests.lab.faults import BOTH_ENDS, FAULTS, ROLLING, Fault, Spell
from tests.lab.lab import Lab
from tests.lab.soak import one_round, pair

pytestmark = pytest.mark.lab

SEED = int(os.environ.get("PORTER_FAULT_SEED", "20261125"))
ROUNDS = 10


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    """Two controllers, a speaker, and two hundred Services."""
    with world_in(lab) as made:
        yield made


@pytest.mark.parametrize("fault", [*FAULTS, ROLLING], ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(world: World, fault: Fault) -> None:
    one_round(world, fault.name, Spell(), fault)


@pytest.mark.parametrize("faults", BOTH_ENDS, ids=lambda faults: faults[1].router)
def test_both_ends_at_once(world: World, faults: tuple[Fault, Fault]) -> None:
    one_round(world, " + ".join(fault.name for fault in faults), Spell(), *faults)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_two_at_once(world: World, number: int) -> None:
    first, second, spell = pair(SEED, number)
    one_round(world, f"seed {SEED}, round {number}: {first.name} + {second.name}", spell, first, second)
