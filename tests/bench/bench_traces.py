"""What traces cost: CPU of each change with every change traced, against the same without traces.

Two `porter up` run side by side, each with its own router and folder; one of them sends its spans to a collector. In
turns, each gets the same changes. The CPU time of all processes is read from the kernel before and after each pair of
turns, less what they spend while nothing happens: the machine's mood counts for both, and a batch of spans is counted
whenever it is sent.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from porter.app.demo.routers import choose_router, free_port
from porter.app.demo.world import NODES, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from tests.bench.figures import percentile, table
from tests.integration.programs.supervised import pids
from tests.integration.programs.test_up import Up

ROUNDS = 40
SERVICES = 10
"""Created and deleted in each round: two changes for each."""
PAUSE_S = 0.06
"""So that each change is a commit of its own, as in a cluster that is not in a burst, and little else is measured."""
IDLE_S = 8.0
T_95 = {4: 2.776, 5: 2.571, 7: 2.365, 9: 2.262, 11: 2.201, 15: 2.131, 19: 2.093, 29: 2.045, 31: 2.040, 39: 2.023}
"""Student's t, two-sided 95 %, by degrees of freedom."""
OWN = ("controller", "speaker")
COLLECTOR = """
import sys
from tests.integration.programs.otlp_receiver import Receiver
receiver = Receiver()
print(receiver.url, flush=True)
sys.stdin.read()
print(len(receiver.spans), flush=True)
"""


def cpu_s(pid: int) -> float:
    """The time that all threads of a process ran, from the scheduler: in nanoseconds, not in ticks."""
    spent_ns = 0
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent_ns += int((task / "schedstat").read_text().split()[0])
    return spent_ns / 1e9


class Side:
    """One `porter up` with its router."""

    def __init__(self, folder: Path, environment: dict[str, str], runner: asyncio.Runner) -> None:
        self._runner = runner
        self.world, self._router, port = World(folder / "manifests"), choose_router(""), free_port(ROUTER_ADDRESS)
        self.world.build(port)
        (folder / "router").mkdir()
        runner.run(self._router.start(folder / "router", port))
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--hold-minimum", "1000")
        before = dict(os.environ)
        os.environ.update(environment)
        try:
            self.up = Up(self.world, folder / "state", *options)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def close(self) -> None:
        self.up.process.terminate()
        self.up.process.wait(30)
        self._runner.run(self._router.stop())

    def spent(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in pids(self.up.directory).items()}

    def wait_routes(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self._runner.run(self._router.routes())) != count and time.monotonic() < deadline:
            time.sleep(0.05)

    def round(self) -> None:
        for number in range(SERVICES):
            self.world.serve(f"bench-{number}", list(NODES))
            time.sleep(PAUSE_S)
        self.wait_routes(SERVICES)
        for number in range(SERVICES):
            self.world.remove(f"bench-{number}")
            time.sleep(PAUSE_S)
        self.wait_routes(0)


Spent = list[dict[str, float]]
"""CPU seconds of each side's processes."""


def passed(sides: Sequence[Side], before: Spent) -> Spent:
    """What was spent since `before`."""
    return [
        {name: now - was[name] for name, now in side.spent().items()} for side, was in zip(sides, before, strict=True)
    ]


def idle(sides: Sequence[Side]) -> Spent:
    """CPU seconds per second while nothing happens."""
    before = [side.spent() for side in sides]
    time.sleep(IDLE_S)
    return [{name: spent / IDLE_S for name, spent in one.items()} for one in passed(sides, before)]


def turns(sides: Sequence[Side], order: Sequence[int]) -> tuple[float, Spent]:
    """How long a round of each side took, and what both spent meanwhile."""
    before, began_s = [side.spent() for side in sides], time.monotonic()
    for index in order:
        sides[index].round()
    return time.monotonic() - began_s, passed(sides, before)


def main(rounds: int = ROUNDS) -> None:
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="porter-bench-")))
        collector = subprocess.Popen(
            [sys.executable, "-c", COLLECTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert collector.stdout is not None
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.stdout.readline().strip()}
        sides = []
        for name, environment in (("without", {}), ("with", traced)):
            (folder / name).mkdir()
            side = Side(folder / name, environment, runner)
            stack.callback(side.close)
            side.up.wait_ready()
            side.round()
            sides.append(side)
        idles = [idle(sides)]
        # Who goes first changes, so that neither is always the one behind.
        pairs = [turns(sides, (0, 1) if number % 2 == 0 else (1, 0)) for number in range(rounds)]
        idles.append(idle(sides))
    spans, _ = collector.communicate()
    print(f"{rounds} rounds of {2 * SERVICES} changes on each side, in turns; {spans.strip()} spans were collected")
    report(*(per_change(side, pairs, idles) for side in range(len(sides))))


def per_change(side: int, pairs: Sequence[tuple[float, Spent]], idles: Sequence[Spent]) -> list[dict[str, float]]:
    """CPU seconds of one side per change, by process, for each pair of turns."""
    resting = {name: statistics.mean(one[side][name] for one in idles) for name in idles[0][side]}
    return [
        {name: (each - resting[name] * took_s) / (2 * SERVICES) for name, each in spent[side].items()}
        for took_s, spent in pairs
    ]


def report(without: Sequence[dict[str, float]], traced: Sequence[dict[str, float]]) -> None:
    rows = []
    groups = {name: (name,) for name in OWN} | {"both of them": OWN, "all processes": tuple(without[0])}
    for label, names in groups.items():
        plain = [sum(one[name] for name in names) * 1e6 for one in without]
        dear = [sum(one[name] for name in names) * 1e6 for one in traced]
        more = [(after / before - 1) * 100 for before, after in zip(plain, dear, strict=True)]
        half = T_95.get(len(more) - 1, 2.0) * statistics.stdev(more) / math.sqrt(len(more))
        middle = statistics.mean(more)
        rows.append(
            [
                label,
                f"{percentile(plain, 50):.0f}",
                f"{percentile(dear, 50):.0f}",
                f"{middle:+.1f} %",
                f"{middle - half:+.1f} .. {middle + half:+.1f} %",
            ]
        )
    print(table(["CPU per change", "without us", "traced us", "more", "95 % interval"], rows))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
