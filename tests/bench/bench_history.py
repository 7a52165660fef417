"""Starts and proofs on a long journal: over a million events with the baselines of a leader.

1. A start: the fold of everything beside a start from the newest baseline, in processes that take turns.
2. `verify`, of the server's journal and of an export.

`python -m tests.bench.bench_history [--events N]`; what questions take is in bench_answers.
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
from porter.app.incident.export import export
from porter.events.envelope import BEGINNING
from porter.journal.export import ExportJournals
from porter.journal.redis import RedisJournals
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from tests.bench.bench_journal import CLUSTER, EVENTS, Server
from tests.bench.figures import table
from tests.bench.long_journal import SERVICES, load

TURNS = 5
WHOLE, NEWEST = "whole", "newest"


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
    await journals.close()
    return rows


async def verified(file: Path) -> Any:
    """Open and verify."""
    return await verify(ExportJournals(file))


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
    print(table(["proof", "s", "CPU s"], asyncio.run(proofs(server.embedded.url, folder))), flush=True)


if __name__ == "__main__":
    main()
