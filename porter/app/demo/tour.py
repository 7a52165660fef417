"""The demo's tour: services come and go, every part of Porter is killed once, and the router must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from porter import __version__
from porter.app.demo.routers import Router, choose_router, free_port
from porter.app.demo.watch import RibWatch
from porter.app.demo.world import NAMESPACE, NODES, PEER, POOL, POOL_CIDR, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from porter.app.settings import InvalidSettings
from porter.app.up.part_logs import PartLog, short_form

READY_LIMIT_S = 30.0
ROUTE_LIMIT_S = 20.0
RESTART_LIMIT_S = 20.0
END_LIMIT_S = 20.0
POLL_S = 0.02
LOG_LINES = 15
FOLDER_BYTES_MAX = 88
"""The path of a unix socket has at most 107 bytes, and `router/bird.ctl` and the like stand below the folder."""
CRASHES = ("controller", "speaker", "exabgp")

Say = Callable[[str], None]


class DemoFailed(Exception):
    """Something that the demo promises did not happen; the message says what."""


class Tour:
    """One run of the demo in one directory."""

    def __init__(self, directory: Path, router: Router, say: Say) -> None:
        self._directory = directory
        self._state = directory / "state"
        self._world = World(directory / "manifests")
        self._router = router
        self._watch = RibWatch(router)
        self._say = say
        self._started_s = time.monotonic()
        self._up: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None
        self._latencies_ms: dict[str, float] = {}
        self.held = False
        """Whether the whole tour was shown and everything held."""

    async def run(self, *, keep: bool) -> None:
        """Show everything; with `keep` stay until Ctrl-C.

        Raises:
            DemoFailed: a promise was broken.
        """
        async with contextlib.AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(aiohttp.ClientSession())
            await self._start(stack)
            watching = asyncio.create_task(self._watch.run(), name="look at the router")
            stack.callback(watching.cancel)
            await self._tell_or_fail(watching, self._show())
            self.held = True
            self._sum_up()
            if keep:
                self._invite()
                await watching

    async def _tell_or_fail(self, watching: asyncio.Task[None], showing: Any) -> None:
        """Run the tour beside the watch: whichever fails ends both."""
        shown = asyncio.ensure_future(showing)
        await asyncio.wait((watching, shown), return_when=asyncio.FIRST_COMPLETED)
        if not shown.done():
            shown.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await shown
            watching.result()
        shown.result()

    # ---------------------------------------------------------------------------------------------------- the stages

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        port = free_port(ROUTER_ADDRESS)
        self._world.build(port)
        router_directory = self._directory / "router"
        router_directory.mkdir()
        await self._router.start(router_directory, port)
        stack.push_async_callback(self._router.stop)
        self._say(
            f"porter {__version__} demo · everything in {self._directory}\n"
            f"router: {self._router.name} at {ROUTER_ADDRESS}:{port} · speaker: ExaBGP at {SPEAKER_ADDRESS} · "
            f"journal: an embedded server · cluster: {self._world.folder}"
        )
        self._step(f"{self._router.name} listens; starting `porter up --manifests`")
        self._up = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "porter", "up", "--manifests", str(self._world.folder)),
            *("--state-dir", str(self._state), "--cluster", "demo", "--name", "demo"),
            *("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--supervisor", str(os.getpid())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(self._directory / "up.err").open("wb"),
            start_new_session=True,
        )
        stack.push_async_callback(self._end)

    async def _show(self) -> None:
        await self._until_ready("every part is up and the session Established")
        self._step(f"peer {PEER:<12} Established")
        await self._serve("web", list(NODES))
        await self._serve("api", ["node-2"], local=True)
        await self._serve("gone", list(NODES))
        await self._remove("gone")
        for part in CRASHES:
            await self._crash(part)
        await self._serve("last", list(NODES))
        self._check_losses("at the end")

    async def _serve(self, name: str, nodes: list[str], *, local: bool = False) -> None:
        """Create a Service, and wait until the router has a route to each of its nodes."""
        where = f"only {', '.join(nodes)} (Local)" if local else "all nodes"
        self._step(f"Service {NAMESPACE}/{name:<17} created  {where}")
        before_s = time.monotonic()
        self._world.serve(name, nodes, local=local)
        next_hops = frozenset(NODES[node] for node in nodes)
        allocation = await self._allocation(name)
        prefix = f"{allocation['address']}/32"
        try:
            await self._watch.until(prefix, next_hops, ROUTE_LIMIT_S)
        except TimeoutError:
            seen = sorted(self._watch.routes.get(prefix, ()))
            raise DemoFailed(f"{prefix} should have the next hops {sorted(next_hops)}, the router has {seen}") from None
        took_ms = (time.monotonic() - before_s) * 1000
        self._latencies_ms[name] = took_ms
        reason = f"pool {allocation['pool']} ({allocation['reason']})"
        self._step(f"├ allocated     {allocation['address']:<15} #{allocation['position']}  {reason}")
        hops = ", ".join(sorted(next_hops))
        self._step(f"└ router has    {prefix:<18} via {hops}   {took_ms:.0f} ms after the file was written")

    async def _remove(self, name: str) -> None:
        prefix = f"{(await self._allocation(name))['address']}/32"
        before_s = time.monotonic()
        self._world.remove(name)
        try:
            await self._watch.until(prefix, frozenset(), ROUTE_LIMIT_S)
        except TimeoutError:
            raise DemoFailed(f"{NAMESPACE}/{name} was deleted, and the router still has {prefix}") from None
        took_ms = (time.monotonic() - before_s) * 1000
        self._step(f"Service {NAMESPACE}/{name:<17} deleted")
        self._step(f"└ router has    {prefix:<18} no more   {took_ms:.0f} ms after the file was removed")

    async def _crash(self, part: str) -> None:
        """Kill one part; it must come back and serve again, and the router must keep every route meanwhile."""
        killed = self._pids()[part]
        before_s = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        self._step(f"kill -9 {part:<20} pid {killed}")
        restarted = await self._until(lambda: self._pids().get(part, killed) != killed, RESTART_LIMIT_S)
        if not restarted:
            raise DemoFailed(f"{part} was killed and not started again")
        self._step(f"├ restarted     pid {self._pids()[part]:<11}  {(time.monotonic() - before_s) * 1000:.0f} ms later")
        await self._until_ready(f"everything is well again after {part} was killed")
        self._step(f"├ ready again   {(time.monotonic() - before_s) * 1000:.0f} ms after the kill")
        await self._serve(f"after-{part}", list(NODES))
        self._check_losses(f"after {part} was killed")
        kept = sum(len(next_hops) for next_hops in self._watch.expected.values())
        self._step(f"└ no route lost: {kept} paths watched, {self._watch.looks} looks at the router so far")

    def _check_losses(self, when: str) -> None:
        if self._watch.losses:
            loss = self._watch.losses[0]
            raise DemoFailed(
                f"{when}: the router lost {sorted(loss.missing)} of {loss.prefix} "
                f"{loss.at_s - self._started_s:.2f} s after the start ({len(self._watch.losses)} such looks)"
            )

    # -------------------------------------------------------------------------------------------------- asking Porter

    async def _allocation(self, name: str) -> dict[str, Any]:
        """The Service's allocation, as soon as the controller tells it."""
        found: dict[str, Any] = {}

        async def allocated() -> bool:
            for service in (await self._get("/v1/services")).get("services", []):
                identity = service["service"]
                if (identity["namespace"], identity["name"]) == (NAMESPACE, name) and service["allocations"]:
                    found.update(service["allocations"][0])
            return bool(found)

        if not await self._until(allocated, ROUTE_LIMIT_S):
            raise DemoFailed(f"{NAMESPACE}/{name} got no address from pool {POOL} ({POOL_CIDR})")
        return found

    async def _until_ready(self, what: str) -> None:
        answer: dict[str, Any] = {}

        async def ready() -> bool:
            answer.clear()
            answer.update(await self._get("/readyz?sessions=all"))
            return bool(answer.get("ready"))

        if not await self._until(ready, READY_LIMIT_S):
            raise DemoFailed(f"not within {READY_LIMIT_S:.0f} s: {what}; /readyz says {json.dumps(answer)}")

    async def _get(self, path: str) -> dict[str, Any]:
        """An answer of the controller; empty while none answers."""
        assert self._http is not None
        try:
            address = (self._state / "http").read_text().strip()
            async with self._http.get(f"http://{address}{path}") as response:
                answer: dict[str, Any] = await response.json()
                return answer
        except (OSError, aiohttp.ClientError, ValueError):
            return {}

    async def _until(self, condition: Callable[[], Any], limit_s: float) -> bool:
        """Wait for a condition (a function, or a coroutine's); False when the time is over or `up` has ended."""
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            value = condition()
            if await value if asyncio.iscoroutine(value) else value:
                return True
            if self._up is not None and self._up.returncode is not None:
                error = (self._directory / "up.err").read_text().strip()
                raise DemoFailed(f"`porter up` ended with {self._up.returncode}: {error}")
            await asyncio.sleep(POLL_S)
        return False

    def _pids(self) -> dict[str, int]:
        try:
            pids: dict[str, int] = json.loads((self._state / "pids.json").read_text())
        except OSError:
            return {}
        return pids

    # --------------------------------------------------------------------------------------------- telling and ending

    def _step(self, text: str) -> None:
        self._say(f" {time.monotonic() - self._started_s:6.2f}s  {text}")

    def _sum_up(self) -> None:
        latencies = sorted(self._latencies_ms.values())
        self._say(
            f"\nAll held: {len(latencies)} Services routed, {len(CRASHES)} parts killed, no route lost in "
            f"{self._watch.looks} looks at {self._router.name}; change to route: median "
            f"{latencies[len(latencies) // 2]:.0f} ms, longest {latencies[-1]:.0f} ms; "
            f"{time.monotonic() - self._started_s:.1f} s in all"
        )

    def _invite(self) -> None:
        self._say(
            f"\nLeft running. Edit the files in {self._world.folder}, and in another shell:\n"
            f"  porter status --state-dir {self._state}\n"
            f"  porter routes --state-dir {self._state}\n"
            f"  porter journal tail --follow --state-dir {self._state}\n"
            "Ctrl-C ends it."
        )

    def logs(self) -> str:
        """The last lines of every part's log, for a demo that failed."""
        texts = []
        for path in sorted((*(self._state / "logs").glob("*.log"), *(self._directory / "router").glob("*.log"))):
            lines = "\n".join(f"  {short_form(line)}" for line in PartLog(path).tail(LOG_LINES))
            texts.append(f"--- {path}\n{lines}")
        return "\n".join(texts)

    async def _end(self) -> None:
        if self._up is None or self._up.returncode is not None:
            return
        self._up.terminate()
        try:
            await asyncio.wait_for(self._up.wait(), END_LIMIT_S)
        except TimeoutError:
            self._up.kill()
            await self._up.wait()


