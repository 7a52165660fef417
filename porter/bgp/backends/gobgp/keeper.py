"""The keeper beside a speaker: one GoBGP daemon for each session that the speaker wants.

The daemons outlive the keeper: the next one finds them by their pid files. One that ends is started again, empty; the
speaker fills it. One that is wanted no more is killed, and so are all when the keeper is told to end: a daemon that is
asked to end sends a NOTIFICATION, at which peers drop its routes, while over a connection that just breaks they keep
them (RFC 4724, section 4.2).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import BinaryIO

import structlog

from porter.bgp.backends.gobgp.places import Place

POLL_S = 0.1
FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 10.0
STEADY_S = 30.0
"""One that lived so long is started again without a pause."""
MAX_LOG_BYTES = 1024 * 1024
PRIVATE_MASK = 0o077
PROGRAM = "gobgpd"
GARBAGE = {"GOGC": "20"}
"""By Go's own default a daemon grows to twice what it holds, and it holds what a router sends it and it refuses."""

log = structlog.get_logger("porter.bgp")


class ProgramMissing(Exception):
    """There is no gobgpd on this machine."""


def program() -> str:
    """Find the daemon's program.

    Raises:
        ProgramMissing: it is not installed.
    """
    path = shutil.which(PROGRAM)
    if path is None:
        raise ProgramMissing(f"{PROGRAM} is not in PATH: install it (Debian: gobgpd), or choose --engine exabgp")
    return path


def arguments(place: Place) -> list[str]:
    """How a daemon is run: without a configuration of its own, reached by its socket alone."""
    hosts = f"unix://{place.socket}"
    return [program(), "--api-hosts", hosts, "--pprof-disable", "--log-plain", "--log-level", "warn"]


class Keeper:
    """Keeps the daemons of one folder as the speaker wants them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pauses: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Keep them until cancelled, and end them then."""
        program()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / "lock").open("wb") as lock:
            await _locked(lock)
            await self._keep_on()

    async def _keep_on(self) -> None:
        try:
            while True:
                self.keep(asyncio.get_running_loop().time())
                await asyncio.sleep(POLL_S)
        finally:
            self.end()

    def end(self) -> None:
        """End every daemon of the folder, also those that a former keeper left."""
        for place in self._places("pid"):
            self._end(place)

    def keep(self, now_s: float) -> None:
        """Start what is missing, and end what is wanted no more."""
        wanted = {place.name for place in self._places("wanted")}
        for place in self._places("pid"):
            if place.name not in wanted:
                self._end(place)
        for place in self._places("end"):
            self._break_off(place)
        for name in sorted(wanted):
            place = Place(self._directory, name)
            if self.pid_of(place) is not None:
                self._shorten_log(place)
                if now_s > self._not_before.get(name, 0.0) + STEADY_S:
                    self._pauses.pop(name, None)
            elif now_s >= self._not_before.get(name, 0.0):
                pause_s = self._pauses.get(name, FIRST_PAUSE_S)
                self._pauses[name] = min(pause_s * 2, LAST_PAUSE_S)
                self._not_before[name] = now_s + pause_s
                self._start(place)

    def _places(self, suffix: str) -> list[Place]:
        return [Place(self._directory, file.stem) for file in sorted(self._directory.glob(f"*.{suffix}"))]

    def _start(self, place: Place) -> None:
        place.socket.unlink(missing_ok=True)
        # A pipe whose reader is gone would kill it.
        with place.log.open("ab") as output:
            child = subprocess.Popen(
                arguments(place),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**GARBAGE, **os.environ},
                start_new_session=True,
                umask=PRIVATE_MASK,
            )
        self._children[place.name] = child
        place.pid.write_text(f"{child.pid}\n")
        log.info("a daemon was started", session=place.name, pid=child.pid)

    def pid_of(self, place: Place) -> int | None:
        """The pid of a session's daemon, or None when it does not run; a former keeper may have started it."""
        child = self._children.get(place.name)
        if child is not None:
            return child.pid if child.poll() is None else None
        with contextlib.suppress(OSError, ValueError):
            pid = int(place.pid.read_text())
            if str(place.socket).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def _break_off(self, place: Place) -> None:
        """End the process that the speaker named; by now another one may have taken its place."""
        with contextlib.suppress(OSError, ValueError):
            if int(place.end.read_text()) == self.pid_of(place):
                pid = self._kill(place)
                log.info("a daemon was ended to break its session off", session=place.name, pid=pid)
        place.end.unlink(missing_ok=True)

    def _kill(self, place: Place) -> int | None:
        pid = self.pid_of(place)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child = self._children.pop(place.name, None)
        if child is not None:
            child.wait()
        return pid

    def _end(self, place: Place) -> None:
        pid = self._kill(place)
        for file in (place.pid, place.socket, place.log, place.end):
            file.unlink(missing_ok=True)
        self._pauses.pop(place.name, None)
        self._not_before.pop(place.name, None)
        log.info("a daemon was ended", session=place.name, pid=pid)

    @staticmethod
    def _shorten_log(place: Place) -> None:
        with contextlib.suppress(OSError):
            if place.log.stat().st_size > MAX_LOG_BYTES:
                os.truncate(place.log, 0)


async def _locked(lock: BinaryIO) -> None:
    """Wait until no other keeper is at work here."""
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                told = True
                log.warning("another keeper is at work here; waiting for its end", file=lock.name)
            await asyncio.sleep(POLL_S)
