"""Looking back on a long journal: starts, answers and proofs, over a million events with the baselines of a leader.

1. A start: the fold of everything beside a start from the newest baseline, in processes that take turns.
2. `explain`, `timeline`, `routes` and `pools`, about now and about the middle, from the server as a controller answers.
3. `verify`, of the server's journal and of an export.

`python -m tests.bench.bench_history [--events N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from porter.app.answers.verify import verify
from porter.app.history.follow import Folded, from_newest_baseline, up_to_head
from porter.app.incident import direct
from porter.app.incident.export import export
from porter.app.retention.upkeep import BASELINE_INTERVAL_EVENTS, baseline_interval
from porter.events import routed
from porter.events.codec import decode_commit, encode_commit, hash_commit
from porter.events.decided import BaselineRecorded, EpochStarted
from porter.events.envelope import BEGINNING, GENESIS_HASH, Commit, Draft
from porter.events.observed import PeerObserved
from porter.journal.export import ExportJournals
from porter.journal.limits import SPEAKER_STREAM_ENTRIES
from porter.journal.redis import RedisJournals
from porter.model.address import Address, Prefix
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.bench.bench_journal import CLUSTER, EVENTS, GENESIS, Server
from tests.bench.figures import table
from tests.bench.journal_history import history

TURNS = 5
ASKED = 7
PIPELINED = 500
SERVICES = (2_000, 20_000)
"""What a start takes grows with what lives, and what a fold takes with what happened."""
TIME_MS = 1_700_000_000_000
WHOLE, NEWEST = "whole", "newest"
SERVICE = "team-7/web-7"
PEER = PeerObserved("tor-a", "peer-uid", "1", 1, Address("172.16.2.254"), 64512)


class Stream:
    """A stream that is written without asking anybody: commit by commit, linked."""

    def __init__(self, server: Server, key: str, genesis: str) -> None:
        self._client = server.client()
        self._key = key
        self._genesis = genesis
        self._pipeline = self._client.pipeline(transaction=False)
        self._hash = GENESIS_HASH
        self._waiting = 0
        self.position = 0
        self.baseline = 0
        self._baselines = ""

    def add(self, drafts: list[Draft], time_ms: int) -> Commit:
        """Add one commit."""
        first = self.position + 1
        blob = encode_commit(
            drafts, first_position=first, epoch=1, time_ms=time_ms, writer="w", previous_hash=self._hash
        )
        self.position += len(drafts)
        self._hash = hash_commit(blob)
        if isinstance(drafts[0].payload, BaselineRecorded):
            self.baseline = self.position
            self._baselines += f"1-{self.position} "
        self._pipeline.xadd(self._key, {"e": blob}, id=f"1-{self.position}")
        self._waiting += 1
        if self._waiting >= PIPELINED:
            self._pipeline.execute()
            self._waiting = 0
        return decode_commit(blob)

    def finish(self) -> None:
        """Write the head."""
        self._pipeline.execute()
        head = {"genesis": self._genesis, "epoch": 1, "position": self.position, "hash": self._hash}
        if self.baseline:
            head |= {"baseline": f"1-{self.baseline}", "baselines": self._baselines}
        self._client.hset(f"{self._key}:h", mapping=head)


def load(server: Server, events: int, services: int) -> int:
    """Put the history into the server, with the baselines that a leader would record; the number of events.

    Beside it the streams of two speakers, as long as they are kept, which told of the newest changes.
    """
    stream, state = Stream(server, f"{{porter:{CLUSTER}}}:j", GENESIS), ClusterState.empty()
    speakers = [Stream(server, f"{{porter:{CLUSTER}}}:s:speaker-{number}", f"{number:032x}") for number in range(2)]
    for number, one in enumerate(speakers):
        one.add([Draft(EpochStarted(f"{number:032x}", f"speaker-{number}", 0, ""))], TIME_MS)
        one.add([Draft(routed.SpeakerStarted(f"speaker-{number}", "1", f"172.16.1.{number}", 0))], TIME_MS)
        one.add([Draft(routed.SessionStateChanged(PEER.name, "Established", "", ("IPv4",), ("IPv4",), 90))], TIME_MS)
        one.add([Draft(routed.RibSynced(PEER.name, events, 60_000, "d0" * 32))], TIME_MS)
    told_from = events - SPEAKER_STREAM_ENTRIES
    for number, commit in enumerate(history(events, services=services)):
        batch = [*commit, PEER] if number == 1 else commit
        if stream.position - stream.baseline >= baseline_interval(state, BASELINE_INTERVAL_EVENTS):
            encoded = baseline.encode(state)
            recorded = BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(encoded), encoded)
            state = fold(state, stream.add([Draft(recorded)], TIME_MS + stream.position).events)
        added = stream.add([Draft(event, stream.position, "shop/web") for event in batch], TIME_MS + stream.position)
        state = fold(state, added.events)
        if stream.position > told_from:
            for one in speakers:
                path = routed.Path(Prefix("10.0.0.7/32"), number % 9, Address(f"172.16.0.{1 + number % 9}"))
                told = (routed.RoutesAnnounced if number % 2 else routed.RoutesWithdrawn)(
                    PEER.name, stream.position, (path,)
                )
                one.add([Draft(told)], TIME_MS + stream.position)
    for one in (stream, *speakers):
        one.finish()
    return stream.position


# ------------------------------------------------------------------------------------------------------------- starts


async def start(url: str, kind: str, found: list[ClusterState]) -> None:
    """One start, as every reader does it, or as it would be without a baseline."""
    journals = RedisJournals(url, CLUSTER)
    journal = journals.journal()
    folded = Folded(ClusterState.empty(), BEGINNING) if kind == WHOLE else await from_newest_baseline(journal)
    found.append((await up_to_head(journal, folded)).state)
    await journals.close()


def start_once(kind: str, url: str) -> None:
    """One start in this process; prints what it took as JSON."""
    began_s, spent_s = time.perf_counter(), time.process_time()
    asyncio.run(start(url, kind, found := []))
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - began_s,
                "cpu": time.process_time() - spent_s,
                "digest": baseline.digest(baseline.encode(found[0])),
            }
        )
    )


def starts(server: Server, count: int) -> list[list[str]]:
    """Rows of the table of starts."""
    took: dict[str, list[dict[str, Any]]] = {WHOLE: [], NEWEST: []}
    for _ in range(TURNS):
        for kind, each in took.items():
            command = [sys.executable, "-m", "tests.bench.bench_history", "--start", kind, server.embedded.url]
            each.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert len({one["digest"] for each in took.values() for one in each}) == 1, "the starts end in different states"
    rows = []
    for kind, each in took.items():
        seconds = [statistics.median(one[name] for one in each) for name in ("seconds", "cpu")]
        ratios = [
            statistics.median(whole[name] / one[name] for whole, one in zip(took[WHOLE], each, strict=True))
            for name in ("seconds", "cpu")
        ]
        label = f"fold of {count:,} events" if kind == WHOLE else "start from the newest baseline"
        rows.append([label, *(f"{one * 1000:,.0f}" for one in seconds), *(f"{one:.1f}" for one in ratios)])
    return rows


# ------------------------------------------------------------------------------------------------------------ answers


async def answers(url: str, count: int) -> list[list[str]]:
    """Rows of the table of answers: the median and the longest of several."""
    journals = RedisJournals(url, CLUSTER)
    now: dict[str, str] = {}
    then = {"at": str(count // 2 + 777)}
    questions: list[tuple[str, str, dict[str, str]]] = [
        ("explain a Service, now", "explain", {"service": SERVICE, **now}),
        ("explain a Service, then", "explain", {"service": SERVICE, **then}),
        ("explain an address, then", "explain", {"ip": "10.0.0.7", **then}),
        ("timeline, the newest 20,000", "timeline", now),
        ("timeline of a Service", "timeline", {"service": SERVICE}),
        ("timeline of 20,000, then", "timeline", {"since": str(count // 2), "until": str(count // 2 + 20_000)}),
        ("pools, then", "pools", then),
    ]
    rows = []
    for label, question, query in questions:
        took, spent = [], []
        for _ in range(ASKED):
            began_s, before_s = time.perf_counter(), time.process_time()
            await direct.answer(journals, CLUSTER, question, query)
            took.append(time.perf_counter() - began_s)
            spent.append(time.process_time() - before_s)
        figures = (statistics.median(took), max(took), statistics.median(spent))
        rows.append([label, *(f"{one * 1000:,.0f}" for one in figures)])
    await journals.close()
    return rows


# ------------------------------------------------------------------------------------------------------------- proofs


async def proofs(url: str, folder: Path) -> list[list[str]]:
    """Rows of the table of proofs."""
    journals, file = RedisJournals(url, CLUSTER), folder / "whole.porter-export"
    rows = []

    async def timed(label: str, job: Awaitable[Any]) -> Any:
        began_s, spent_s = time.perf_counter(), time.process_time()
        done = await job
        spent_s = time.process_time() - spent_s
        rows.append([label, f"{time.perf_counter() - began_s:.1f}", f"{spent_s:.1f}"])
        return done

    told = await timed("verify of the server's journal", verify(journals))
    assert told["problems"] == []
    with file.open("wb") as out:
        await timed("export", export(journals, CLUSTER, out, None))
    filed = await timed(f"verify of the export, {file.stat().st_size / 2**20:.0f} MiB", verified(file))
    assert filed["problems"] == []
    for label, question, query in (
        ("explain from the export", "explain", {"service": SERVICE}),
        ("timeline from the export", "timeline", {"service": SERVICE}),
    ):
        await timed(label, asked(file, question, query))
    await journals.close()
    return rows


async def verified(file: Path) -> Any:
    """Open and verify."""
    return await verify(ExportJournals(file))


async def asked(file: Path, question: str, query: dict[str, str]) -> Any:
    """Open and ask."""
    return await direct.answer(ExportJournals(file), CLUSTER, question, query)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events the journal holds")
    parser.add_argument("--services", type=int, nargs="+", default=SERVICES, help="how many Services live at a time")
    parser.add_argument("--start", nargs=2, metavar=("KIND", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.start:
        start_once(*options.start)
        return
    for services in options.services:
        with Server("--appendonly", "no") as server, tempfile.TemporaryDirectory(prefix="porter-bench-") as folder:
            look_back(server, Path(folder), options.events, services)


def look_back(server: Server, folder: Path, events: int, services: int) -> None:
    """Print the tables of a history with so many Services at a time."""
    count = load(server, events, services)
    print(f"\n{count:,} events, {services:,} live Services\n")
    print(table(["start", "ms", "CPU ms", "ratio", "CPU ratio"], starts(server, count)), flush=True)
    print()
    print(table(["answer", "ms", "longest", "CPU ms"], asyncio.run(answers(server.embedded.url, count))), flush=True)
    print()
    print(table(["proof", "s", "CPU s"], asyncio.run(proofs(server.embedded.url, folder))), flush=True)


if __name__ == "__main__":
    main()
