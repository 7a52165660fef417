"""A newer event is written only when every live reader reads it; who is waited for is said."""

from __future__ import annotations

import msgpack
import pytest

from porter.allocator.withdrawals import Rule
from porter.app.http.actions import NotPossible
from porter.app.upgrade import readers as module
from porter.app.upgrade.activation import Activation
from porter.app.upgrade.readers import LiveReaders
from porter.events import codec, decided, schema
from porter.events.catalogue import EVENT_TYPES, RELEASED, UNRELEASED
from porter.events.downcast import DOWNCASTERS
from porter.events.envelope import BEGINNING
from porter.events.observed import NodeObserved
from porter.events.upcast import UPCASTERS
from porter.ports import Declaration
from tests.unit.app.leading import World
from tests.unit.projections.story import node, pool, service

AFTER_S = 60.0
RULE = Rule(share_percent=25, minimum=8, bound_ms=600_000, local_bound_ms=5_000)
DRAIN = decided.NodeDrained("n1", "n1", "ops", "disk", 10_000)


@pytest.fixture
def released(monkeypatch):
    """What was released could not drain nodes."""
    monkeypatch.delitem(RELEASED, "NodeDrained")
    return dict(RELEASED)


class Lead(World):
    """A leader, its activation, and readers that tests declare."""

    def __init__(self, after_s: float | None = AFTER_S) -> None:
        super().__init__(RULE)
        self.readers = self.journals.readers()
        self.live = LiveReaders(self.readers, self.clock)
        self.activation = Activation(self.live, self.clock, after_s)
        self.objects.put(node(1), pool("p", "192.0.2.0-192.0.2.9", default=True), service("web"))

    async def declares(self, name: str, reads=None, release: str = "9", look: bool = True) -> None:
        await self.readers.declare(name, Declaration(schema.reads() if reads is None else reads, release))
        if look:
            await self.live.look()

    async def waits(self, leading, seconds: float) -> None:
        """Let time pass, and the leader come by: it looks at its head each second."""
        for _ in range(4):
            self.clock.added_s += seconds / 4
            before = leading.state.ledger.position
            self.objects.put(service(f"tick-{self.clock.added_s}"))
            await self.until(lambda before=before: leading.state.ledger.position > before)


async def versions(world: World, kind: str) -> list[tuple[int, int]]:
    """The stored events of a type: position and version."""
    found = []
    async for page in world.journals.journal().blobs(BEGINNING):
        for blob in page:
            _, first, *_, rows = msgpack.unpackb(blob[32:], use_list=False)
            found += [(first + index, row[1]) for index, row in enumerate(rows) if row[0] == kind]
    return found


async def test_while_one_reader_does_not_read_it_it_is_held_back_and_named(released):
    world = Lead()
    await world.declares("controller/a")
    await world.declares("speaker/s2", released, "8")
    async with world.leader() as leading:
        with pytest.raises(
            NotPossible, match=r"NodeDrained version 1 is not written yet: speaker/s2 \(release 8\) does"
        ):
            await leading.submit(DRAIN)
        await world.waits(leading, 3 * AFTER_S)
        with pytest.raises(NotPossible, match="porter readers --forget NAME"):
            await leading.submit(DRAIN)
        assert await world.events(decided.SchemaActivated, decided.NodeDrained) == []
        condition = world.activation.condition(leading.state.ledger.activated)
        assert condition.startswith("ok, with NodeDrained held back: ")


async def test_when_all_have_read_it_for_a_while_it_is_activated_and_written(released):
    world = Lead()
    await world.declares("controller/a")
    await world.declares("speaker/s2", released)
    async with world.leader() as leading:
        await world.waits(leading, 2)
        await world.declares("speaker/s2")
        await world.waits(leading, AFTER_S / 2)
        with pytest.raises(NotPossible, match=r"all readers read it, and it will be in [1-5]?[0-9] s"):
            await leading.submit(DRAIN)
        await world.waits(leading, AFTER_S)
        await world.until(lambda: leading.state.ledger.activated)
        await leading.submit(DRAIN)
        assert world.activation.condition(leading.state.ledger.activated) == "ok"
    activated, drained = await world.events(decided.SchemaActivated, decided.NodeDrained)
    assert activated.types == (("NodeDrained", 1), ("SchemaActivated", 1))
    assert activated.readers == (("controller/a", "9"), ("speaker/s2", "9"))
    assert drained == DRAIN
    async with world.leader() as leading:
        assert leading.state.ledger.activated == {"NodeDrained": 1, "SchemaActivated": 1}


