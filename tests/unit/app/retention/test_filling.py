"""A controller's archive that lacks something takes it from another controller's, over its real HTTP API."""

import asyncio
import contextlib
import json
import shutil
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgpack
import pytest

from porter.app.doctor.archive import archive_check
from porter.app.http.server import serve
from porter.app.retention.filling import Bounds, Filling
from porter.app.retention.kept import Kept
from porter.app.retention.upkeep import Keeping
from porter.app.settings import InvalidSettings, Settings
from porter.app.settings_check import check_archive_peers
from porter.app.view import View
from porter.events.envelope import BEGINNING
from porter.journal.archived import ArchivedJournal
from porter.journal.export_contents import TRAILER
from porter.journal.frames import FRAME, frame
from porter.journal.segment import check_segment, list_segments
from porter.journal.shelves import FETCHING, FolderShelf, shelved, shelved_json
from tests.unit.app.retention.test_archiving import World, world_state


@pytest.fixture
async def world(tmp_path):
    made = await World(tmp_path / "one").claim()
    yield made
    made.close()


@pytest.fixture
async def peer(world, tmp_path):
    """HOST:PORT of a controller whose archive is the world's."""
    settings = Settings(state_dir=tmp_path, http="127.0.0.1:0", archive_dir=world.folder)
    serving = asyncio.create_task(serve(settings, View(), world.streams))
    while not (tmp_path / "http").exists():
        await asyncio.sleep(0.001)
        assert not serving.done()
    yield (tmp_path / "http").read_text().strip()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


class Other:
    """Another controller of the same journal, with an archive of its own."""

    def __init__(self, world, folder, *peers, token=str, **bounds):
        self.folder = folder
        self.archiver = world.made(folder, **bounds)
        self.filling = Filling(self.archiver, peers, token, world.clock, Bounds(**bounds))
        self.kept = Kept(self.archiver, Keeping(), None, self.filling)

    async def step(self):
        async with self.archiver._lock:
            await self.archiver._try(self.archiver._step)

    def names(self):
        return sorted(path.name for path in self.folder.glob("*.pjs"))

    def leave(self):
        self.archiver._archive.close()


async def trimmed(world, rounds=1):
    for _ in range(rounds):
        await world.say(20)
        await world.record()
        assert await world.trim() == ""


async def told(world, folder):
    reader = ArchivedJournal(world.journal, FolderShelf(folder))
    return [e.position async for page in reader.read(BEGINNING) for commit in page for e in commit.events]


async def test_who_was_away_takes_what_was_trimmed_meanwhile(world, peer, tmp_path):
    await world.say(5)
    away = Other(world, tmp_path / "two")
    await away.step()
    away.leave()
    await trimmed(world, 3)
    await world.say(3)
    back = Other(world, tmp_path / "two", peer)
    await back.step()
    lacks = (
        f"ok, but #7 to #{await world.first() - 1} are missing in this archive; no other controller's holds them yet"
    )
    assert back.kept.parts() == {"archive": lacks}
    before = await world.journal.head()
    await back.filling.fill()
    await back.step()
    assert back.kept.parts() == {"archive": "ok"}
    assert archive_check(back.archiver).verdict == "ok"
    assert (back.filling.problem, back.filling.taken) == ("", 3)
    assert await told(world, back.folder) == list(range(1, before.position + 1))
    # Nothing is journaled of it, and nothing is left of fetching.
    assert await world.journal.head() == before
    assert list(back.folder.glob(f"{FETCHING}*")) == []
    # It is an archive like any other: it goes on, is opened again, and what the leader trims is in it.
    await world.say(4)
    await back.step()
    back.leave()
    again = Other(world, back.folder, peer)
    await again.step()
    assert (again.kept.parts(), again.archiver.standing.position) == (
        {"archive": "ok"},
        (await world.journal.head()).position,
    )
    again.leave()


