"""Exports for tests: every value that stands in one, its frames, and the same history in format 1."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import msgpack

from porter.events.codec import decode_commit
from porter.journal.export import ExportJournals
from porter.journal.export_contents import COMMITS, END, FOOTER, MAGIC, STREAM, TRAILER
from porter.journal.frames import FRAME, frame

Scalar = str | int


def frames(content: bytes) -> list[bytes]:
    """The frames of an export of any format; what may stand behind the last one is left out."""
    parts, start, end = [], len(MAGIC), len(content)
    if content.endswith(END):
        end -= TRAILER.size
    while start < end:
        (length, _) = FRAME.unpack_from(content, start)
        parts.append(content[start : start + FRAME.size + length])
        start += FRAME.size + length
    return parts


def rows(content: bytes) -> list[list[Any]]:
    """What the frames of an export hold."""
    return [list(msgpack.unpackb(part[FRAME.size :], use_list=False)) for part in frames(content)]


def format_1(content: bytes) -> bytes:
    """An export as the first releases wrote it."""
    heading, *others, footer = rows(content)
    raw = MAGIC + b"".join(map(frame, ([heading[0], 1, *heading[2:]], *others)))
    sums, _, _ = msgpack.unpackb(footer[1], use_list=False)
    return raw + frame([FOOTER, sums, sha256(raw).digest()])


class Forged(NamedTuple):
    """What an export holds, to be changed: the bodies of its frames before the footer, and the footer's lists."""

    bodies: list[list[Any]]
    sums: list[Any]
    marks: list[Any]
    rows: list[Any]


def forged(content: bytes, change: Callable[[Forged], object]) -> bytes:
    """An export that was changed, with every checksum and digest made anew."""
    *bodies, footer = rows(content)
    sums, marks, told = msgpack.unpackb(footer[1])
    told_of, marked, streams = list[Any](), iter(marks), iter(told)
    of_stream: Iterator[Any] = iter(())
    for kind, *_ in bodies:
        if kind == STREAM:
            of_stream = iter(next(streams))
        told_of.append(next(of_stream) if kind == COMMITS else next(marked))
    it = Forged(bodies, sums, marks, told)
    kept = [frame(body) for body in bodies]
    change(it)
    made = [frame(body) for body in it.bodies]
    for row, before, after in zip(told_of, kept, made, strict=True):
        if before != after:
            row[:2] = [len(after), sha256(after).digest()]
    raw = b"".join(made)
    packed = msgpack.packb([it.sums, it.marks, it.rows])
    end = frame([FOOTER, packed, sha256(packed).digest()])
    return MAGIC + raw + end + TRAILER.pack(len(end), END)


def scalars(value: object) -> Iterator[Scalar]:
    """Every text and number in a value, however deep; bytes are looked into as msgpack and zlib too."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        yield value
    elif isinstance(value, bytes):
        try:
            yield from scalars(msgpack.unpackb(zlib.decompress(value), strict_map_key=False, use_list=False))
        except (zlib.error, ValueError):
            return
    elif isinstance(value, dict):
        for pair in value.items():
            yield from scalars(pair)
    elif isinstance(value, tuple | list | frozenset):
        for each in value:
            yield from scalars(each)


def values_of(exported: ExportJournals) -> Iterator[Scalar]:
    """All texts and numbers of an export, its heading and footer among them, but for positions and times."""
    yield from scalars((exported.cluster, exported.source, [(one.name, one.genesis) for one in exported.sums]))
    for one in exported.sums:
        for _, blob in exported.entries(one.name):
            commit = decode_commit(blob)
            yield commit.writer
            for envelope in commit.events:
                yield from scalars((envelope.correlation, envelope.traceparent, tuple(envelope.payload)))


def pairs_of(exported: ExportJournals, redacted: ExportJournals) -> Iterator[tuple[Scalar, Any]]:
    """Each value of an export beside the one that stands in its place in the redacted one."""
    sums = zip(exported.sums, redacted.sums, strict=True)
    yield from zip(
        scalars((exported.cluster, [(one.name, one.genesis) for one in exported.sums])),
        scalars((redacted.cluster, [(one.name, one.genesis) for one in redacted.sums])),
        strict=True,
    )
    for one, other in sums:
        blobs = zip(exported.entries(one.name), redacted.entries(other.name), strict=True)
        for (_, blob), (_, new) in blobs:
            before, after = decode_commit(blob), decode_commit(new)
            yield before.writer, after.writer
            for was, now in zip(before.events, after.events, strict=True):
                told = ((each.correlation, each.traceparent, tuple(each.payload)) for each in (was, now))
                yield from zip(*map(scalars, told), strict=True)
