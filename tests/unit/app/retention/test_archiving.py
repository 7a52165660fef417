"""A controller's archive beside a journal that is trimmed, cut and emptied; and what the leader trims behind it."""

import shutil
import time

import pytest

from porter.app.doctor.archive import archive_check, shelf_check
from porter.app.history.archived_streams import ArchivedStreams
from porter.app.retention.archiving import Archiver
from porter.app.retention.kept import Kept
from porter.app.retention.trimming import Retention
from porter.app.retention.upkeep import Keeping, Upkeep, baseline_interval
from porter.events.decided import BaselineRecorded, EpochStarted, HeadSigned, PositionsLost, SchemaActivated
from porter.events.envelope import BEGINNING, GENESIS_HASH, Draft, Head
from porter.events.observed import ServiceGone
from porter.journal.archive import LOST_FOLDER, Archive
from porter.journal.archived import ArchivedJournal
from porter.journal.memory import MemoryJournals
from porter.journal.shelves import FolderShelf
from porter.ports import Claim
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold

GENESIS = "0f" * 16


class Clock:
    """The machine's clocks, and what a test adds to them."""

    added_s = 0.0

    def wall_ms(self):
        return time.time_ns() // 1_000_000 + int(self.added_s * 1000)

    def monotonic_s(self):
        return time.monotonic() + self.added_s


class World:
    """A journal, a leader that writes it, and an archiver."""

    def __init__(self, folder, **bounds):
        self.folder, self.clock = folder, Clock()
        self.streams = MemoryJournals(writer="a", clock=self.clock)
        self.journal = self.streams.journal()
        self.state = ClusterState.empty()
        self.archiver = self.made(folder, **bounds)

    def made(self, folder, *, keep_s=0, max_bytes=0):
        archive = Archive(folder, "porter")
        return Archiver(self.streams.journal(), archive, self.clock, keep_s=keep_s, max_bytes=max_bytes)

    async def claim(self, epoch=1, first=1, *, lost=()):
        head = await self.journal.head()
        started = EpochStarted(GENESIS, "a", head.position if head else 0, "", recovering=bool(lost))
        drafts = [Draft(started), *(Draft(PositionsLost(*one, "cut")) for one in lost)]
        commit = await self.journal.claim(Claim(GENESIS, epoch, head, first, bool(lost), "a"), drafts)
        self.state = fold(self.state, commit.events)
        return self

    async def say(self, count):
        for number in range(count):
            commit = await self.journal.append([Draft(ServiceGone(f"uid-{number}", "shop", "web", "deleted"))])
            self.state = fold(self.state, commit.events)

    async def record(self):
        encoded = baseline.encode(self.state)
        recorded = BaselineRecorded(baseline.layout(self.state), baseline.digest(encoded), encoded)
        self.state = fold(self.state, (await self.journal.append([Draft(recorded)])).events)

    async def step(self):
        async with self.archiver._lock:
            await self.archiver._try(self.archiver._step)

    async def trim(self, **bounds):
        retention = Retention(
            self.streams.journal(), self.archiver, self.clock, **{"trim_bytes": 1, "keep_s": 0, **bounds}
        )
        return await retention._trim()

    async def first(self):
        return (await self.journal.commit_at(1)).first_position

    async def whole(self):
        """Every event from the first on, through the archive."""
        reader = ArchivedJournal(self.journal, FolderShelf(self.folder))
        return [e.position for page in [p async for p in reader.read(BEGINNING)] for c in page for e in c.events]

    def close(self):
        self.archiver._archive.close()


@pytest.fixture
async def world(tmp_path):
    made = await World(tmp_path / "archive").claim()
    yield made
    made.close()


async def test_the_journal_is_trimmed_behind_a_baseline_and_the_archive(world):
    await world.say(20)
    assert await world.trim() == ""
    assert await world.first() == 1
    await world.record()
    await world.say(5)
    assert await world.trim() == ""
    assert await world.first() == 22
    assert await world.whole() == list(range(1, 28))
    assert world.archiver.standing.segments == 1
    assert world.archiver.standing.position == 27


async def test_a_baseline_that_does_not_decode_is_never_trimmed_behind(world):
    await world.say(20)
    await world.journal.append([Draft(BaselineRecorded(baseline.REDUCER_VERSION, "d0" * 32, b"nonsense"))])
    assert "does not decompress" in await world.trim()
    await world.journal.append([Draft(BaselineRecorded(baseline.REDUCER_VERSION + 1, "d0" * 32, b"later"))])
    assert "another release's" in await world.trim()
    assert await world.first() == 1


async def test_the_journal_is_trimmed_after_newer_events_were_activated_as_well(world):
    commit = await world.journal.append([Draft(SchemaActivated((("SchemaActivated", 1),)))])
    world.state = fold(world.state, commit.events)
    await world.say(20)
    await world.record()
    assert await world.trim() == ""
    assert await world.first() == 23


