"""Agents by the hundred: what following speakers cost the journal's server, at 200 events a second.

Each reader is a connection of its own with Porter's own reader, folding nothing, in a few processes. The events come as
commits of one every 5 ms, of ten every 50 ms and of twenty every 100 ms: every commit wakes every reader once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Semaphore

from porter.events.decided import EpochStarted
from porter.events.envelope import Checkpoint, Draft
from porter.journal.redis import RedisJournals
from porter.ports import Claim
from tests.bench.bench_journal import CLUSTER, Server, drafts_of
from tests.bench.figures import cpu_seconds, percentile, table
from tests.bench.journal_history import GENESIS, history

READERS = (1, 20, 100, 200)
RATE_PER_S = 200
COMMITS = (1, 10, 20)
DURATION_S = 5.0
PROCESSES = 4
READY_TIMEOUT_S = 60.0
CONNECT_INTERVAL_S = 0.05


def follow(url: str, checkpoint: Checkpoint, count: int, ready: Semaphore) -> None:
    """One process with some readers, each on a connection of its own, until it is ended."""

    async def one(number: int) -> None:
        # All at once they would overrun the server's queue of connections.
        await asyncio.sleep(number * CONNECT_INTERVAL_S)
        journal = RedisJournals(url, CLUSTER, writer=f"reader-{number}").journal()
        async for page in journal.read(checkpoint, follow=True):
            if page and number >= 0:
                ready.release()
                number = -1

    async def every() -> None:
        await asyncio.gather(*(one(number) for number in range(count)))

    asyncio.run(every())


async def pace(journal, batches: Iterator[list[Draft]], size: int) -> list[float]:
    """Append commits of a size at the rate, and return how long each append took."""
    took: list[float] = []
    began_s = time.monotonic()
    for number in itertools.count():
        due_s = began_s + number * size / RATE_PER_S
        if due_s - began_s > DURATION_S:
            return took
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        start_s = time.perf_counter()
        await journal.append(next(batches)[:size])
        took.append(time.perf_counter() - start_s)
    return took


async def measure(server: Server, journal, readers: int, batches: Iterator[list[Draft]]) -> list[list[str]]:
    """A row for each size of commit, with so many readers."""
    head = await journal.head()
    assert head is not None
    checkpoint = Checkpoint(head.epoch, head.position, head.hash)
    context = multiprocessing.get_context("spawn")
    ready = context.Semaphore(0)
    shares = [len(range(first, readers, PROCESSES)) for first in range(min(PROCESSES, readers))]
    processes = [
        context.Process(target=follow, args=(server.embedded.url, checkpoint, share, ready), daemon=True)
        for share in shares
    ]
    for process in processes:
        process.start()
    try:
        # A reader that brought a page is connected, and one that is not yet gets what it missed with its first.
        await journal.append(next(batches)[:1])
        for _ in range(readers):
            assert await asyncio.to_thread(ready.acquire, timeout=READY_TIMEOUT_S), "a reader did not connect"
        return [await measured(server, journal, readers, size, batches) for size in COMMITS]
    finally:
        for process in processes:
            process.terminate()
            process.join()


async def measured(server: Server, journal, readers: int, size: int, batches: Iterator[list[Draft]]) -> list[str]:
    pid, before_s, began_s = server.pid, cpu_seconds(server.pid), time.monotonic()
    took = await pace(journal, batches, size)
    passed_s = time.monotonic() - began_s
    cpu = (cpu_seconds(pid) - before_s) / passed_s * 100
    latency = [f"{percentile(took, percent) * 1000:.2f}" for percent in (50, 99)]
    return [f"{readers} readers, {size} in a commit", f"{len(took) * size / passed_s:.0f}", *latency, f"{cpu:.1f} %"]


async def run(server: Server, counts: list[int]) -> None:
    server.client().config_set("appendfsync", "always")
    journals = RedisJournals(server.embedded.url, CLUSTER, writer="bench")
    journal = journals.journal()
    await journal.claim(Claim(GENESIS, 1, None, 1, False, "bench"), [Draft(EpochStarted(GENESIS, "bench", 0, ""))])
    batches = itertools.cycle(drafts_of(history(20_000)))
    rows = [row for count in counts for row in await measure(server, journal, count, batches)]
    await journals.close()
    print(table(("200 events a second", "events/s", "append p50 ms", "p99 ms", "server's CPU"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, nargs="+", default=list(READERS))
    with Server() as server:
        asyncio.run(run(server, parser.parse_args().readers))


if __name__ == "__main__":
    main()
