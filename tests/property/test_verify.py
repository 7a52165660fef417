"""Whatever is done to an exported history is found: by its frames and footer; where those are forged, by the chain."""

from __future__ import annotations

import asyncio
from io import BytesIO

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from porter.app.answers.verify import verify
from porter.events.envelope import Checkpoint
from porter.journal.export import ExportJournals
from porter.journal.export_contents import END, MAGIC, TRAILER
from porter.journal.export_writer import ExportWriter
from porter.ports import Corrupt
from tests.exports import format_1, frames
from tests.unit.app.scripted_incident import exported, incident


@pytest.fixture(scope="module", params=[2, 1], ids="format {}".format)
def content(request) -> bytes:
    async def made() -> bytes:
        return await exported(await incident())

    whole = asyncio.run(made())
    return whole if request.param == 2 else format_1(whole)


def found(content: bytes) -> bool:
    try:
        opened = ExportJournals.from_bytes(content)
    except Corrupt:
        return True
    return bool(asyncio.run(verify(opened))["problems"])


def test_every_single_bit_counts(content):
    assert not found(content)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        assert found(bytes(damaged)), position


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_removal_swap_repetition_or_change_of_bytes_is_found(content, data):
    size = len(content)
    first = data.draw(st.integers(0, size - 1))
    second = data.draw(st.integers(first + 1, size))
    part = content[first:second]
    kind = data.draw(st.sampled_from(["remove", "repeat", "reverse", "cut", "append", "bit"]))
    damaged = {
        "remove": content[:first] + content[second:],
        "repeat": content[:second] + part + content[second:],
        "reverse": content[:first] + part[::-1] + content[second:],
        "cut": content[:first],
        "append": content + part,
        "bit": content[:first] + bytes([content[first] ^ 1 << data.draw(st.integers(0, 7))]) + content[first + 1 :],
    }[kind]
    assume(damaged != content)
    assert found(damaged)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_removal_swap_or_repetition_of_frames_is_found(content, data):
    parts = frames(content)
    one = data.draw(st.integers(0, len(parts) - 1))
    other = data.draw(st.integers(0, len(parts) - 1))
    damaged = list(parts)
    kind = data.draw(st.sampled_from(["remove", "swap", "repeat"]))
    if kind == "remove":
        del damaged[one]
    elif kind == "swap":
        damaged[one], damaged[other] = damaged[other], damaged[one]
    else:
        damaged.insert(other, damaged[one])
    assume(damaged != parts)
    whole = MAGIC + b"".join(damaged)
    assert found(whole + content[-TRAILER.size :] if content.endswith(END) else whole)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damage_within_the_history_is_found_though_the_file_around_it_was_made_anew(content, data):
    """A forger who mends every checksum, index and footer still has the chain against him."""
    opened = ExportJournals.from_bytes(content)
    name = data.draw(st.sampled_from([one.name for one in opened.sums]))
    blobs = {one.name: [blob for _, blob in opened.entries(one.name)] for one in opened.sums}
    genuine = list(blobs[name])
    # What is cut off at the end is missed by no chain; that is what the footer's head, written down elsewhere, is for.
    one = data.draw(st.integers(0, len(genuine) - 2))
    other = data.draw(st.integers(0, len(genuine) - 2))
    forged = blobs[name]
    kind = data.draw(st.sampled_from(["remove", "swap", "repeat", "bit"]))
    if kind == "remove":
        # A speaker's stream begins with what is left of it.
        assume(not name or one > 0)
        del forged[one]
    elif kind == "swap":
        forged[one], forged[other] = forged[other], forged[one]
    elif kind == "repeat":
        forged.insert(other + 1, forged[one])
    else:
        byte = data.draw(st.integers(0, len(forged[one]) - 1))
        assume(not name or one > 0 or byte >= 32)
        forged[one] = forged[one][:byte] + bytes([forged[one][byte] ^ 1]) + forged[one][byte + 1 :]
    assume(forged != genuine)
    file = BytesIO()
    writer = ExportWriter(file, opened.cluster)
    try:
        for each in opened.sums:
            writer.begin(each.name, each.genesis, opened.trimmed(each.name))
            writer.add(blobs[each.name])
    except Corrupt:
        # The bytes are no commit any more.
        return
    writer.finish()
    assert found(file.getvalue())


def test_a_baseline_that_is_not_the_fold_of_its_past_is_found():
    async def told():
        from porter.events.decided import BaselineRecorded
        from porter.projections import baseline
        from porter.projections.cluster import ClusterState

        it = await incident()
        other = baseline.encode(ClusterState.empty())
        await it.says(BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(other), other))
        await it.says(BaselineRecorded(baseline.REDUCER_VERSION, "00" * 32, other))
        return (await verify(it.streams))["problems"]

    first, second = asyncio.run(told())
    assert "is not what the events before it fold to" in first
    assert "does not match its own digest" in second


def test_another_history_of_a_speaker_than_the_leader_witnessed_is_found():
    async def told():
        from porter.events.decided import HeadWitnessed

        it = await incident()
        head: Checkpoint = (await it.speaker.head()).checkpoint
        await it.says(HeadWitnessed("speaker-0", head.epoch, head.position, "ab" * 32))
        return (await verify(it.streams))["problems"]

    (problem,) = asyncio.run(told())
    assert "another hash than" in problem
