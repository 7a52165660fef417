"""A run of the lab: its prefix, folder, namespaces and processes, and the end of all of them.

The folder holds an ``owner`` file, so that what a killed run left behind is found and removed by the next one.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pyroute2 import netns

from tests.lab.namespaces import NAMESPACES, Namespace, pids_inside
from tests.lab.processes import Process, end_pids, start_ticks

# A fixed place, so that the next run finds what a killed one left.
ROOT = Path("/tmp/porter-lab")
FRR_SOCKETS = Path("/var/run/frr")
STANDING_PREFIX = "ptup"


class Run:
    """What one run made. Close it, or use it as a context manager."""

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = prefix or f"pt{os.getpid()}"
        self.folder = ROOT / self.prefix
        self.namespaces: list[Namespace] = []
        self.processes: list[Process] = []
        self._closers: list[Callable[[], None]] = []
        remove_leftovers()
        # FRR and ExaBGP give up root, and read their files below this folder all the same.
        self.folder.mkdir(parents=True, mode=0o755)
        owner = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
        (self.folder / "owner").write_text(json.dumps(owner))

    def namespace(self, name: str) -> Namespace:
        """Make the namespace ``<prefix>-<name>``."""
        made = Namespace(f"{self.prefix}-{name}")
        self.namespaces.append(made)
        return made

    def remove_namespace(self, namespace: Namespace) -> None:
        """End what runs inside and remove the namespace."""
        end_pids(namespace.pids())
        namespace.remove()
        self.namespaces.remove(namespace)

    def process(
        self,
        name: str,
        argv: Sequence[str | Path],
        namespace: Namespace,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> Process:
        """Start a program in a namespace; its log is ``<folder>/<name>.log``."""
        made = Process(name, argv, namespace, self.folder / f"{name}.log", environment, stdin)
        self.processes.append(made)
        return made.start()

    def forget(self, process: Process) -> None:
        """Stop a program, and show its log no longer."""
        process.stop()
        self.processes.remove(process)

    def on_close(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` first when the run ends."""
        self._closers.append(closer)

    def tails(self) -> str:
        """The end of every program's log, for a report of a failure."""
        parts = [
            f"----- {process.name} ({'runs' if process.alive else 'ended'}): {' '.join(process.argv)}\n{process.tail()}"
            for process in self.processes
        ]
        return "\n".join(parts)

    def close(self) -> None:
        """End every process, remove every namespace and the folder."""
        for closer in reversed(self._closers):
            closer()
        for process in reversed(self.processes):
            process.kill()
        for namespace in reversed(self.namespaces):
            end_pids(namespace.pids())
            namespace.remove()
        _remove_folders(self.prefix)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove_leftovers() -> None:
    """Remove what runs left behind whose process is dead; a standing lab is left standing."""
    for folder in ROOT.glob("pt*"):
        if folder.name != STANDING_PREFIX and not _owner_alive(folder):
            remove_run(folder.name)


def remove_run(prefix: str) -> None:
    """End all processes in the namespaces of a run, and remove namespaces and folder."""
    pattern = re.compile(re.escape(prefix) + "-.+")
    if NAMESPACES.is_dir():
        for path in NAMESPACES.iterdir():
            if pattern.fullmatch(path.name):
                end_pids(pids_inside(path))
                netns.remove(path.name)
    _remove_folders(prefix)


def _owner_alive(folder: Path) -> bool:
    try:
        owner = json.loads((folder / "owner").read_text())
    except (OSError, ValueError):
        return False
    # A pid is used again some day; the time of its start tells the two apart.
    return owner["start_ticks"] is not None and start_ticks(owner["pid"]) == owner["start_ticks"]


def _remove_folders(prefix: str) -> None:
    shutil.rmtree(ROOT / prefix, ignore_errors=True)
    shutil.rmtree(FRR_SOCKETS / prefix, ignore_errors=True)
