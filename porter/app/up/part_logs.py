"""The logs of the parts that `porter up` runs: each part writes its own file, the supervisor only reads along.

A part's standard output is the file itself, opened for appending, and no pipe: a supervisor that is stopped, slow or
killed can then never block a part or break its output. The price is that lines written during the moment of a
rotation may be lost; the journal, not the log, is the record.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import threading
from pathlib import Path
from typing import IO

LOG_BYTES_MAX = 4 * 1024 * 1024
"""A larger log is moved to `<part>.log.1`, which replaces the one before."""
READ_BYTES_MAX = 64 * 1024
LINE_CHARS_MAX = 240
PRINT_LINES_MAX = 1000
"""Lines that wait for a reader of standard output; what comes on top is dropped."""


class PartLog:
    """One part's log file: where it writes, and how far it has been shown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def open(self) -> IO[bytes]:
        """Open the file for a part's standard output; appending makes a later truncation safe."""
        return os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "wb", 0)

    def new_lines(self) -> list[str]:
        """The complete lines that were written since the last call, READ_BYTES_MAX of them at most.

        Moves the file aside when it has grown too large; what was not shown until then is only there.
        """
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(self._offset)
                text = file.read(READ_BYTES_MAX)
                self._offset = file.tell()
        except OSError:
            return []
        *lines, rest = (self._rest + text).split(b"\n")
        self._rest = rest[-READ_BYTES_MAX:]
        if size > LOG_BYTES_MAX:
            self._rotate()
        return [line.decode(errors="replace") for line in lines]

    def tail(self, lines: int) -> list[str]:
        """The last lines of the file."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - READ_BYTES_MAX))
                return file.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    def _rotate(self) -> None:
        shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
        os.truncate(self.path, 0)
        self._offset = 0
        self._rest = b""


def short_form(line: str) -> str:
    """A log line as the supervisor shows it: the sentence and the fields of a JSON line, and nothing too long."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        level = str(fields.pop("level", ""))
        event = str(fields.pop("event", ""))
        for dropped in ("timestamp", "logger", "program", "exception"):
            fields.pop(dropped, None)
        words = [event, *(f"{name}={value}" for name, value in fields.items())]
        line = " ".join([level.upper(), *words] if level in {"warning", "error", "critical"} else words)
    return line if len(line) <= LINE_CHARS_MAX else line[: LINE_CHARS_MAX - 1] + "…"


class Console:
    """Prints lines from a thread of its own: a reader of standard output that stands still holds nothing up."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._lines: queue.Queue[str | None] = queue.Queue(PRINT_LINES_MAX)
        self._dropped = 0
        self._thread = threading.Thread(target=self._print, name="console", daemon=True)
        self._thread.start()

    def say(self, part: str, text: str) -> None:
        """Print one line under a part's name; drops it when too many wait already."""
        try:
            self._lines.put_nowait(f"{part:<10} | {text}\n")
        except queue.Full:
            self._dropped += 1

    def close(self, timeout_s: float = 1.0) -> None:
        """Print what waits, for at most `timeout_s`."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _print(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._dropped:
                line = f"{'up':<10} | {self._dropped} lines were not shown, see the logs\n{line}"
                self._dropped = 0
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                # Whoever read the output is gone; the parts' own logs go on.
                return
