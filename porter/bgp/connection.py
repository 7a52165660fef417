"""A connection from ExaBGP's relay: lines in, lines out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

MAX_LINE_BYTES = 64 * 1024 * 1024


class Receiver(Protocol):
    """Who takes what comes over a connection."""

    def received(self, connection: RelayConnection, lines: Sequence[bytes]) -> None:
        """Take whole lines."""
        ...

    def connection_lost(self, connection: RelayConnection, reason: str) -> None:
        """The connection is gone."""
        ...


class RelayConnection(asyncio.Protocol):
    """One connection from a relay; the newest one counts."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._rest = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self.abort()
            return
        self._receiver.received(self, lines)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.connection_lost(self, str(exc or "closed"))

    def write(self, lines: Sequence[str]) -> None:
        if self.transport is not None and lines:
            self.transport.write("".join(f"{line}\n" for line in lines).encode("ascii"))

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


async def listen(path: Path, receiver: Receiver) -> asyncio.Server:
    """Take connections at a socket that only its owner may use; one that was there is replaced.

    Raises:
        OSError: there can be no socket.
    """
    await asyncio.to_thread(_make_room, path)
    mask = os.umask(0o177)
    try:
        return await asyncio.get_running_loop().create_unix_server(lambda: RelayConnection(receiver), str(path))
    finally:
        os.umask(mask)


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
