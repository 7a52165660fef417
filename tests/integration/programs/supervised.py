"""Runs a supervisor in a process of its own, as `porter up` does, over any table of parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
WAIT_S = 20.0

PROGRAM = """
import asyncio, json, signal, sys
from pathlib import Path
from porter.app.up.part_logs import Console
from porter.app.up.supervisor import DirectoryInUse, Part, Supervisor

async def supervise(supervisor):
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run()

parts = [Part(**part) for part in json.loads(sys.argv[2])]
console = Console()
try:
    code = asyncio.run(supervise(Supervisor(Path(sys.argv[1]), parts, console)))
except DirectoryInUse as error:
    print(error, file=sys.stderr)
    code = 1
console.close()
sys.exit(code)
"""

SLEEPER = [sys.executable, "-c", "import signal, time; print('started', flush=True); time.sleep(600)"]
"""A part that does nothing until it is ended."""


def until(condition: Callable[[], object], what: str, limit_s: float = WAIT_S) -> object:
    """Wait until a condition is true and return its value."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.01)
    return value


def pids(directory: Path) -> dict[str, int]:
    """The pid file's content; empty while there is none."""
    try:
        return json.loads((directory / "pids.json").read_text())
    except FileNotFoundError:
        return {}


def alive(pid: int) -> bool:
    """Whether a process runs, zombies apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Supervised:
    """One supervisor process; `end` asks it to stop and returns its exit code."""

    def __init__(self, directory: Path, parts: list[dict]) -> None:
        self.directory = directory
        self.output = directory.parent / f"output-{os.urandom(4).hex()}.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(directory), json.dumps(parts)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=SOURCE,
            )

    def said(self) -> str:
        return self.output.read_text()

    def pid(self, name: str, other_than: int | None = None) -> int:
        """Wait for a part's pid (one that differs from an earlier one) and return it."""

        def current() -> int | None:
            pid = pids(self.directory).get(name)
            return pid if pid != other_than else None

        return until(current, f"a pid of {name} other than {other_than}: {self.said()}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)
