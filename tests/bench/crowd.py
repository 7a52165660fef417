"""Followers by the hundred in few processes: each a connection that asks what Porter's reader asks, decoding nothing.

Porter's own reader decodes and checks every commit; two hundred of those on the machine of the measurement would be
slower than the commits, read seldom for that reason, and make the server look better than it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import multiprocessing
import os
import selectors
import signal
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import hiredis

from porter.app.speaker.pace import Pace
from porter.events.envelope import Checkpoint
from porter.journal.chain import entry_id
from porter.journal.limits import LOOK_INTERVAL_S
from porter.journal.redis_head import StreamKeys
from porter.journal.scripts import HEAD

READ_BYTES = 1 << 18
COUNT = 1024
LOOK_REPLIES = 3
CONNECT_INTERVAL_S = 0.005
READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.1
PROCESSES = 3


def command(*words: object) -> bytes:
    """A command in RESP."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Follower:
    """One connection: XREAD after XREAD at the pace of an agent, and a look at the head once a second."""

    def __init__(self, path: str, keys: StreamKeys, last_id: str, followers: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self._keys = keys
        self._last_id: bytes | str = last_id
        self._followers = followers
        self._pace = Pace()
        self._reader = hiredis.Reader()
        self._looked_s = time.monotonic() - LOOK_INTERVAL_S
        self._replies = 0
        self.reads = 0

    def ask(self) -> None:
        """Look at the head if that is due, and wait for what comes next."""
        now_s = time.monotonic()
        out, wait_s = b"", self._looked_s + LOOK_INTERVAL_S - now_s
        self._replies = 1
        if wait_s <= 0:
            out = command("EVALSHA_RO", HEAD.sha, 2, *self._keys) + command("INFO", "server")
            out += command("INFO", "replication")
            self._replies += LOOK_REPLIES
            self._looked_s, wait_s = now_s, LOOK_INTERVAL_S
        block = max(1, int(wait_s * 1000))
        self.socket.sendall(
            out + command("XREAD", "COUNT", COUNT, "BLOCK", block, "STREAMS", self._keys.stream, self._last_id)
        )

    def receive(self) -> float | None:
        """Take what came; when all of it is there, the pause before the next question, in seconds."""
        self._reader.feed(self.socket.recv(READ_BYTES))
        while (reply := self._reader.gets()) is not False:
            self._replies -= 1
            if self._replies == 0:
                if reply is None:
                    return 0.0
                self.reads += 1
                self._last_id = reply[0][1][-1][0]
                return self._pace.pause_s(self._followers, time.monotonic()) if self._followers else 0.0
        return None


def follow(path: str, keys: StreamKeys, last_id: str, count: int, paced_as: int, reads: Any, number: int) -> None:
    """One process with so many followers, until it is ended; `reads[number]` counts what they read.

    `paced_as`: of how many agents each is one; 0 for no pace.
    """
    every = selectors.EpollSelector()
    for _ in range(count):
        follower = Follower(path, keys, last_id, paced_as)
        every.register(follower.socket, selectors.EVENT_READ, follower)
        follower.ask()
        # All at once they would overrun the server's queue of connections.
        time.sleep(CONNECT_INTERVAL_S)
    resting: list[tuple[float, int, Follower]] = []
    reads[number] = 1
    while True:
        wait_s = max(0.0, resting[0][0] - time.monotonic()) if resting else None
        for key, _ in every.select(wait_s):
            follower = key.data
            before = follower.reads
            pause_s = follower.receive()
            reads[number] += follower.reads - before
            if pause_s is not None:
                heapq.heappush(resting, (time.monotonic() + pause_s, id(follower), follower))
        while resting and resting[0][0] <= time.monotonic():
            heapq.heappop(resting)[2].ask()


class Crowd:
    """The processes of all followers; they can stand still, as if they were not there, and go on."""

    def __init__(self, processes: list[Any], reads: Any) -> None:
        self._processes = processes
        self._reads = reads

    @property
    def reads(self) -> int:
        """How often all of them together have read anything so far."""
        return sum(self._reads)

    def pause(self) -> None:
        """Let nobody read: each is woken once more, and not again."""
        for process in self._processes:
            os.kill(process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let all go on."""
        for process in self._processes:
            os.kill(process.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def crowd(path: str, keys: StreamKeys, after: Checkpoint, count: int, *, paced: bool) -> AsyncIterator[Crowd]:
    """So many followers for the length of a block."""
    context = multiprocessing.get_context("spawn")
    shares = [len(range(first, count, PROCESSES)) for first in range(min(PROCESSES, count))]
    reads = context.Array("Q", len(shares), lock=False)
    processes = [
        context.Process(
            target=follow, args=(path, keys, entry_id(after), share, count if paced else 0, reads, number), daemon=True
        )
        for number, share in enumerate(shares)
    ]
    for process in processes:
        process.start()
    try:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not all(reads):
            assert time.monotonic() < deadline_s, "a follower did not connect"
            await asyncio.sleep(READY_POLL_S)
        yield Crowd(processes, reads)
    finally:
        for process in processes:
            process.kill()
            process.join()