async def test_a_new_volume_takes_all_that_another_archive_holds(world, peer, tmp_path):
    await trimmed(world, 3)
    await world.say(3)
    new = Other(world, tmp_path / "two", peer)
    await new.step()
    assert new.names() == []
    await new.filling.fill()
    assert new.names() == sorted(one.name for one in world.archiver._archive.segments)
    assert [check_segment(new.folder / name).name for name in new.names()] == new.names()
    assert await told(world, new.folder) == list(range(1, (await world.journal.head()).position + 1))
    # All is there, so that nothing is asked for any more.
    await new.filling.fill()
    assert new.filling.taken == 3
    new.leave()


async def test_segments_of_other_bounds_fill_a_gap_too(world, peer, tmp_path):
    """This archive ends in the middle of one of the other's segments, and goes on in the middle of another."""
    await trimmed(world)
    await world.say(10)
    away = Other(world, tmp_path / "two", peer)
    await away.step()
    async with away.archiver._lock:
        away.archiver._archive.seal()
    away.leave()
    await trimmed(world, 2)
    back = Other(world, tmp_path / "two", peer)
    await back.step()
    assert back.archiver.standing.gaps
    await back.filling.fill()
    await back.step()
    assert (back.archiver.standing.gaps, back.filling.problem) == ((), "")
    assert await told(world, back.folder) == list(range(1, (await world.journal.head()).position + 1))
    back.leave()


async def test_nothing_is_taken_that_would_be_deleted_for_its_size_or_age(world, peer, tmp_path):
    await trimmed(world, 3)
    largest = max(one.size for one in world.archiver._archive.segments)
    small = Other(world, tmp_path / "small", peer, max_bytes=largest + 600)
    await small.step()
    await small.filling.fill()
    await small.step()
    assert (len(small.names()), small.filling.problem) == (1, "")
    small.leave()
    world.clock.added_s += 3600.0
    young = Other(world, tmp_path / "young", peer, keep_s=60)
    await young.step()
    for _ in range(2):
        await young.filling.fill()
    assert (young.names(), young.filling.problem) == ([], "")
    assert young.filling._too_old == world.archiver._archive.segments[-1].last.position
    young.leave()


async def test_a_damaged_segment_is_not_taken_and_told(world, peer, tmp_path):
    await trimmed(world, 2)
    newest = world.archiver._archive.segments[-1].path
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    new = Other(world, tmp_path / "two", peer)
    await new.step()
    await new.filling.fill()
    assert new.names() == []
    assert newest.name in new.filling.problem
    assert "was changed" in new.filling.problem
    new.leave()


async def test_another_history_is_not_taken(world, tmp_path):
    """A controller that lists a whole segment of another history as the one that is wanted."""
    await trimmed(world)
    forger = await World(tmp_path / "forger").claim()
    await trimmed(forger, 1)
    (genuine,), (forged,) = world.archiver._archive.segments, forger.archiver._archive.segments
    assert (genuine.genesis, genuine.name, genuine.last.hash != forged.last.hash) == (forged.genesis, forged.name, True)
    new = Other(world, tmp_path / "two")
    await new.step()
    (link,) = await new.filling._missing()
    row = shelved_json(shelved(genuine, digest(forged)))
    row |= {"last": link.position, "lastHash": link.hash.hex()}
    served = {"/v1/archive": json.dumps({"segments": [row]}).encode(), "/v1/segment": forged.path.read_bytes()}
    filling = await filled_from(served, new, world.clock)
    assert "holds another #21 than the one that is linked to here" in filling.problem
    assert new.names() == []
    new.leave()
    forger.close()


@contextlib.asynccontextmanager
async def saying(raw):
    """HOST:PORT of something that says these bytes to whoever connects."""

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"SSH-2.0-none\r\n",
    ],
    ids=["killed while it answers", "killed within a chunk", "no HTTP"],
)
async def test_an_answer_that_is_cut_off_ends_nothing_but_the_asking(world, peer, tmp_path, raw):
    await trimmed(world)
    new = Other(world, tmp_path / "two")
    await new.step()
    async with saying(raw) as address:
        alone = Filling(new.archiver, (address,), str, world.clock, Bounds())
        await alone.fill()
        assert address in alone.problem
        with_another = Filling(new.archiver, (address, peer), str, world.clock, Bounds())
        await with_another.fill()
    assert (len(new.names()), with_another.problem) == (1, "")
    new.leave()


