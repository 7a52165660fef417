"""Clients: single questions, and a steady stream of requests that must not fail."""

import http.client
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.namespaces import Namespace
from tests.lab.run import Run
from tests.lab.waiting import eventually

INTERVAL_S = 0.02
# Less than the second after which Linux sends a lost SYN again, so that a lost packet counts as a failure.
REQUEST_TIMEOUT_S = 0.9
SERVICE_PORT = 80
PROBER = Path(__file__).with_name("prober.py")
REPORTED_MAX = 10
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the stream: ``answer`` is the pod's name, or None with the ``error``."""

    began_s: float
    target: str
    took_ms: float
    answer: str | None
    error: str


def answers(client: Namespace, address: str, count: int = 1, port: int = SERVICE_PORT) -> Counter[str]:
    """Ask ``count`` times, each over a connection of its own, and count the pods that answered. Raises OSError."""
    counted: Counter[str] = Counter()
    for _ in range(count):
        status, body = client.http_get(address, port, "/", REQUEST_TIMEOUT_S)
        if status != http.HTTPStatus.OK:
            raise OSError(f"{address}: status {status}")
        counted[body.strip()] += 1
    return counted


class Requests:
    """A request to each target every 20 ms while the block runs, from a client's namespace, in a process of its own."""

    def __init__(
        self,
        run: Run,
        client: Namespace,
        addresses: Sequence[str],
        port: int = SERVICE_PORT,
        interval_s: float = INTERVAL_S,
    ) -> None:
        targets = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in addresses]
        self._run = run
        self._client = client
        self._argv: list[str | Path] = [sys.executable, "-I", PROBER, str(interval_s), str(REQUEST_TIMEOUT_S), *targets]
        self._name = f"requests{next(_numbers)}"
        self._targets = targets
        self.requests: list[Request] = []

    def __enter__(self) -> "Requests":
        self._process = self._run.process(self._name, self._argv, self._client)
        eventually(lambda: {each.target for each in self._read()} == set(self._targets), "requests began", 10.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._run.forget(self._process)
        self.requests = self._read()

    @property
    def failures(self) -> list[Request]:
        """The requests so far that were not answered."""
        return [each for each in self.requests or self._read() if each.answer is None]

    def pods(self) -> Counter[str]:
        """Which pod answered how often."""
        return Counter(each.answer for each in self.requests or self._read() if each.answer is not None)

    def check(self) -> None:
        """Raise AssertionError if a request failed."""
        failures = self.failures
        shown = "\n".join(f"{each.began_s:.6f} {each.target} {each.error}" for each in failures[:REPORTED_MAX])
        assert not failures, f"{len(failures)} of {len(self.requests)} requests failed:\n{shown}"

    def _read(self) -> list[Request]:
        lines = self._process.log.read_text().splitlines()
        return [_parsed(line) for line in lines if line[:1].isdigit()]


def _parsed(line: str) -> Request:
    began, target, took, answer = line.split(" ", 3)
    failed = answer.startswith("!")
    return Request(float(began), target, float(took), None if failed else answer, answer[2:] if failed else "")
