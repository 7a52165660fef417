"""Readers declare themselves at every kind of server, and what is not understood is as if it had not been said."""

import asyncio

import pytest

from porter.ports import Declaration
from tests.conformance.conftest import RedisPlace
from tests.conformance.test_outcome_stream import drained, outcome, running

pytestmark = pytest.mark.parametrize("place", ["memory", "redis", "valkey"], indirect=True)

NEW = Declaration({"NodeGone": 2, "SchemaActivated": 1}, "0.2.0", 41877, "")
OLD = Declaration({"NodeGone": 1}, "0.1.0", 3, "position 4 holds NodeGone version 2")


async def speaks(journals, name):
    async with running(journals.speaker(name)) as stream:
        stream.add([outcome(1)])
        await drained(stream)


async def test_what_was_declared_is_found_by_everybody(place):
    await speaks(place.journals(), "s1")
    await place.journals().readers().declare("speaker/s1", OLD)
    await place.journals().readers().declare("controller/a", NEW)
    found = await place.journals().readers().declared()
    assert {name: one.declaration for name, one in found.items()} == {"speaker/s1": OLD, "controller/a": NEW}


async def test_a_beat_rises_and_the_newest_declaration_holds(place):
    readers = place.journals().readers()
    await speaks(place.journals(), "s1")
    for name in ("speaker/s1", "controller/a"):
        await readers.declare(name, OLD)
        before = (await readers.declared())[name]
        await asyncio.sleep(0.002)
        await readers.declare(name, NEW)
        after = (await readers.declared())[name]
        assert after.beat > before.beat
        assert after.declaration == NEW


async def test_a_speaker_that_only_tells_outcomes_is_a_reader_without_a_declaration(place):
    await speaks(place.journals(), "old")
    (one,) = (await place.journals().readers().declared()).values()
    assert (one.declaration, one.forgotten) == (None, False)


async def test_who_is_forgotten_stays_so_until_it_is_heard_again(place):
    readers = place.journals().readers()
    for name in ("s1", "old"):
        await speaks(place.journals(), name)
    await readers.declare("speaker/s1", OLD)
    await readers.declare("controller/a", OLD)
    for name in ("speaker/s1", "speaker/old", "controller/a"):
        await readers.forget(name)
    found = await place.journals().readers().declared()
    assert {name: one.forgotten for name, one in found.items()} == {"speaker/s1": True, "speaker/old": True}
    await asyncio.sleep(0.002)
    await readers.declare("speaker/s1", OLD)
    await readers.declare("controller/a", OLD)
    found = await readers.declared()
    assert {name for name, one in found.items() if not one.forgotten} == {"speaker/s1", "controller/a"}


async def test_a_server_that_lost_everything_is_told_all_again(place):
    journals = place.journals()
    readers = journals.readers()
    await speaks(journals, "s1")
    await readers.declare("speaker/s1", NEW)
    await place.lose()
    await readers.declare("speaker/s1", NEW)
    await speaks(place.journals(), "s1")
    assert (await readers.declared())["speaker/s1"].declaration == NEW


async def test_to_forget_who_went_with_the_server_s_data_names_nobody(place):
    readers = place.journals().readers()
    await speaks(place.journals(), "s1")
    await readers.declare("speaker/s1", NEW)
    await place.lose()
    await readers.forget("speaker/s1")
    assert await place.journals().readers().declared() == {}


async def test_what_cannot_be_understood_counts_as_not_declared(place):
    if not isinstance(place, RedisPlace):
        return
    await speaks(place.journals(), "s1")
    tag = f"{{porter:{place.cluster}}}"
    await place.server.call("HSET", f"{tag}:s:s1:r", "d", '{"reads":[1]}', "b", "[1,2,")
    await place.server.call("HSET", f"{tag}:j:r", "controller/a", "no json")
    found = await place.journals().readers().declared()
    assert {name: one.declaration for name, one in found.items()} == {"speaker/s1": None, "controller/a": None}
