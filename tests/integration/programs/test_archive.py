"""A journal that is trimmed while everything around it is killed: its whole history is still told, and proven."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest

from porter.app.answers.verify import verify
from porter.app.demo.routers import choose_router, free_port
from porter.app.demo.world import NODES, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from porter.app.incident import direct
from porter.events.envelope import BEGINNING
from porter.journal.chain import decode
from porter.journal.embedded import EmbeddedServer
from porter.journal.export_writer import ExportWriter
from porter.journal.redis import RedisJournals
from porter.journal.signing import Verifier
from porter.ports import JournalError
from tests.integration.programs.supervised import SOURCE, pids, until
from tests.integration.programs.test_up import READY_S, Place, Up

LIMITS = ("--baseline-events", "30", "--journal-trim", "24Ki")
TRIMMED_S = 120.0


class Tail(threading.Thread):
    """Whoever reads all along needs no archive: the untrimmed copy that answers are compared with."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.blobs: list[bytes] = []
        self._url = url
        self._ended = threading.Event()

    def run(self) -> None:
        asyncio.run(self._follow())

    def end(self) -> None:
        self._ended.set()
        self.join(30)

    async def _follow(self) -> None:
        journals, at = RedisJournals(self._url, "porter"), BEGINNING
        while not self._ended.is_set():
            try:
                async for page in journals.journal().blobs(at):
                    self.blobs += page
                    at = decode(page[-1]).checkpoint
            except JournalError:
                # The server is away for a moment.
                pass
            await asyncio.sleep(0.05)
        await journals.close()

    async def exported(self) -> bytes:
        """What was read, with the speakers' streams as they are, as an export."""
        journals, content = RedisJournals(self._url, "porter"), BytesIO()
        writer = ExportWriter(content, "porter")
        head = await journals.journal().head()
        writer.begin("", head.genesis)
        writer.add(self.blobs)
        for name in await journals.speakers():
            stream = journals.speaker(name)
            writer.begin(name, (await stream.head()).genesis)
            async for page in stream.blobs(BEGINNING):
                writer.add(page)
        writer.finish()
        await journals.close()
        return content.getvalue()


@pytest.fixture
def place(tmp_path):
    """As in the suite of `porter up`, with limits that are soon reached."""
    world, router, port = World(tmp_path / "manifests"), choose_router(""), free_port(ROUTER_ADDRESS)
    world.build(port)
    world.serve("web", list(NODES))
    (tmp_path / "router").mkdir()
    with asyncio.Runner() as runner:
        runner.run(router.start(tmp_path / "router", port))
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one", *LIMITS)
        here = Place(world, router, runner, Up(world, tmp_path / "state", *options), options)
        try:
            here.up.wait_ready()
            yield here
        finally:
            here.up.process.terminate()
            here.up.process.wait(30)
            runner.run(router.stop())


def position(up: Up) -> int:
    return up.get("/v1/status")[1].get("position", 0)


def first(url: str) -> int:
    """The first position that the journal's server holds; 0 while it does not answer."""

    async def asked() -> int:
        journals = RedisJournals(url, "porter")
        try:
            commit = await journals.journal().commit_at(1)
        except JournalError:
            return 0
        finally:
            await journals.close()
        return commit.first_position if commit is not None else 0

    return asyncio.run(asked())


def churn(place: Place, rounds: int) -> None:
    """Services that come and go."""
    for number in range(rounds):
        name = f"passing-{number % 2}"
        place.world.serve(name, list(NODES))
        until(lambda name=name: served(place.up, name), f"{name} is served", READY_S)
        place.world.remove(name)
        until(lambda name=name: not served(place.up, name), f"{name} is gone", READY_S)


def served(up: Up, name: str) -> bool:
    services = up.get("/v1/services")[1].get("services", [])
    return any(one["service"]["name"] == name and one["allocations"] for one in services)


