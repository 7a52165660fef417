"""How long questions take on a journal of a million events: `python -m tests.bench.bench_answers [--events N]`.

The journal holds 20,000 Services over 50 nodes, two peers with two speakers, and its newest baseline lies as far back
as it ever does (`BASELINE_INTERVAL_EVENTS`). Each question is asked

1. of a controller: the folds are there, causes are read from the server;
2. by the command with `--redis-url`: a process that starts, decodes the baseline, folds what follows and answers;

beside a command that asks nothing, and beside the fold of the whole journal without a baseline.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

from porter.app.explain import service as explain
from porter.app.explain.question import Question
from porter.app.history.time_travel import as_of
from porter.app.retention.upkeep import BASELINE_INTERVAL_EVENTS
from porter.events.catalogue import Event
from porter.events.decided import BaselineRecorded, EpochStarted
from porter.events.envelope import BEGINNING, Draft
from porter.events.observed import PeerObserved
from porter.events.routed import EngineStateChanged, RibSynced, SessionStateChanged, SpeakerStarted
from porter.journal.redis import RedisJournals
from porter.model.address import Address
from porter.ports import Claim
from porter.projections import baseline
from porter.projections.cluster import ClusterState
from porter.projections.fold import fold
from tests.bench.bench_journal import Server
from tests.bench.figures import milliseconds, table
from tests.bench.journal_history import GENESIS, address_of, history

EVENTS = 1_000_000
COMMIT_EVENTS = 128
CLUSTER = "bench"
RUNS = 5
PEERS = ("tor-a", "tor-b")
SPEAKERS = ("speaker-0", "speaker-1")
HEADS = ("question", "p50 ms", "p90 ms", "p99 ms", "n")


def events_of(count: int) -> Iterator[Event]:
    """The history, with two peers behind its beginning."""
    stream = (event for commit in history(count) for event in commit)
    yield from itertools.islice(stream, 4)
    for number, name in enumerate(PEERS):
        yield PeerObserved(name, name, "1", 1, Address(f"172.16.1.{number + 1}"), 64513)
    yield from stream


async def load(url: str, count: int) -> None:
    """Write the journal, with one baseline, and the streams of the speakers."""
    journals = RedisJournals(url, CLUSTER)
    journal, state = journals.journal(), ClusterState.empty()
    batches = events_of(count - BASELINE_INTERVAL_EVENTS), history(BASELINE_INTERVAL_EVENTS, seed=8)
    first = next(batches[0])
    assert isinstance(first, EpochStarted)
    claimed = await journal.claim(Claim(GENESIS, 1, None, 1, recovering=False, holder="bench"), [Draft(first)])
    state = fold(state, claimed.events)
    while batch := list(itertools.islice(batches[0], COMMIT_EVENTS)):
        state = fold(state, (await journal.append([Draft(event) for event in batch])).events)
    encoded = baseline.encode(state)
    recorded = BaselineRecorded(baseline.REDUCER_VERSION, baseline.digest(encoded), encoded)
    state = fold(state, (await journal.append([Draft(recorded)])).events)
    flat = (event for commit in batches[1] for event in commit if type(event).__name__ == "EndpointsObserved")
    while batch := list(itertools.islice(flat, COMMIT_EVENTS)):
        state = fold(state, (await journal.append([Draft(event) for event in batch])).events)
    for name in SPEAKERS:
        stream = journals.speaker(name)
        claim = Claim(GENESIS, 1, None, 1, recovering=False, holder=name)
        await stream.claim(claim, [Draft(EpochStarted(GENESIS, name, 0, ""))])
        told: list[Event] = [SpeakerStarted(name, "", "172.16.1.9", 0), EngineStateChanged(name, True, "")]
        for peer in PEERS:
            told += [
                SessionStateChanged(peer, "Established", "", ("IPv4",), ("IPv4",), 90),
                RibSynced(peer, state.ledger.position, len(state.loc_rib.routes), "d"),
            ]
        await stream.append([Draft(event) for event in told])
    await journals.close()


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


def command(*arguments: str) -> float:
    """Seconds of one run of the command line; 1 is a finding, and an answer."""
    begun = time.perf_counter()
    ended = subprocess.run([sys.executable, "-m", "porter", *arguments], capture_output=True, check=False)
    took = time.perf_counter() - begun
    assert ended.returncode in (0, 1), ended.stderr
    return took


async def fold_all(url: str) -> float:
    """Seconds of the fold without a baseline."""
    journals = RedisJournals(url, CLUSTER)
    begun, state = time.perf_counter(), ClusterState.empty()
    async for page in journals.journal().read(BEGINNING):
        for commit in page:
            state = fold(state, commit.events)
    await journals.close()
    return time.perf_counter() - begun


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    count = parser.parse_args(arguments).events
    with Server("--appendfsync", "no") as server:
        url = server.embedded.url
        asyncio.run(load(url, count))
        asked, rows = asyncio.run(of_controller(url))
        print(f"\n{count} events, asked of a controller\n{table(HEADS, rows)}")
        rows = [milliseconds("(version: asks nothing)", [command("version") for _ in range(RUNS)])]
        where = ("--redis-url", url, "--cluster", CLUSTER)
        for name, words in asked.items():
            rows.append(milliseconds(f"explain {name}", [command("explain", words, *where) for _ in range(RUNS)]))
        of_service = ("timeline", "--service", asked["a Service"], *where)
        rows.append(milliseconds("timeline", [command("timeline", *where) for _ in range(RUNS)]))
        rows.append(milliseconds("timeline of a Service", [command(*of_service) for _ in range(RUNS)]))
        print(f"\n{count} events, asked by the command\n{table(HEADS, rows)}")
        print(f"\nthe fold of all {count} events without a baseline: {asyncio.run(fold_all(url)):.1f} s")


if __name__ == "__main__":
    main()
