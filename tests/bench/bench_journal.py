"""The journal's speed beside what a plain client does, in one run: `python -m tests.bench.bench_journal [--events N]`.

1. Append: fenced commits of 128 events beside a redis-py pipeline of 128 XADDs with one event each.
2. Replay: our reader beside a naive one (one entry per event, redis-py with hiredis, msgpack, the same typed events,
   the same fold). Each replay runs in a process of its own; the two take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import redis

from porter.events.catalogue import EVENT_TYPES
from porter.events.codec import encode_commit, hash_commit
from porter.events.decided import EpochStarted
from porter.events.envelope import BEGINNING, GENESIS_HASH, Draft, Envelope
from porter.journal.embedded import EmbeddedServer
from porter.journal.redis import RedisJournals
from porter.ports import Claim
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.bench.figures import table
from tests.bench.journal_history import GENESIS, history

EVENTS = 1_000_000
COMMIT_EVENTS = 128
SLICE_S = 0.4
SLICES = 9
REPLAYS = 5
NAIVE_KEY = "naive"
NAIVE_PAGE = 1000
CLUSTER = "bench"


class Server:
    """A server on a unix socket in a folder that goes away with it."""

    def __init__(self, *settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="porter-bench-")
        self.embedded = EmbeddedServer(Path(self._folder.name) / "server")
        self._settings = settings

    def __enter__(self) -> Server:
        self.embedded.prepare()
        command = [*self.embedded.command(), *self._settings]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        asyncio.run(self.embedded.wait_ready())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.embedded.socket))


# ------------------------------------------------------------------------------------------------------------ append


def drafts_of(commits: Iterator[list]) -> list[list[Draft]]:
    """Batches of 128 drafts of recorded shapes, made beforehand: neither side is charged for them."""
    drafts = [Draft(event, 41877, "shop/web") for commit in commits for event in commit]
    drafts = [draft for draft in drafts if not isinstance(draft.payload, EpochStarted)]
    return [drafts[i : i + COMMIT_EVENTS] for i in range(0, len(drafts) - COMMIT_EVENTS, COMMIT_EVENTS)]


def naive_row(draft: Draft, position: int) -> bytes:
    payload, causation, correlation, traceparent, _ = draft
    row = [type(payload).__name__, 1, position, 1, 1_700_000_000_000, causation, correlation, traceparent, payload]
    return msgpack.packb(row)


def pipeline_slice(client: redis.Redis, batches: Iterator[list[Draft]]) -> float:
    """Events per second of a pipeline of 128 XADDs."""
    events, started_s = 0, time.perf_counter()
    while time.perf_counter() - started_s < SLICE_S:
        pipeline = client.pipeline(transaction=False)
        for draft in next(batches):
            pipeline.xadd(NAIVE_KEY, {"e": naive_row(draft, events)})
        pipeline.execute()
        events += COMMIT_EVENTS
    return events / (time.perf_counter() - started_s)


async def fenced_slice(journal, batches: Iterator[list[Draft]]) -> float:
    """Events per second of fenced commits of 128 events."""
    events, started_s = 0, time.perf_counter()
    while time.perf_counter() - started_s < SLICE_S:
        await journal.append(next(batches))
        events += COMMIT_EVENTS
    return events / (time.perf_counter() - started_s)


async def single_slice(journal, batches: Iterator[list[Draft]]) -> float:
    """Commits per second of one event each, one after the other: what a quiet cluster's leader does."""
    commits, started_s = 0, time.perf_counter()
    while time.perf_counter() - started_s < SLICE_S:
        await journal.append(next(batches)[:1])
        commits += 1
    return commits / (time.perf_counter() - started_s)


async def bench_append(appendfsync: str, server: Server) -> list[list[str]]:
    """Rows of the append table for one setting of appendfsync."""
    client = server.client()
    client.config_set("appendfsync", appendfsync)
    journals = RedisJournals(server.embedded.url, f"{CLUSTER}-{appendfsync}", writer="bench")
    journal = journals.journal()
    await journal.claim(Claim(GENESIS, 1, None, 1, False, "bench"), [Draft(EpochStarted(GENESIS, "bench", 0, ""))])
    batches = itertools.cycle(drafts_of(history(20_000)))
    pipelined, fenced, single = [], [], []
    for _ in range(SLICES):
        pipelined.append(pipeline_slice(client, batches))
        fenced.append(await fenced_slice(journal, batches))
        single.append(await single_slice(journal, batches))
    await journals.close()
    client.flushall()
    ratio = statistics.median(f / p for f, p in zip(fenced, pipelined, strict=True))
    return [
        [f"redis-py pipeline of 128 XADDs, {appendfsync}", f"{statistics.median(pipelined):,.0f}", "1.00"],
        [f"fenced commits of 128 events, {appendfsync}", f"{statistics.median(fenced):,.0f}", f"{ratio:.2f}"],
        [f"fenced commits of 1 event, {appendfsync}", f"{statistics.median(single):,.0f}", ""],
    ]


