"""How long questions take on a journal of a million events: `python -m tests.bench.bench_answers [--events N]`.

The journal is a leader's, with 20,000 Services over 50 nodes, a peer and two speakers. Each question is asked

1. of a controller: the folds are there, causes are read from the server;
2. by the command with `--redis-url`, and of an export with `--from`: a process that starts, decodes a baseline, folds
   what follows and answers;
3. about the middle of the history, in this process, as a controller answers `at=`;

beside a command that asks nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from porter.app.explain import service as explain
from porter.app.explain.question import Question
from porter.app.history.time_travel import as_of
from porter.app.incident import direct
from porter.app.incident.export import export
from porter.journal.redis import RedisJournals
from porter.projections.cluster import ClusterState
from tests.bench.bench_journal import Server
from tests.bench.figures import milliseconds, table
from tests.bench.journal_history import address_of
from tests.bench.long_journal import SERVICE, SERVICES, load

EVENTS = 1_000_000
CLUSTER = "bench"
RUNS = 5
HEADS = ("question", "p50 ms", "p90 ms", "p99 ms", "n")
WITH_CPU = (*HEADS, "CPU ms")


def questions(state: ClusterState) -> dict[str, str]:
    """What is asked about, by the words of the command line."""
    service = min(state.inventory.services.values(), key=lambda one: one.name)
    address = address_of(1)
    return {
        "a Service": f"{service.namespace}/{service.name}",
        "an address": address,
        "a prefix": f"{address}/32",
        "a node": "node/node-1",
        "a peer": "peer/tor-a",
        "a bare name": "node-1",
    }


def as_question(words: str) -> Question:
    """The same for the API."""
    kind, _, name = words.partition("/")
    if kind in ("node", "peer"):
        return Question.from_query({kind: name})
    if words[0].isdigit():
        return Question.from_query({"prefix" if "/" in words else "ip": words})
    return Question.from_query({"service" if "/" in words else "name": words})


async def of_controller(url: str) -> tuple[dict[str, str], list[list[str]]]:
    """Ask with the folds at hand, as a controller has them."""
    journals = RedisJournals(url, CLUSTER)
    then = await as_of(journals, None)
    asked = questions(then.model.state)
    # A controller's speaker-facing side keeps routes up to date; here the first look derives them.
    len(then.model.state.loc_rib.routes)
    rows = []
    for name, words in asked.items():
        took = []
        for _ in range(RUNS):
            begun = time.perf_counter()
            await explain.explain(then.model, journals.journal(), as_question(words))
            took.append(time.perf_counter() - begun)
        rows.append(milliseconds(f"explain {name}", took))
    await journals.close()
    return asked, rows


def command(name: str, *arguments: str) -> list[str]:
    """A row of several runs of the command line: how long they took, and the median of their CPU time."""
    took, spent = [], []
    for _ in range(RUNS):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run([sys.executable, "-m", "porter", *arguments], capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(time.perf_counter() - begun)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        # 1 is a finding, and an answer.
        assert ended.returncode in (0, 1), ended.stderr
    return [*milliseconds(name, took), f"{statistics.median(spent) * 1000:.0f}"]


async def exported(url: str, file: Path) -> None:
    """Write an export of everything."""
    journals = RedisJournals(url, CLUSTER)
    with file.open("wb") as out:
        await export(journals, CLUSTER, out, None)
    await journals.close()


async def looking_back(url: str, count: int) -> list[list[str]]:
    """Ask about the middle."""
    journals = RedisJournals(url, CLUSTER)
    then = {"at": str(count // 2 + 777)}
    asked: list[tuple[str, str, dict[str, str]]] = [
        ("explain a Service", "explain", {"service": SERVICE, **then}),
        ("explain an address", "explain", {"ip": address_of(7), **then}),
        ("timeline of 20,000", "timeline", {"since": str(count // 2), "until": str(count // 2 + 20_000)}),
        ("pools", "pools", then),
    ]
    rows = []
    for label, question, query in asked:
        took = []
        for _ in range(RUNS):
            begun = time.perf_counter()
            await direct.answer(journals, CLUSTER, question, query)
            took.append(time.perf_counter() - begun)
        rows.append(milliseconds(label, took))
    await journals.close()
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--services", type=int, default=SERVICES[-1], help="how many live at a time")
    options = parser.parse_args(arguments)
    with Server("--appendonly", "no") as server, tempfile.TemporaryDirectory(prefix="porter-bench-") as folder:
        count = load(server, options.events, options.services)
        report(server.embedded.url, Path(folder) / "whole.porter-export", count)


def report(url: str, file: Path, count: int) -> None:
    """Print the tables."""
    asked, rows = asyncio.run(of_controller(url))
    print(f"\n{count:,} events, asked of a controller\n{table(HEADS, rows)}", flush=True)
    asyncio.run(exported(url, file))
    print(f"\nthe command alone\n{table(WITH_CPU, [command('version', 'version')])}", flush=True)
    for told, where in (("server", ("--redis-url", url, "--cluster", CLUSTER)), ("export", ("--from", str(file)))):
        rows = [command(f"explain {name}", "explain", words, *where) for name, words in asked.items()]
        rows.append(command("timeline", "timeline", *where))
        rows.append(command("timeline of a Service", "timeline", "--service", asked["a Service"], *where))
        print(f"\n{count:,} events, asked by the command, of the {told}\n{table(WITH_CPU, rows)}", flush=True)
    print(f"\n{count:,} events, about the middle\n{table(HEADS, asyncio.run(looking_back(url, count)))}")


if __name__ == "__main__":
    main()
