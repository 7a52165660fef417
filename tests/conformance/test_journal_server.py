"""What the journal makes of a real server's faults: cut connections, cut files, no memory, foreign hands."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from porter.events.decided import BaselineRecorded, EpochStarted, PositionsLost
from porter.events.envelope import BEGINNING, GENESIS_HASH, Draft
from porter.events.observed import ServiceGone
from porter.journal.embedded import EmbeddedServer
from porter.journal.redis import RedisJournals
from porter.ports import (
    Claim,
    Conflict,
    Corrupt,
    ForeignJournal,
    Fork,
    JournalError,
    JournalMissing,
    JournalUnavailable,
    UnsafeServer,
)

GENESIS = "0f" * 16


def draft(number=1, size=1):
    return Draft(ServiceGone(f"uid-{number}", "shop", "w" * size, "deleted"))


async def claim(journal, first_position=None, recovering=False):
    """Claim the next epoch; with a first position, what lies before is declared lost."""
    try:
        head = await journal.head()
    except JournalMissing:
        head = None
    last = head.position if head else 0
    first = first_position or last + 1
    drafts = [Draft(EpochStarted(GENESIS, "a", last, (head.hash if head else GENESIS_HASH).hex(), recovering))]
    if first > last + 1:
        drafts.append(Draft(PositionsLost(last + 1, first - 1, "lost")))
    return await journal.claim(Claim(GENESIS, 1 + (head.epoch if head else 8), head, first, recovering, "a"), drafts)


async def read_all(journal, after=BEGINNING):
    return [commit async for page in journal.read(after) for commit in page]


@pytest.fixture
async def journals(own_server):
    journals = RedisJournals(own_server.url, "c", writer="w")
    yield journals
    await journals.close()


class Proxy:
    """A unix socket in front of the server's. `cut_after(n)`: the next n requests get through, and no reply does."""

    def __init__(self, server, path):
        self._target = str(server.embedded.socket)
        self._path = str(path)
        self._cuts = 0
        self._serving = set()
        self.cuts_done = 0

    @property
    def url(self):
        return f"unix://{self._path}"

    def cut_after(self, requests):
        self._cuts = requests

    @asynccontextmanager
    async def open(self):
        listener = await asyncio.start_unix_server(self._accept, self._path)
        try:
            yield self
        finally:
            listener.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader, writer):
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader, writer):
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        replies = asyncio.create_task(self._relay(server_reader, writer))
        try:
            while request := await reader.read(1 << 20):
                cut = self._cuts > 0 and b"EVALSHA" in request
                if cut:
                    self._cuts -= 1
                    self.cuts_done += 1
                    replies.cancel()
                    await asyncio.gather(replies, return_exceptions=True)
                server_writer.write(request)
                await server_writer.drain()
                if cut:
                    await server_reader.read(1)
                    return
        except ConnectionError:
            pass
        finally:
            replies.cancel()
            writer.close()
            server_writer.close()

    @staticmethod
    async def _relay(reader, writer):
        while reply := await reader.read(1 << 20):
            writer.write(reply)
            await writer.drain()


@pytest.fixture
async def proxy(own_server, tmp_path):
    async with Proxy(own_server, tmp_path / "p.sock").open() as proxy:
        yield proxy


async def test_a_lost_reply_is_resolved_and_the_commit_is_there_once(proxy, journals):
    through = RedisJournals(proxy.url, "c", writer="w")
    journal = through.journal()
    await claim(journal)
    for number in range(5):
        proxy.cut_after(number % 2 + 1)
        await journal.append([draft(number)])
    commits = await read_all(journals.journal())
    assert [c.events[0].payload for c in commits[1:]] == [draft(n).payload for n in range(5)]
    assert proxy.cuts_done >= 5
    await through.close()


async def test_a_claim_whose_reply_is_lost_holds(proxy, journals):
    through = RedisJournals(proxy.url, "c", writer="w")
    journal = through.journal()
    await claim(journal)
    head = await journal.head()
    drafts = [Draft(EpochStarted(GENESIS, "a", head.position, head.hash.hex()))]
    proxy.cut_after(1)
    commit = await journal.claim(Claim(GENESIS, 10, head, 2, recovering=False, holder="a"), drafts)
    assert proxy.cuts_done == 1
    assert (await journals.journal().head()).checkpoint == commit.checkpoint
    await journal.append([draft()])
    assert len(await read_all(journals.journal())) == 3
    await through.close()


