"""What exports and the archive's segments are made of: frames with a checksum, and commits packed behind an index.

A frame is the length and the CRC-32 of a body (big-endian, 4 bytes each), and the body, a msgpack array that begins
with its kind. Packed commits are the length of an index, the index, and the commits byte by byte, by zlib.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import msgpack

from porter.events.decided import BaselineRecorded
from porter.events.envelope import Commit
from porter.ports import Corrupt

FRAME_BYTES = 1024 * 1024
FRAME_COMMITS = 8192
FRAME_BYTES_MAX = 1 << 30
"""The most that a frame holds after decompression: a commit is never divided, and may be one large baseline."""
COMPRESSION_LEVEL = 6
INDEX_BYTES_MAX = 16 * 1024 * 1024
"""The most that an index takes: `FRAME_COMMITS` rows take a fiftieth of it."""
INDEX_STEP_BYTES = 16 * 1024
"""So much is decompressed at a time where the index alone is wanted."""

FRAME = struct.Struct(">II")
_LENGTH = struct.Struct(">I")


class Index(NamedTuple):
    """What a frame of commits says of them, each by its number; `baselines` are the numbers of those with one."""

    lengths: tuple[int, ...]
    epochs: tuple[int, ...]
    positions: tuple[int, ...]
    times_ms: tuple[int, ...]
    baselines: tuple[int, ...]


def holds_baseline(commit: Commit) -> bool:
    """Whether one of a commit's events is a baseline."""
    return any(isinstance(envelope.payload, BaselineRecorded) for envelope in commit.events)


def frame(content: list[Any]) -> bytes:
    """One frame."""
    body = cast("bytes", msgpack.packb(content))
    return FRAME.pack(len(body), zlib.crc32(body)) + body


def body_of(body: bytes | memoryview, told: str) -> Any:
    """What a frame's body holds; `told` names it in messages.

    Raises:
        Corrupt: it does not decode to an array.
    """
    try:
        content = msgpack.unpackb(body, use_list=False)
        len(content)
    except Exception as error:  # Damaged bytes fail in more ways than msgpack documents.
        raise Corrupt(f"{told} does not decode: {error}") from error
    return content


def pack(commits: Sequence[Commit], blobs: Sequence[bytes]) -> bytes:
    """Commits behind their index, compressed."""
    index = Index(
        tuple(len(blob) for blob in blobs),
        tuple(commit.epoch for commit in commits),
        tuple(commit.last_position for commit in commits),
        tuple(commit.time_ms for commit in commits),
        tuple(number for number, commit in enumerate(commits) if holds_baseline(commit)),
    )
    packed = cast("bytes", msgpack.packb(index))
    return zlib.compress(_LENGTH.pack(len(packed)) + packed + b"".join(blobs), COMPRESSION_LEVEL)


def decompress(packed: bytes | memoryview, told: str, *, commits_bytes: int = FRAME_BYTES_MAX) -> bytes:
    """Packed commits before `unpack`; `told` names them in messages, and `commits_bytes` is what all of them take.

    Raises:
        Corrupt: they do not decompress.
    """
    most = min(FRAME_BYTES_MAX, _LENGTH.size + INDEX_BYTES_MAX + max(0, commits_bytes))
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(packed, most)
    except zlib.error as error:
        raise Corrupt(f"{told} does not decompress: {error}") from error
    if not inflater.eof:
        raise Corrupt(f"{told} is cut off, or larger than {most} bytes")
    return raw


def unpack_index(packed: bytes | memoryview, told: str) -> Index:
    """The index of packed commits, which stands before them: they are not decompressed for it, nor held against it.

    Raises:
        Corrupt: the index does not decompress or decode.
    """
    try:
        inflater, raw, end = zlib.decompressobj(), b"", _LENGTH.size
        view, at = memoryview(packed), 0
        while len(raw) < end and at < len(view):
            raw += inflater.decompress(view[at : at + INDEX_STEP_BYTES])
            at += INDEX_STEP_BYTES
            if len(raw) >= _LENGTH.size:
                end = _end_of_index(raw)
        return _index(raw, end)
    except Exception as error:  # Damaged bytes fail in more ways than zlib and msgpack document.
        raise Corrupt(f"the index of {told} does not decode: {error}") from error


def _end_of_index(raw: bytes) -> int:
    length = int(_LENGTH.unpack_from(raw)[0])
    if length > INDEX_BYTES_MAX:
        raise ValueError(f"it is larger than {INDEX_BYTES_MAX} bytes")
    return _LENGTH.size + length


def _index(raw: bytes, end: int) -> Index:
    index = Index(*msgpack.unpackb(raw[_LENGTH.size : end], use_list=False))
    rows = len(index.lengths)
    if not rows == len(index.epochs) == len(index.positions) == len(index.times_ms):
        raise ValueError("its columns differ in length")
    if not all(0 <= number < rows for number in index.baselines):
        raise ValueError("it names a baseline that is none of its rows")
    return index


def unpack(raw: bytes, told: str) -> tuple[Index, int]:
    """The index, and where the first commit begins.

    Raises:
        Corrupt: the index does not decode, or does not fit what stands behind it.
    """
    try:
        offset = _end_of_index(raw)
        index = _index(raw, offset)
        whole = offset + sum(index.lengths) == len(raw)
    except Exception as error:  # Damaged bytes fail in more ways than msgpack documents.
        raise Corrupt(f"the index of {told} does not decode: {error}") from error
    if not whole:
        raise Corrupt(f"{told} does not hold what its index says")
    return index, offset
