"""Three Redis servers, one of them the master, and three sentinels that put another one in its place."""

import socket
from pathlib import Path

from tests.lab import plan, programs
from tests.lab.namespaces import Namespace
from tests.lab.processes import Process
from tests.lab.run import Run
from tests.lab.waiting import eventually

MASTER = "porter"
SERVER_PORTS = (6401, 6402, 6403)
SENTINEL_PORTS = (26401, 26402, 26403)
DOWN_AFTER_MS = 1000
FAILOVER_TIMEOUT_MS = 6000
READY_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 5.0
NOWHERE = 6499
"""A port on which nobody listens."""


class Sentinels:
    """A master, its two replicas and three sentinels, in one namespace of the fabric."""

    def __init__(self, run: Run, namespace: Namespace) -> None:
        self._run = run
        self._namespace = namespace
        self._servers: dict[int, Process] = {}
        self._sentinels: list[Process] = []
        places = ",".join(f"{plan.REDIS.v4}:{port}" for port in SENTINEL_PORTS)
        self.url = f"redis+sentinel://{places}/{MASTER}"

    def __enter__(self) -> "Sentinels":
        try:
            for port in SERVER_PORTS:
                self._servers[port] = self._run.process(f"redis-{port}", self._server(port), self._namespace)
            for port in SERVER_PORTS:
                self._wait_ready(self._servers[port], port)
            for port in SENTINEL_PORTS:
                self._sentinels.append(self._run.process(f"sentinel-{port}", self._sentinel(port), self._namespace))
            for port, process in zip(SENTINEL_PORTS, self._sentinels, strict=True):
                self._wait_ready(process, port)
            eventually(self._agreed, "the sentinels know the replicas and each other", READY_TIMEOUT_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all of them."""
        for process in (*self._sentinels, *self._servers.values()):
            self._run.forget(process)

    @property
    def master(self) -> int:
        """The port of the master, as the first sentinel says."""
        return int(self.field(SENTINEL_PORTS[0], "port"))

    def kill_master(self) -> int:
        """SIGKILL the master and return its port."""
        port = self.master
        self._servers[port].kill()
        return port

    def wait_promoted(self, dead: int) -> int:
        """Wait until every sentinel names another master than the dead one, and that one is master; its port."""

        def promoted() -> int:
            named = {self.field(port, "port") for port in SENTINEL_PORTS}
            port = int(named.pop()) if len(named) == 1 else dead
            return port if port != dead and self.command(port, "ROLE")[0] == "master" else 0

        return eventually(promoted, "a replica is promoted", READY_TIMEOUT_S, ignore=(OSError,))

    def part_replicas(self) -> None:
        """Point the replicas at a place where nobody is, and let the master take writes without them.

        What is written from now on is lost if the master dies, as it would be with a link that is cut. The sentinels
        put the replicas right again some eight seconds later.
        """
        master = self.master
        self.command(master, "CONFIG", "SET", "min-replicas-to-write", "0")
        for port in SERVER_PORTS:
            if port != master:
                self.command(port, "REPLICAOF", plan.REDIS.v4, str(NOWHERE))

    def field(self, sentinel: int, name: str) -> str:
        """A field of what a sentinel knows of the master."""
        words = self.command(sentinel, "SENTINEL", "MASTER", MASTER)
        return words[words.index(name) + 1]

    def command(self, port: int, *words: str) -> list[str]:
        """One command, and its answer as flat words. Raises OSError."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with self._namespace.entered():
            channel = socket.create_connection((plan.REDIS.v4, port), timeout=ANSWER_TIMEOUT_S)
        with channel, channel.makefile("rb") as answers:
            channel.sendall(request.encode())
            return self._read(answers)

    def _read(self, answers: object) -> list[str]:
        line = answers.readline().decode().rstrip()  # type: ignore[attr-defined]
        if line.startswith("-"):
            raise OSError(line)
        if line.startswith("*"):
            return [word for _ in range(int(line[1:])) for word in self._read(answers)]
        if line.startswith("$"):
            size = int(line[1:])
            return [answers.read(size + 2)[:size].decode() if size >= 0 else ""]  # type: ignore[attr-defined]
        return [line[1:]]

    def _agreed(self) -> bool:
        return all(
            self.field(port, "num-slaves") == "2" and self.field(port, "num-other-sentinels") == "2"
            for port in SENTINEL_PORTS
        )

    def _wait_ready(self, process: Process, port: int) -> None:
        process.wait_ready(lambda: self.command(port, "PING") == ["PONG"], "PING", READY_TIMEOUT_S)

    def _server(self, port: int) -> list[str | Path]:
        folder = self._run.folder / f"redis-{port}"
        folder.mkdir(exist_ok=True)
        options = {
            "--dir": str(folder),
            "--port": str(port),
            "--bind": "0.0.0.0",
            "--protected-mode": "no",
            "--appendonly": "yes",
            "--appendfsync": "always",
            "--save": "",
            "--maxmemory-policy": "noeviction",
            "--min-replicas-to-write": "1",
            "--min-replicas-max-lag": "5",
            "--repl-diskless-sync-delay": "0",
        }
        words = [word for option in options.items() for word in option]
        if port != SERVER_PORTS[0]:
            words += ["--replicaof", plan.REDIS.v4, str(SERVER_PORTS[0])]
        return [programs.find("redis-server"), *words]

    def _sentinel(self, port: int) -> list[str | Path]:
        folder = self._run.folder / f"sentinel-{port}"
        folder.mkdir(exist_ok=True)
        path = folder / "sentinel.conf"
        path.write_text(
            f"port {port}\nbind 0.0.0.0\nprotected-mode no\ndir {folder}\n"
            f"sentinel monitor {MASTER} {plan.REDIS.v4} {SERVER_PORTS[0]} 2\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {MASTER} {FAILOVER_TIMEOUT_MS}\n"
        )
        return [programs.find("redis-server"), path, "--sentinel"]
