"""A small supervisor: starts the parts of one node as children, restarts one that dies, and ends all in order.

It holds no state of Porter and imports none of the vendors' libraries, so that it stays small and rarely dies. What
is left when it is killed itself: controller and speaker end with it (they ask the kernel for a signal, see
`porter.app.process.end_with`), ExaBGP and the embedded server live on, because sessions and journal matter more than
a tidy process table. The next supervisor on the same directory ends what it finds there before it starts its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception_type, wait_chain, wait_exponential, wait_none

from porter.app import proc
from porter.app.up.part_logs import Console, PartLog, short_form
from porter.files import write_atomically

STABLE_S = 10.0
"""A part that ran this long counts as healthy: its next death is its first."""
RESTART_DELAY_S_MAX = 5.0
STOP_GRACE_S = 8.0
"""How long a part may take to end before it is killed."""
LEFTOVER_GRACE_S = 3.0
READY_TIMEOUT_S = 20.0
LOOK_SLOW_S = 0.5
"""How often ExaBGP is looked at for a new relay, when nothing has changed for a while."""
LOOK_FAST_S = 0.05
LOOK_FAST_FOR_S = 5.0
TAIL_S = 0.25
WANTED_POLL_S = 0.5
EXIT_USAGE = 2

PIDS_FILE = "pids.json"
PROCESSES_FILE = "processes.json"
LOCK_FILE = "up.lock"


class DirectoryInUse(Exception):
    """Another supervisor runs on the same state directory."""


class _DiedEarly(Exception):
    """A part did not run long enough to count as healthy."""


@dataclass(frozen=True, slots=True)
class Part:
    """One child: what is run, how it is asked to end, and in which turn (lower first; equal turns together).

    `ready` is awaited after each start, before the parts that come later are started for the first time. `helper` is
    the name under which the one child of this part is listed in the pid file.
    """

    name: str
    command: Sequence[str]
    stop_turn: int
    stop_signal: signal.Signals = signal.SIGTERM
    ready: Callable[[], Awaitable[None]] | None = None
    helper: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    wanted: Path | None = None
    """A file that says whether the part is wanted: it is started when the file is there; None: always."""


class Supervisor:
    """Runs a table of parts in one state directory until `stop` is called; one instance per process."""

    def __init__(self, directory: Path, parts: Sequence[Part], console: Console) -> None:
        self.directory = directory
        self._parts = parts
        self._console = console
        self._logs = {part.name: PartLog(directory / "logs" / f"{part.name}.log") for part in parts}
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._listed: dict[str, proc.ProcessIdentity] = {}
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._look = asyncio.Event()
        self._lock = -1
        self.exit_code = 0

    def stop(self) -> None:
        """End all parts in their turns; a second call kills them."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> int:
        """Start the parts in the order of the table and keep them running; return the exit code once all have ended.

        Raises:
            DirectoryInUse: another supervisor holds the directory.
        """
        self._prepare()
        try:
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(self._follow_logs())]
                background += [group.create_task(self._watch_helper(part)) for part in self._parts if part.helper]
                keepers = await self._start_all(group)
                await self._stopping.wait()
                await self._stop_all()
                for task in (*background, *keepers):
                    task.cancel()
        finally:
            for child in self._children.values():
                if child.returncode is None:
                    child.kill()
            self._show_new_lines()
            self._listed.clear()
            self._write_pids()
            os.close(self._lock)
        return self.exit_code

    # ------------------------------------------------------------------------------------------------- the directory

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        (self.directory / "logs").mkdir(exist_ok=True)
        self._take_lock()
        self._end_leftovers()
        self._write_pids()

    def _take_lock(self) -> None:
        self._lock = os.open(self.directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise DirectoryInUse(
                f"another `porter up` (pid {holder}) runs in {self.directory}; "
                "stop it first, or give this one its own with --state-dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _end_leftovers(self) -> None:
        """End what a killed supervisor left behind, in the parts' own turns, children of a part included."""
        left = _read_processes(self.directory / PROCESSES_FILE)
        # A helper has no turn: it ends with the part that started it, which would only start another one.
        turns = {part.name: (part.stop_turn, part.stop_signal) for part in self._parts}
        last = (len(self._parts), signal.SIGTERM)
        for name, identity in sorted(left.items(), key=lambda item: turns.get(item[0], last)[0]):
            if not proc.is_running(identity):
                continue
            self._console.say("up", f"{name} (pid {identity.pid}) was left by an earlier run: ending it")
            proc.end_process(identity, turns.get(name, last)[1], grace_s=LEFTOVER_GRACE_S)

    def _write_pids(self) -> None:
        _write_json(self.directory / PIDS_FILE, {name: identity.pid for name, identity in self._listed.items()})
        _write_json(self.directory / PROCESSES_FILE, {name: list(identity) for name, identity in self._listed.items()})

    def _list(self, name: str, pid: int | None) -> bool:
        """Put a part's pid into the pid file, or take it out; return whether that changed anything."""
        identity = proc.identify(pid) if pid is not None else None
        if self._listed.get(name) == identity:
            return False
        if identity is None:
            self._listed.pop(name, None)
        else:
            self._listed[name] = identity
        self._write_pids()
        return True

    # ----------------------------------------------------------------------------------------------------- the parts

    async def _start_all(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        keepers = []
        for part in self._parts:
            if self._stopping.is_set():
                break
            keepers.append(group.create_task(self._keep(part)))
            if part.ready is not None:
                await self._until_ready(part)
        return keepers

    async def _until_ready(self, part: Part) -> None:
        assert part.ready is not None
        waits = [asyncio.ensure_future(part.ready()), asyncio.ensure_future(self._stopping.wait())]
        done, pending = await asyncio.wait(waits, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        if not done:
            # The others are started all the same: they wait for this part by themselves, and say so.
            self._console.say("up", f"{part.name} is not ready after {READY_TIMEOUT_S:.0f} s, see {self._log(part)}")
        for wait in done:
            wait.result()

    async def _keep(self, part: Part) -> None:
        """Run a part again whenever it ends: at once the first time, then later and later while it dies early."""
        first = True
        while not self._stopping.is_set():
            again = AsyncRetrying(
                retry=retry_if_exception_type(_DiedEarly),
                wait=wait_chain(wait_none(), wait_exponential(multiplier=0.1, max=RESTART_DELAY_S_MAX)),
                sleep=self._pause,
            )
            async for attempt in again:
                with attempt:
                    await self._run_once(part, first=first)
                    first = False

    async def _run_once(self, part: Part, *, first: bool) -> None:
        while part.wanted is not None and not part.wanted.exists() and not self._stopping.is_set():
            await self._pause(WANTED_POLL_S)
        if self._stopping.is_set():
            return
        started_s = time.monotonic()
        try:
            child = await self._spawn(part)
        except OSError as error:
            self._console.say("up", f"{part.name} cannot be started: {error}")
            raise _DiedEarly from error
        self._children[part.name] = child
        self._list(part.name, child.pid)
        self._look.set()
        code = await child.wait()
        # What a part started shares its process group; a relay without its ExaBGP, say, is of no use.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        self._list(part.name, None)
        if self._stopping.is_set():
            return
        self._show_new_lines()
        ran_s = time.monotonic() - started_s
        if first and code == EXIT_USAGE and part.wanted is None:
            self._console.say("up", f"{part.name} refused its settings, see above and {self._log(part)}: ending")
            self.exit_code = EXIT_USAGE
            self.stop()
            return
        self._console.say("up", f"{part.name} ended after {ran_s:.1f} s ({_ending(code)}): starting it again")
        if ran_s < STABLE_S:
            raise _DiedEarly

    async def _spawn(self, part: Part) -> asyncio.subprocess.Process:
        with self._logs[part.name].open() as log:
            return await asyncio.create_subprocess_exec(
                *part.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **part.environment},
            )

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    async def _stop_all(self) -> None:
        self._console.say("up", "ending; announced routes are left to graceful restart, nothing is withdrawn")
        for turn in sorted({part.stop_turn for part in self._parts}):
            await asyncio.gather(*(self._stop_one(part) for part in self._parts if part.stop_turn == turn))

    async def _stop_one(self, part: Part) -> None:
        child = self._children.get(part.name)
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(part.stop_signal)
        waits = [asyncio.ensure_future(child.wait()), asyncio.ensure_future(self._hurry.wait())]
        _, pending = await asyncio.wait(waits, timeout=STOP_GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        if child.returncode is None:
            self._console.say("up", f"{part.name} did not end within {STOP_GRACE_S:.0f} s: killing it")
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    # --------------------------------------------------------------------------------------- the helper, and the logs

    async def _watch_helper(self, part: Part) -> None:
        """Keep the pid of a part's own child in the pid file: look often after a change, rarely otherwise."""
        changed_s = time.monotonic()
        while True:
            found = self._helper_of(part)
            if self._list(part.helper, found) or self._look.is_set():
                changed_s = time.monotonic()
            fast = time.monotonic() - changed_s < LOOK_FAST_FOR_S
            self._look.clear()
            # Not wait_for: it may lose a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_FAST_S if fast else LOOK_SLOW_S):
                    await self._helper_event(found)

    def _helper_of(self, part: Part) -> int | None:
        child = self._children.get(part.name)
        if child is None or child.returncode is not None:
            return None
        own = proc.command_of(child.pid)
        # Between fork and exec a child still shows its parent's arguments.
        return next((pid for pid in proc.children_of(child.pid) if proc.command_of(pid) not in ((), own)), None)

    async def _helper_event(self, pid: int | None) -> None:
        """Wait until this process has ended, or a part was started."""
        try:
            descriptor = os.pidfd_open(pid) if pid is not None else -1
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        if descriptor >= 0:
            loop.add_reader(descriptor, self._look.set)
        try:
            await self._look.wait()
        finally:
            if descriptor >= 0:
                loop.remove_reader(descriptor)
                os.close(descriptor)

    async def _follow_logs(self) -> None:
        while True:
            self._show_new_lines()
            await asyncio.sleep(TAIL_S)

    def _show_new_lines(self) -> None:
        for name, log in self._logs.items():
            for line in log.new_lines():
                self._console.say(name, short_form(line))

    def _log(self, part: Part) -> Path:
        return self._logs[part.name].path


def _ending(code: int) -> str:
    """How a process ended, in words: asyncio gives a signal as its negated number."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _read_processes(path: Path) -> dict[str, proc.ProcessIdentity]:
    """What an earlier supervisor listed; empty when there is no such file, or it is damaged."""
    try:
        listed = json.loads(path.read_text())
        return {
            str(name): proc.ProcessIdentity(int(pid), int(ticks), str(boot))
            for name, (pid, ticks, boot) in listed.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_json(path: Path, value: object) -> None:
    write_atomically(path, f"{json.dumps(value, indent=1, sort_keys=True)}\n".encode(), durable=False)
