"""The commits of an export are found as if all of them were in memory, and only those that are asked for are read."""

from __future__ import annotations

import io

import pytest

from porter.events.codec import encode_commit, hash_commit
from porter.events.decided import BaselineRecorded, EpochStarted
from porter.events.envelope import GENESIS_HASH, Checkpoint, Draft
from porter.events.observed import ServiceGone
from porter.journal import export, packed_entries
from porter.journal.entries import EntryList, Stored
from porter.journal.export import ExportJournals, ExportWriter
from porter.ports import Corrupt

GENESIS = "5e" * 16
BASELINES = (4, 9, 10, 25)
COMMITS = 30
FRAME_COMMITS = 4


@pytest.fixture
def known(monkeypatch) -> tuple[EntryList, list[bytes], bytes]:
    """The entries as they are, their bytes, and the file; positions go by twos, and the epoch changes."""
    monkeypatch.setattr(export, "FRAME_COMMITS", FRAME_COMMITS)
    entries, blobs, previous = EntryList(), [], GENESIS_HASH
    for number in range(COMMITS):
        epoch, first = 1 + number // 12, 1 + 2 * number
        begins = number % 12 == 0
        events = [
            EpochStarted(GENESIS, "a", first - 1, previous.hex()) if begins else ServiceGone("u", "n", "s", "gone")
        ]
        events.append(
            BaselineRecorded(1, "00", b"x" * number) if number in BASELINES else ServiceGone("v", "n", "t", "gone")
        )
        blob = encode_commit(
            [Draft(event) for event in events],
            first_position=first,
            epoch=epoch,
            time_ms=number,
            writer="w",
            previous_hash=previous,
        )
        previous = hash_commit(blob)
        entries.append(Stored(Checkpoint(epoch, first + 1, previous), number in BASELINES, 0, len(blob)))
        blobs.append(blob)
    file = io.BytesIO()
    writer = ExportWriter(file, "porter")
    writer.begin("", GENESIS)
    writer.add(blobs)
    writer.finish()
    return entries, blobs, file.getvalue()


def alike(one: Stored | None) -> object:
    return None if one is None else one._replace(offset=0)


def test_every_entry_is_where_it_would_be_in_a_list(known):
    entries, blobs, content = known
    exported = ExportJournals.from_bytes(content)
    packed = exported._stores[""].entries
    assert len(packed) == COMMITS
    for index in (*range(COMMITS), -1, -COMMITS):
        assert alike(packed[index]) == entries[index]
    for part in (slice(3, 9), slice(-5, None), slice(28, 99), slice(9, 3)):
        assert list(map(alike, packed[part])) == entries[part]
    with pytest.raises(IndexError):
        packed[COMMITS]
    for position in range(2 * COMMITS + 3):
        assert packed.index_after(position) == entries.index_after(position)
        assert alike(packed.newest_baseline(position)) == alike(entries.newest_baseline(position))
    assert [blob for _, blob in exported.entries("")] == blobs
    assert [one.position for one in exported.baselines("")] == [2 * number + 2 for number in BASELINES]
    assert exported.time_ms == COMMITS - 1


async def test_only_the_frames_that_are_asked_for_are_decompressed(known, monkeypatch):
    entries, _, content = known
    opened = []
    decompress = packed_entries.decompress
    monkeypatch.setattr(packed_entries, "decompress", lambda raw, told: opened.append(told) or decompress(raw, told))
    journal = ExportJournals.from_bytes(content).journal()
    assert (await journal.head()).checkpoint == entries[-1].checkpoint
    assert (await journal.commit_at(20)).checkpoint == entries[9].checkpoint
    assert (await journal.newest_baseline(12)).checkpoint == entries[4].checkpoint
    assert opened == [f"frame {number} of the export" for number in (7, 2, 1)]


def test_a_changed_byte_is_found_when_the_file_is_opened(known):
    content = known[2]
    for at in range(0, len(content), 7):
        changed = bytearray(content)
        changed[at] ^= 1
        with pytest.raises(Corrupt):
            ExportJournals.from_bytes(bytes(changed))
