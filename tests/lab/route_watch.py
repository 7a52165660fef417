"""The proof that no route was lost.

"No route lost" means: at every event of each router's kernel, and at a look every 50 ms, the expected next hops of
each prefix are a subset of those there.
"""

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from tests.lab.routes import KernelRoutes, RouteEvent

LOOK_INTERVAL_S = 0.05
REPORTED_MAX = 20
CONTEXT_EVENTS = 6


@dataclass(frozen=True, slots=True)
class Loss:
    """Next hops that were not there, at one router and one moment."""

    at_s: float
    router: str
    prefix: str
    missing: frozenset[str]
    seen_by: str


class RouteWatch:
    """Watch prefixes at several routers for the length of a block; its end raises AssertionError with the evidence.

    ``expected`` maps each prefix to the next hops that must be there all the time. A test that changes what is
    expected calls ``expect`` and ``forget`` *before* it acts, with what must hold before and after alike. With
    ``only_count`` losses are left to the caller to judge.
    """

    def __init__(
        self, routers: Iterable[KernelRoutes], expected: Mapping[str, Collection[str]], *, only_count: bool = False
    ) -> None:
        self._only_count = only_count
        self._routers = list(routers)
        self._expected = {prefix: frozenset(hops) for prefix, hops in expected.items()}
        self._lock = threading.Lock()
        self._losses: list[Loss] = []
        self._looks = 0
        self._longest_pause_s = 0.0
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._stack = ExitStack()
        self._thread = threading.Thread(target=self._look_on, name="route watch", daemon=True)

    def expect(self, prefix: str, next_hops: Collection[str]) -> None:
        """From now on these next hops of a prefix must be there."""
        with self._lock:
            self._expected[prefix] = frozenset(next_hops)

    def forget(self, prefix: str) -> None:
        """From now on nothing is expected of a prefix."""
        with self._lock:
            self._expected.pop(prefix, None)

    @property
    def losses(self) -> list[Loss]:
        """What was missing so far."""
        with self._lock:
            return list(self._losses)

    @property
    def looks(self) -> int:
        """How many looks were taken at all routers."""
        return self._looks

    def __enter__(self) -> "RouteWatch":
        for router in self._routers:
            # The default binds the router of this turn of the loop.
            self._stack.enter_context(router.listening(lambda event, router=router: self._on_event(router, event)))  # type: ignore[misc]
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self._stack.close()
        if kind is not None:
            return
        for router in self._routers:
            router.check()
        if self._failure is not None:
            raise AssertionError("the watch ended before its block did") from self._failure
        if self._losses and not self._only_count:
            raise AssertionError(self.report())

    def report(self) -> str:
        """The losses as text, each with the events around it."""
        losses = self.losses
        lines = [
            f"{len(losses)} times a next hop was missing "
            f"({self._looks} looks, longest pause {self._longest_pause_s:.3f} s)"
        ]
        for loss in losses[:REPORTED_MAX]:
            lines.append(f"{loss.at_s:.6f} {loss.router} {loss.prefix} lacks {sorted(loss.missing)} ({loss.seen_by})")
            for router in self._routers:
                if router.name == loss.router:
                    near = sorted(router.events_of(loss.prefix), key=lambda event: abs(event.at_s - loss.at_s))
                    lines += [f"    {event}" for event in sorted(near[:CONTEXT_EVENTS], key=lambda event: event.at_s)]
        return "\n".join(lines)

    def _on_event(self, router: KernelRoutes, event: RouteEvent) -> None:
        with self._lock:
            wanted = self._expected.get(event.prefix)
            if wanted is not None and not wanted <= event.next_hops:
                missing = wanted - event.next_hops
                self._losses.append(Loss(event.at_s, router.name, event.prefix, missing, f"event {event.change}"))

    def _look(self) -> None:
        for router in self._routers:
            with self._lock:
                before = dict(self._expected)
            missing = _missing(router.look(), before)
            # The kernel sends a long table in parts, and one that changes meanwhile may skip a route (IPv6 resumes by
            # counting). Where the events say that it is there, a second reading decides; a real gap either shows in
            # the events, or lasts.
            if any(not before[prefix] - router.next_hops(prefix) for prefix in missing):
                again = _missing(router.look(), before)
                missing = {prefix: hops for prefix, hops in missing.items() if prefix in again}
            at_s = time.monotonic()
            with self._lock:
                # What became expected, or no longer is, while the table was read is judged by the next look.
                self._losses += [
                    Loss(at_s, router.name, prefix, hops, "look")
                    for prefix, hops in missing.items()
                    if self._expected.get(prefix) == before[prefix]
                ]
        self._looks += 1

    def _look_on(self) -> None:
        try:
            last_s = time.monotonic()
            while not self._ended.wait(LOOK_INTERVAL_S):
                self._look()
                now_s = time.monotonic()
                self._longest_pause_s = max(self._longest_pause_s, now_s - last_s)
                last_s = now_s
        except BaseException as error:
            # A watch that went blind must not pass; the end of the block raises this.
            self._failure = error
            raise


def _missing(table: Mapping[str, frozenset[str]], expected: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    lacking = {prefix: wanted - table.get(prefix, frozenset()) for prefix, wanted in expected.items()}
    return {prefix: hops for prefix, hops in lacking.items() if hops}
