"""The speaker beside ExaBGP alone, and one speaker with a hundred peers.

1. 10,000 Services of three next hops each brought to BIRD: by the publisher, and by ExaBGP alone with the very lines
   that the publisher wrote. The two take turns. BIRD has no kernel to fill here.
2. A hundred peers of one speaker, each with a hundred Services: from one new Service to its confirmation at all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from porter.bgp.publisher import RelayConnection
from porter.model.bgp import PathAttributes, PeerKey, RouteKey
from tests.bench.figures import cpu_seconds, milliseconds, table
from tests.integration.bgp.lab import (
    ADDRESS,
    PEER_AS,
    Bird,
    Engine,
    Speaker,
    add_path_routes,
    addresses_of_a_test,
    settings,
    until,
)

SERVICES = 10_000
ROUNDS = 3
PEERS = 100
PEER_SERVICES = 100
NEW_SERVICES = 30
HOPS = [f"10.77.0.{number}" for number in (11, 12, 13)]
WAIT_S = 120.0
POLL_S = 0.05
ALONE = """
import os, pathlib, sys, threading, time
def drain():
    while os.read(0, 65536):
        pass
threading.Thread(target=drain, daemon=True).start()
while not pathlib.Path({go!r}).exists():
    time.sleep(0.01)
sys.stdout.write(pathlib.Path({lines!r}).read_text())
sys.stdout.flush()
time.sleep(1000)
"""
"""ExaBGP stands still when nobody reads its answers."""

Routes = dict[RouteKey, PathAttributes]


def routes_of(services: int, second: int = 64) -> Routes:
    """Routes of Services, three next hops each."""
    return add_path_routes([f"100.{second}.{number // 250}.{number % 250}/32" for number in range(services)], HOPS)


async def filled(bird: Bird, paths: int) -> float:
    """Wait until BIRD has so many paths, and return when."""

    async def count() -> int:
        answer = await asyncio.to_thread(bird.command, "show", "route", "count")
        return sum(int(found) for found in re.findall(r"(\d+) of \d+ routes? for", answer))

    deadline_s = time.monotonic() + WAIT_S
    while (held := await count()) < paths:
        assert time.monotonic() < deadline_s, f"BIRD has {held} of {paths} paths"
        await asyncio.sleep(POLL_S)
    return time.monotonic()


@contextlib.asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[Engine]:
    """A supervised ExaBGP."""
    engine = Engine(folder / "exabgp.conf")
    supervisor = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        supervisor.cancel()
        await asyncio.gather(supervisor, return_exceptions=True)


async def by_publisher(routes: Routes) -> tuple[float, str, list[str]]:
    """Seconds until BIRD has everything, ExaBGP's configuration, and the lines that were written."""
    addresses_of_a_test()
    written: list[str] = []
    plain = RelayConnection.write

    def write(self: RelayConnection, lines: list[str]) -> None:
        written.extend(line for line in lines if line.startswith(("announce", "neighbor")) and " nlri " in line)
        plain(self, lines)

    RelayConnection.write = write  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with engine_in(folder):
                speaker, bird = Speaker(folder), Bird(folder, "bird", ADDRESS(2)).start()
                try:
                    await speaker.publisher.configure([settings("bird", bird.address)])
                    speaker.want("bird", {})
                    await speaker.live("bird")
                    began_s = time.monotonic()
                    speaker.want("bird", routes)
                    took_s = await filled(bird, len(routes)) - began_s
                    return took_s, (folder / "exabgp.conf").read_text(), written
                finally:
                    await speaker.crash()
                    bird.stop()
    finally:
        RelayConnection.write = plain  # type: ignore[method-assign]


