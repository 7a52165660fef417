"""The routes in a router's kernel: a monitor with times, and the watch that proves that none was lost."""

import contextlib
import errno
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.lab import netlink
from tests.lab.namespaces import Namespace
from tests.lab.waiting import NotInTime

RECEIVE_BUFFER_BYTES = 64 * 1024 * 1024
DATAGRAM_BYTES = 256 * 1024
SO_RCVBUFFORCE = 33
STOP_POLL_S = 0.2
EVENTS_MAX = 1_000_000
FAMILIES = (socket.AF_INET, socket.AF_INET6)
EVIDENCE_EVENTS = 20


@dataclass(frozen=True, slots=True)
class RouteEvent:
    """A change that the kernel told: ``next_hops`` of the prefix after it, at ``at_s`` (monotonic seconds)."""

    number: int
    at_s: float
    change: str
    prefix: str
    told: frozenset[str]
    next_hops: frozenset[str]

    def __str__(self) -> str:
        after = ", ".join(sorted(self.next_hops)) or "none"
        return f"{self.at_s:.6f} {self.change} {self.prefix} {sorted(self.told)} -> {after}"


Listener = Callable[[RouteEvent], None]


class KernelRoutes:
    """The main table of a namespace, followed by netlink events.

    How Linux tells multipath routes (seen on 6.x): IPv4 and IPv6 alike send one RTM_NEWROUTE that carries the whole
    set of next hops, after an addition, a replacement (NLM_F_REPLACE) and, for IPv6, an append; so a message of a new
    route *is* the set. An RTM_DELROUTE carries the hops that went: all of them, or for IPv6 perhaps a single one.
    A replacement is therefore one event and no loss; a router that deletes and adds shows two.
    """

    def __init__(self, name: str, namespace: Namespace) -> None:
        self.name = name
        self._namespace = namespace
        # By prefix and metric: the lowest metric is the one in use.
        self._routes: dict[str, dict[int, frozenset[str]]] = {}
        self._changed = threading.Condition()
        self._listeners: list[Listener] = []
        self._events: dict[str, list[RouteEvent]] = {}
        self._events_count = 0
        self._failure: str | None = None
        self._closing = False
        with namespace.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        self._socket.bind((0, netlink.RTMGRP_IPV4_ROUTE | netlink.RTMGRP_IPV6_ROUTE))
        # The subscription stands before the dump is asked for, so that nothing falls between the two.
        for message in _dump(namespace):
            self._routes.setdefault(message.prefix, {})[message.priority] = message.next_hops
        self._thread = threading.Thread(target=self._follow, name=f"routes of {name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._thread.join()
        self._socket.close()

    def next_hops(self, prefix: str) -> frozenset[str]:
        """The next hops of a prefix by the events so far; empty without a route."""
        with self._changed:
            return self._of(prefix)

    def prefixes(self) -> dict[str, frozenset[str]]:
        """Every prefix with its next hops, by the events so far."""
        with self._changed:
            return {prefix: self._of(prefix) for prefix in self._routes}

    def look(self) -> dict[str, frozenset[str]]:
        """The table as the kernel has it now, by a dump of its own."""
        found: dict[str, tuple[int, frozenset[str]]] = {}
        for message in _dump(self._namespace):
            best = found.get(message.prefix)
            if best is None or message.priority < best[0]:
                found[message.prefix] = (message.priority, message.next_hops)
        return {prefix: hops for prefix, (_, hops) in found.items()}

    def wait_next_hops(self, prefix: str, expected: Iterable[str], timeout_s: float) -> float:
        """Wait until a prefix has exactly these next hops; none at all means no route.

        Returns when the kernel told the change that led there (monotonic seconds), which may lie before the call.
        Raises NotInTime with the events of that prefix.
        """
        wanted = frozenset(expected)
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while self._of(prefix) != wanted:
                self._raise_failure()
                if not self._changed.wait(max(0.0, deadline_s - time.monotonic())):
                    raise NotInTime(
                        f"{self.name}: {prefix} has {sorted(self._of(prefix))}, not {sorted(wanted)}, "
                        f"after {timeout_s:g} s\n{self._evidence(prefix)}"
                    )
            events = self._events.get(prefix)
            return events[-1].at_s if events else time.monotonic()

    def wait_gone(self, prefix: str, timeout_s: float) -> float:
        """Wait until a prefix has no route; as ``wait_next_hops``."""
        return self.wait_next_hops(prefix, (), timeout_s)

    @contextlib.contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Call ``listener`` for each event, in the monitor's thread, for the length of the block."""
        with self._changed:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.remove(listener)

    def events_of(self, prefix: str) -> list[RouteEvent]:
        """The events of one prefix so far."""
        with self._changed:
            return list(self._events.get(prefix, ()))

    def events(self) -> list[RouteEvent]:
        """All events so far, in the kernel's order."""
        with self._changed:
            return sorted(itertools.chain.from_iterable(self._events.values()), key=lambda event: event.number)

    def begin_anew(self) -> None:
        """Drop the events so far, between tests, and take the table from a dump.

        The events alone do not do: Linux tells nothing of a route that goes with its next hop object, which is how
        FRR's routes go when zebra is ended and swept at its start.
        """
        with self._changed:
            self._events.clear()
            self._events_count = 0
            self._routes.clear()
            for message in _dump(self._namespace):
                self._routes.setdefault(message.prefix, {})[message.priority] = message.next_hops

    def check(self) -> None:
        """Raise AssertionError if events were lost or the monitor's thread failed."""
        with self._changed:
            self._raise_failure()

    def _of(self, prefix: str) -> frozenset[str]:
        by_metric = self._routes.get(prefix)
        return by_metric[min(by_metric)] if by_metric else frozenset()

    def _raise_failure(self) -> None:
        assert self._failure is None, f"{self.name}: {self._failure}"

    def _evidence(self, prefix: str) -> str:
        about = self._events.get(prefix, [])[-EVIDENCE_EVENTS:]
        return "\n".join(map(str, about)) or "no event about it"

    def _follow(self) -> None:
        try:
            while not self._closing:
                readable, _, _ = select.select([self._socket], [], [], STOP_POLL_S)
                if readable:
                    self._receive()
        except BaseException as error:
            lost = isinstance(error, OSError) and error.errno == errno.ENOBUFS
            with self._changed:
                self._failure = f"the monitor ended: {'the kernel dropped events' if lost else repr(error)}"
                self._changed.notify_all()
            raise

    def _receive(self) -> None:
        datagram = self._socket.recv(DATAGRAM_BYTES)
        at_s = time.monotonic()
        with self._changed:
            for message in netlink.messages(datagram):
                if isinstance(message, netlink.RouteMessage):
                    self._take(at_s, message)
            self._changed.notify_all()

    def _take(self, at_s: float, message: netlink.RouteMessage) -> None:
        by_metric = self._routes.setdefault(message.prefix, {})
        if message.new:
            # An IPv4 append leaves the first route in use; nobody in the lab does that.
            by_metric[message.priority] = message.next_hops
            change = "replace" if message.flags & netlink.NLM_F_REPLACE else "add"
        else:
            left = by_metric.pop(message.priority, frozenset()) - message.next_hops
            if left:
                by_metric[message.priority] = left
            change = "delete"
        if not by_metric:
            del self._routes[message.prefix]
        assert self._events_count < EVENTS_MAX, "more events than the lab's tests make; clear them between tests"
        self._events_count += 1
        event = RouteEvent(
            self._events_count, at_s, change, message.prefix, message.next_hops, self._of(message.prefix)
        )
        self._events.setdefault(message.prefix, []).append(event)
        for listener in self._listeners:
            listener(event)


def _dump(namespace: Namespace) -> Iterator[netlink.RouteMessage]:
    with namespace.entered():
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with channel:
        for sequence, family in enumerate(FAMILIES, start=1):
            channel.send(netlink.dump_request(family, sequence))
            done = False
            while not done:
                for message in netlink.messages(channel.recv(DATAGRAM_BYTES)):
                    if isinstance(message, netlink.DumpEnd):
                        assert message.error == 0, f"dump of routes: errno {message.error}"
                        done = True
                    else:
                        yield message
