"""A history decided again: the same build says the same, and another answer is told with its position."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys

import pytest

from porter.allocator.decide import unsettled
from porter.allocator.withdrawals import Rule
from porter.app import plan
from porter.app.history.moments import Moment
from porter.app.incident import export as exporting
from porter.app.plan import versions
from porter.events import decided, observed
from porter.events.envelope import Draft
from porter.model.address import Address
from porter.model.reasons import Reason
from tests.schema_check import violations
from tests.unit.app.leading import World
from tests.unit.app.scripted_incident import Incident, incident
from tests.unit.projections.story import SYNCED, node, pool, service


async def answer(it: Incident, since: int = 0):
    told = await plan.redecided(it.streams, Moment(since) if since else None)
    assert violations(told, "redecided") == []
    return told


async def test_a_history_of_this_build_is_decided_alike():
    told = await answer(await incident())
    assert (told["differences"], told["differing"], told["reworded"]) == ([], 0, 0)
    assert told["decisions"] == 2
    assert told["last"] == told["events"]


async def test_only_what_lies_behind_a_moment_is_decided_again():
    it = await incident()
    whole, later = await answer(it), await answer(it, it.marks["exhausted"] - 2)
    assert 0 < later["decisions"] < whole["decisions"]
    assert later["first"] == it.marks["exhausted"] - 1
    assert later["differing"] == 0


async def test_a_history_behind_a_baseline_is_decided_alike():
    it = await incident()
    await it.records()
    at = it.state.ledger.position
    await it.says(service("after-it"))
    told = await answer(it, at)
    assert (told["decisions"], told["differing"]) == (1, 0)


@pytest.fixture
async def ready():
    it = await Incident().begin()
    return await it.says(node(1), pool("p", "192.0.2.0-192.0.2.7", default=True), SYNCED)


def allocated(uid: str, address: str) -> decided.AddressAllocated:
    return decided.AddressAllocated(uid, "shop", uid, Address(address), "p", Reason.DEFAULT_POOL)


async def append(it: Incident, *payloads, later_ms: int = 0) -> int:
    it.now_ms += 1000 + later_ms
    commit = await it.journal.append([Draft(payload) for payload in payloads], time_ms=it.now_ms)
    return commit.last_position


async def test_another_address_is_told_with_its_position_and_both_answers(ready):
    position = await append(ready, service("one"), allocated("one", "192.0.2.5"))
    told = await answer(ready)
    (difference,) = told["differences"]
    assert (difference["position"], difference["service"], difference["kind"]) == (position, "shop/one", "answer")
    assert difference["then"] == "AddressAllocated 192.0.2.5 from Eip p (DefaultPool)"
    assert difference["now"] == "AddressAllocated 192.0.2.0 from Eip p (DefaultPool)"


async def test_history_goes_on_as_it_was_so_that_one_difference_makes_no_others(ready):
    await append(ready, service("one"), allocated("one", "192.0.2.5"))
    await append(ready, service("two"), allocated("two", "192.0.2.0"))
    assert [one["service"] for one in (await answer(ready))["differences"]] == ["shop/one"]


async def test_a_refusal_where_there_is_an_address_differs(ready):
    refused = decided.AllocationRefused("one", "shop", "one", Reason.POOL_EXHAUSTED, "Eip p has no address left")
    await append(ready, service("one"), refused)
    (difference,) = (await answer(ready))["differences"]
    assert difference["then"].startswith("AllocationRefused PoolExhausted")
    assert difference["now"].startswith("AddressAllocated 192.0.2.0")


async def test_other_words_of_the_same_refusal_are_counted_and_no_difference():
    it = await Incident().begin()
    await it.says(node(1), SYNCED)
    refused = decided.AllocationRefused("one", "shop", "one", Reason.NO_POOL, "an older sentence")
    await append(it, service("one"), refused)
    told = await answer(it)
    assert (told["differing"], told["reworded"]) == (0, 1)


async def test_what_nobody_decided_is_missing_after_a_while_and_at_the_end(ready):
    position = await append(ready, service("one"))
    (difference,) = (await answer(ready))["differences"]
    assert (difference["kind"], difference["position"], difference["then"]) == ("missing", position, "")
    await append(ready, node(2), later_ms=versions.OWED_MS)
    await append(ready, observed.ServiceGone("one", "shop", "one", "ServiceDeleted"))
    (difference,) = (await answer(ready))["differences"]
    assert (difference["kind"], difference["position"]) == ("missing", position)
    assert difference["now"].startswith("AddressAllocated 192.0.2.0")


async def test_what_comes_in_the_next_commit_is_not_missing(ready):
    await append(ready, service("one"))
    await append(ready, node(2), allocated("one", "192.0.2.0"))
    assert (await answer(ready))["differing"] == 0


async def test_another_order_is_told(ready):
    await append(
        ready,
        service("old", created_ms=1),
        service("new", created_ms=2),
        allocated("new", "192.0.2.0"),
        allocated("old", "192.0.2.1"),
    )
    differences = (await answer(ready))["differences"]
    assert [(one["service"], one["kind"]) for one in differences] == [("shop/old", "order")]
    assert differences[0]["now"] == "first: AddressAllocated 192.0.2.0 from Eip p (DefaultPool)"


async def plan_from(it: Incident, folder) -> subprocess.CompletedProcess[str]:
    """The command, upon an export."""
    path = folder / "history.porter"
    with path.open("wb") as file:
        await exporting.export(it.streams, "rack-7", file, None)
    command = [sys.executable, "-m", "porter", "plan", "--with-version", "--from", str(path)]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)


async def test_the_command_prints_each_difference_and_ends_with_a_finding(ready, tmp_path):
    position = await append(ready, service("one"), allocated("one", "192.0.2.5"))
    ended = await plan_from(ready, tmp_path)
    assert ended.returncode == 1, ended
    assert f"  #{position} shop/one\n    then  AddressAllocated 192.0.2.5 from Eip p (DefaultPool)\n" in ended.stdout
    assert "    now   AddressAllocated 192.0.2.0 from Eip p (DefaultPool)\n" in ended.stdout
    assert ended.stderr == "porter: 1 of 1 decisions would differ\n"


async def test_the_command_ends_well_where_nothing_differs(tmp_path):
    ended = await plan_from(await incident(), tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("none would differ\n")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_a_real_leader_decided_over_takeovers_and_bursts_is_decided_alike(seed):
    draw = random.Random(seed)
    world = World(Rule(share_percent=25, minimum=8, bound_ms=600_000, local_bound_ms=5_000))
    names = [f"s{number:03}" for number in range(150)]
    world.objects.put(node(1), node(2), pool("p", "192.0.2.0-192.0.2.99", default=True, release_delay_ms=50))
    for _ in range(3):
        # What changes between two leaders is found by the next one all at once.
        for name in draw.sample(names, 60):
            change(world, draw, name)
        async with world.leader() as leading:
            for name in draw.sample(names, 40):
                change(world, draw, name)
                if draw.random() < 0.1:
                    last = draw.choice((20, 60, 99))
                    world.objects.put(pool("p", f"192.0.2.0-192.0.2.{last}", default=True, release_delay_ms=50))
                await asyncio.sleep(0.001)
            # The leader has nothing more to say, but what is due by time.
            await world.until(lambda leading=leading: not leading._intake and not unsettled(leading.state, 1))
    told = await plan.redecided(world.journals, None)
    assert told["decisions"] > 150
    assert (told["differences"], told["reworded"]) == ([], 0)


def change(world: World, draw: random.Random, name: str) -> None:
    """One Service comes, goes, or asks for something else."""
    if draw.random() < 0.3:
        world.objects.take(("Service", f"shop/{name}"))
        return
    asked = (Address(f"192.0.2.{draw.randrange(110)}"),) if draw.random() < 0.2 else ()
    key = draw.choice(("", "", "", "shared"))
    world.objects.put(service(name, created_ms=draw.randrange(1000), requested_addresses=asked, sharing_key=key))
