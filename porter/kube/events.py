"""`KubeEventRecorder`: Kubernetes Events (core/v1), best effort and one after another.

An Event's name follows from the object and the position, so that a leader which tells something again, after a lost
answer or an election, meets its own Event: AlreadyExists is success. Statuses are what users wait for; Events come
a second later, one at a time and not too fast, so that a burst of Services leaves the API server to the statuses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import structlog

from porter.kube.client import ApiError, ApiUnavailable, KubeClient
from porter.model.object_event import ObjectEvent

_log = structlog.get_logger(__name__)

MAX_EVENTS_WAITING = 2048
LINGER_S = 1.0
"""An Event waits for so long: the statuses of the same burst go first."""

PAUSE_S = 0.02
"""Between two Events: at most 50 of them per second."""

RETRY_S = 2.0
MAX_ATTEMPTS = 5
WRITE_TIMEOUT_S = 3.0
COMPONENT = "porter"
MAX_MESSAGE_CHARACTERS = 1024
DIGEST_DIGITS = 10

_API_VERSIONS = {"Service": "v1", "BgpConf": "network.kubesphere.io/v1alpha2"}
NAMESPACE_OF_THE_REST = "default"
"""Where the API server wants the Events of objects without a namespace."""


class KubeEventRecorder:
    """The port `EventRecorder` over an API server; `leads` is asked right before every request."""

    def __init__(self, client: KubeClient, leads: Callable[[], bool], instance: str) -> None:
        self.dropped = 0
        self._client = client
        self._leads = leads
        self._instance = instance
        self._waiting: deque[tuple[float, ObjectEvent]] = deque()
        """Each with the time of the event loop from which on it may be told."""
        self._wake = asyncio.Event()

    def record(self, event: ObjectEvent) -> None:
        """Queue an event; where too many wait, the oldest is given up."""
        if len(self._waiting) >= MAX_EVENTS_WAITING:
            self._waiting.popleft()
            self._give_up("more wait than are told")
        self._waiting.append((asyncio.get_running_loop().time() + LINGER_S, event))
        self._wake.set()

    def drop(self) -> None:
        """Forget everything that waits: this process leads no more."""
        self._waiting.clear()

    async def run(self) -> None:
        """Create what waits until cancelled."""
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            if not self._leads():
                self.drop()
                continue
            wait_s = self._waiting[0][0] - asyncio.get_running_loop().time()
            if wait_s > 0:
                # Leadership and the queue may be others by then.
                await asyncio.sleep(wait_s)
                continue
            await self._tell(self._waiting.popleft()[1])
            await asyncio.sleep(PAUSE_S)

    async def _tell(self, event: ObjectEvent) -> None:
        """Create one Event; after some attempts, or a refusal for good, it is given up."""
        path = f"/api/v1/namespaces/{namespace_of(event)}/events"
        body = event_object(event, self._instance)
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                await asyncio.sleep(RETRY_S)
            if not self._leads():
                return
            try:
                await self._client.request("POST", path, body=body, timeout_s=WRITE_TIMEOUT_S)
            except ApiUnavailable as error:
                why = str(error)
            except ApiError as error:
                if error.status == 409:
                    # It is told already.
                    return
                why = str(error)
                if error.status not in (401, 429) and error.status < 500:
                    break
            else:
                return
        self._give_up(why)

    def _give_up(self, why: str) -> None:
        """Count an Event that is not told; the log names one of a kind in a row."""
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:
            # 1, 2, 4, 8...: a namespace that takes no Events must not fill the log.
            _log.warning("an Event is not told", why=why, dropped=self.dropped)


def event_object(event: ObjectEvent, instance: str) -> dict[str, Any]:
    """The Event as the API server takes it."""
    time = datetime.fromtimestamp(event.time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name(event), "namespace": namespace_of(event)},
        "involvedObject": {
            "apiVersion": _API_VERSIONS[event.kind],
            "kind": event.kind,
            "namespace": event.namespace,
            "name": event.name,
            "uid": event.uid,
            "resourceVersion": event.resource_version,
        },
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason,
        "action": event.action,
        "message": event.message[:MAX_MESSAGE_CHARACTERS],
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }


def namespace_of(event: ObjectEvent) -> str:
    """The namespace of the Event itself."""
    return event.namespace or NAMESPACE_OF_THE_REST


def event_name(event: ObjectEvent) -> str:
    """`<object>.<position>-<digest>`; the digest tells the positions of two journals apart."""
    said = f"{event.uid}|{event.position}|{event.time_ms}"
    return f"{event.name}.{event.position}-{sha256(said.encode()).hexdigest()[:DIGEST_DIGITS]}"
