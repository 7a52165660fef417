"""The archive's folder: what counts, what a crash leaves, what is found when it was touched, and what a reader sees."""

import shutil

import pytest

from porter.events.decided import BaselineRecorded, EpochStarted, PositionsLost
from porter.events.envelope import BEGINNING, Checkpoint, Draft, Head
from porter.events.observed import ServiceGone
from porter.journal.archive import LOST_FOLDER, OPEN_NAME, Archive
from porter.journal.archived import ArchivedJournal
from porter.journal.chain import checkpoint_before, decode
from porter.journal.file import FileJournals
from porter.journal.memory import MemoryJournals
from porter.journal.segment import SUFFIX, check_segment, write_segment
from porter.journal.shelves import FolderShelf
from porter.ports import Claim, Corrupt, JournalUnavailable, Trimmed

GENESIS = "0f" * 16


def draft(number):
    return Draft(ServiceGone(f"uid-{number}", "shop", "web", "deleted"))


BASELINE = Draft(BaselineRecorded(3, "d0" * 32, b"state"))


class World:
    """A journal in memory, and an archive of it."""

    def __init__(self, folder):
        self.streams = MemoryJournals(writer="a")
        self.journal = self.streams.journal()
        self.folder = folder
        self.archive = Archive(folder, "porter")
        self.number = 0
        self.time_ms = 0
        """When its events come; 0 is now."""

    async def claim(self):
        claim = Claim(GENESIS, 1, None, 1, recovering=False, holder="a")
        await self.journal.claim(claim, [Draft(EpochStarted(GENESIS, "a", 0, ""))])
        return self

    async def say(self, count, *, baseline=False):
        for _ in range(count):
            self.number += 1
            await self.journal.append([draft(self.number)], time_ms=self.time_ms)
        if baseline:
            await self.journal.append([BASELINE])

    async def archived(self):
        """Open what is not open, and take all that came."""
        self.archive.open()
        if self.archive.checkpoint is None:
            first = await self.journal.commit_at(1)
            self.archive.begin(GENESIS, checkpoint_before(first))
        start = self.archive.checkpoint or checkpoint_before(await self.journal.commit_at(1))
        async for blobs in self.journal.blobs(start):
            self.archive.add(blobs)

    async def trim(self):
        newest = await self.journal.newest_baseline()
        await self.journal.trim(newest.checkpoint)

    def reader(self):
        return ArchivedJournal(self.journal, FolderShelf(self.folder))

    async def blobs(self, journal, after=BEGINNING):
        return [blob async for page in journal.blobs(after) for blob in page]


@pytest.fixture
async def world(tmp_path):
    made = await World(tmp_path / "archive").claim()
    yield made
    made.archive.close()


async def history(world, stretches=3):
    """Some sealed segments, and commits that are open."""
    for _ in range(stretches):
        await world.say(20, baseline=True)
        await world.archived()
        world.archive.seal()
    await world.say(5)
    await world.archived()


async def test_what_is_archived_is_the_journal_byte_by_byte(world):
    await history(world)
    before = await world.blobs(world.journal)
    first = checkpoint_before(await world.journal.commit_at(1))
    newest = await world.journal.newest_baseline()
    assert world.archive.uncovered(first, newest.checkpoint) == ""
    await world.trim()
    assert len(await world.blobs(world.journal, newest.checkpoint)) == 5
    reader = world.reader()
    assert await world.blobs(reader) == before
    # From the middle of a segment, from its end, and in the stream.
    for position in (1, 10, 22, 30, 43, 60, 66):
        commit = await reader.commit_at(position)
        assert (commit.first_position, commit.last_position) == (position, position)
        assert await world.blobs(reader, commit.checkpoint) == before[position:]
    assert await reader.commit_at(1_000) is None
    assert await reader.head() == await world.journal.head()


async def test_what_is_not_sealed_does_not_count(world):
    await world.say(20, baseline=True)
    await world.archived()
    newest = await world.journal.newest_baseline()
    assert "#1 is not archived" in world.archive.uncovered(BEGINNING, newest.checkpoint)
    world.archive.seal()
    assert world.archive.uncovered(BEGINNING, newest.checkpoint) == ""
    other = newest.checkpoint._replace(hash=b"x" * 32)
    assert "holds another" in world.archive.uncovered(BEGINNING, other)


async def test_a_frame_that_a_crash_tore_is_dropped_and_taken_again(world):
    await history(world)
    world.archive.close()
    path = world.folder / OPEN_NAME
    path.write_bytes(path.read_bytes()[:-7])
    (world.folder / ".00000000000000000001-00000000000000000002.pjs.abcd").write_bytes(b"half")
    world.archive = Archive(world.folder, "porter")
    await world.archived()
    assert world.archive.open_commits == 5
    assert world.archive.checkpoint == (await world.journal.head()).checkpoint
    assert not list(world.folder.glob(f".*{SUFFIX}.*"))