async def test_an_append_of_unknown_outcome_is_resolved_by_the_next_one(proxy, journals):
    through = RedisJournals(proxy.url, "c", writer="w")
    journal = through.journal()
    await claim(journal)
    await journal.append([draft(0)])
    proxy.cut_after(3)
    with pytest.raises(JournalUnavailable):
        await journal.append([draft(1)])
    assert proxy.cuts_done == 3
    assert (await journals.journal().head()).position == 3
    commit = await journal.append([draft(1)])
    assert (await journal.append([draft(2)])).first_position == commit.last_position + 1
    assert [c.events[0].payload for c in await read_all(journals.journal())][2:] == [draft(1).payload, draft(2).payload]
    await through.close()


async def test_other_events_after_an_unknown_outcome_conflict_instead_of_overtaking_it(proxy, journals):
    through = RedisJournals(proxy.url, "c", writer="w")
    journal = through.journal()
    await claim(journal)
    await journal.append([draft(0)])
    proxy.cut_after(3)
    with pytest.raises(JournalUnavailable):
        await journal.append([draft(1)])
    with pytest.raises(Conflict):
        await journal.append([draft(2)])
    await through.close()


async def test_an_append_survives_a_restart_of_the_server(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    before = await journal.append([draft(1)])
    identity = await journal.server_identity()
    own_server.stop()
    with pytest.raises(JournalUnavailable, match="is the server running"):
        await journal.append([draft(2)])
    await own_server.start()
    assert await journal.server_identity() != identity
    after = await journal.append([draft(2)])
    assert after.previous_hash == before.hash
    assert len(await read_all(journal)) == 3


async def test_a_stalled_server_is_unavailable_and_its_late_append_counts_once(own_server, journals):
    """SIGSTOP: the request waits in the server's socket, and may be executed long after the client has given up."""
    journal = journals.journal()
    await claim(journal)
    own_server.process.send_signal(19)
    started_s = time.monotonic()
    with pytest.raises(JournalUnavailable):
        await journal.append([draft(1)])
    assert time.monotonic() - started_s < 10
    own_server.process.send_signal(18)
    await journal.append([draft(1)])
    await journal.append([draft(2)])
    assert [c.events[0].payload for c in await read_all(journal)][1:] == [draft(1).payload, draft(2).payload]


async def test_scripts_are_given_again_after_the_server_lost_them(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    await own_server.call("SCRIPT", "FLUSH")
    await journal.append([draft(1)])
    await own_server.call("SCRIPT", "FLUSH")
    assert len(await read_all(journal)) == 2


async def test_the_server_itself_refuses_a_deposed_leaders_plain_xadd(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    await journal.append([draft(1)])
    await claim(journal)
    with pytest.raises(JournalError, match="equal or smaller"):
        await own_server.call("XADD", "{porter:c}:j", "9-9999", "e", b"x")
    assert len(await read_all(journal)) == 3


async def test_a_full_server_is_an_absent_one_and_nothing_is_lost(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    await own_server.call("CONFIG", "SET", "maxmemory", str(8 * 1024 * 1024))
    accepted = 0
    with pytest.raises(JournalUnavailable, match="OOM"):
        for number in range(20_000):
            await journal.append([draft(number, size=20_000)])
            accepted += 1
    head = await journal.head()
    # A server counts its clients' buffers too, and may free enough of them meanwhile for one commit more: Valkey did.
    await own_server.call("CONFIG", "SET", "maxmemory", str(4 * 1024 * 1024))
    with pytest.raises(JournalUnavailable, match="OOM"):
        await journal.append([draft(accepted, size=20_000)])
    assert await journal.head() == head
    await own_server.call("CONFIG", "SET", "maxmemory", "0")
    await journal.append([draft(accepted, size=20_000)])
    commits = await read_all(journal)
    assert [c.events[0].payload.uid for c in commits[1:]] == [f"uid-{n}" for n in range(accepted + 1)]


async def test_an_append_only_file_cut_inside_the_last_commit_drops_the_whole_commit(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    kept = await journal.append([draft(n) for n in range(100)])
    lost = await journal.append([draft(n) for n in range(100, 200)])
    own_server.stop()
    (newest,) = own_server.embedded.folder.glob("appendonlydir/*.incr.aof")
    with newest.open("r+b") as file:
        file.truncate(newest.stat().st_size - 100)
    await own_server.start()
    assert (await journal.head()).checkpoint == kept.checkpoint
    assert (await read_all(journal))[-1] == kept
    with pytest.raises(Conflict):
        await journal.append([draft(1)])
    with pytest.raises(Fork):
        await read_all(journal, lost.checkpoint)
    recovered = await claim(journal, first_position=lost.last_position + 1, recovering=True)
    assert (recovered.previous_hash, recovered.first_position) == (kept.hash, lost.last_position + 1)
    assert [c.checkpoint for c in await read_all(journal, kept.checkpoint)] == [recovered.checkpoint]
    with pytest.raises(Fork):
        await read_all(journal, lost.checkpoint)


async def test_a_follower_survives_nothing_silently_when_the_server_lost_its_tail(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    await journal.append([draft(1)])
    pages = journals.journal().read(BEGINNING, follow=True)
    await anext(pages)
    await own_server.call("EVAL", "redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)", 1, "{porter:c}:j")
    started_s = time.monotonic()
    with pytest.raises(JournalMissing):
        async for _ in pages:
            pass
    assert time.monotonic() - started_s < 2


async def test_a_follower_notices_an_emptied_journal_within_two_seconds_under_load(own_server, journals):
    other = RedisJournals(own_server.url, "c", writer="w")
    journal = other.journal()
    await claim(journal)

    async def load():
        for number in range(100_000):
            await journal.append([draft(number)])

    writing = asyncio.create_task(load())
    pages = journals.journal().read(BEGINNING, follow=True)
    for _ in range(20):
        await anext(pages)
    started_s = time.monotonic()
    await own_server.call("FLUSHALL")
    with pytest.raises((JournalMissing, Fork)):
        async for _ in pages:
            pass
    assert time.monotonic() - started_s < 2
    with pytest.raises(JournalMissing):
        await writing
    await other.close()


@pytest.mark.parametrize("gone", ["{porter:c}:j", "{porter:c}:j:h"])
async def test_half_a_journal_is_missing_and_can_be_recovered(own_server, journals, gone):
    journal = journals.journal()
    await claim(journal)
    await journal.append([draft(1)])
    recorded = await journal.append([Draft(BaselineRecorded(1, "00", b"state"))])
    last = await journal.append([draft(2)])
    await own_server.call("DEL", gone)
    with pytest.raises(JournalMissing) as missing:
        await journal.head()
    assert missing.value.last_known.position == last.last_position
    with pytest.raises(JournalMissing):
        await read_all(journal)
    with pytest.raises(JournalMissing):
        await journal.append([draft(3)])
    with pytest.raises(JournalMissing):
        await claim(journal, first_position=last.last_position + 1, recovering=False)
    drafts = [Draft(EpochStarted(GENESIS, "a", 0, "", recovering=True)), Draft(PositionsLost(1, 4, "lost"))]
    recovered = await journal.claim(Claim(GENESIS, 10, None, 5, recovering=True, holder="a"), drafts)
    await journal.append([draft(4)])
    commits = await read_all(journal)
    assert commits[-2] == recovered
    baseline = await journal.newest_baseline()
    if gone.endswith(":h"):
        assert len(commits) == 6
        assert baseline.checkpoint == recorded.checkpoint
    else:
        assert recovered.previous_hash == GENESIS_HASH
        assert baseline is None


async def test_a_look_far_back_asks_for_its_own_baseline_and_for_no_other(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    recorded = [await journal.append([Draft(BaselineRecorded(1, "00", b"state"))]) for _ in range(5)]
    last = await journal.append([draft(1)])
    for commit in recorded:
        assert (await journal.newest_baseline(commit.last_position)).checkpoint == commit.checkpoint
    # A recovery writes the head anew: of what is not known there, each baseline names the one before it.
    await own_server.call("DEL", "{porter:c}:j:h")
    drafts = [Draft(EpochStarted(GENESIS, "a", 0, "", recovering=True))]
    await journal.claim(
        Claim(GENESIS, last.epoch + 1, None, last.last_position + 1, recovering=True, holder="a"), drafts
    )
    newer = await journal.append([Draft(BaselineRecorded(1, "00", b"state"))])
    for commit in recorded[:-1]:
        assert (await journal.newest_baseline(commit.last_position)).checkpoint in {
            recorded[-1].checkpoint,
            newer.checkpoint,
        }


async def test_a_changed_entry_is_found(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    for number in range(3):
        await journal.append([draft(number)])
    entries = await own_server.call("XRANGE", "{porter:c}:j", "-", "+")
    await own_server.call("DEL", "{porter:c}:j")
    for id_, (field, blob) in entries:
        changed = blob.replace(b"uid-1", b"uid-9")
        await own_server.call("XADD", "{porter:c}:j", id_, field, changed)
    with pytest.raises(Corrupt, match="links to"):
        await read_all(journal)


async def test_an_entry_taken_out_is_found(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    for number in range(3):
        await journal.append([draft(number)])
    await own_server.call("XDEL", "{porter:c}:j", "9-3")
    with pytest.raises(Corrupt, match="3 to 3 are missing"):
        await read_all(journal)


async def test_another_clusters_journal_under_this_name_is_foreign(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    pages = journals.journal().read(BEGINNING, follow=True)
    await anext(pages)
    await own_server.call("FLUSHALL")
    other = journals.journal()
    drafts = [Draft(EpochStarted("ee" * 16, "b", 0, GENESIS_HASH.hex()))]
    await other.claim(Claim("ee" * 16, 1, None, 1, recovering=False, holder="b"), drafts)
    with pytest.raises(ForeignJournal, match="genesis"):
        async for _ in pages:
            pass
    with pytest.raises(Fork):
        await journal.append([draft()])


async def test_the_gate_names_each_unsafe_setting_with_its_mend(own_server, journals):
    assert await journals.check() == []
    for setting in (("appendonly", "no"), ("maxmemory-policy", "allkeys-lru"), ("appendfsync", "no")):
        await own_server.call("CONFIG", "SET", *setting)
    with pytest.raises(UnsafeServer) as refused:
        await journals.check(frozenset())
    for words in ("no-aof", "appendonly", "eviction", "noeviction", "no-fsync"):
        assert words in str(refused.value)
    # As the option takes them: a name each.
    assert "--unsafe no-aof --unsafe eviction --unsafe no-fsync" in str(refused.value)
    with pytest.raises(UnsafeServer, match="eviction"):
        await journals.check(frozenset({"no-aof", "no-fsync"}))
    accepted = await journals.check(frozenset({"no-aof", "no-fsync", "eviction"}))
    assert [finding.code for finding in accepted] == ["no-aof", "eviction", "no-fsync"]


async def test_the_gate_refuses_settings_that_it_may_not_read(own_server, tmp_path):
    call = own_server.call
    await call("ACL", "SETUSER", "leader", "on", ">secret", "~*", "&*", "+@all", "-config")
    url = own_server.url.replace("unix://", "unix://leader:secret@")
    journals = RedisJournals(url, "c")
    with pytest.raises(UnsafeServer, match=r"unreadable.*\+config\|get"):
        await journals.check()
    await claim(journals.journal())
    await journals.close()
    wrong = RedisJournals(url.replace("secret", "wrong"), "c")
    with pytest.raises(JournalUnavailable, match="password") as refused:
        await wrong.journal().head()
    assert "wrong" not in str(refused.value)
    await wrong.close()


async def test_a_replica_is_refused_and_takes_nothing(own_server, journals):
    journal = journals.journal()
    await claim(journal)
    await own_server.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(UnsafeServer, match="replica"):
        await journals.check()
    with pytest.raises(JournalUnavailable):
        await journal.append([draft()])
    await own_server.call("REPLICAOF", "NO", "ONE")
    await journal.append([draft()])


async def test_a_path_too_long_for_a_socket_is_answered_by_a_short_one(own_server, tmp_path):
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    server = EmbeddedServer(deep, program=own_server.embedded.program)
    assert len(str(server.socket)) < 108
    server.prepare()
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700
    server.socket.parent.rmdir()
