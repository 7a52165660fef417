"""A speaker's outcomes get into its stream, once and in order, whatever happens to the server meanwhile."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress

from porter.events.catalogue import RELEASED
from porter.events.decided import EpochStarted, PositionsLost
from porter.events.envelope import BEGINNING, MAX_EVENTS_PER_COMMIT
from porter.events.routed import EndOfRibSent, FieldsUnsupported, OutcomesDropped, PeerUnsynced
from porter.journal.outcomes import COMMIT_INTERVAL_S, OutcomeStream
from porter.model.reasons import Problem


def outcome(number):
    return PeerUnsynced("router", f"reason {number}")


@asynccontextmanager
async def running(journal, **options):
    stream = OutcomeStream(journal, "speaker-0", **options)
    task = asyncio.create_task(stream.run())
    try:
        yield stream
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def drained(stream, timeout_s=5):
    async with asyncio.timeout(timeout_s):
        await stream.drained()


async def read_payloads(journal):
    return [e.payload async for page in journal.read(BEGINNING) for commit in page for e in commit.events]


async def test_outcomes_are_journaled_in_order_and_in_groups(place):
    journals = place.journals()
    async with running(journals.speaker("speaker-0")) as stream:
        for number in range(300):
            stream.add([outcome(number)])
        await drained(stream)
    commits = [c async for page in journals.speaker("speaker-0").read(BEGINNING) for c in page]
    assert isinstance(commits[0].events[0].payload, EpochStarted)
    assert [e.payload for c in commits[1:] for e in c.events] == [outcome(n) for n in range(300)]
    assert len(commits) <= 5
    assert max(len(c.events) for c in commits) == MAX_EVENTS_PER_COMMIT


async def test_outcomes_that_trickle_in_share_commits(place):
    journals = place.journals()
    async with running(journals.speaker("speaker-0")) as stream:
        stream.add([outcome(0)])
        await drained(stream)
        began_s = time.monotonic()
        for number in range(1, 60):
            stream.add([outcome(number)])
            await asyncio.sleep(0.002)
        await drained(stream)
        took_s = time.monotonic() - began_s
    commits = [c async for page in journals.speaker("speaker-0").read(BEGINNING) for c in page]
    assert [e.payload for c in commits[1:] for e in c.events] == [outcome(n) for n in range(60)]
    assert len(commits) <= 3 + took_s / COMMIT_INTERVAL_S


async def test_every_incarnation_claims_an_epoch_of_its_own(place):
    journals = place.journals()
    for number in range(3):
        async with running(journals.speaker("speaker-0")) as stream:
            stream.add([outcome(number)])
            await drained(stream)
    head = await journals.speaker("speaker-0").head()
    assert (head.epoch, head.position) == (3, 6)


async def test_what_waits_when_the_speaker_ends_is_still_journaled(place):
    journals = place.journals()
    async with running(journals.speaker("speaker-0")) as stream:
        stream.add([outcome(0)])
        await drained(stream)
        stream.add([EndOfRibSent("router", ("IPv4",))])
    assert (await read_payloads(journals.speaker("speaker-0")))[-1] == EndOfRibSent("router", ("IPv4",))


async def test_an_emptied_stream_is_claimed_again_and_says_what_was_lost(place):
    journals = place.journals()
    async with running(journals.speaker("speaker-0")) as stream:
        stream.add([outcome(0), outcome(1)])
        await drained(stream)
        await place.lose()
        stream.add([outcome(2)])
        await drained(stream)
    payloads = await read_payloads(journals.speaker("speaker-0"))
    assert payloads[0].recovering
    assert payloads[1:] == [PositionsLost(1, 3, "the server lost the end of this stream"), outcome(2)]
    assert (await journals.speaker("speaker-0").head()).position == 6
    assert await journals.speakers() == ("speaker-0",)


async def test_an_overlong_absence_drops_the_oldest_outcomes_and_says_how_many(own_server):
    from porter.journal.redis import RedisJournals

    journals = RedisJournals(own_server.url, "c")
    async with running(journals.speaker("speaker-0"), max_buffered_events=10) as stream:
        stream.add([outcome(0)])
        await drained(stream)
        own_server.stop()
        for number in range(1, 31):
            stream.add([outcome(number)])
            await asyncio.sleep(0.01)
        assert stream.waiting <= 10 + MAX_EVENTS_PER_COMMIT
        await own_server.start()
        await drained(stream)
    payloads = [p for p in await read_payloads(journals.speaker("speaker-0")) if not isinstance(p, EpochStarted)]
    dropped = sum(p.events for p in payloads if isinstance(p, OutcomesDropped))
    kept = [p for p in payloads if isinstance(p, PeerUnsynced)]
    assert dropped > 0
    assert dropped + len(kept) == 31
    assert kept[-10:] == [outcome(n) for n in range(21, 31)]
    await journals.close()


async def test_nothing_to_tell_is_no_commit_and_no_fault(place):
    journals = place.journals()
    async with running(journals.speaker("speaker-0")) as stream:
        stream.add([outcome(0)])
        await drained(stream)
        stream.add([])
        await asyncio.sleep(2 * COMMIT_INTERVAL_S)
        assert stream.waiting == 0
        stream.add([outcome(1)])
        await drained(stream)
    assert (await read_payloads(journals.speaker("speaker-0")))[1:] == [outcome(0), outcome(1)]


async def test_what_no_reader_knows_yet_is_held_back_and_told_once_all_do(place, monkeypatch):
    monkeypatch.delitem(RELEASED, "FieldsUnsupported")
    activated = {}
    journals = place.journals()
    async with running(journals.speaker("speaker-0"), activated=lambda: activated) as stream:
        stream.add([FieldsUnsupported("router", (Problem("X", "spec.a", "first"),)), outcome(1)])
        stream.add([FieldsUnsupported("router", ()), outcome(2)])
        stream.release()
        await drained(stream)
        assert (await read_payloads(journals.speaker("speaker-0")))[1:] == [outcome(1), outcome(2)]
        activated["FieldsUnsupported"] = 1
        stream.release()
        await drained(stream)
    told = (await read_payloads(journals.speaker("speaker-0")))[1:]
    assert told == [outcome(1), outcome(2), FieldsUnsupported("router", ())], "the newest about each thing"
