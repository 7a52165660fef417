"""Writes an export: see `porter.journal.export_contents` for how the file is laid out."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, BinaryIO, cast

import msgpack

from porter.events.envelope import Checkpoint, Commit
from porter.journal.chain import decode
from porter.journal.export_contents import (
    COMMITS,
    END,
    FOOTER,
    FORMAT,
    HEADING,
    MAGIC,
    STREAM,
    TRAILER,
    FrameRow,
    Source,
    StreamSum,
)
from porter.journal.frames import FRAME_BYTES, FRAME_COMMITS, frame, holds_baseline, pack
from porter.journal.limits import Trim
from porter.journal.local import NOTHING_TRIMMED


class ExportWriter:
    """Writes an export: `begin` a stream, `add` its commits, and so on; `finish` writes the footer."""

    def __init__(self, file: BinaryIO, cluster: str, *, redacted: bool = False, source: Source | None = None) -> None:
        self._file = file
        self._sums: list[StreamSum] = []
        self._marks: list[tuple[int, bytes]] = []
        self._rows: list[list[FrameRow]] = []
        self._begun: tuple[str, str] | None = None
        self._pending: list[tuple[Commit, bytes]] = []
        self._pending_bytes = 0
        self._counts = [0, 0]
        self._last = Checkpoint(0, 0, b"")
        file.write(MAGIC)
        self._marks.append(self._frame([HEADING, FORMAT, cluster, redacted, source]))

    @property
    def position(self) -> int:
        """The last position that was added to the present stream."""
        return self._last.position

    def begin(self, name: str, genesis: str, trimmed: Trim = NOTHING_TRIMMED) -> None:
        """Begin a stream: "" is the journal."""
        self._end()
        self._begun, self._counts, self._last = (name, genesis), [0, 0], Checkpoint(0, 0, b"")
        self._marks.append(self._frame([STREAM, name, genesis, *trimmed]))
        self._rows.append([])

    def add(self, blobs: Iterable[bytes]) -> None:
        """Add commits to the stream that was begun."""
        for blob in blobs:
            commit = decode(blob)
            self._pending.append((commit, blob))
            self._pending_bytes += len(blob)
            self._counts[0] += 1
            self._counts[1] += len(commit.events)
            self._last = commit.checkpoint
            if self._pending_bytes >= FRAME_BYTES or len(self._pending) >= FRAME_COMMITS:
                self._flush()

    def finish(self) -> str:
        """Write the footer; return its digest (hex)."""
        self._end()
        packed = cast("bytes", msgpack.packb([self._sums, self._marks, self._rows]))
        digest = sha256(packed).digest()
        length, _ = self._frame([FOOTER, packed, digest])
        self._file.write(TRAILER.pack(length, END))
        return digest.hex()

    def _end(self) -> None:
        self._flush()
        if self._begun is not None:
            last, (commits, events) = self._last, self._counts
            self._sums.append(StreamSum(*self._begun, last.epoch, last.position, last.hash, commits, events))
            self._begun = None

    def _flush(self) -> None:
        if not self._pending:
            return
        commits, blobs = zip(*self._pending, strict=True)
        mark = self._frame([COMMITS, pack(commits, blobs)])
        last = commits[-1]
        held = tuple((number, one.last_position) for number, one in enumerate(commits) if holds_baseline(one))
        row = FrameRow(*mark, len(commits), self._pending_bytes, last.last_position, last.time_ms, held)
        self._rows[-1].append(row)
        self._pending, self._pending_bytes = [], 0

    def _frame(self, content: list[Any]) -> tuple[int, bytes]:
        raw = frame(content)
        self._file.write(raw)
        return len(raw), sha256(raw).digest()
