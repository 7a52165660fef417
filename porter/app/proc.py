"""Processes as Linux shows them in /proc: who one is, whose child, and whether it is still the same one.

A pid alone names no process: it is given again. The start time (proc(5), field 22 of `stat`) together with the boot
makes it unique.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
BOOT_ID = PROC / "sys/kernel/random/boot_id"
POLL_S = 0.02


class ProcessIdentity(NamedTuple):
    """One process of one boot; `start_ticks` counts clock ticks since that boot."""

    pid: int
    start_ticks: int
    boot: str


class _Stat(NamedTuple):
    state: str
    parent: int
    start_ticks: int


def boot_identity() -> str:
    """The random identity of this boot."""
    return BOOT_ID.read_text().strip()


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of the process that has this pid now; None if there is none, or it is a zombie."""
    stat = _stat(pid)
    return None if stat is None or stat.state in "ZX" else ProcessIdentity(pid, stat.start_ticks, boot_identity())


def is_running(identity: ProcessIdentity) -> bool:
    """Whether exactly this process still runs."""
    return identify(identity.pid) == identity


def command_of(pid: int) -> tuple[str, ...]:
    """The arguments that a process was executed with; empty when it is gone."""
    try:
        return tuple(os.fsdecode(part) for part in (PROC / str(pid) / "cmdline").read_bytes().split(b"\0") if part)
    except OSError:
        return ()


def children_of(pid: int) -> list[int]:
    """The pids of a process's children that are no zombies, oldest first; empty when it is gone."""
    try:
        listed = [
            int(child)
            for thread in (PROC / str(pid) / "task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:
        # Kernels without CONFIG_PROC_CHILDREN have no such file: then every process is asked for its parent.
        listed = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    stats = [(stat.start_ticks, child) for child in listed if (stat := _stat(child)) and _is_child(stat, pid)]
    return [child for _, child in sorted(stats)]


def signal_process(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Send a signal to exactly this process; nothing happens when it is gone."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor holds the process, so that the comparison cannot be outrun by a new owner of the pid.
        if is_running(identity):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def end_process(identity: ProcessIdentity, number: signal.Signals, *, grace_s: float) -> None:
    """Ask one process to end, wait up to `grace_s` for it, then kill it; blocks until it is gone."""
    signal_process(identity, number)
    if not _gone_within(identity, grace_s):
        signal_process(identity, signal.SIGKILL)
        _gone_within(identity, grace_s)


def _is_child(stat: _Stat, parent: int) -> bool:
    return stat.parent == parent and stat.state not in "ZX"


def _gone_within(identity: ProcessIdentity, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while is_running(identity):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_bytes().decode(errors="replace")
    except OSError:
        return None
    # The second field, the name in parentheses, may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[1]), int(fields[19]))
