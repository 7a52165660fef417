"""The places where a journal can live: memory, a file, redis-server, and the Valkey of the extra `embedded`."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from porter.journal.embedded import EmbeddedServer, bundled_server_program
from porter.journal.file import FileJournals
from porter.journal.memory import MemoryJournals, MemoryServer
from porter.journal.redis import RedisJournals

_clusters = itertools.count(1)


def program_of(kind):
    """The program of one kind of server; a machine without it skips, and CI fails."""
    found = shutil.which("redis-server") if kind == "redis" else bundled_server_program()
    if found is None:
        reason = f"no {kind} server: install redis-server, or the extra porter[embedded]"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found)


class RunningServer:
    """A real server on a unix socket in a folder of its own."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.embedded = EmbeddedServer(folder / "server", program=program_of(kind))
        self.process = None

    @property
    def url(self):
        return self.embedded.url

    async def start(self, *extra):
        self.launch(*extra)
        await self.embedded.wait_ready()

    def launch(self, *extra):
        self.embedded.prepare()
        self.process = subprocess.Popen([*self.embedded.command(), *extra], stdout=subprocess.DEVNULL)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def call(self, *command):
        """One command, as a third party with a shell at the server would give it."""
        from porter.journal.link import Link

        link = Link(self.url)
        try:
            return await link.call(*command)
        finally:
            await link.close()


class RedisPlace:
    """One cluster's name at a running server."""

    def __init__(self, server):
        self.server = server
        self.cluster = f"c{next(_clusters)}"
        self._open = []

    def journals(self, writer="writer", **options):
        """The client of one process."""
        journals = RedisJournals(self.server.url, self.cluster, writer=writer, **options)
        self._open.append(journals)
        return journals

    async def lose(self):
        await self.server.call("FLUSHALL")

    async def close(self):
        for journals in self._open:
            await journals.close()


class FilePlace:
    """One folder."""

    def __init__(self, folder):
        self.folder = folder
        self._open = []

    def journals(self, writer="writer", **options):
        journals = FileJournals(self.folder, writer=writer, **options)
        self._open.append(journals)
        return journals

    async def lose(self):
        for path in self.folder.glob("*.porter"):
            path.unlink()

    async def close(self):
        for journals in self._open:
            await journals.close()


class MemoryPlace:
    """One server in memory."""

    def __init__(self):
        self.memory = MemoryServer()

    def journals(self, writer="writer", **options):
        return MemoryJournals(server=self.memory, writer=writer, **options)

    async def lose(self):
        self.memory.flush()

    async def close(self):
        pass


@pytest.fixture(scope="session")
def shared_servers(tmp_path_factory):
    """Servers that are started when they are first asked for, and shared by the tests that leave them whole."""
    running = {}

    async def get(kind):
        if kind not in running:
            running[kind] = RunningServer(kind, tmp_path_factory.mktemp(kind))
            await running[kind].start()
        return running[kind]

    yield get
    for server in running.values():
        server.stop()


@pytest.fixture(params=["memory", "file", "redis", "valkey"])
async def place(request, shared_servers, tmp_path):
    """Somewhere to keep a journal; empty."""
    match request.param:
        case "memory":
            place = MemoryPlace()
        case "file":
            place = FilePlace(tmp_path / "journal")
        case kind:
            place = RedisPlace(await shared_servers(kind))
    yield place
    await place.close()


@pytest.fixture(params=["redis", "valkey"])
async def own_server(request, tmp_path):
    """A server of this test alone, to be broken."""
    server = RunningServer(request.param, tmp_path)
    await server.start()
    yield server
    server.stop()