async def test_an_unreadable_baseline_is_a_reason_why_nothing_is_trimmed_by_age(world):
    await world.say(20)
    world.clock.added_s = 7200.0
    await world.journal.append([Draft(BaselineRecorded(baseline.REDUCER_VERSION, "d0" * 32, b"nonsense"))])
    retention = Retention(world.streams.journal(), world.archiver, world.clock, trim_bytes=0, keep_s=3600)
    await retention._check()
    assert "a baseline does not decode" in retention.problem
    assert await world.first() == 1


async def test_what_is_younger_than_it_is_kept_stays(world):
    await world.say(20)
    await world.record()
    await world.say(20)
    assert await world.trim(trim_bytes=0, keep_s=3600) == ""
    assert await world.first() == 1
    world.clock.added_s = 7200.0
    await world.record()
    assert await world.trim(trim_bytes=0, keep_s=3600) == ""
    # The newest baseline is younger than an hour; the one before it is not.
    assert await world.first() == 22


async def test_a_folder_that_cannot_be_written_stops_trimming_until_it_can(world):
    world.folder.write_text("no folder\n")
    await world.say(20)
    await world.record()
    assert str(world.folder) in await world.trim()
    assert (await world.first(), str(world.folder) in world.archiver.problem) == (1, True)
    world.folder.unlink()
    assert await world.trim() == ""
    assert (await world.first(), world.archiver.problem) == (22, "")


async def test_a_lost_tail_is_set_aside(world):
    await world.say(30)
    await world.step()
    world.journal._store.cut(10)
    await world.claim(2, 32, lost=[(22, 31)])
    await world.say(3)
    await world.step()
    assert world.archiver.standing.position == (await world.journal.head()).position
    assert list((world.folder / LOST_FOLDER).iterdir())
    world.state = await world_state(world)
    await world.record()
    assert await world.trim() == ""
    assert await world.whole() == [*range(1, 22), *range(32, 38)]


async def world_state(world):
    events = [e async for page in world.journal.read(BEGINNING) for c in page for e in c.events]
    return fold(ClusterState.empty(), events)


async def test_a_journal_that_was_lost_as_a_whole_begins_another_history(world):
    await world.say(30)
    await world.step()
    world.streams._server.flush() if hasattr(world.streams, "_server") else world.journal._store.clear()
    world.state = ClusterState.empty()
    await world.claim(2, 32, lost=[(1, 31)])
    await world.say(3)
    await world.step()
    assert world.archiver.problem == ""
    assert world.archiver.standing.position == (await world.journal.head()).position
    await world.record()
    assert await world.trim() == ""
    assert await world.whole() == list(range(32, 38))


async def test_who_was_away_while_another_trimmed_goes_on_behind_the_gap(world, tmp_path):
    await world.say(5)
    other = world.made(tmp_path / "other")
    async with other._lock:
        await other._try(other._step)
    other._archive.close()
    await world.say(20)
    await world.record()
    assert await world.trim() == ""
    await world.say(3)
    again = world.made(tmp_path / "other")
    async with again._lock:
        await again._try(again._step)
    assert (again.problem, again.standing.position) == ("", (await world.journal.head()).position)
    missing = (7, (await world.first()) - 1)
    assert again.standing.gaps == (missing,)
    parts = Kept(again, Keeping(), None).parts()
    told = f"#{missing[0]} to #{missing[1]} are missing in this archive"
    assert parts == {"archive": f"ok, but {told}; another controller's may hold them"}
    check = archive_check(again)
    assert (check.verdict, check.message) == ("warning", told)
    assert "copy the segments" in check.mend
    # What the other one holds is copied there, and it is whole.
    for segment in world.archiver._archive.segments:
        shutil.copy(segment.path, again.folder)
    world.clock.added_s += 61.0
    async with again._lock:
        await again._try(again._step)
    assert (again.standing.gaps, Kept(again, Keeping(), None).parts()) == ((), {"archive": "ok"})
    assert archive_check(again).verdict == "ok"
    again._archive.close()


async def test_the_doctor_tells_of_an_archive_that_cannot_be_written(world):
    await world.say(5)
    await world.step()
    assert archive_check(world.archiver).verdict == "ok"
    world.archiver.problem = "the volume is full"
    check = archive_check(world.archiver)
    assert (check.verdict, check.message, check.mend) == (
        "problem",
        "the volume is full",
        "runbook PorterArchiveFailing",
    )