async def test_a_crash_between_the_segment_and_the_open_file_leaves_nothing_twice(world):
    await world.say(20, baseline=True)
    await world.archived()
    content = (world.folder / OPEN_NAME).read_bytes()
    world.archive.seal()
    world.archive.close()
    (world.folder / OPEN_NAME).write_bytes(content)
    world.archive = Archive(world.folder, "porter")
    await world.say(3)
    await world.archived()
    assert world.archive.open_commits == 3
    world.archive.seal()
    assert [(one.first, one.last.position) for one in world.archive.segments] == [(1, 22), (23, 25)]


async def test_a_damaged_segment_is_found_kept_aside_and_archived_anew(world):
    await history(world)
    newest = await world.journal.newest_baseline()
    path = world.archive.segments[1].path
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    assert "was changed since it was archived" in world.archive.uncovered(BEGINNING, newest.checkpoint)
    assert path.with_suffix(f"{SUFFIX}.damaged").exists()
    assert "is not archived" in world.archive.uncovered(BEGINNING, newest.checkpoint)
    world.archive.begin(GENESIS, BEGINNING)
    async for blobs in world.journal.blobs(BEGINNING):
        world.archive.add(blobs)
    world.archive.seal()
    assert world.archive.uncovered(BEGINNING, newest.checkpoint) == ""
    before = await world.blobs(world.journal)
    await world.trim()
    assert await world.blobs(world.reader()) == before


async def test_what_the_journal_lost_is_set_aside_and_not_read(world):
    await history(world)
    store = world.streams._server.store("journal") if hasattr(world.streams, "_server") else world.journal._store
    store.cut(10)
    head = await world.journal.head()
    claim = Claim(GENESIS, 2, head, 70, recovering=True, holder="b")
    started = EpochStarted(GENESIS, "b", head.position, head.hash.hex(), recovering=True)
    await world.journal.claim(claim, [Draft(started), Draft(PositionsLost(head.position + 1, 69, "cut"))])
    world.archive.cut(head.checkpoint)
    assert world.archive.checkpoint == head.checkpoint
    assert {path.suffix for path in (world.folder / LOST_FOLDER).iterdir()} == {".porter", SUFFIX}
    await world.say(3, baseline=True)
    await world.archived()
    world.archive.seal()
    before = await world.blobs(world.journal)
    await world.trim()
    assert await world.blobs(world.reader()) == before
    assert (await world.reader().commit_at(65)).first_position == 70


async def test_an_archive_alone_is_a_journal(world):
    await history(world)
    before = await world.blobs(world.journal)
    alone = ArchivedJournal(FileJournals(world.folder / OPEN_NAME).journal(), FolderShelf(world.folder))
    assert await world.blobs(alone) == before
    assert await alone.head() == await world.journal.head()
    world.archive.seal()
    alone = ArchivedJournal(FileJournals(world.folder / OPEN_NAME).journal(), FolderShelf(world.folder))
    assert await world.blobs(alone) == before
    head = await world.journal.head()
    assert await alone.head() == Head(GENESIS, *head.checkpoint)
    assert (await alone.newest_baseline()).checkpoint == (await world.journal.newest_baseline()).checkpoint


async def test_what_retention_deleted_is_trimmed_and_said_so(world):
    await history(world)
    await world.trim()
    first = await world.journal.commit_at(1)
    world.archive.retain(max_bytes=1, oldest_ms=0, before=30)
    assert [one.first for one in world.archive.segments] == [23, 44]
    with pytest.raises(Trimmed, match="begins behind #22"):
        await world.blobs(world.reader())
    assert (await world.reader().commit_at(1)).first_position == 23
    world.archive.retain(max_bytes=0, oldest_ms=1 << 60, before=first.first_position)
    assert [one.first for one in world.archive.segments] == [44]


async def test_one_process_writes_an_archive(world):
    await history(world)
    with pytest.raises(JournalUnavailable, match="another process archives"):
        Archive(world.folder, "porter").open()


async def test_a_segment_under_another_name_is_found(world):
    await history(world)
    one, other = (segment.path for segment in world.archive.segments[:2])
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    for path in (one, other):
        with pytest.raises(Corrupt, match="as its name and its end say"):
            check_segment(path)