def churn_until_trimmed(place: Place, url: str, beyond: int) -> int:
    deadline_s = time.monotonic() + TRIMMED_S
    while (now := first(url)) <= beyond:
        assert time.monotonic() < deadline_s, f"not trimmed beyond #{beyond}: {place.up.get('/readyz')}"
        churn(place, 1)
    return now


def metric(up: Up, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", up.scrape(), re.MULTILINE)
    return float(found[1]) if found else -1.0


QUESTIONS = (
    ("status", {}),
    ("routes", {}),
    ("pools", {}),
    ("services", {}),
    ("peers", {}),
    ("explain", {"service": "shop/web"}),
)


def test_what_was_trimmed_is_still_told_and_proven(place, tmp_path):
    up, state = place.up, place.up.directory
    url, archive = f"unix://{state}/redis/journal.sock", state / "archive"
    tail = Tail(url)
    tail.start()
    place.wait_route("203.0.113.0/32")
    moments = [position(up)]
    trimmed = churn_until_trimmed(place, url, 1)
    for name in ("controller", "redis", "speaker", "controller"):
        moments.append(position(up))
        old = pids(state)[name]
        os.kill(old, signal.SIGKILL)
        until(lambda name=name, old=old: pids(state).get(name, old) != old, f"{name} is started again", READY_S)
        churn(place, 2)
        up.wait_ready()
    trimmed = churn_until_trimmed(place, url, max(trimmed, moments[2]))
    up.wait_ready()
    moments.append(position(up))
    until(lambda: (archive_end(up)) >= moments[-1], "the archive keeps up", READY_S)
    tail.end()
    copy = tmp_path / "copy.porter-export"
    copy.write_bytes(asyncio.run(tail.exported()))
    untrimmed = direct.Place(file=copy)
    # The controller's own answers, the journal with the folder, and the journal with what the controller hands out.
    http = f"http://{(state / 'http').read_text().strip()}"
    read_through = (direct.Place(url, "porter", archive=str(archive)), direct.Place(url, "porter", archive=http))
    before = [moment for moment in moments if moment < trimmed]
    assert len(before) >= 2
    for at in before:
        for question, query in QUESTIONS:
            then = {**query, "at": str(at)}
            expected = direct.ask(question, then, untrimmed)
            for where in read_through:
                assert direct.ask(question, then, where) == expected, (question, at)
            status, told = up.get(f"/v1/{question}?" + "&".join(f"{name}={value}" for name, value in then.items()))
            assert (status, told) == (200, expected), (question, at)
    between = {"a": str(before[0]), "b": str(before[-1])}
    assert direct.ask("diff", between, read_through[0]) == direct.ask("diff", between, untrimmed)
    stretch = {"since": str(before[0]), "until": str(before[-1]), "limit": "10000"}
    assert direct.ask("timeline", stretch, read_through[1]) == direct.ask("timeline", stretch, untrimmed)
    events = up.get(f"/v1/events?after={before[0]}&limit=3")[1]["events"]
    assert [event["position"] for event in events] == [before[0] + number for number in (1, 2, 3)]
    proven(place, url, archive, copy, http)


def restore_commands(file: Path, archive: Path, key: Path, url: str) -> list[list[str]]:
    """The commands of the page, with their words filled in."""
    page = (SOURCE / "docs" / "operate" / "archive.md").read_text()
    block = page.partition("## Restore")[2].partition("```")[2].partition("```")[0]
    filled = {"DIR": str(archive), "URL": url, "journal.porter-export": str(file), "signing-key.pub": str(key)}
    lines = [line.split() for line in block.splitlines() if line.strip().startswith("porter ")]
    return [[filled.get(word, word) for word in words[1:]] for words in lines]


def test_a_journal_that_was_lost_is_restored_from_the_archive_as_the_page_says(place, tmp_path):
    up, state = place.up, place.up.directory
    url, archive = f"unix://{state}/redis/journal.sock", state / "archive"
    trimmed = churn_until_trimmed(place, url, 1)
    until(lambda: archive_end(up) >= position(up), "the archive keeps up", READY_S)
    before, at = up.get("/v1/services")[1]["services"], max(2, trimmed // 2)
    # Sessions are the speakers' part, which an archive does not hold.
    then = up.get(f"/v1/pools?at={at}")[1]
    up.process.terminate()
    up.process.wait(30)
    copy = tmp_path / "copy"
    shutil.copytree(archive, copy)
    shutil.rmtree(state / "redis")
    server = EmbeddedServer(state / "redis")
    server.prepare()
    process = subprocess.Popen(server.command(), stdout=subprocess.DEVNULL)
    try:
        asyncio.run(server.wait_ready())
        commands = restore_commands(tmp_path / "journal.porter-export", copy, state / "signing-key.pub", url)
        assert [words[0] for words in commands] == ["export", "verify", "import"]
        for words in commands:
            done = up.run(*words)
            assert done.returncode == 0, (words, done.stderr)
    finally:
        process.terminate()
        process.wait(30)
    place.up = again = Up(place.world, state, *place.options)
    again.wait_ready()
    assert again.get("/v1/services")[1]["services"] == before
    place.wait_route("203.0.113.0/32")
    assert again.get(f"/v1/pools?at={at}")[1] == then
    churn(place, 2)
    told = direct.with_streams(direct.Place(url, "porter", archive=str(archive)), lambda streams, _: verify(streams))
    assert told["problems"] == []
    assert {one["stream"]: one["first"] for one in told["streams"]}[""] == 1


def archive_end(up: Up) -> int:
    return int(metric(up, "porter_archive_position"))


def proven(place: Place, url: str, archive: Path, copy: Path, http: str) -> None:
    key = Verifier([place.up.directory / "signing-key.pub"])
    assert ((place.up.directory / "signing-key.pem").stat().st_mode & 0o777) == 0o600
    whole = direct.with_streams(direct.Place(file=copy), lambda streams, _: verify(streams, key))
    assert (whole["problems"], whole["signed"] > 0, whole["segments"]) == ([], True, 0)
    for where in (str(archive), http):
        told = direct.with_streams(direct.Place(url, "porter", archive=where), lambda streams, _: verify(streams, key))
        assert told["problems"] == []
        assert told["segments"] > 0
        journal, expected = ({one["stream"]: one for one in each["streams"]}[""] for each in (told, whole))
        assert journal["first"] == expected["first"] == 1
        # The journal may have gone on since; up to there it is the same.
        assert journal["events"] >= expected["events"]
        assert told["baselines"] >= whole["baselines"]
        assert told["signed"] >= whole["signed"]
    alone = direct.with_streams(direct.Place(archive=str(archive)), lambda streams, _: verify(streams, key))
    assert alone["problems"] == []
    assert alone["position"] >= whole["position"]
    other = Verifier([])
    told = direct.with_streams(direct.Place(archive=str(archive)), lambda streams, _: verify(streams, other))
    assert "which is not among those that were given" in told["problems"][0]


def test_an_archive_that_is_away_stops_trimming_and_nothing_else(place):
    up, state = place.up, place.up.directory
    url, archive = f"unix://{state}/redis/journal.sock", state / "archive"
    trimmed = churn_until_trimmed(place, url, 1)
    archive.rename(state / "elsewhere")
    archive.write_text("no folder\n")
    until(lambda: metric(up, "porter_archive_up") == 0.0, "the metric says so", READY_S)
    churn(place, 8)
    answer = up.get("/readyz")
    assert answer[0] == 200
    assert answer[1]["parts"]["archive"].startswith("ok, but the journal is not trimmed: ")
    assert first(url) == trimmed
    place.world.serve("late", list(NODES))
    until(lambda: served(up, "late"), "a new Service is served", READY_S)
    archive.unlink()
    shutil.move(state / "elsewhere", archive)
    until(lambda: metric(up, "porter_archive_up") == 1.0, "the archive is back", READY_S)
    churn_until_trimmed(place, url, trimmed)
    told = direct.with_streams(direct.Place(url, "porter", archive=str(archive)), lambda streams, _: verify(streams))
    assert told["problems"] == []
