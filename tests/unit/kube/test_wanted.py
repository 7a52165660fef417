"""What the status writers share: newest wanted wins, nothing unchanged is written, nothing without leadership."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from porter.kube.inventory import ObjectKey, Seen
from porter.kube.wanted import (
    MAX_WRITES_IN_FLIGHT,
    REPAIR_INTERVAL_S,
    WantedStatuses,
    WriteFailed,
    merge_patch,
    with_transition_times,
)
from porter.ports import ObjectStatus


class SettableClock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.now_s = 1_000.0

    def wall_ms(self):
        return int(self.now_s * 1000)

    def monotonic_s(self):
        return self.now_s


class MemoryStatuses(WantedStatuses):
    """Statuses kept in a dictionary; a write waits while `gate` is closed."""

    def __init__(self, leads=lambda: True):
        self.clock = SettableClock()
        super().__init__(leads, self.clock)
        self.objects = {}
        self.writes = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = asyncio.Event()

    async def _present(self, key):
        return self.objects.get(key)

    async def _write(self, wanted, present):
        self.started.set()
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise WriteFailed("not now")
        key = ObjectKey(wanted.kind, wanted.namespace, wanted.name)
        self.writes.append(wanted)
        self.objects[key] = present._replace(status=wanted.status)

    async def idle(self):
        """Wait until nothing is due and nothing in flight."""
        async with asyncio.timeout(2):
            while self._due or self._busy:  # noqa: ASYNC110 - The loop's turns are waited for.
                await asyncio.sleep(0)


KEY = ObjectKey("Eip", "", "public")


def wanted(usage, uid="u1"):
    return ObjectStatus("Eip", "", "public", uid, {"usage": usage, "used": ("a",)})


@asynccontextmanager
async def running(writer):
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def writer():
    statuses = MemoryStatuses()
    statuses.objects[KEY] = Seen("u1", "7", {}, {}, {})
    async with running(statuses):
        yield statuses


async def test_nothing_is_written_that_the_object_already_says(writer):
    writer.want(wanted(1))
    writer.want(wanted(1))
    await writer.idle()
    writer.want(wanted(1))
    await writer.idle()
    assert [write.status["usage"] for write in writer.writes] == [1]


async def test_the_newest_wanted_status_wins_with_one_write_in_flight(writer):
    writer.gate.clear()
    writer.want(wanted(1))
    await writer.started.wait()
    for usage in range(2, 50):
        writer.want(wanted(usage))
    writer.gate.set()
    await writer.idle()
    assert [write.status["usage"] for write in writer.writes] == [1, 49]


async def test_another_object_of_the_same_name_is_not_written(writer):
    writer.want(wanted(1, uid="older"))
    await writer.idle()
    assert writer.writes == []


async def test_a_failed_write_is_tried_again(writer):
    writer.failures = 1
    writer.want(wanted(1))
    await writer.idle()
    assert len(writer.writes) == 1


async def test_without_leadership_nothing_is_written_and_all_is_forgotten():
    leading = [True]
    statuses = MemoryStatuses(lambda: leading[0])
    statuses.objects[KEY] = Seen("u1", "7", {}, {}, {})
    async with running(statuses):
        leading[0] = False
        statuses.want(wanted(1))
        await statuses.idle()
        leading[0] = True
        statuses._look_at(KEY)
        await statuses.idle()
    assert statuses.writes == []


async def test_drop_forgets_what_waits(writer):
    writer.want(wanted(1))
    writer.drop()
    await writer.idle()
    assert writer.writes == []


async def test_an_overwritten_status_comes_back_but_not_in_a_storm(writer):
    writer.want(wanted(1))
    await writer.idle()
    for _ in range(3):
        writer.objects[KEY] = Seen("u1", "8", {"usage": 99}, {}, {})
        writer._look_at(KEY)
        await writer.idle()
    assert len(writer.writes) == 1
    writer.clock.now_s += REPAIR_INTERVAL_S
    writer._look_at(KEY)
    await writer.idle()
    assert len(writer.writes) == 2


def test_a_condition_keeps_its_time_while_its_status_stays():
    present = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    wanted = {
        "conditions": [{"type": "Ready", "status": "True", "reason": "X"}, {"type": "Degraded", "status": "False"}]
    }
    ready, degraded = with_transition_times(wanted, present, 1_767_323_045_000)["conditions"]
    assert ready["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert degraded["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    wanted["conditions"][0]["status"] = "False"
    assert with_transition_times(wanted, present, 0)["conditions"][0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("present", "wanted", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"b": 3}, {"a": None, "b": 3}),
        ({"used": {"x": 1, "y": 2}}, {"used": {"y": 2, "z": 3}}, {"used": {"x": None, "z": 3}}),
        ({"loadBalancer": {"ingress": []}}, {}, {"loadBalancer": None}),
        ({"list": [1, 2]}, {"list": [2]}, {"list": [2]}),
    ],
)
def test_the_patch_turns_the_present_status_into_the_wanted_one(present, wanted, patch):
    assert merge_patch(present, wanted) == patch


async def test_a_change_wakes_one_writer_and_leaves_the_others_idle(writer):
    await asyncio.sleep(0)
    everyone = len(writer._idle)
    assert everyone > 1
    writer.gate.clear()
    writer.want(wanted(1))
    await writer.started.wait()
    assert len(writer._idle) == everyone - 1
    writer.gate.set()
    await writer.idle()
    await asyncio.sleep(0)
    assert len(writer._idle) == everyone


async def test_more_changes_than_writers_are_all_written(writer):
    names = [f"pool-{number}" for number in range(50)]
    for name in names:
        writer.objects[ObjectKey("Eip", "", name)] = Seen("u1", "7", {}, {}, {})
        writer.want(wanted(1)._replace(name=name))
    await writer.idle()
    assert sorted(write.name for write in writer.writes) == sorted(names)


async def test_few_writes_are_in_flight_and_objects_that_fail_keep_none_of_them(writer, monkeypatch):
    in_flight, most, write = 0, 0, writer._write

    async def counted(status, present):
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        try:
            await asyncio.sleep(0)
            if status.name.startswith("poisoned"):
                raise WriteFailed("always")
            await write(status, present)
        finally:
            in_flight -= 1

    monkeypatch.setattr(writer, "_write", counted)
    names = [*(f"poisoned-{n}" for n in range(MAX_WRITES_IN_FLIGHT + 1)), *(f"good-{n}" for n in range(20))]
    for name in names:
        writer.objects[ObjectKey("Eip", "", name)] = Seen("u1", "7", {}, {}, {})
        writer.want(wanted(1)._replace(name=name))
    async with asyncio.timeout(2):
        while len(writer.writes) < 20:  # noqa: ASYNC110 - The loop's turns are waited for.
            await asyncio.sleep(0)
    assert most == MAX_WRITES_IN_FLIGHT
