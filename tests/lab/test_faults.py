"""Every fault alone, and two at once by chance, while two hundred Services are up: no route is lost on FRR and BIRD.

After each: desired = ExaBGP's RIB = router's RIB = kernel, within 5 s of a leader leading.
"""

import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.lab.fault_world import World, stretched, world_in
from tests.lab.faults import BOTH_ENDS, FAULTS, OWN_GAP_S, ROLLING, Fault, Spell, split_own_gaps
from tests.lab.lab import Lab
from tests.lab.route_watch import Loss
from tests.lab.soak import one_round, pair

pytestmark = pytest.mark.lab

SEED = int(os.environ.get("PORTER_FAULT_SEED", "20261125"))
ROUNDS = 10


@pytest.fixture(scope="module")
def world(lab: Lab) -> Iterator[World]:
    """Two controllers, a speaker, and two hundred Services."""
    with world_in(lab) as made:
        yield made


def test_a_bound_that_is_stretched_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for load, wanted_s, said in [(1.0, 5.0, False), (6.0, 10.0, True), (60.0, 20.0, True)]:
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert stretched(5.0, "consistency") == pytest.approx(wanted_s)
        assert ("5.0 s" in capsys.readouterr().out) == said


def test_a_busy_machine_forgives_no_lost_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap that is longer than the router's own is a loss, whatever the load."""
    monkeypatch.setattr("os.getloadavg", lambda: (60.0, 0.0, 0.0))
    gone = Loss(10.0, "frr", "2001:db8::1/128", frozenset({"fd00::1"}), "an event")
    for gap_s, lost in [(OWN_GAP_S / 2, 0), (OWN_GAP_S * 2, 1)]:
        back = SimpleNamespace(at_s=10.0 + gap_s, next_hops=frozenset({"fd00::1"}))
        kernel = SimpleNamespace(name="frr", events_of=lambda _prefix, back=back: [back])
        world = SimpleNamespace(lab=SimpleNamespace(frr=SimpleNamespace(kernel=kernel)))
        losses, gaps = split_own_gaps(world, [gone])  # type: ignore[arg-type]
        assert (len(losses), gaps) == (lost, 1 - lost)


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
