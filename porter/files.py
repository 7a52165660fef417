"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o600
SHARED = 0o666
"""What the process's umask leaves of it."""


def write_atomically(path: Path, content: bytes, *, durable: bool, mode: int = SHARED) -> None:
    """Replace a file's content in one step; with `durable` it survives a power failure once this returns.

    `mode` holds from the first byte on, so that a `PRIVATE` file is never open to others.

    Raises:
        OSError: no room, no permission; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def move_durably(source: Path, target: Path) -> None:
    """Move a file to another name on the same volume; content and name survive a power failure once this returns.

    Raises:
        OSError: no permission, or another volume.
    """
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure: they are its content.

    Raises:
        OSError: it is none, or no permission.
    """
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
