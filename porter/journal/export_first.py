"""Exports of format 1: frames of which the footer says a SHA-256 over everything, and nothing of where they are.

All of the file is read and its digest taken when it is opened.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgpack

from porter.journal.export_contents import (
    COMMITS,
    FOOTER,
    STREAM,
    STREAM_SUM,
    Contents,
    FrameRow,
    Heading,
    StreamContents,
    StreamSum,
    check_streams,
    packed_of,
    typed,
)
from porter.journal.frames import FRAME, unpack_index
from porter.journal.limits import Trim
from porter.ports import Corrupt


def read_first(raw: bytes, heading: Heading, path: Path) -> Contents:
    """What such a file holds.

    Raises:
        Corrupt: it was changed or cut.
        TypeError, ValueError, IndexError: its values are others.
    """
    begun: list[tuple[str, str, Trim, list[tuple[int, FrameRow]]]] = []
    whole = _is_whole(raw, heading.end)
    for start, end, content in _framed(raw, heading.end, path, whole=whole):
        if content[0] == STREAM:
            _, name, genesis, position, hash_ = typed(content, (int, str, str, int, bytes))
            begun.append((name, genesis, Trim(position, hash_), []))
        elif content[0] == COMMITS and begun:
            packed = typed(content, (int, bytes | memoryview))[1]
            begun[-1][3].append((start, _row(packed, end - start, f"the frame at byte {start} of {path}")))
        elif content[0] == FOOTER:
            _, sums, digest = typed(content, (int, tuple, bytes))
            if not whole and sha256(memoryview(raw)[:start]).digest() != digest:
                raise Corrupt(f"{path} was changed: its content has another digest than its footer says")
            told = [StreamSum._make(typed(one, STREAM_SUM)) for one in sums]
            if [(one.name, one.genesis) for one in told] != [one[:2] for one in begun]:
                raise Corrupt(f"{path} does not hold the streams that its footer names")
            streams = tuple(
                StreamContents(one, trimmed, tuple(frames))
                for one, (_, _, trimmed, frames) in zip(told, begun, strict=True)
            )
            check_streams(streams, path)
            return Contents(heading.cluster, heading.redacted, heading.source, digest.hex(), streams)
        else:
            raise Corrupt(f"{path}: byte {start} begins a frame of an unknown kind")
    raise Corrupt(f"{path} has no footer; it was cut, or is still being written")


def _row(packed: bytes | memoryview, length: int, told: str) -> FrameRow:
    index = unpack_index(packed, told)
    held = tuple((number, index.positions[number]) for number in index.baselines)
    size, last, last_ms = sum(index.lengths), index.positions[-1], index.times_ms[-1]
    return FrameRow(length, b"", len(index.lengths), size, last, last_ms, held)


def _framed(raw: bytes, start: int, path: Path, *, whole: bool) -> Iterator[tuple[int, int, Any]]:
    """Each frame behind the heading: where it begins and ends, and what it holds."""
    view = memoryview(raw)
    while start < len(raw):
        if start + FRAME.size > len(raw):
            raise Corrupt(f"{path} ends within a frame, at byte {start}")
        length, checksum = FRAME.unpack_from(raw, start)
        body = view[start + FRAME.size : start + FRAME.size + length]
        if len(body) != length or (not whole and zlib.crc32(body) != checksum):
            raise Corrupt(f"{path} was changed or cut: the frame at byte {start} has another checksum")
        end = start + FRAME.size + length
        try:
            packed = packed_of(body)
            content = (COMMITS, packed) if packed is not None else msgpack.unpackb(body, use_list=False)
            kind = content[0]
        except Exception as error:  # Damaged bytes fail in more ways than msgpack documents.
            raise Corrupt(f"{path}: the frame at byte {start} does not decode: {error}") from error
        if kind == FOOTER and end != len(raw):
            raise Corrupt(f"{path} goes on behind its footer, at byte {end}")
        yield start, end, content
        start = end


def _is_whole(raw: bytes, start: int) -> bool:
    """Whether the footer's digest is that of all bytes before it: no frame needs a look at its checksum then."""
    view, last = memoryview(raw), 0
    while start + FRAME.size <= len(view):
        last, start = start, start + FRAME.size + FRAME.unpack_from(view, start)[0]
    if start != len(view) or not last:
        return False
    body = view[last + FRAME.size :]
    try:
        kind, _, digest = msgpack.unpackb(body, use_list=False)
    except Exception:  # noqa: BLE001 -- whatever is wrong with it is told when the frames are read.
        return False
    sound = kind == FOOTER and zlib.crc32(body) == FRAME.unpack_from(view, last)[1]
    return sound and bool(sha256(view[:last]).digest() == digest)
