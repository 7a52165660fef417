"""What every implementation of the port `Journal` promises; the same tests run on each."""

import asyncio
import time

import pytest

from porter.events.codec import SHAPES, decode_commit, hash_commit
from porter.events.decided import AddressReleased, BaselineRecorded, EpochStarted, PositionsLost, SchemaActivated
from porter.events.envelope import BEGINNING, GENESIS_HASH, MAX_EVENTS_PER_COMMIT, Checkpoint, Draft
from porter.events.observed import NodeGone, ServiceGone
from porter.ports import (
    Claim,
    Conflict,
    Fenced,
    ForeignJournal,
    Fork,
    JournalError,
    JournalMissing,
    JournalUnavailable,
    Newer,
    Trimmed,
)
from tests.conformance.conftest import FilePlace

GENESIS = "0f" * 16


def started(genesis=GENESIS, holder="a", position=0, hash_=GENESIS_HASH, recovering=False):
    return Draft(EpochStarted(genesis, holder, position, hash_.hex(), recovering=recovering))


def draft(number=1):
    return Draft(ServiceGone(f"uid-{number}", "shop", f"web-{number}", "deleted"), causation=number)


def baseline():
    return Draft(BaselineRecorded(1, "00" * 32, b"state"))


async def claim_next(journal, holder="a", genesis=GENESIS):
    """Claim the epoch behind the head, as a leader does at its start."""
    head = await journal.head()
    if head is None:
        claim = Claim(genesis, 1, None, 1, recovering=False, holder=holder)
        return await journal.claim(claim, [started(genesis, holder)])
    claim = Claim(genesis, head.epoch + 1, head, head.position + 1, recovering=False, holder=holder)
    return await journal.claim(claim, [started(genesis, holder, head.position, head.hash)])


async def read_all(journal, after=BEGINNING):
    return [commit async for page in journal.read(after) for commit in page]


async def next_page(pages, timeout_s=2.0):
    """The next page that holds something."""
    async with asyncio.timeout(timeout_s):
        async for page in pages:
            if page:
                return page
    return None


async def test_a_journal_begins_with_its_first_claim(place):
    journal = place.journals().journal()
    assert await journal.head() is None
    commit = await claim_next(journal)
    head = await journal.head()
    assert (head.genesis, head.epoch, head.position, head.hash) == (GENESIS, 1, 1, commit.hash)
    assert commit.previous_hash == GENESIS_HASH


async def test_what_was_appended_is_read_back_as_it_was(place):
    journal = place.journals(writer="leader-0").journal()
    commits = [await claim_next(journal)]
    commits.append(await journal.append([draft(1), draft(2)]))
    commits.append(await journal.append([Draft(draft(3).payload, 2, "shop/web", "00-aa-bb-01")]))
    assert await read_all(place.journals().journal()) == commits
    assert [envelope.position for commit in commits for envelope in commit.events] == [1, 2, 3, 4]
    assert commits[-1].writer == "leader-0"
    assert abs(commits[-1].time_ms - time.time() * 1000) < 60_000


async def test_a_commit_holds_at_most_128_events(place):
    journal = place.journals().journal()
    await claim_next(journal)
    commit = await journal.append([draft(n) for n in range(MAX_EVENTS_PER_COMMIT)])
    assert commit.last_position == 1 + MAX_EVENTS_PER_COMMIT
    for drafts in ([], [draft(n) for n in range(MAX_EVENTS_PER_COMMIT + 1)]):
        with pytest.raises(Exception, match="1 to 128 events"):
            await journal.append(drafts)
    assert (await journal.head()).position == commit.last_position


async def test_an_append_without_an_epoch_is_refused(place):
    with pytest.raises(Fenced, match="claim one"):
        await place.journals().journal().append([draft()])


async def test_a_deposed_leader_writes_nothing_more(place):
    old, new = place.journals("old").journal(), place.journals("new").journal()
    await claim_next(old, "old")
    await old.append([draft(1)])
    await claim_next(new, "new")
    with pytest.raises(Fenced, match="newer epoch"):
        await old.append([draft(2)])
    with pytest.raises(Fenced):
        await old.append([draft(3)])
    after = await new.append([draft(4)])
    assert (await new.head()).checkpoint == after.checkpoint
    assert [c.writer for c in await read_all(new)] == ["old", "old", "new", "new"]


