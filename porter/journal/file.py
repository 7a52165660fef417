"""The journal in files: for export and import, and for reading without a server.

A file is the magic line, then frames: the length and the CRC-32 of a body (big-endian, 4 bytes each), and the body.
The first body is msgpack `[genesis, last trimmed position, its hash]`; every other one is a commit as the codec writes
it. A frame is written and synced as a whole: one that is cut off at the end of the file was never acknowledged, and is
dropped. Damage anywhere else is an error.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import msgpack

from porter.events.codec import MAX_COMMIT_BYTES
from porter.events.decided import BaselineRecorded
from porter.events.envelope import Commit
from porter.files import sync_folder
from porter.journal.chain import decode
from porter.journal.clock import SYSTEM_CLOCK
from porter.journal.entries import EntryList, Stored
from porter.journal.limits import MAX_STREAM_BYTES, SPEAKER_STREAM_ENTRIES, Trim
from porter.journal.local import NOTHING_TRIMMED, LocalJournal
from porter.journal.names import check_name
from porter.ports import Clock, Corrupt, JournalUnavailable

MAGIC = b"porter journal 1\n"
SUFFIX = ".porter"
POLL_INTERVAL_S = 0.05
"""How often a follower looks whether the file has grown: another process may write it."""

_FRAME = struct.Struct(">II")


class FileStore:
    """One stream in one file. Writers of several processes keep out of each other's way by a lock on it."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.genesis = ""
        self.entries = EntryList()
        self.trimmed = NOTHING_TRIMMED
        self._path = path
        self._file: BinaryIO | None = None
        self._read_to = 0
        self._refreshed = (0, 0)
        """Inode and size of the file when it was last looked at."""

    def refresh(self) -> None:
        """See `porter.journal.local.Store`."""
        try:
            self._refreshed = self._stamp()
            self._reopen()
            if self._file is not None:
                self._scan(self._file)
        except OSError as error:
            raise JournalUnavailable(f"{self._path} cannot be read: {error}") from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `porter.journal.local.Store`.

        The lock is on a file beside it, since trimming puts a new file in the place of the old one.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_suffix(".lock").open("ab")
        except OSError as error:
            raise JournalUnavailable(f"{self._path} cannot be locked: {error}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refresh()
            yield

    def blob(self, stored: Stored) -> bytes:
        """See `porter.journal.local.Store`."""
        assert self._file is not None, "entries are there only while the file is open"
        body = os.pread(self._file.fileno(), stored.length, stored.offset)
        if len(body) != stored.length:
            raise Corrupt(f"{self._path} was cut at position {stored.checkpoint.position} while being read")
        return body

    def blobs(self, first: int, end: int) -> Iterator[bytes]:
        """See `porter.journal.local.Store`."""
        return map(self.blob, self.entries[first:end])

    def start(self, genesis: str) -> None:
        """See `porter.journal.local.Store`."""
        self._write_anew(genesis, NOTHING_TRIMMED, [])

    def begin(self, genesis: str, trimmed: Trim, blobs: Sequence[bytes] = ()) -> None:
        """Begin anew behind something that stands elsewhere, empty or with these commits: all of it at once."""
        self._write_anew(genesis, trimmed, blobs)

    def add(self, commit: Commit, blob: bytes) -> None:
        """See `porter.journal.local.Store`."""
        assert self._file is not None, "a stream is started before anything is added"
        try:
            os.ftruncate(self._file.fileno(), self._read_to)
            os.pwrite(self._file.fileno(), _frame(blob), self._read_to)
            os.fdatasync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), self._read_to)
            raise JournalUnavailable(f"{self._path} takes nothing now: {error}; free disk space") from error
        self._note(commit, self._read_to + _FRAME.size, len(blob))

    def extend(self, entries: Sequence[tuple[Commit, bytes]]) -> None:
        """Append several entries by one write, durable when this returns.

        Raises:
            JournalUnavailable: the disk takes nothing; nothing was appended.
        """
        assert self._file is not None, "a stream is started before anything is added"
        try:
            os.ftruncate(self._file.fileno(), self._read_to)
            _write_all(self._file.fileno(), b"".join(_frame(blob) for _, blob in entries), self._read_to)
            os.fdatasync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), self._read_to)
            raise JournalUnavailable(f"{self._path} takes nothing now: {error}; free disk space") from error
        for commit, blob in entries:
            self._note(commit, self._read_to + _FRAME.size, len(blob))

    def drop(self, count: int, trimmed: Trim) -> None:
        """See `porter.journal.local.Store`. The file is written anew beside the old one, and takes its place."""
        self._write_anew(self.genesis, trimmed, [self.blob(stored) for stored in self.entries[count:]])

    def identity(self) -> str:
        """See `porter.journal.local.Store`."""
        if self._file is None:
            return ""
        status = os.fstat(self._file.fileno())
        return f"{status.st_dev}/{status.st_ino}"

    def size_bytes(self) -> int:
        """See `porter.journal.local.Store`."""
        return self._read_to

    async def wait(self, timeout_s: float) -> None:
        """See `porter.journal.local.Store`."""
        deadline_s = time.monotonic() + timeout_s
        while self._stamp() == self._refreshed and time.monotonic() < deadline_s:  # noqa: ASYNC110 - others write it.
            await asyncio.sleep(POLL_INTERVAL_S)

    @property
    def in_place(self) -> bool:
        """Whether the file that is open is the one that stands at its path."""
        return self._file is not None and self._stamp()[0] == self._seen()[0]

    def close(self) -> None:
        """Close the file; it opens again when it is used again."""
        self._forget()

    def _stamp(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_ino, status.st_size

    def _seen(self) -> tuple[int, int]:
        return (os.fstat(self._file.fileno()).st_ino, self._read_to) if self._file is not None else (0, 0)

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._read_to = None, 0
        self.entries.clear()
        self.genesis, self.trimmed = "", NOTHING_TRIMMED

    def _reopen(self) -> None:
        """Follow the path to another file, or to none, or to a shorter one."""
        inode, size = self._stamp()
        seen_inode, seen_size = self._seen()
        if inode != seen_inode or size < seen_size:
            self._forget()
        if self._file is None and inode:
            self._file = self._path.open("r+b" if os.access(self._path, os.W_OK) else "rb", buffering=0)

    def _scan(self, file: BinaryIO) -> None:
        """Take note of the frames behind what was read already."""
        size = os.fstat(file.fileno()).st_size
        if not self._read_to and size:
            self._read_heading(file)
        while self._read_to < size:
            body = self._body(file, size)
            if body is None:
                return
            self._note(decode(body), self._read_to + _FRAME.size, len(body))

    def _read_heading(self, file: BinaryIO) -> None:
        if os.pread(file.fileno(), len(MAGIC), 0) != MAGIC:
            raise Corrupt(f"{self._path} is no journal of Porter: it does not begin with {MAGIC!r}")
        self._read_to = len(MAGIC)
        body = self._body(file, os.fstat(file.fileno()).st_size)
        if body is None:
            raise Corrupt(f"{self._path} has no heading; it was cut")
        genesis, position, hash_ = msgpack.unpackb(body)
        self.genesis, self.trimmed = genesis, Trim(position, hash_)
        self._read_to += _FRAME.size + len(body)

    def _body(self, file: BinaryIO, size: int) -> bytes | None:
        """The next frame's body; None for one that is cut off at the end of the file."""
        start = self._read_to + _FRAME.size
        if start > size:
            return None
        length, checksum = _FRAME.unpack(os.pread(file.fileno(), _FRAME.size, self._read_to))
        end = start + length
        body = os.pread(file.fileno(), length, start) if end <= size and length <= MAX_COMMIT_BYTES + 32 else b""
        if length == len(body) and crc32(body) == checksum:
            return body
        if end >= size:
            return None
        last = self.entries[-1].checkpoint.position if self.entries else self.trimmed.position
        raise Corrupt(f"{self._path} is damaged behind position {last}, at byte {self._read_to}: checksum differs")

    def _note(self, commit: Commit, offset: int, length: int) -> None:
        baseline = any(isinstance(envelope.payload, BaselineRecorded) for envelope in commit.events)
        self.entries.append(Stored(commit.checkpoint, baseline, offset, length))
        self._read_to = offset + length

    def _write_anew(self, genesis: str, trimmed: Trim, blobs: Sequence[bytes]) -> None:
        heading = msgpack.packb([genesis, trimmed.position, trimmed.hash])
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(MAGIC + _frame(heading))
                file.writelines(_frame(blob) for blob in blobs)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise JournalUnavailable(f"{fresh} cannot be written: {error}; free disk space") from error
        self.refresh()


def _frame(body: bytes) -> bytes:
    return _FRAME.pack(len(body), crc32(body)) + body


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of it: a full disk takes a part first, and fails at the next call."""
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written


class FileJournals:
    """The streams of one cluster in a folder, or a journal alone in a single file (by its suffix `.porter`).

    See `porter.journal.redis.RedisJournals`.
    """

    def __init__(
        self,
        path: Path,
        *,
        writer: str = "",
        clock: Clock = SYSTEM_CLOCK,
        max_bytes: int = MAX_STREAM_BYTES,
        speaker_entries: int = SPEAKER_STREAM_ENTRIES,
    ) -> None:
        self._single = path.suffix == SUFFIX
        self._folder = path.parent if self._single else path
        self._journal_path = path if self._single else path / f"journal{SUFFIX}"
        self._writer = writer
        self._clock = clock
        self._max_bytes = max_bytes
        self._speaker_entries = speaker_entries
        self._stores: list[FileStore] = []

    def journal(self) -> LocalJournal:
        """The cluster's journal."""
        return self._stream(self._journal_path)

    def speaker(self, name: str) -> LocalJournal:
        """One speaker's stream of outcomes."""
        if self._single:
            raise ValueError(f"{self._journal_path} is a single journal, and holds no stream of speaker {name}")
        return self._stream(self._folder / f"speaker-{check_name(name)}{SUFFIX}", bound=self._speaker_entries)

    async def speakers(self) -> tuple[str, ...]:
        """The names of all speakers that claimed their stream here, sorted."""
        if self._single or not self._folder.is_dir():
            return ()
        return tuple(sorted(path.stem.removeprefix("speaker-") for path in self._folder.glob(f"speaker-*{SUFFIX}")))

    async def check(self, unsafe: frozenset[str] = frozenset()) -> list[object]:
        """Every append is synced; there is nothing to set wrongly."""
        del unsafe
        return []

    async def close(self) -> None:
        """Close every file."""
        for store in self._stores:
            store.close()

    def _stream(self, path: Path, *, bound: int = 0) -> LocalJournal:
        store = FileStore(path)
        self._stores.append(store)
        return LocalJournal(store, writer=self._writer, clock=self._clock, max_bytes=self._max_bytes, bound=bound)