async def by_exabgp(configuration: str, lines: list[str], paths: int) -> float:
    """Seconds that ExaBGP alone needs for the same lines, all of them given to it at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        helper, go = folder / "helper.py", folder / "go"
        (folder / "lines").write_text("".join(f"{line}\n" for line in lines))
        helper.write_text(ALONE.format(go=str(go), lines=str(folder / "lines")))
        bird = Bird(folder, "bird", ADDRESS(2)).start()
        (folder / "exabgp.conf").write_text(
            re.sub(r"run [^;]*;", f"run {sys.executable} -I -S {helper};", configuration)
        )
        async with engine_in(folder):
            try:
                await bird.session(up=True)
                began_s = time.monotonic()
                go.touch()
                return await filled(bird, paths) - began_s
            finally:
                bird.stop()


async def bring(services: int, rounds: int) -> None:
    """The first table."""
    routes = routes_of(services)
    ours, alone, lines = [], [], 0
    for _ in range(rounds):
        took_s, configuration, written = await by_publisher(routes)
        ours.append(took_s)
        alone.append(await by_exabgp(configuration, written, len(routes)))
        lines = len(written)
    rows = [
        [name, f"{statistics.median(took):.2f}", f"{min(took):.2f}", f"{max(took):.2f}"]
        for name, took in (("publisher", ours), (f"ExaBGP alone, the same {lines} lines", alone))
    ]
    print(table((f"{services} Services, {len(routes)} paths, to BIRD: seconds", "median", "min", "max"), rows))
    print(f"the publisher takes {statistics.median(ours) / statistics.median(alone):.2f} times as long (wanted: 1.3)\n")


async def many_peers(peers: int) -> None:
    """The second table."""
    addresses_of_a_test()
    locals_ = [ADDRESS(100 + number) for number in range(peers)]
    names = [f"peer-{number}" for number in range(peers)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with engine_in(folder) as engine:
            speaker, bird = Speaker(folder), Bird(folder, "bird", ADDRESS(2)).start(peers=locals_)
            try:
                sessions = [
                    settings(name, bird.address, local, peer_as=PEER_AS)
                    for name, local in zip(names, locals_, strict=True)
                ]
                base = routes_of(PEER_SERVICES)
                began_s = time.monotonic()
                await speaker.publisher.configure(sessions)
                for peer in names:
                    speaker.want(peer, dict(base))
                await speaker.live(*names, timeout_s=WAIT_S)
                await filled(bird, len(base) * peers)
                print(
                    f"{peers} peers with {len(base)} paths each: up and complete in {time.monotonic() - began_s:.2f} s"
                )
                ours_s, engine_s = time.process_time(), cpu_seconds(engine.pid)
                took = [await one_new(speaker, names, number) for number in range(NEW_SERVICES)]
                ours_s, engine_s = time.process_time() - ours_s, cpu_seconds(engine.pid) - engine_s
                row = milliseconds(f"one new Service confirmed at {peers} peers", took)
                print(table(("milliseconds", "p50", "p90", "p99", "n"), [row]))
                each = f"{ours_s / NEW_SERVICES:.2f} s of the publisher and {engine_s / NEW_SERVICES:.2f} s of ExaBGP"
                print(f"CPU time for each: {each}; load average {os.getloadavg()[0]:.1f}")
            finally:
                await speaker.crash()
                bird.stop()


async def one_new(speaker: Speaker, names: list[str], number: int) -> float:
    """Seconds from desiring a new Service's routes to their confirmation by every session."""
    new = add_path_routes([f"100.99.0.{number}/32"], HOPS)
    began_s = time.monotonic()
    for peer in names:
        speaker.routes[PeerKey(peer)].update(new)
        speaker.desire(PeerKey(peer), frozenset(new))
    views = speaker.publisher

    def confirmed() -> bool:
        return all(view.confirmed == view.desired for view in views.peers().values())

    await until(confirmed, "confirmed at all peers", WAIT_S)
    return time.monotonic() - began_s


async def run(services: int, rounds: int, peers: int) -> None:
    await bring(services, rounds)
    await many_peers(peers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=SERVICES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peers", type=int, default=PEERS)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.services, arguments.rounds, arguments.peers))


if __name__ == "__main__":
    main()