async def test_of_two_claimants_one_wins(place):
    first, second = place.journals("a").journal(), place.journals("b").journal()
    await claim_next(first)
    head = await first.head()
    claim = Claim(GENESIS, head.epoch + 1, head, head.position + 1, recovering=False, holder="b")
    drafts = [started(GENESIS, "b", head.position, head.hash)]
    results = await asyncio.gather(first.claim(claim, drafts), second.claim(claim, drafts), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Commit", "Fenced"]


async def test_of_two_first_claimants_one_wins(place):
    claim = Claim(GENESIS, 1, None, 1, recovering=False, holder="x")
    journals = [place.journals(name).journal() for name in "ab"]
    results = await asyncio.gather(*(j.claim(claim, [started()]) for j in journals), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Commit", "Fenced"]


async def test_a_claim_of_another_genesis_is_refused(place):
    journal = place.journals().journal()
    await claim_next(journal)
    head = await journal.head()
    claim = Claim("aa" * 16, 9, head, head.position + 1, recovering=True, holder="a")
    with pytest.raises(ForeignJournal, match="genesis"):
        await journal.claim(claim, [started("aa" * 16)])


async def test_a_claim_that_leaves_positions_out_must_declare_them(place):
    journal = place.journals().journal()
    await claim_next(journal)
    head = await journal.head()
    claim = Claim(GENESIS, 2, head, 11, recovering=True, holder="a")
    with pytest.raises(ValueError, match="2 to 10"):
        await journal.claim(claim, [started(recovering=True)])
    lost = Draft(PositionsLost(2, 10, "the server lost its tail"))
    commit = await journal.claim(claim, [started(recovering=True), lost])
    assert commit.first_position == 11
    assert [c.first_position for c in await read_all(journal)] == [1, 11]


async def test_an_emptied_journal_stops_its_writer_and_is_claimed_only_for_recovery(place):
    journal = place.journals().journal()
    await claim_next(journal)
    old = await journal.append([draft(1)])
    await place.lose()
    with pytest.raises(JournalMissing, match="recover"):
        await journal.append([draft(2)])
    assert await journal.head() is None
    claim = Claim(GENESIS, 2, None, 3, recovering=False, holder="a")
    drafts = [started(recovering=True), Draft(PositionsLost(1, 2, "emptied"))]
    with pytest.raises(JournalMissing):
        await journal.claim(claim, drafts)
    recovered = await journal.claim(claim._replace(recovering=True), drafts)
    assert recovered.previous_hash == GENESIS_HASH
    assert await read_all(journal) == [recovered]
    with pytest.raises((Fork, Trimmed)):
        await read_all(journal, old.checkpoint)
    assert (await journal.append([draft(3)])).first_position == 5


async def test_a_reader_goes_on_from_its_checkpoint(place):
    journal = place.journals().journal()
    await claim_next(journal)
    commits = [await journal.append([draft(n)]) for n in range(5)]
    assert await read_all(journal, commits[1].checkpoint) == commits[2:]
    assert await read_all(journal, commits[-1].checkpoint) == []


async def test_a_checkpoint_of_another_history_is_a_fork(place):
    journal = place.journals().journal()
    await claim_next(journal)
    commit = await journal.append([draft(1)])
    for forked in (
        commit.checkpoint._replace(hash=b"x" * 32),
        Checkpoint(1, 99, b"x" * 32),
        Checkpoint(3, commit.last_position, commit.hash),
    ):
        with pytest.raises(Fork):
            await read_all(journal, forked)


async def test_reading_what_was_never_there_is_missing(place):
    with pytest.raises(JournalMissing):
        await read_all(place.journals().journal())


async def test_a_follower_sees_what_is_appended_later_and_wakes_up_when_idle(place):
    writer, reader = place.journals().journal(), place.journals().journal()
    first = await claim_next(writer)
    pages = reader.read(BEGINNING, follow=True)
    assert await next_page(pages) == [first]
    waiting = asyncio.ensure_future(next_page(pages))
    commit = await writer.append([draft(1)])
    assert await waiting == [commit]
    async with asyncio.timeout(2):
        assert list(await anext(pages)) == []
    await pages.aclose()


async def test_a_follower_notices_an_emptied_journal_within_two_seconds_while_idle(place):
    writer, reader = place.journals().journal(), place.journals().journal()
    await claim_next(writer)
    pages = reader.read(BEGINNING, follow=True)
    await next_page(pages)
    started_s = time.monotonic()
    await place.lose()
    with pytest.raises(JournalMissing):
        await next_page(pages)
    assert time.monotonic() - started_s < 2


async def test_a_follower_notices_a_replaced_journal(place):
    writer, reader = place.journals().journal(), place.journals().journal()
    await claim_next(writer)
    pages = reader.read(BEGINNING, follow=True)
    await next_page(pages)
    await place.lose()
    await claim_next(place.journals().journal(), genesis="bb" * 16)
    with pytest.raises((ForeignJournal, Fork, JournalMissing)):
        await next_page(pages)


async def test_the_newest_baseline_is_found_and_reading_goes_on_behind_it(place):
    journal = place.journals().journal()
    await claim_next(journal)
    assert await journal.newest_baseline() is None
    await journal.append([baseline()])
    await journal.append([draft(1)])
    newest = await journal.append([draft(2), baseline()])
    tail = await journal.append([draft(3)])
    found = await journal.newest_baseline()
    assert found.checkpoint == newest.checkpoint
    assert found.envelope == newest.events[1]
    assert await read_all(journal, found.checkpoint) == [tail]


async def test_the_newest_baseline_before_a_position_is_found_across_epochs_and_behind_a_trim(place):
    journal = place.journals().journal()
    await claim_next(journal)
    recorded = []
    for number in range(3):
        await journal.append([draft(number)])
        recorded.append(await journal.append([baseline()]))
    await claim_next(journal)
    recorded.append(await journal.append([draft(9), baseline()]))
    await journal.append([draft(10)])
    ends = [commit.last_position for commit in recorded]

    async def found(at):
        return [await journal.newest_baseline(position) for position in at]

    for each, commit in zip(await found(ends), recorded, strict=True):
        assert each.checkpoint == commit.checkpoint
    assert [one.checkpoint.position for one in await found(end - 1 for end in ends[1:])] == ends[:-1]
    assert (await journal.newest_baseline(10**9)).checkpoint == recorded[-1].checkpoint
    await journal.trim(recorded[2].checkpoint)
    assert [one.checkpoint.position for one in await found(ends[2:])] == ends[2:]
    # Of what is not there any more it tells nothing, or something behind it.
    assert all(one is None or one.checkpoint.position in ends[2:] for one in await found(ends[:2]))


async def test_a_commit_is_found_by_any_of_its_positions(place):
    journal = place.journals().journal()
    assert await journal.commit_at(1) is None
    first = await claim_next(journal)
    pair = await journal.append([draft(1), draft(2)])
    recorded = await journal.append([baseline()])
    second = await claim_next(journal)
    await claim_next(journal)
    last = await journal.append([draft(3)])
    for position, commit in ((0, first), (1, first), (2, pair), (3, pair), (4, recorded), (5, second), (7, last)):
        assert await journal.commit_at(position) == commit
    assert await journal.commit_at(8) is None
    await journal.trim(recorded.checkpoint)
    assert await journal.commit_at(1) == recorded


async def test_the_bytes_of_commits_are_what_their_hashes_are_of(place):
    journal = place.journals().journal()
    first = await claim_next(journal)
    commits = [await journal.append([draft(n)]) for n in range(100)]
    blobs = [blob async for page in journal.blobs(first.checkpoint) for blob in page]
    assert [decode_commit(blob) for blob in blobs] == commits
    assert [hash_commit(blob) for blob in blobs] == [commit.hash for commit in commits]


async def test_trimming_keeps_what_is_behind_a_baseline(place):
    journal = place.journals().journal()
    first = await claim_next(journal)
    commits = [await journal.append([draft(n)]) for n in range(10)]
    with pytest.raises(JournalError, match="baseline"):
        await journal.trim(commits[3].checkpoint)
    recorded = await journal.append([baseline()])
    behind = await journal.append([draft(99)])
    with pytest.raises(JournalError):
        await journal.trim(behind.checkpoint)
    assert await journal.trim(commits[3].checkpoint) == 4
    assert await journal.trim(recorded.checkpoint) == 7
    for gone in (BEGINNING, first.checkpoint, commits[5].checkpoint):
        with pytest.raises(Trimmed, match="baseline"):
            await read_all(journal, gone)
    assert await read_all(journal, commits[-1].checkpoint) == [recorded, behind]
    assert await read_all(journal, recorded.checkpoint) == [behind]
    assert (await journal.newest_baseline()).checkpoint == recorded.checkpoint
    assert (await journal.append([draft(100)])).first_position == behind.last_position + 1


async def test_a_journal_at_its_limit_takes_only_a_baseline(place):
    journals = place.journals(max_bytes=60_000)
    journal = journals.journal()
    await claim_next(journal)
    with pytest.raises(JournalUnavailable, match="trim"):
        for _ in range(2000):
            await journal.append([draft(n) for n in range(8)])
    size = await journal.size()
    assert size.bytes > size.limit_bytes == 60_000
    recorded = await journal.append([baseline()])
    await journal.trim(recorded.checkpoint)
    for _ in range(3):
        await journal.append([draft(1)])


async def test_a_speakers_stream_keeps_only_the_newest_outcomes(place):
    journals = place.journals(speaker_entries=200)
    stream = journals.speaker("speaker-0")
    await claim_next(stream)
    for number in range(1000):
        last = await stream.append([draft(number), draft(number)])
    kept = await read_all(journals.speaker("speaker-0"))
    assert 200 <= len(kept) <= 420
    assert kept[-1] == last
    assert (await stream.head()).position == 2001
    with pytest.raises(Trimmed):
        await read_all(stream, Checkpoint(1, 1, b"x" * 32))
    assert await journals.speakers() == ("speaker-0",)


async def test_streams_are_apart(place):
    journals = place.journals()
    await claim_next(journals.journal())
    assert await journals.speaker("speaker-0").head() is None
    await claim_next(journals.speaker("speaker-1"))
    assert await journals.speakers() == ("speaker-1",)


async def test_the_identity_stays_while_the_server_does(place):
    journal = place.journals().journal()
    await claim_next(journal)
    assert await journal.server_identity() == await place.journals().journal().server_identity()


async def test_a_writer_that_another_history_overtook_conflicts(place):
    """The same epoch with another head: the server was put back to an older copy, and went on."""
    journal, twin = place.journals("a").journal(), place.journals("a").journal()
    await claim_next(journal)
    await journal.append([draft(1)])
    twin._tail = journal._tail
    await twin.append([Draft(AddressReleased("u", "n", "s", "192.0.2.1", "p", "r"))])
    with pytest.raises(Conflict):
        await journal.append([draft(2)])


@pytest.mark.parametrize("unknown", ["NodeGone", "SchemaActivated"])
async def test_an_older_release_reads_up_to_what_it_does_not_know_and_says_where_that_is(place, monkeypatch, unknown):
    journal = place.journals().journal()
    await claim_next(journal)
    await journal.append([draft(2)])
    await journal.append([draft(3)])
    events = {"NodeGone": NodeGone("n1"), "SchemaActivated": SchemaActivated((("NodeGone", 1),))}
    await journal.append([draft(4), Draft(events[unknown])])
    await journal.append([draft(6)])
    monkeypatch.delitem(SHAPES, unknown)
    for follow in (False, True):
        read = []
        with pytest.raises(Newer, match=f"position 5 holds {unknown} version 1, and this release does not know"):
            async for page in place.journals().journal().read(BEGINNING, follow=follow):
                read += [commit.last_position for commit in page]
        # A file is gone through when it is opened, and not read at all.
        assert read == ([] if isinstance(place, FilePlace) else [1, 2, 3])


async def test_a_release_that_does_not_read_what_is_activated_stops_there(place, monkeypatch):
    journal = place.journals().journal()
    await claim_next(journal)
    await journal.append([Draft(SchemaActivated((("NodeGone", 1), ("SchemaActivated", 1))))])
    monkeypatch.delitem(SHAPES, "NodeGone")
    with pytest.raises(Newer, match="position 2 activates NodeGone version 1, and this release does not know"):
        await read_all(place.journals().journal())