def _folder(directory: Path | None) -> Path:
    """The demo's folder.

    Raises:
        InvalidSettings: its path is too long for the unix sockets that the parts and the router have below it.
    """
    wanted = Path(tempfile.gettempdir()) / "porter-demo-12345678" if directory is None else directory.absolute()
    if len(os.fsencode(wanted)) > FOLDER_BYTES_MAX:
        mend = "set TMPDIR to a shorter path" if directory is None else "give a shorter --state-dir"
        raise InvalidSettings(f"{wanted.parent} leaves no room for the paths of unix sockets (unix(7)); {mend}")
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="porter-demo-"))
    wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    return wanted


async def run_demo(*, keep: bool = False, router: str = "", directory: Path | None = None, say: Say) -> int:
    """Run the demo; return 0 only if everything held.

    Raises:
        InvalidSettings: the wanted router is unknown or not installed.
    """
    chosen = choose_router(router)
    folder = _folder(directory)
    tour = Tour(folder, chosen, say)
    touring = asyncio.ensure_future(tour.run(keep=keep))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, touring.cancel)
    try:
        await touring
    except (DemoFailed, OSError, TimeoutError) as failure:
        why = str(failure) or type(failure).__name__
        say(f"\n{tour.logs()}\n\nThe demo FAILED: {why}\nEverything is left in {folder}")
        return 1
    except asyncio.CancelledError:
        # Somebody ended it; with --keep that is how it ends.
        say("\nEnded.")
    if directory is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if tour.held else 1
