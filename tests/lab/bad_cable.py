"""A cable that loses and delays the packets of BGP sessions, for kernels without netem.

Run in the switch's namespace: `python bad_cable.py LINK LINK DELAY_MS LOSS_PERCENT SEED`. It carries whole frames
between the two links; those from or to TCP port 179 are lost with that probability, and late by that time. All others
pass at once.
"""

import heapq
import itertools
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
FRAME_BYTES = 65_536
BGP_PORT = 179
ETHERNET_BYTES = 14
IPV6_BYTES = 40
TCP = 6
READ_AT_ONCE = 64


def is_bgp(frame: bytes) -> bool:
    """Whether a frame is of a BGP session."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == TCP:
        ports = ETHERNET_BYTES + (frame[14] & 0x0F) * 4
    elif kind == b"\x86\xdd" and frame[20] == TCP:
        ports = ETHERNET_BYTES + IPV6_BYTES
    else:
        return False
    return BGP_PORT in struct.unpack_from("!HH", frame, ports)


def end(link: str) -> socket.socket:
    """One end of the cable."""
    # With a protocol it would take the frames of every link until it is bound, among them such as no link may carry.
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    made.bind((link, ETH_P_ALL))
    made.setblocking(False)
    return made


def carry(first: socket.socket, second: socket.socket, delay_s: float, loss: float, chance: random.Random) -> None:
    """Carry frames for ever."""
    other = {first: second, second: first}
    late: list[tuple[float, int, socket.socket, bytes]] = []
    numbers = itertools.count()
    while True:
        wait_s = max(0.0, late[0][0] - time.monotonic()) if late else None
        for source in select.select([first, second], [], [], wait_s)[0]:
            for _ in range(READ_AT_ONCE):
                try:
                    frame = source.recv(FRAME_BYTES)
                except BlockingIOError:
                    break
                if not is_bgp(frame):
                    other[source].send(frame)
                elif chance.random() >= loss:
                    heapq.heappush(late, (time.monotonic() + delay_s, next(numbers), other[source], frame))
        while late and late[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(late)
            target.send(frame)


def main(first: str, second: str, delay_ms: str, loss_percent: str, seed: str) -> None:
    """Lay the cable."""
    print("carrying", flush=True)
    carry(end(first), end(second), float(delay_ms) / 1000, float(loss_percent) / 100, random.Random(int(seed)))


if __name__ == "__main__":
    main(*sys.argv[1:])
