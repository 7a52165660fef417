"""Whatever is done to an archive's segments, or to a stored journal, is found by verify."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from porter.app.answers.verify import verify
from porter.app.history.archived_streams import ArchivedStreams
from porter.events.envelope import BEGINNING
from porter.journal.archive import Archive
from porter.journal.local import Stored
from porter.journal.shelves import FolderShelf
from tests.unit.app.scripted_incident import Incident, incident


class Kept:
    """An incident whose past is in segments, and is trimmed from the stream."""

    def __init__(self, it: Incident, folder) -> None:
        self.it, self.folder = it, folder
        self.files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.pjs"))}

    def problems(self, files: dict[str, bytes]) -> list[str]:
        for path in self.folder.glob("*.pjs"):
            path.unlink()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        streams = ArchivedStreams(self.it.streams, FolderShelf(self.folder))
        return list(asyncio.run(verify(streams))["problems"])


async def made(folder) -> Kept:
    it = await incident()
    archive = Archive(folder, "porter")
    archive.open()
    archive.begin("0f" * 16, BEGINNING)
    newest = await it.journal.newest_baseline()
    taken = 0
    async for page in it.journal.blobs(BEGINNING):
        for blob in page:
            archive.add([blob])
            taken += 1
            # Several segments, one of which ends where the stream will begin.
            if taken % 7 == 0 or archive.checkpoint.position == newest.checkpoint.position - 1:
                archive.seal()
    archive.seal()
    archive.close()
    await it.journal.trim(newest.checkpoint)
    return Kept(it, folder)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return asyncio.run(made(tmp_path_factory.mktemp("archive") / "segments"))


def test_an_archive_that_nobody_touched_is_whole(kept):
    assert len(kept.files) >= 4
    assert kept.problems(kept.files) == []


def leading(kept) -> list[str]:
    """The segments that lead to the stream; what lies behind its beginning is in the stream, too."""
    first = kept.it.journal._store.entries[0].checkpoint.position
    return [name for name in kept.files if int(name.split("-")[0]) < first]


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_segment_is_found(kept, data):
    name = data.draw(st.sampled_from(sorted(kept.files)))
    content = kept.files[name]
    first = data.draw(st.integers(0, len(content) - 1))
    second = data.draw(st.integers(first + 1, len(content)))
    part = content[first:second]
    kind = data.draw(st.sampled_from(["bit", "bit", "remove", "repeat", "reverse", "cut", "append"]))
    damaged = {
        "bit": content[:first] + bytes([content[first] ^ 1 << data.draw(st.integers(0, 7))]) + content[first + 1 :],
        "remove": content[:first] + content[second:],
        "repeat": content[:second] + part + content[second:],
        "reverse": content[:first] + part[::-1] + content[second:],
        "cut": content[:first],
        "append": content + part,
    }[kind]
    assume(damaged != content)
    assert kept.problems({**kept.files, name: damaged})


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_segments_that_are_removed_swapped_or_repeated_are_found(kept, data):
    names = leading(kept)
    one, other = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
    files = dict(kept.files)
    kind = data.draw(st.sampled_from(["remove", "swap", "repeat"]))
    if kind == "remove":
        # The oldest go by retention, so that their absence is no damage.
        assume(one != names[0])
        del files[one]
    else:
        assume(one != other)
        files[one] = kept.files[other]
        if kind == "swap":
            files[other] = kept.files[one]
    assert kept.problems(files)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_the_stored_journal_is_found(kept, data):
    """Entries that somebody changed, removed, swapped or repeated at the server, its head untouched."""
    store = kept.it.journal._store
    entries, blobs = list(store.entries), dict(store._blobs)
    number = data.draw(st.integers(0, len(entries) - 1))
    other = data.draw(st.integers(0, len(entries) - 1))
    kind = data.draw(st.sampled_from(["bit", "remove", "swap", "repeat"]))
    told = Tampered(store)
    at, there = entries[number], entries[other]
    if kind == "bit":
        blob = blobs[at.checkpoint.position]
        place, bit = data.draw(st.integers(0, len(blob) - 1)), data.draw(st.integers(0, 7))
        changed = blob[:place] + bytes([blob[place] ^ 1 << bit]) + blob[place + 1 :]
        told.blobs[at.checkpoint.position] = changed
    elif kind == "remove":
        # A cut end is the head's to tell, which a store without a server has not.
        assume(number < len(entries) - 1)
        told.entries.remove(at)
    elif kind == "swap":
        assume(number != other)
        told.blobs[at.checkpoint.position] = blobs[there.checkpoint.position]
        told.blobs[there.checkpoint.position] = blobs[at.checkpoint.position]
    else:
        # A server's reader compares the entry before the one that it begins at; one in memory takes its word.
        assume(number not in {0, other})
        told.blobs[at.checkpoint.position] = blobs[there.checkpoint.position]
    with told:
        assert kept.problems(kept.files)


class Tampered:
    """A store with other content for a while."""

    def __init__(self, store) -> None:
        self._store = store
        self.entries: list[Stored] = list(store.entries)
        self.blobs: dict[int, bytes] = dict(store._blobs)

    def __enter__(self) -> None:
        self._genuine = (list(self._store.entries), dict(self._store._blobs))
        self._store.entries[:], self._store._blobs = self.entries, self.blobs

    def __exit__(self, *_: object) -> None:
        entries, self._store._blobs = self._genuine
        self._store.entries[:] = entries