async def test_a_damaged_segment_of_one_controller_is_taken_from_the_next(world, peer, tmp_path):
    await trimmed(world, 2)
    damaged, newest = segments(world)
    content = bytearray(damaged.path.read_bytes())
    content[damaged.rows[0].offset + 40] ^= 1
    row = shelved_json(shelved(damaged, sha256(content).hexdigest()))
    new = Other(world, tmp_path / "two")
    new.folder.mkdir()
    shutil.copy(newest.path, new.folder)
    await new.step()
    served = {"/v1/archive": json.dumps({"segments": [row]}).encode(), "/v1/segment": bytes(content)}
    with answering(served) as address:
        filling = Filling(new.archiver, (address, peer), str, world.clock, Bounds())
        await filling.fill()
    assert (new.names(), filling.problem) == ([damaged.name, newest.name], "")
    new.leave()


async def test_what_lies_before_positions_that_were_lost_is_taken_too(world, peer, tmp_path):
    await world.say(30)
    await world.step()
    async with world.archiver._lock:
        world.archiver._archive.seal()
    world.journal._store.cut(10)
    await world.claim(2, 32, lost=[(22, 31)])
    world.state = await world_state(world)
    await trimmed(world)
    new = Other(world, tmp_path / "two", peer)
    await new.step()
    await new.filling.fill()
    head = await world.journal.head()
    assert new.filling.problem == ""
    assert await told(world, new.folder) == [*range(1, 22), *range(32, head.position + 1)]
    new.leave()


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_tail_that_tells_another_history_is_refused(world, tmp_path, sealed):
    """Of a controller that does not know that positions of its last segment were given again."""
    await world.say(30)
    await world.step()
    async with world.archiver._lock:
        world.archiver._archive.seal()
    (stale,) = segments(world)
    served = {
        "/v1/archive": json.dumps({"segments": [shelved_json(shelved(stale, digest(stale)))]}).encode(),
        "/v1/segment": stale.path.read_bytes(),
    }
    world.journal._store.cut(10)
    new = Other(world, tmp_path / "two")
    await new.step()
    async with new.archiver._lock:
        new.archiver._archive.seal()
    world.state = await world_state(world)
    await world.claim(2, 22)
    await world.say(20)
    await new.step()
    if sealed:
        async with new.archiver._lock:
            new.archiver._archive.seal()
    await new.archiver.use(lambda archive: archive.segments.pop(0).path.unlink())
    before = new.names()
    filling = await filled_from(served, new, world.clock)
    assert f"holds another #{stale.last.position}" in filling.problem
    assert new.names() == before
    new.leave()


def digest(segment):
    return sha256(segment.path.read_bytes()).hexdigest()


async def test_a_segment_whose_end_holds_other_values_than_any_has_is_refused(world, tmp_path):
    await trimmed(world)
    (genuine,) = segments(world)
    raw = genuine.path.read_bytes()
    end = len(raw) - TRAILER.size - TRAILER.unpack(raw[-TRAILER.size :])[0]
    footer = msgpack.unpackb(raw[end + FRAME.size : -TRAILER.size])
    footer[6][0][0] = "here"
    made = frame(footer)
    forged = raw[:end] + made + TRAILER.pack(len(made), raw[-4:])
    row = shelved_json(shelved(genuine, sha256(forged).hexdigest()))
    new = Other(world, tmp_path / "two")
    await new.step()
    served = {"/v1/archive": json.dumps({"segments": [row]}).encode(), "/v1/segment": forged}
    filling = await filled_from(served, new, world.clock)
    assert "as its name and its end say" in filling.problem
    assert new.names() == []
    new.leave()


