"""A Redis server on the fabric, whose folder can be copied, put back and cut."""

import shutil
import socket
from pathlib import Path

from tests.lab import plan, programs
from tests.lab.namespaces import Namespace
from tests.lab.processes import Process
from tests.lab.run import Run

READY_TIMEOUT_S = 10.0


class RedisServer:
    """redis-server with an append-only file, each commit on disk before its answer, as Porter wants it."""

    def __init__(self, run: Run, namespace: Namespace, name: str = "redis") -> None:
        self._run = run
        self._name = name
        self.namespace = namespace
        self.folder = run.folder / name
        self.folder.mkdir()
        self.url = f"redis://{plan.REDIS.v4}:{plan.REDIS_PORT}/0"
        self.process: Process | None = None

    def start(self) -> None:
        """Start the server and wait until it has loaded its file."""
        if self.process is None:
            self.process = self._run.process(self._name, self._argv(), self.namespace)
        else:
            self.process.start()
        self.process.wait_ready(lambda: self.command("PING") == "+PONG", "PING", READY_TIMEOUT_S)

    def stop(self) -> None:
        """SIGTERM."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def command(self, *words: str) -> str:
        """One command, and the first line of its answer. Raises OSError."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with self.namespace.entered():
            channel = socket.create_connection((plan.REDIS.v4, plan.REDIS_PORT), timeout=READY_TIMEOUT_S)
        with channel, channel.makefile("rb") as answers:
            channel.sendall(request.encode())
            return answers.readline().decode().rstrip()

    def flush(self) -> None:
        """FLUSHALL: the journal is gone."""
        assert self.command("FLUSHALL") == "+OK"

    def copy(self, name: str) -> Path:
        """Copy the folder of the stopped server, and return where the copy is."""
        assert self.process is not None
        assert not self.process.alive, "stop the server first, so that the copy is whole"
        target = self._run.folder / f"{self._name}-{name}"
        shutil.copytree(self.folder, target)
        return target

    def put_back(self, copy: Path) -> None:
        """Replace the folder of the stopped server by a copy."""
        assert self.process is not None
        assert not self.process.alive, "stop the server first"
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)

    def cut_last_commit(self, size_bytes: int) -> None:
        """Cut the end of the append-only file of the stopped server, as a crash in the middle of a write does."""
        newest = max((self.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
        with newest.open("r+b") as stream:
            stream.truncate(max(0, newest.stat().st_size - size_bytes))

    def _argv(self) -> list[str | Path]:
        options = {
            "--dir": str(self.folder),
            "--port": str(plan.REDIS_PORT),
            "--bind": "0.0.0.0 ::",
            "--protected-mode": "no",
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--save": "",
            "--maxmemory-policy": "noeviction",
        }
        return [programs.find("redis-server"), *(word for option in options.items() for word in option)]
