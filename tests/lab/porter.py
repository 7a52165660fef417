"""Porter's programs in the lab, started as a user starts them."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab.namespaces import Namespace
from tests.lab.processes import Process, end_pids, start_ticks
from tests.lab.run import Run
from tests.lab.waiting import eventually

HTTP_PORT = 9179
READY_TIMEOUT_S = 30.0
RESTART_TIMEOUT_S = 30.0


class Porter:
    """``porter up``, or ``porter controller`` or ``porter speaker`` alone, in a namespace of its own on the fabric.

    The parts of ``up`` are ``controller``, ``speaker``, ``exabgp``, ``relay`` and ``redis`` (the embedded server).
    """

    def __init__(
        self,
        run: Run,
        namespace: Namespace,
        name: str,
        address: str,
        kubeconfig: Path | None,
        *,
        command: str = "up",
        redis_url: str | None = None,
        state_dir: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.address = address
        self.namespace = namespace
        # A folder that was given outlives the test; the default one does not.
        self._keeps_state = state_dir is not None
        self.state_dir = state_dir or run.folder / f"porter-{name}"
        # ExaBGP gives up root and has to reach its files below.
        self.state_dir.mkdir(exist_ok=True, mode=0o755)
        self._run = run
        words = [sys.executable, "-m", "porter", command, "--name", name, "--state-dir", str(self.state_dir)]
        words += ["--http", f"127.0.0.1:{HTTP_PORT}", "--local-address", address]
        if kubeconfig is not None:
            words += ["--kubeconfig", str(kubeconfig)]
        if redis_url is not None:
            words += ["--redis-url", redis_url]
        self.process = Process(f"porter-{name}", [*words, *options], namespace, run.folder / f"porter-{name}.log")

    def start(self, wait: bool = True) -> "Porter":
        """Start it, and unless told otherwise wait for /readyz."""
        if self.process not in self._run.processes:
            self._run.processes.append(self.process)
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S, path: str = "/readyz") -> None:
        """Wait until /readyz says 200. Raises NotInTime, ProcessEnded."""
        self.process.wait_ready(lambda: self.http(path)[0] == 200, path, timeout_s)

    def http(self, path: str) -> tuple[int, str]:
        """GET a path of the controller's HTTP API: status and body. Raises OSError."""
        return self.namespace.http_get("127.0.0.1", HTTP_PORT, path)

    def json(self, path: str) -> object:
        """GET a path that must answer 200 with JSON."""
        status, body = self.http(path)
        assert status == 200, f"{self.name} {path}: {status} {body}"
        answer: object = json.loads(body)
        return answer

    def command(self, *arguments: str) -> str:
        """Run a ``porter`` command inside and return its output. Raises CommandFailed."""
        return self.namespace.run(sys.executable, "-m", "porter", *arguments)

    def pids(self) -> dict[str, int]:
        """The pids of the parts that run, from ``pids.json``; empty before it is written."""
        try:
            found: dict[str, int] = json.loads((self.state_dir / "pids.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def kill(self, part: str, number: int = signal.SIGKILL) -> int:
        """Send a signal (SIGKILL by default) to a part and return the pid that had it."""
        pid = self.pids()[part]
        os.kill(pid, number)
        return pid

    def wait_restarted(self, part: str, killed: int, timeout_s: float = RESTART_TIMEOUT_S) -> int:
        """Wait until a part that was killed has a new pid, and return that."""

        def new() -> int:
            pid = self.pids().get(part, killed)
            return pid if pid != killed and start_ticks(pid) is not None else 0

        return eventually(new, f"{self.name}: {part} starts again", timeout_s)

    def stop(self) -> None:
        """SIGTERM, as an orderly end that withdraws nothing; what is left after it is killed."""
        self.process.stop()
        end_pids(self.namespace.pids())

    def end(self) -> None:
        """Kill everything at once, after a test, and remove its state."""
        self.process.kill()
        end_pids(self.namespace.pids())
        if not self._keeps_state:
            shutil.rmtree(self.state_dir, ignore_errors=True)
        if self.process in self._run.processes:
            self._run.processes.remove(self.process)