async def filled_from(served, new, clock):
    """The filling of a new archive by a controller that answers with what is served."""
    with answering(served) as address:
        filling = Filling(new.archiver, (address,), str, clock, Bounds())
        await filling.fill()
    return filling


@contextlib.contextmanager
def answering(served, token=""):
    """HOST:PORT of a server that answers paths with bytes, to whoever has the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            admitted = self.headers.get("Authorization", "") == (f"Bearer {token}" if token else "")
            self.send_response(200 if admitted else 403)
            self.end_headers()
            self.wfile.write(served[self.path.partition("?")[0]] if admitted else b"{}")

        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_it_asks_with_the_token_of_the_day_and_tells_who_refuses(world, tmp_path):
    await world.say(5)
    away = Other(world, tmp_path / "two")
    await away.step()
    away.leave()
    await trimmed(world)
    rows = [shelved_json(shelved(one, digest(one))) for one in segments(world)]
    served = {
        "/v1/archive": json.dumps({"segments": rows}).encode(),
        "/v1/segment": segments(world)[0].path.read_bytes(),
    }
    file = tmp_path / "token"
    file.write_text("yesterday's\n")
    with answering(served, "today's") as address:
        settings = Settings(archive_peers=(address,), token_file=file)
        back = Other(world, tmp_path / "two", *settings.archive_peers, token=settings.token)
        await back.step()
        await back.filling.fill()
        assert f"the archive of the controller at {address} answers 403" in back.kept.parts()["archive"]
        file.write_text("today's\n")
        await back.filling.fill()
        await back.step()
        assert back.kept.parts() == {"archive": "ok"}
        back.leave()


@pytest.mark.parametrize("content", [b"the secret\nof two lines\n", b"the secret\xff\n"])
async def test_a_token_that_is_none_is_neither_sent_nor_told(world, peer, tmp_path, content):
    await trimmed(world)
    (tmp_path / "token").write_bytes(content)
    settings = Settings(archive_peers=(peer,), token_file=tmp_path / "token")
    new = Other(world, tmp_path / "two", *settings.archive_peers, token=settings.token)
    await new.step()
    await new.filling.fill()
    assert "cannot be asked: the token is none" in new.filling.problem
    assert "secret" not in new.filling.problem
    new.leave()


def segments(world):
    return world.archiver._archive.segments


async def test_one_controller_that_is_away_does_not_keep_it_from_asking_the_next(world, peer, tmp_path):
    await trimmed(world)
    with contextlib.closing(await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)) as closed:
        gone = f"127.0.0.1:{closed.sockets[0].getsockname()[1]}"
    # No label of a name is so long, so that nobody has to be asked for it.
    new = Other(world, tmp_path / "two", f"{'x' * 64}:1", gone, peer)
    await new.step()
    await new.filling.fill()
    assert (len(new.names()), new.filling.problem) == (1, "")
    new.leave()


async def test_what_a_killed_controller_was_fetching_is_removed(world, tmp_path):
    (tmp_path / "two" / f"{FETCHING}x").mkdir(parents=True)
    (tmp_path / "two" / f"{FETCHING}x" / "half.pjs").write_bytes(b"half")
    other = Other(world, tmp_path / "two")
    await other.step()
    assert list(other.folder.glob(f"{FETCHING}*")) == []
    assert list_segments(other.folder) == ([], [])
    other.leave()


@pytest.mark.parametrize("peer", ["", "one", "one:", ":9179", "one:http", "http://one:9179", "one:0", "one:65536"])
def test_a_peer_that_is_no_address_is_refused_at_the_start(peer):
    with pytest.raises(InvalidSettings, match="--archive-peer"):
        check_archive_peers(Settings(archive_peers=(peer,)))


def test_peers_are_names_or_addresses_of_both_families():
    check_archive_peers(Settings(archive_peers=("porter-controller.net.svc:9179", "10.0.0.2:9179", "[fd00::1]:9179")))