# ------------------------------------------------------------------------------------------------------------ replay


def load(server: Server, events: int) -> int:
    """Put the same history into the server twice: as our commits, and naively; return the number of events."""
    client = server.client()
    stream = f"{{porter:{CLUSTER}}}:j"
    position, hash_ = 0, GENESIS_HASH
    for commits in batched(history(events), 500):
        pipeline = client.pipeline(transaction=False)
        for commit in commits:
            drafts = [Draft(event, position, "shop/web") for event in commit]
            blob = encode_commit(
                drafts, first_position=position + 1, epoch=1, time_ms=1_700_000_000_000, writer="w", previous_hash=hash_
            )
            for draft in drafts:
                position += 1
                pipeline.xadd(NAIVE_KEY, {"e": naive_row(draft, position)}, id=f"1-{position}")
            hash_ = hash_commit(blob)
            pipeline.xadd(stream, {"e": blob}, id=f"1-{position}")
        pipeline.execute()
    head = {"genesis": GENESIS, "epoch": 1, "position": position, "hash": hash_}
    client.hset(f"{stream}:h", mapping=head)
    return position


def batched(items: Iterator, size: int) -> Iterator[list]:
    while batch := list(itertools.islice(items, size)):
        yield batch


def replay_naively(socket: str) -> ClusterState:
    """Fold one entry per event, as one writes it first."""
    client = redis.Redis(unix_socket_path=socket)
    state, last = ClusterState.empty(), "-"
    while page := client.xrange(NAIVE_KEY, min=last, count=NAIVE_PAGE):
        envelopes = []
        for _, fields in page:
            row = msgpack.unpackb(fields[b"e"], use_list=False)
            name, _, position, epoch, time_ms, causation, correlation, traceparent, payload = row
            event = EVENT_TYPES[name](*payload)
            envelopes.append(Envelope(position, epoch, time_ms, causation, correlation, traceparent, event))
        state = fold(state, envelopes)
        last = f"({page[-1][0].decode()}"
    return state


async def replay_ours(url: str, result: list[ClusterState]) -> None:
    """Fold the checked commits of our reader.

    The state is not the coroutine's result: `asyncio.run` of Python 3.11 makes a text of it while it ends.
    """
    journals = RedisJournals(url, CLUSTER)
    state = ClusterState.empty()
    async for page in journals.journal().read(BEGINNING):
        state = fold(state, [envelope for commit in page for envelope in commit.events])
    await journals.close()
    result.append(state)


def replay_once(kind: str, server: str) -> None:
    """One replay in this process; prints what it took as JSON."""
    started_s = time.perf_counter()
    if kind == "naive":
        result = [replay_naively(server)]
    else:
        asyncio.run(replay_ours(f"unix://{server}", result := []))
    seconds = time.perf_counter() - started_s
    print(json.dumps({"seconds": seconds, "events": result[0].ledger.position}))


def replay_in_a_process(kind: str, server: Server) -> float:
    """Events per second of one replay in a fresh process."""
    command = [sys.executable, "-m", "tests.bench.bench_journal", "--replay", kind, str(server.embedded.socket)]
    output = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return output["events"] / output["seconds"]


def bench_replay(events: int, server: Server) -> list[list[str]]:
    """Rows of the replay table."""
    count = load(server, events)
    naive, ours = [], []
    for _ in range(REPLAYS):
        naive.append(replay_in_a_process("naive", server))
        ours.append(replay_in_a_process("ours", server))
    ratio = statistics.median(o / n for o, n in zip(ours, naive, strict=True))
    return [
        [f"naive reader, {count:,} entries", f"{statistics.median(naive):,.0f}", "1.00"],
        [f"our reader, {count:,} events in commits of 1 to 3", f"{statistics.median(ours):,.0f}", f"{ratio:.2f}"],
    ]


def main(arguments: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events the replayed journal holds")
    parser.add_argument("--replay", nargs=2, metavar=("KIND", "SOCKET"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.replay:
        replay_once(*options.replay)
        return
    with Server() as server:
        rows = [row for fsync in ("always", "everysec") for row in asyncio.run(bench_append(fsync, server))]
    print(table(["append", "per second", "ratio"], rows), flush=True)
    with Server("--appendonly", "no") as server:
        rows = bench_replay(options.events, server)
    print()
    print(table(["replay", "events/s", "ratio"], rows))


if __name__ == "__main__":
    main()
