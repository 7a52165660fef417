"""The limits that every implementation of the journal shares."""

from __future__ import annotations

from typing import NamedTuple

MAX_STREAM_BYTES = 1024 * 1024 * 1024
"""What the journal may take at the server; beyond it only baselines are appended, until it was trimmed."""

SPEAKER_STREAM_ENTRIES = 20_000
"""About as many commits are kept of a speaker's outcomes."""

LOOK_INTERVAL_S = 1.0
"""How often a reader compares the server's head and identity with what it has read."""


class StreamSize(NamedTuple):
    """How large a stream is, beside its limit."""

    entries: int
    bytes: int
    limit_bytes: int


class Trim(NamedTuple):
    """What the first entry left links to: the last position that was trimmed away, and its commit's hash."""

    position: int
    hash: bytes
