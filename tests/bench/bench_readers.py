"""Agents by the hundred: what following speakers cost the journal's server, at 200 events a second.

Each event is a commit of its own, as with one change at a time; larger commits cost less. With the followers running
and standing still in turns, the server's CPU time is compared between neighbours of the same minute. One more follower
is Porter's own reader: it tells how late a commit is read.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from porter.app.speaker.pace import Pace
from porter.events.decided import EpochStarted
from porter.events.envelope import Checkpoint, Draft
from porter.journal.redis import RedisJournals
from porter.journal.redis_head import StreamKeys
from porter.ports import Claim, JournalUnavailable
from tests.bench.bench_journal import CLUSTER, Server, drafts_of
from tests.bench.crowd import Crowd, crowd
from tests.bench.figures import cpu_seconds, percentile, table
from tests.bench.journal_history import GENESIS, history

FOLLOWERS = (20, 100, 200)
RATE_PER_S = 200
PAIRS = 4
INTERVAL_S = 4.0
SETTLE_S = 1.0
COMMIT_EVENTS = (1, 10)
STREAM = f"{{porter:{CLUSTER}}}:j"
HEADS = (
    "followers, events in a commit",
    "events/s",
    "reads/s",
    "append p50 ms",
    "p99",
    "read after p50 ms",
    "p99",
    "server's CPU",
    "more than one",
)


@dataclass
class Interval:
    """What was seen in one stretch of time."""

    appends_s: list[float] = field(default_factory=list)
    read_after_s: list[float] = field(default_factory=list)
    events_per_s: float = 0.0
    reads_per_s: float = 0.0
    cpu_percent: float = 0.0


class Bench:
    """A journal with its writer and one follower, which is paced as one of so many."""

    def __init__(self, server: Server, journals: RedisJournals, batches: Iterator[list[Draft]]) -> None:
        self.server = server
        self.journals = journals
        self.journal = journals.journal()
        self.batches = batches
        self.followers = 1
        self.seen_s: list[float] = []

    async def follow(self, after: Checkpoint) -> None:
        """Porter's reader as a speaker runs it; a server that stalls is asked again."""
        pace = Pace()
        while True:
            with contextlib.suppress(JournalUnavailable):
                async for page in self.journals.journal().read(after, follow=True):
                    now_ms = time.time_ns() / 1e6
                    self.seen_s += [(now_ms - commit.events[0].time_ms) / 1000 for commit in page]
                    after = page[-1].checkpoint if page else after
                    await asyncio.sleep(pace.pause_s(self.followers, time.monotonic()))

    async def interval(self, size: int, everyone: Crowd) -> Interval:
        """Append commits of a size at the rate for a while."""
        seen = Interval()
        pid, before_s, reads, began_s = self.server.pid, cpu_seconds(self.server.pid), everyone.reads, time.monotonic()
        self.seen_s = seen.read_after_s
        for number in itertools.count():
            due_s = began_s + number * size / RATE_PER_S
            if due_s - began_s > INTERVAL_S:
                break
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            start_s = time.perf_counter()
            await self.journal.append(next(self.batches)[:size])
            seen.appends_s.append(time.perf_counter() - start_s)
        passed_s = time.monotonic() - began_s
        self.seen_s = []
        seen.events_per_s = len(seen.appends_s) * size / passed_s
        seen.reads_per_s = (everyone.reads - reads) / passed_s
        seen.cpu_percent = (cpu_seconds(pid) - before_s) / passed_s * 100
        return seen

    async def measure(self, followers: int, size: int, *, paced: bool) -> tuple[list[Interval], list[Interval]]:
        """Intervals with one follower, and with so many, in turns."""
        head = await self.journal.head()
        assert head is not None
        keys = StreamKeys(STREAM, f"{STREAM}:h")
        alone, together = [], []
        async with crowd(
            str(self.server.embedded.socket), keys, head.checkpoint, followers - 1, paced=paced
        ) as everyone:
            for _ in range(PAIRS):
                everyone.pause()
                self.followers = 1
                await asyncio.sleep(SETTLE_S)
                alone.append(await self.interval(size, everyone))
                everyone.resume()
                self.followers = followers if paced else 1
                await asyncio.sleep(SETTLE_S)
                together.append(await self.interval(size, everyone))
        return alone, together


def row(name: str, intervals: list[Interval], beside: list[Interval] | None = None) -> list[str]:
    """Medians of the intervals; percentiles of all of them together."""
    appends = [took for each in intervals for took in each.appends_s]
    late = [took for each in intervals for took in each.read_after_s]
    cells = [name]
    cells.append(f"{statistics.median(each.events_per_s for each in intervals):.0f}")
    cells.append(f"{statistics.median(each.reads_per_s for each in intervals):.0f}" if beside else "-")
    cells += [f"{percentile(appends, percent) * 1000:.1f}" for percent in (50, 99)]
    cells += [f"{percentile(late, percent) * 1000:.0f}" for percent in (50, 99)]
    cells.append(f"{statistics.median(each.cpu_percent for each in intervals):.1f} %")
    if beside is None:
        return [*cells, "-"]
    more = [with_.cpu_percent - without.cpu_percent for without, with_ in zip(beside, intervals, strict=True)]
    return [*cells, f"{statistics.median(more):.1f} ({min(more):.1f} to {max(more):.1f})"]


async def run(server: Server, counts: list[int], sizes: list[int], *, unpaced: bool) -> None:
    """All rows."""
    server.client().config_set("appendfsync", "always")
    journals = RedisJournals(server.embedded.url, CLUSTER, writer="bench")
    bench = Bench(server, journals, itertools.cycle(drafts_of(history(20_000))))
    claim = Claim(GENESIS, 1, None, 1, False, "bench")
    commit = await bench.journal.claim(claim, [Draft(EpochStarted(GENESIS, "bench", 0, ""))])
    following = asyncio.create_task(bench.follow(commit.checkpoint))
    rows, load = [], os.getloadavg()[0]
    for size in sizes:
        for count in counts:
            alone, together = await bench.measure(count, size, paced=True)
            rows += [row(f"1, {size} (beside the next)", alone), row(f"{count}, {size}", together, alone)]
    if unpaced:
        alone, together = await bench.measure(max(counts), 1, paced=False)
        rows += [row(f"{max(counts)} without pace, 1", together, alone)]
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    await journals.close()
    print(table(HEADS, rows))
    print(f"load average: {load:.1f} before, {os.getloadavg()[0]:.1f} after")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--followers", type=int, nargs="+", default=list(FOLLOWERS))
    parser.add_argument("--events", type=int, nargs="+", default=list(COMMIT_EVENTS), help="in a commit")
    parser.add_argument("--unpaced", action="store_true", help="also without the pace: it fills a core")
    arguments = parser.parse_args()
    with Server() as server:
        asyncio.run(run(server, arguments.followers, arguments.events, unpaced=arguments.unpaced))


if __name__ == "__main__":
    main()
