"""Which paths were up when BIRD was asked last, in a file: a speaker that restarts sees what failed meanwhile.

BIRD tells whether a path is down, not whether it ever was up. What was seen counts only under the same BIRD: another
one has begun all its sessions anew, and a path that is down there failed for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path as FilePath

import msgspec
import structlog

from porter.bgp.bfd.sessions import Path
from porter.files import write_atomically

log = structlog.get_logger("porter.bfd")


class _Remembered(msgspec.Struct):
    """`boot` is when the BIRD started that told of it."""

    boot: str
    up: list[Path]


class PathMemory:
    """The file, and what was written last."""

    def __init__(self, file: FilePath) -> None:
        self._file = file
        self._kept: _Remembered | None = None

    def recall(self, boot: str) -> frozenset[Path]:
        """The paths that an earlier speaker saw up last, as long as the same BIRD runs."""
        try:
            remembered = msgspec.json.decode(self._file.read_bytes(), type=_Remembered)
        except (OSError, msgspec.DecodeError):
            return frozenset()
        return frozenset(remembered.up) if remembered.boot == boot else frozenset()

    def keep(self, boot: str, up: Iterable[Path]) -> None:
        """Write which paths are up, where that changed. Without the file only a restart's view is lost."""
        kept = _Remembered(boot, sorted(up))
        if kept == self._kept:
            return
        self._kept = kept
        try:
            write_atomically(self._file, msgspec.json.encode(kept), durable=False)
        except OSError as error:
            log.warning("which paths are up cannot be written down", reason=str(error))
