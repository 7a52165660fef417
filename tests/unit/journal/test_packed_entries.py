"""The commits of an export are found as if all of them were in memory, and only those that are asked for are read."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from threading import Thread

import pytest

from porter.app.answers.verify import verify
from porter.app.incident.export import export
from porter.events.codec import encode_commit, hash_commit
from porter.events.decided import BaselineRecorded, EpochStarted
from porter.events.envelope import GENESIS_HASH, Checkpoint, Draft
from porter.events.observed import ServiceGone
from porter.journal import export_writer, packed_entries
from porter.journal.entries import EntryList, Stored
from porter.journal.export import ExportJournals
from porter.journal.export_contents import OnDisk
from porter.journal.export_writer import ExportWriter
from porter.journal.frames import INDEX_BYTES_MAX, unpack_index
from porter.ports import Corrupt
from tests.exports import forged, format_1, frames

GENESIS = "5e" * 16
BASELINES = (4, 9, 10, 25)
COMMITS = 30
FORMAT_1 = Path(__file__).parents[2] / "golden/exports/format-1.porter-export"
FRAME_COMMITS = 4


@pytest.fixture
def known(monkeypatch) -> tuple[EntryList, list[bytes], bytes]:
    """The entries as they are, their bytes, and the file; positions go by twos, and the epoch changes."""
    monkeypatch.setattr(export_writer, "FRAME_COMMITS", FRAME_COMMITS)
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
    seen = lambda raw, told, **size: opened.append(told) or decompress(raw, told, **size)  # noqa: E731
    monkeypatch.setattr(packed_entries, "decompress", seen)
    journal = ExportJournals.from_bytes(content).journal()
    assert (await journal.head()).checkpoint == entries[-1].checkpoint
    assert (await journal.commit_at(20)).checkpoint == entries[9].checkpoint
    assert (await journal.newest_baseline(12)).checkpoint == entries[4].checkpoint
    assert opened == [f"frame {number} of the export" for number in (7, 2, 1)]


async def test_only_the_beginning_the_end_and_the_frames_that_are_asked_for_are_read(known, monkeypatch, tmp_path):
    entries, _, content = known
    (tmp_path / "it").write_bytes(content)
    read = []
    there = OnDisk.read
    monkeypatch.setattr(OnDisk, "read", lambda self, start, length: read.append(start) or there(self, start, length))
    exported = ExportJournals(tmp_path / "it")
    opening = len(read)
    assert (await exported.journal().newest_baseline(12)).checkpoint == entries[4].checkpoint
    assert len(read) == opening + 1
    assert opening < len(frames(content))


async def test_every_page_holds_the_bytes_of_its_entries(known):
    _, blobs, content = known
    packed = ExportJournals.from_bytes(content)._stores[""].entries
    for first, end in ((0, 99), (3, 9), (7, 8), (5, 5), (28, 40), (40, 50)):
        assert list(packed.blobs(first, end)) == blobs[first:end]


def test_no_more_is_decompressed_than_the_footer_says_of_a_frame(known):
    """A few kilobytes of zlib may be megabytes of zeros."""
    stuffed = zlib.compress(bytes(40 * 1024 * 1024))
    content = forged(known[2], lambda it: it.bodies[-1].__setitem__(1, stuffed))
    with pytest.raises(Corrupt, match="larger than"):
        list(ExportJournals.from_bytes(content).entries(""))


def test_an_index_is_not_read_that_says_to_be_larger_than_any(known):
    stuffed = zlib.compress((40 * 1024 * 1024).to_bytes(4) + bytes(40 * 1024 * 1024))
    with pytest.raises(Corrupt, match=f"larger than {INDEX_BYTES_MAX} bytes"):
        unpack_index(stuffed, "a frame")


def test_large_frames_are_not_kept_beside_each_other(known, monkeypatch):
    monkeypatch.setattr(packed_entries, "KEPT_BYTES_MAX", 1)
    _, blobs, content = known
    exported = ExportJournals.from_bytes(content)
    assert [blob for _, blob in exported.entries("")] == blobs
    assert len(exported._stores[""]._frames._open) == 1


@pytest.mark.parametrize("format_", [1, 2])
def test_a_changed_byte_is_found_when_it_is_read(known, format_):
    content = known[2] if format_ == 2 else format_1(known[2])
    for at in range(0, len(content), 7):
        changed = bytearray(content)
        changed[at] ^= 1
        with pytest.raises(Corrupt):
            list(ExportJournals.from_bytes(bytes(changed)).entries(""))


async def test_what_a_changed_byte_does_not_touch_is_still_told(known):
    """A file of which one sector is gone tells the rest of the incident, and never what was changed."""
    entries, _, content = known
    parts = frames(content)
    place = content.index(parts[5]) + len(parts[5]) - 1
    changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    journal = ExportJournals.from_bytes(changed).journal()
    told = []
    for index, entry in enumerate(entries):
        try:
            assert (await journal.commit_at(entry.checkpoint.position)).checkpoint == entry.checkpoint
            told.append(index)
        except Corrupt as error:
            assert "frame 3 has another digest than the footer says" in str(error)
    assert told == [index for index in range(COMMITS) if index // FRAME_COMMITS != 3]


def test_a_pipe_is_read_as_a_file_is(known, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writing = Thread(target=(tmp_path / "pipe").write_bytes, args=(known[2],))
    writing.start()
    assert [blob for _, blob in ExportJournals(tmp_path / "pipe").entries("")] == known[1]
    writing.join()


async def test_an_export_of_the_first_releases_tells_the_same():
    old, file = ExportJournals(FORMAT_1), io.BytesIO()
    await export(old, old.cluster, file, None)
    new = ExportJournals.from_bytes(file.getvalue())
    assert (await verify(old))["problems"] == []
    assert old.digest == "8b2778c84239f83313b9da97ef7f20890b321db8e30b9b6a47c6446a46b06c8a"
    assert [(one.name, one.position) for one in old.sums] == [("", 23), ("speaker-0", 10)]
    assert (old.cluster, old.time_ms, old.sums) == (new.cluster, new.time_ms, new.sums)
    for one in old.sums:
        assert old.trimmed(one.name) == new.trimmed(one.name)
        assert list(old.entries(one.name)) == list(new.entries(one.name))
        assert list(old.index(one.name)) == list(new.index(one.name))
