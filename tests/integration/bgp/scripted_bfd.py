"""A router's end of BFD (RFC 5880, section 4.1) that takes itself down when told to, as no command of BIRD does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

MULTIHOP_PORT = 4784
"""RFC 5883, section 5."""
ADMIN_DOWN, DOWN, INIT, UP = range(4)
ADMINISTRATIVELY_DOWN = 7
POLL, FINAL = 0x20, 0x10
_PACKET = struct.Struct(">BBBBIIIII")
_LENGTH, _OWN = 24, 77
_MULTIPLIER = 20
"""Two seconds: this is Python on a machine that has other work."""
_FAST_US, _SLOW_US = 100_000, 1_000_000


class ScriptedBfd:
    """Answers one neighbour over several hops until `stop`; `admin_down` is what a test turns."""

    def __init__(self, address: str, neighbor: str) -> None:
        self.admin_down = False
        self.state = DOWN
        self._neighbor = neighbor
        self._theirs = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        self._socket.setblocking(False)
        self._socket.bind((address, MULTIHOP_PORT))
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._talk())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    async def _listen(self) -> None:
        while True:
            packet = await asyncio.get_running_loop().sock_recv(self._socket, 512)
            _, flags, _, _, theirs, *_ = _PACKET.unpack_from(packet)
            self._theirs = theirs
            self._step(flags >> 6)
            if flags & POLL:
                self._send(FINAL)

    def _step(self, theirs: int) -> None:
        """RFC 5880, section 6.8.6."""
        if self.admin_down:
            self.state = ADMIN_DOWN
        elif ADMIN_DOWN in {theirs, self.state}:
            self.state = DOWN
        elif self.state == DOWN:
            self.state = {DOWN: INIT, INIT: UP}.get(theirs, DOWN)
        elif self.state == INIT:
            self.state = UP if theirs in {INIT, UP} else INIT
        elif theirs == DOWN:
            self.state = DOWN

    async def _talk(self) -> None:
        while True:
            self._send(0)
            # RFC 5880, section 6.8.7: earlier than promised by up to a quarter.
            await asyncio.sleep(0.8 * self._interval_us() / 1_000_000)

    def _interval_us(self) -> int:
        return _FAST_US if self.state == UP and not self.admin_down else _SLOW_US

    def _send(self, flags: int) -> None:
        state = ADMIN_DOWN if self.admin_down else self.state
        diagnostic = ADMINISTRATIVELY_DOWN if self.admin_down else 0
        first, second = 1 << 5 | diagnostic, state << 6 | flags
        packet = _PACKET.pack(first, second, _MULTIPLIER, _LENGTH, _OWN, self._theirs, self._interval_us(), _FAST_US, 0)
        with contextlib.suppress(OSError):
            self._socket.sendto(packet, (self._neighbor, MULTIHOP_PORT))
