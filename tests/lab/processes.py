"""Programs started by the lab: each with a log file, each ended by its own pid."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.waiting import eventually

if TYPE_CHECKING:
    from tests.lab.namespaces import Namespace

STOP_TIMEOUT_S = 5.0
TAIL_LINES = 25
TAIL_BYTES = 16_384


class ProcessEnded(RuntimeError):
    """A program ended while the lab waited for it to be ready."""


class Process:
    """One program in one network namespace; standard output and error go to ``log``.

    ``start`` may be called again after the program ended; the log is then appended to.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        namespace: "Namespace",
        log: Path,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.name = name
        self.argv = [str(word) for word in argv]
        self.namespace = namespace
        self.log = log
        self.environment = dict(environment or {})
        self._stdin = stdin
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> "Process":
        """Start the program; it inherits the namespace of the thread that forks it."""
        assert not self.alive, f"{self.name} already runs as pid {self.pid}"
        with self.log.open("ab") as log, self.namespace.entered():
            self._popen = subprocess.Popen(
                self.argv,
                stdin=self._stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        return self

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """The running or ended child. Raises AssertionError if it was never started."""
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """Whether the program runs (a stopped one does)."""
        return self._popen is not None and self._popen.poll() is None

    def wait_ready(self, check: Callable[[], object], what: str, timeout_s: float) -> None:
        """Wait until ``check`` is true; OSError means not yet. Raises ProcessEnded with the log's tail."""

        def ready() -> object:
            if not self.alive:
                raise ProcessEnded(f"{self.name} ended with code {self.popen.returncode}:\n{self.tail()}")
            return check()

        eventually(ready, f"{self.name}: {what}", timeout_s, ignore=(OSError,))

    def signal(self, number: int) -> None:
        """Send a signal, if the program still runs."""
        if self.alive:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """SIGSTOP: the program stands still, its sockets stay open."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until the program is gone."""
        self.signal(signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait(STOP_TIMEOUT_S)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM, and SIGKILL if that does not end the program within ``timeout_s``."""
        if not self.alive:
            return
        self.signal(signal.SIGTERM)
        self.resume()
        try:
            self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        return tail(self.log, lines)


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a file, as text; a missing file is empty."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - TAIL_BYTES))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none (proc(5), field 22 of stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def end_pids(pids: Sequence[int], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Kill processes that are not our children and wait until they are gone."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline_s = time.monotonic() + timeout_s
    for pid in pids:
        eventually(lambda p=pid: start_ticks(p) is None, f"pid {pid} is gone", max(0.1, deadline_s - time.monotonic()))  # type: ignore[misc]
