"""What Porter left behind as proof: the journal's events, its parts' logs, and the API server's audit log."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import redis

from porter.events.codec import decode_commit
from porter.events.decided import EpochStarted
from porter.events.envelope import Commit, Envelope
from porter.events.routed import EndOfRibSent
from tests.lab import plan
from tests.lab.porter import Porter
from tests.lab.redis_server import RedisServer
from tests.lab.waiting import eventually

E = TypeVar("E")

JOURNAL_KEY = "{porter:porter}:j"
"""The stream of a cluster without a name of its own (`--cluster`)."""
READ_TIMEOUT_S = 5.0
END_OF_RIB_WITHIN_S = 15.0
CUT_BEHIND_BYTES = 40
"""Behind the entry's id, inside the commit's hash."""


def speaker_stream(name: str) -> str:
    """The stream of a speaker's outcomes."""
    return f"{{porter:porter}}:s:{name}"


def log_of(porter: Porter, part: str) -> "PartLog":
    """What a part of ``porter up`` writes from now on."""
    return PartLog(porter.state_dir / "logs" / f"{part}.log")


class JournalReader:
    """Reads the streams on the lab's server entry by entry, beside Porter's own readers."""

    def __init__(self, server: RedisServer, key: str = JOURNAL_KEY) -> None:
        self._server = server
        self._key = key

    def commits(self) -> list[Commit]:
        """Every commit in the stream, oldest first; none where there is no stream. Raises redis.RedisError."""
        with self._client() as client:
            return _decoded(client.xrange(self._key))

    def head(self) -> int:
        """The position of the last event, without reading the others; 0 where there is none. Raises RedisError."""
        with self._client() as client:
            newest = _decoded(client.xrevrange(self._key, count=1))
        return newest[0].last_position if newest else 0

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        with self._server.namespace.entered():
            client = redis.Redis(
                plan.REDIS.v4, plan.REDIS_PORT, single_connection_client=True, socket_timeout=READ_TIMEOUT_S
            )
        try:
            yield client
        finally:
            client.close()

    def events(self, kind: type[E], after: int = 0) -> list[E]:
        """The payloads of one type behind a position, oldest first."""
        return [each.payload for each in self.envelopes(after) if isinstance(each.payload, kind)]

    def envelopes(self, after: int = 0) -> list[Envelope]:
        """Every event behind a position, oldest first."""
        return [event for commit in self.commits() for event in commit.events if event.position > after]

    def position(self) -> int:
        """The position of the last event; 0 where there is none."""
        commits = self.commits()
        return commits[-1].last_position if commits else 0

    def leader(self) -> str:
        """Who claimed the newest epoch."""
        started = self.events(EpochStarted)
        return started[-1].holder if started else ""

    def wait_event(self, kind: type[E], after: int, timeout_s: float) -> E:
        """Wait for an event of a type behind a position, and return its payload. Raises NotInTime."""
        return eventually(
            lambda: self.events(kind, after), f"{kind.__name__} behind #{after}", timeout_s, ignore=(redis.RedisError,)
        )[0]

    def wait_leader(self, name: str, timeout_s: float) -> None:
        """Wait until a controller has claimed the newest epoch. Raises NotInTime."""
        eventually(lambda: self.leader() == name, f"{name} leads", timeout_s, ignore=(redis.RedisError,))

    def wait_end_of_rib(self, peers: set[str], after: int = 0) -> None:
        """In a speaker's stream: wait until End-of-RIB went out to these peers behind a position. Raises NotInTime."""
        eventually(
            lambda: peers <= {sent.peer for sent in self.events(EndOfRibSent, after)},
            f"End-of-RIB went out to {peers}",
            END_OF_RIB_WITHIN_S,
            ignore=(redis.RedisError,),
        )


def _decoded(entries: Any) -> list[Commit]:
    return [decode_commit(fields[b"e"]) for _, fields in entries]


class PartLog:
    """The JSON lines that one program writes, from the moment on at which this object was made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[dict[str, Any]]:
        """The lines since then; what is no JSON is left out."""
        return list(self._lines())

    def wait(
        self, words: tuple[str, ...], timeout_s: float, level: tuple[str, ...] = ("warning", "error")
    ) -> dict[str, Any]:
        """Wait for a line of one of these levels that has one of the words in it, and return it. Raises NotInTime."""

        def found() -> dict[str, Any]:
            for line in self._lines():
                if line.get("level") in level and any(word in json.dumps(line) for word in words):
                    return line
            return {}

        return eventually(found, f"{self.path.name} says one of {words}", timeout_s)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            for raw in stream.read().splitlines():
                try:
                    line = json.loads(raw)
                except ValueError:
                    continue
                if isinstance(line, dict):
                    yield line


def said_at_s(line: dict[str, Any]) -> float:
    """When a log line was written, in seconds since the Unix epoch."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def writes_of(audit_log: Path, user: str, since_s: float) -> list[dict[str, Any]]:
    """The changes that the API server accepted from a user, of requests that it received at `since_s` or later.

    `since_s` is in seconds since the Unix epoch; each entry is an event of audit.k8s.io/v1.
    """
    accepted = []
    for raw in audit_log.read_text().splitlines():
        event = json.loads(raw)
        received_s = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        code = event.get("responseStatus", {}).get("code", 0)
        if event["user"]["username"] == user and received_s >= since_s and 200 <= code < 300:
            accepted.append(event)
    return accepted


def cut_inside_last_commit(server: RedisServer, key: str = JOURNAL_KEY) -> None:
    """Cut the killed server's append-only file in the middle of the stream's last entry, as a crash during a write.

    What other streams wrote behind it is cut off as well.
    """
    newest = max((server.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    content = newest.read_bytes()
    words = f"XADD\r\n${len(key)}\r\n{key}\r\n".encode()
    at = content.rfind(words)
    assert at >= 0, f"{newest.name} holds no entry of {key}"
    with newest.open("r+b") as stream:
        stream.truncate(at + len(words) + CUT_BEHIND_BYTES)
