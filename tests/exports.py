"""Everything that stands in an export, decoded down to the last value, for tests that search it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import msgpack

from porter.events.codec import decode_commit
from porter.journal.export import ExportJournals

Scalar = str | int


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
