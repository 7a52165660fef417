"""A router that does exactly what a script says, over raw TCP: for peers that no sound daemon would be."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import struct
from collections.abc import Awaitable, Callable, Iterable

from tests.integration.bgp.lab import PEER_AS, PORT

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
AS_TRANS = 23456

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def message(kind: int, body: bytes = b"") -> bytes:
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def open_message(
    router_id: str, as_number: int = PEER_AS, hold_time_s: int = 90, more_capabilities: bytes = b""
) -> bytes:
    """IPv4 unicast, 4-byte AS numbers (RFC 6793)."""
    capabilities = bytes([1, 4, 0, 1, 0, 1, 65, 4]) + struct.pack("!I", as_number) + more_capabilities
    parameter = bytes([2, len(capabilities)]) + capabilities
    small = as_number if as_number < 65536 else AS_TRANS
    return message(
        OPEN,
        struct.pack("!BHH4sB", 4, small, hold_time_s, ipaddress.ip_address(router_id).packed, len(parameter))
        + parameter,
    )


def update(prefixes: Iterable[tuple[int, int]], next_hop: str, as_number: int = PEER_AS) -> bytes:
    """Announce IPv4 prefixes, given as (number, length)."""
    attributes = (
        bytes([0x40, 1, 1, 0])
        + bytes([0x40, 2, 6, 2, 1])
        + struct.pack("!I", as_number)
        + bytes([0x40, 3, 4])
        + ipaddress.ip_address(next_hop).packed
    )
    nlri = b"".join(bytes([length]) + number.to_bytes(4, "big")[: (length + 7) // 8] for number, length in prefixes)
    return message(UPDATE, struct.pack("!HH", 0, len(attributes)) + attributes + nlri)


class ScriptedPeer:
    """Listens, and runs the script for each connection."""

    def __init__(self, address: str, script: Script) -> None:
        self.address = address
        self.connections = 0
        self._script = script
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> ScriptedPeer:
        self._server = await asyncio.start_server(self._accepted, self.address, PORT)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._script(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def establish(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Go through OPEN and KEEPALIVE as a sound router would."""
        writer.write(open_message(self.address) + message(KEEPALIVE))
        await read_message(reader)
        await read_message(reader)

    async def stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep an established session up, and take whatever comes."""

        async def keep_alive() -> None:
            while True:
                writer.write(message(KEEPALIVE))
                await asyncio.sleep(1)

        task = asyncio.create_task(keep_alive())
        try:
            while await reader.read(65536):
                pass
        finally:
            task.cancel()


async def read_message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    header = await reader.readexactly(19)
    length, kind = struct.unpack("!HB", header[16:])
    return kind, await reader.readexactly(length - 19)
