"""The speaker's last-good file: the whole folded state and its checkpoint, so that it can announce without Redis.

The file is replaced atomically (write, fsync, rename), carries its own digest, and is only readable by its owner. A
damaged file is as good as none: the speaker then waits for the journal, and sends no End-of-RIB before it has it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgpack
import structlog

from porter.events.envelope import Checkpoint
from porter.files import PRIVATE, write_atomically
from porter.model.bgp import SessionSettings
from porter.projections import baseline
from porter.projections.cluster import ClusterState

_FORMAT = 2
_DIGEST_BYTES = 32

_log = structlog.get_logger(__name__)


class LastGood(NamedTuple):
    """What a speaker knew last: `genesis` is the identity of the journal that the checkpoint belongs to.

    `sessions` are those that were configured: one whose object is malformed by now is known from here alone.
    """

    genesis: str
    checkpoint: Checkpoint
    state: ClusterState
    sessions: tuple[SessionSettings, ...]


class Encoded(NamedTuple):
    """The same with the state encoded by `porter.projections.baseline`, and the layout of that."""

    genesis: str
    checkpoint: Checkpoint
    state: bytes
    sessions: tuple[SessionSettings, ...]
    layout: int = baseline.REDUCER_VERSION


def write(path: Path, good: Encoded) -> None:
    """Replace the file.

    Raises:
        OSError: the disk refused.
    """
    *content, layout = good
    body: bytes = msgpack.packb([_FORMAT, layout, *content])
    write_atomically(path, hashlib.sha256(body).digest() + body, durable=True, mode=PRIVATE)


def read(path: Path) -> LastGood | None:
    """Read the file; None where there is none, or none that this version can trust."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("the last-good file cannot be read", path=str(path), reason=str(error))
        return None
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        _log.warning("the last-good file is damaged and is not used", path=str(path))
        return None
    file_format, layout, *content_rows = msgpack.unpackb(body, use_list=False)
    if file_format != _FORMAT or layout not in baseline.READABLE_VERSIONS:
        _log.warning("the last-good file is of another version and is not used", path=str(path))
        return None
    genesis, checkpoint, state, sessions = content_rows
    settings = tuple(SessionSettings(*session) for session in sessions)
    try:
        return LastGood(genesis, Checkpoint(*checkpoint), baseline.decode(state), settings)
    except baseline.UnreadableBaseline as error:
        _log.warning("the last-good file is of another release and is not used", path=str(path), reason=str(error))
        return None