async def test_commits_that_do_not_follow_are_refused(world):
    await history(world)
    commit = await world.journal.commit_at(3)
    blobs = await world.blobs(world.journal, commit.checkpoint)
    with pytest.raises(JournalUnavailable.__base__):
        world.archive.add(blobs[:2])
    world.archive.begin(GENESIS, Checkpoint(1, 70, b"y" * 32))
    with pytest.raises(JournalUnavailable.__base__, match="does not link"):
        world.archive.add(blobs[:2])


class Crash(Exception):
    """The process ends here."""


async def cut_at(world, position):
    """The checkpoint of a commit, behind which the archive is to be cut."""
    return (await world.journal.commit_at(position)).checkpoint


@pytest.mark.parametrize("position", [10, 43, 66])
async def test_a_crash_at_any_step_of_a_cut_loses_nothing_that_was_to_be_kept(world, monkeypatch, tmp_path, position):
    """The journal may have been trimmed beyond what is kept: then the archive alone has it."""
    await history(world)
    at = await cut_at(world, position)
    before = [blob for blob in await world.blobs(world.journal) if decode(blob).last_position <= position]
    world.archive.close()
    guard, ended = Archive._guard, False
    for step in range(30):
        folder = tmp_path / f"step-{step}"
        shutil.copytree(world.folder, folder)
        archive, steps = Archive(folder, "porter"), iter(range(step + 1))
        archive.open()

        def counted(job, steps=steps):
            if next(steps, None) is None:
                raise Crash
            return guard(job)

        def gone(_entries):
            raise Crash

        monkeypatch.setattr(Archive, "_guard", staticmethod(counted))
        monkeypatch.setattr(archive._store, "extend", gone)
        try:
            archive.cut(at)
            ended = True
        except Crash:
            pass
        monkeypatch.setattr(Archive, "_guard", staticmethod(guard))
        archive.close()
        again = Archive(folder, "porter")
        again.open()
        again.cut(at)
        assert again.checkpoint == at, step
        again.close()
        alone = ArchivedJournal(FileJournals(folder / OPEN_NAME).journal(), FolderShelf(folder))
        assert await world.blobs(alone) == before, step
        if ended:
            return
    raise AssertionError("a cut has no end")


async def test_another_journal_s_segment_that_overlaps_is_not_taken_for_its_own(world, tmp_path):
    await history(world)
    before = await world.blobs(world.journal)
    # Another history, whose one segment begins earlier and reaches beyond the edge.
    other = await World(tmp_path / "other").claim()
    await other.say(200)
    await other.archived()
    other.archive.seal()
    (foreign,) = (one.path for one in other.archive.segments)
    await world.trim()
    edge = checkpoint_before(await world.journal.commit_at(1)).position
    # None of its own ends where the journal begins: it has to be one that reaches beyond.
    world.archive.seal()
    for segment in world.archive.segments:
        segment.path.unlink()
    entries = [(decode(blob), blob) for blob in before]
    write_segment(world.folder, "porter", GENESIS, [one for one in entries if one[0].first_position >= 10])
    write_segment(world.folder, "porter", GENESIS, [one for one in entries if one[0].last_position < 10])
    shutil.copy(foreign, world.folder)
    assert other.archive.segments[0].first <= edge <= other.archive.segments[0].last.position
    assert await world.blobs(world.reader()) == before
    other.archive.close()


async def test_an_archive_alone_tells_the_newest_of_the_histories_on_its_volume(world, tmp_path):
    """A former journal had come further; what is left of it is no part of this one."""
    former = await World(tmp_path / "former").claim()
    former.time_ms = (await former.journal.commit_at(1)).time_ms - 1
    await former.say(200)
    await former.archived()
    former.archive.seal()
    await history(world)
    world.archive.seal()
    before = await world.blobs(world.journal)
    shutil.copy(former.archive.segments[0].path, world.folder)
    alone = ArchivedJournal(FileJournals(world.folder / OPEN_NAME).journal(), FolderShelf(world.folder))
    assert await alone.head() == Head(GENESIS, *(await world.journal.head()).checkpoint)
    assert await world.blobs(alone) == before
    former.archive.close()


async def test_a_gap_is_told_until_what_lies_in_it_was_copied_there(world, tmp_path):
    await history(world)
    world.archive.seal()
    assert world.archive.gaps() == []
    second = world.archive.segments[1]
    second.path.rename(tmp_path / second.name)
    world.archive.close()
    world.archive = Archive(world.folder, "porter")
    world.archive.open()
    assert world.archive.gaps() == [(second.first, second.last.position)]
    shutil.copy(tmp_path / second.name, world.folder)
    assert world.archive.gaps() == []
    # The oldest ones may go.
    world.archive.segments[0].path.unlink()
    assert world.archive.gaps() == []