async def test_a_speaker_that_never_declared_reads_what_the_first_release_read(released):
    world = Lead()
    world.readers = world.journals.readers()
    world.journals.server.readers["speaker/old"] = module.Declared(None)
    await world.live.look()
    async with world.leader() as leading:
        await world.waits(leading, module.GONE_S * 2)
        with pytest.raises(NotPossible, match=r"speaker/old \(release unknown\) does not read it"):
            await leading.submit(DRAIN)
        assert await world.live.forget("speaker/old")
        await world.live.look()
        await world.waits(leading, 3 * AFTER_S)
        await leading.submit(DRAIN)
    del released


async def test_a_reader_is_gone_an_hour_after_it_was_heard_and_comes_back_by_being_heard(released):
    world = Lead()
    await world.declares("speaker/s2", released)
    world.clock.added_s += module.GONE_S - 10
    await world.live.look()
    assert set(world.live.live()) == {"speaker/s2"}
    world.clock.added_s += 20
    await world.live.look()
    await world.live.look()
    assert world.live.live() == {}
    another = LiveReaders(world.readers, world.clock)
    await another.look()
    assert another.live() == {}
    await world.declares("speaker/s2", released)
    assert set(world.live.live()) == {"speaker/s2"}


async def test_a_reader_that_went_together_with_the_server_s_data_can_be_forgotten(released):
    world = Lead()
    await world.declares("speaker/s2", released)
    world.journals.server.readers.clear()
    await world.live.look()
    assert set(world.live.live()) == {"speaker/s2"}, "it may only be late"
    assert await world.live.forget("speaker/s2")
    assert world.live.live() == {}
    assert not await world.live.forget("speaker/s2")
    await world.declares("speaker/s2", released)
    assert set(world.live.live()) == {"speaker/s2"}


async def test_nobody_is_taken_for_gone_while_the_readers_cannot_be_looked_at(released):
    world = Lead()
    await world.declares("controller/a")
    async with world.leader() as leading:
        world.live.known = False
        await world.waits(leading, 3 * AFTER_S)
        with pytest.raises(NotPossible, match="readers could not be looked at"):
            await leading.submit(DRAIN)
    del released


async def test_never_keeps_the_way_back_open(released):
    world = Lead(after_s=None)
    await world.declares("controller/a")
    async with world.leader() as leading:
        await world.waits(leading, 3 * AFTER_S)
        with pytest.raises(NotPossible, match="--activate-schema-after is `never`"):
            await leading.submit(DRAIN)
    del released


async def test_where_nothing_is_newer_nothing_is_activated():
    world = Lead()
    await world.declares("controller/a")
    async with world.leader() as leading:
        await world.waits(leading, 3 * AFTER_S)
        assert leading.state.ledger.activated == {}
        assert world.activation.held_back({}) == ()
    assert await world.events(decided.SchemaActivated) == []


async def test_a_newer_version_is_written_in_the_older_form_until_all_read_it(monkeypatch):
    monkeypatch.setitem(codec.SHAPES, "NodeObserved", codec.shape_of(NodeObserved, 2))
    monkeypatch.setitem(UPCASTERS, ("NodeObserved", 1), lambda payload: (*payload, False))
    monkeypatch.setitem(DOWNCASTERS, ("NodeObserved", 2), lambda payload: payload[:-1])
    world = Lead()
    world.objects.put(node(1)._replace(cordoned=True))
    await world.declares("speaker/s2", {**schema.reads(), "NodeObserved": 1})
    async with world.leader() as leading:
        await world.waits(leading, 3 * AFTER_S)
        assert leading.state.inventory.nodes["n1"].cordoned is False, "the leader knows what its readers know"
        assert {version for _, version in await versions(world, "NodeObserved")} == {1}
        (held,) = [one for one in world.activation.held_back({}) if one.type == "NodeObserved"]
        assert (held.version, held.written) == (2, 1)
        await world.declares("speaker/s2")
        await world.waits(leading, 3 * AFTER_S)
        await world.until(lambda: leading.state.inventory.nodes["n1"].cordoned)
    (activated,) = await versions(world, "SchemaActivated")
    newer = [position for position, version in await versions(world, "NodeObserved") if version == 2]
    assert newer
    assert min(newer) > activated[0]


def test_every_type_is_released_or_waits():
    assert RELEASED.keys() | UNRELEASED == EVENT_TYPES.keys()
    assert not RELEASED.keys() & UNRELEASED