async def test_the_doctor_tells_of_the_archive_that_a_history_is_read_through(world, tmp_path):
    for _ in range(3):
        await world.say(20)
        await world.record()
        assert await world.trim() == ""
    segments = [one.path for one in world.archiver._archive.segments]
    streams = ArchivedStreams(world.streams, FolderShelf(world.folder))
    assert (await shelf_check(streams)).verdict == "ok"
    segments[1].rename(tmp_path / segments[1].name)
    check = await shelf_check(ArchivedStreams(world.streams, FolderShelf(world.folder)))
    assert (check.verdict, "are missing between its segments" in check.message) == ("warning", True)
    segments[2].write_bytes(segments[2].read_bytes()[:-1])
    check = await shelf_check(ArchivedStreams(world.streams, FolderShelf(world.folder)))
    assert (check.verdict, "it was cut" in check.message) == ("problem", True)
    (tmp_path / "empty").mkdir()
    check = await shelf_check(ArchivedStreams(world.streams, FolderShelf(tmp_path / "empty")))
    assert (check.verdict, "no segment leads to" in check.message) == ("warning", True)


async def test_old_and_many_segments_go(tmp_path):
    world = await World(tmp_path / "archive", keep_s=3600).claim()
    for _ in range(3):
        await world.say(20)
        await world.record()
        assert await world.trim() == ""
    assert world.archiver.standing.segments == 3
    world.clock.added_s = 7200.0
    await world.step()
    # The last one ends with the baseline that the journal still holds.
    assert world.archiver.standing.segments == 1
    world.close()


async def begun_anew(world):
    """Another journal in the place of the first one, which had come further."""
    other = "aa" * 16
    world.streams = MemoryJournals(writer="a", clock=world.clock)
    world.journal, world.state = world.streams.journal(), ClusterState.empty()
    world.archiver._journal = world.streams.journal()
    claim = Claim(other, 1, None, 1, recovering=False, holder="a")
    commit = await world.journal.claim(claim, [Draft(EpochStarted(other, "a", 0, ""))])
    world.state = fold(world.state, commit.events)


async def test_a_journal_that_began_anew_is_archived_and_trimmed_beside_the_former_one(tmp_path):
    world = await World(tmp_path / "archive").claim()
    await world.say(40)
    await world.step()
    world.archiver._archive.seal()
    await begun_anew(world)
    await world.say(20)
    await world.record()
    await world.say(2)
    await world.step()
    before = [blob async for page in world.journal.blobs(BEGINNING) for blob in page]
    assert await world.trim() == ""
    assert await world.first() == 22
    reader = ArchivedJournal(world.journal, FolderShelf(world.folder))
    assert [blob async for page in reader.blobs(BEGINNING) for blob in page] == before
    # Nothing is open: it goes on there, and does not begin from the start.
    assert world.archiver._archive.checkpoint == (await world.journal.head()).checkpoint
    await world.say(3)
    world.archiver._archive.close()
    world.archiver = world.made(world.folder)
    await world.step()
    assert world.archiver._archive.open_commits == 3
    # The former one goes first, although its positions are higher.
    archive = world.archiver._archive
    archive.retain(max_bytes=archive.size_bytes - 1, oldest_ms=0, before=1)
    assert [one.genesis for one in archive.segments] == ["aa" * 16]


async def test_a_former_journal_s_segment_of_the_same_name_is_set_aside(tmp_path):
    world = await World(tmp_path / "archive").claim()
    await world.say(10)
    await world.step()
    world.archiver._archive.seal()
    await begun_anew(world)
    await world.say(10)
    await world.step()
    world.archiver._archive.seal()
    assert [one.genesis for one in world.archiver._archive.segments] == ["aa" * 16]
    (aside,) = (world.folder / LOST_FOLDER).iterdir()
    assert aside.name.startswith(f"{GENESIS}-")


class Named:
    """A signer that tells what it was asked to sign."""

    def sign(self, head):
        return HeadSigned(head.epoch, head.position, head.hash.hex(), "key", "")


class Nobody:
    """No speaker has told anything."""

    def witnessed(self):
        return ()


def test_a_head_is_signed_once_in_a_while_and_only_when_something_is_new():
    clock = Clock()
    upkeep = Upkeep(Nobody(), clock, Keeping(signer=Named()))
    assert upkeep.signature(Head(GENESIS, 1, 10, GENESIS_HASH)).position == 10
    assert upkeep.signature(Head(GENESIS, 1, 20, GENESIS_HASH)) is None
    clock.added_s = 61.0
    # The event that holds the signature is nothing new.
    assert upkeep.signature(Head(GENESIS, 1, 11, GENESIS_HASH)) is None
    assert upkeep.signature(Head(GENESIS, 1, 12, GENESIS_HASH)).position == 12


def test_a_baseline_comes_the_earlier_the_less_there_is_to_record():
    state = ClusterState.empty()
    assert baseline_interval(state, 20_000) == 5_000
    assert baseline_interval(state, 300) == 300
    for services, due in ((9_000, 5_000), (30_000, 10_000), (90_000, 20_000)):
        state.inventory.services = dict.fromkeys(map(str, range(services)))
        assert baseline_interval(state, 20_000) == due
