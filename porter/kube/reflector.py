"""List and watch one kind of objects into the inventory (Kubernetes API concepts, "Efficient detection of changes").

    listing --all pages--> synced --watch ends, time-out, broken connection--> synced (watched on from the last version)
       ^                      |
       +------- 410 Gone -----+

Absence means something only in `synced`: deletions missed in a gap are found by the listing's end. A listing names no
resourceVersion, so that it is a quorum read: it holds whatever anybody had seen when it was asked for.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple

import msgspec
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from porter.kube.client import ApiError, ApiUnavailable, BodyTooLarge, KubeClient
from porter.kube.inventory import Inventory
from porter.kube.objects import Kind
from porter.ports import Instrumentation

_log = structlog.get_logger(__name__)

PAGE_ITEMS = 500
LIST_TIMEOUT_S = 60.0
MIN_WATCH_S, MAX_WATCH_S = 300, 600
"""The server ends a watch after a random time in between, so that not all of them end at once."""

IDLE_TIMEOUT_S = 150.0
"""The API server sends a bookmark about once a minute: after this long without a byte the connection is dead."""

MAX_LINE_BYTES = 64 * 1024 * 1024
SHORTEST_WATCH_S = 1.0
"""A watch that ends sooner and brought nothing counts as failed, so that it is retried with back-off."""

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 2.0
"""A leader decides nothing before every kind is listed. After an outage the API server answers 429 and 403 for a
moment, so that more than one of the longest waits may pass until it is."""
MISSING_KIND_RETRY_S = 5.0
ABSENT_KIND_RETRY_S = 60.0
"""A kind that can be done without is looked for this often while it is not there."""

ABSENT_AFTER = 3
"""So many answers in a row say that a kind whose objects were known is really gone."""

FORBIDDEN, NOT_FOUND, GONE = 403, 404, 410
SYNCED = "synced"


class Resource(NamedTuple):
    """Where a kind is served; `mend` says what to do when it is not.

    A kind that can be done without has `optional`, the HTTP statuses that mean that there are no such objects.
    """

    kind: Kind
    path: str
    mend: str = "this API server is too old for Porter"
    optional: frozenset[int] = frozenset()

    @property
    def plural(self) -> str:
        return self.path.rpartition("/")[2]


_CRDS = "install the CRDs: porter crds | kubectl apply -f -"
_NO_RANGES = (
    "pools that overlap the Service addresses are not warned of; that takes Kubernetes 1.33 and the right to list"
)


def resources(namespace: str) -> tuple[Resource, ...]:
    """Every kind that is watched; of ConfigMaps only those of Porter's own namespace."""
    return (
        Resource("Service", "/api/v1/services"),
        Resource("EndpointSlice", "/apis/discovery.k8s.io/v1/endpointslices"),
        Resource("Node", "/api/v1/nodes"),
        Resource("Namespace", "/api/v1/namespaces"),
        Resource("Eip", "/apis/network.kubesphere.io/v1alpha2/eips", _CRDS),
        Resource("BgpConf", "/apis/network.kubesphere.io/v1alpha2/bgpconfs", _CRDS),
        Resource("BgpPeer", "/apis/network.kubesphere.io/v1alpha2/bgppeers", _CRDS),
        Resource(
            "BgpAdvertisement", "/apis/network.kubesphere.io/v1alpha2/bgpadvertisements", _CRDS, frozenset({NOT_FOUND})
        ),
        # Only a warning depends on it: a role that does not grant it must not hold everything up.
        Resource(
            "ServiceCIDR", "/apis/networking.k8s.io/v1/servicecidrs", _NO_RANGES, frozenset({FORBIDDEN, NOT_FOUND})
        ),
        Resource("ConfigMap", f"/api/v1/namespaces/{namespace}/configmaps"),
    )


class Expired(Exception):
    """The resourceVersion is too old for the server's history (410): list anew."""


class _Absent(ApiError):
    """A kind that can be done without is not there."""


class LineTooLong(ApiError):
    """A watch event exceeds `MAX_LINE_BYTES`."""

    def __init__(self) -> None:
        super().__init__(0, "LineTooLong", f"a watch event exceeds {MAX_LINE_BYTES} bytes; shrink the object")


class _ListMetadata(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    token: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, gc=False):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _WatchEvent(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Failure(msgspec.Struct, gc=False):
    code: int = 0
    reason: str = ""
    message: str = ""


class _VersionMetadata(msgspec.Struct, gc=False):
    resource_version: str = msgspec.field(default="", name="resourceVersion")


class _Versioned(msgspec.Struct, gc=False):
    metadata: _VersionMetadata


_page_decoder = msgspec.json.Decoder(_Page)
_event_decoder = msgspec.json.Decoder(_WatchEvent)
_failure_decoder = msgspec.json.Decoder(_Failure)
_version_decoder = msgspec.json.Decoder(_Versioned)


async def split_lines(chunks: AsyncIterable[bytes], limit_bytes: int = MAX_LINE_BYTES) -> AsyncIterator[list[bytes]]:
    """Yield the complete lines of each chunk as it arrives; aiohttp's own reader refuses lines over its buffer.

    Raises:
        LineTooLong: a line exceeds `limit_bytes`.
    """
    pending: list[bytes] = []
    pending_bytes = 0
    async for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        if complete:
            pending.append(complete[0])
            lines = [b"".join(pending), *complete[1:]]
            pending, pending_bytes = [], 0
            yield [line for line in lines if line]
        pending.append(rest)
        pending_bytes += len(rest)
        if pending_bytes > limit_bytes:
            raise LineTooLong


class Reflector:
    """Keeps one kind of the inventory as the API server has it; `state` says how far it is, for `/readyz`."""

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        inventory: Inventory,
        *,
        instrumentation: Instrumentation | None = None,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        page_items: int = PAGE_ITEMS,
    ) -> None:
        self.resource = resource
        self.state = "not listed yet"
        self._client = client
        self._inventory = inventory
        self._instrumentation = instrumentation
        self._idle_timeout_s = idle_timeout_s
        self._page_items = page_items
        self._version = ""
        self._refusals = 0
        self._listed = False
        self._undisturbed: asyncio.Timeout | None = None

    async def run(self) -> None:
        """List and watch until cancelled; whatever the server answers is retried with back-off and jitter."""
        while True:
            try:
                # It never elapses by itself: `_disturb` ends with it whatever is going on.
                async with asyncio.timeout(None) as undisturbed:
                    self._undisturbed = undisturbed
                    await self._list_and_watch()
            except TimeoutError:
                if not undisturbed.expired():
                    raise
            except Expired:
                self._count_restart("expired")
                self._list_anew("the server no longer has the history since the last version seen")

    async def _list_and_watch(self) -> None:
        if not self._listed:
            async for attempt in self._retrying():
                with attempt:
                    await self._list()
            self._listed = True
            self._told(SYNCED)
        while True:
            async for attempt in self._retrying():
                with attempt:
                    await self._watch()
            self._told(SYNCED)

    def renew(self) -> None:
        """Watch on by a new connection, from the last version seen: the present one may be dead without a sign."""
        if self._listed:
            self._disturb()

    def relist(self) -> None:
        """List anew; the kind is not synced until that is through."""
        self._list_anew("what the journal says is newer than what is watched")
        self._disturb()

    def _list_anew(self, why: str) -> None:
        self._listed = False
        self._inventory.unsync(self.resource.kind)
        self._told(f"listing anew: {why}")

    def _disturb(self) -> None:
        if self._undisturbed is not None and not self._undisturbed.expired():
            self._undisturbed.reschedule(asyncio.get_running_loop().time())

    def _retrying(self) -> AsyncRetrying:
        return AsyncRetrying(wait=_backoff, retry=retry_if_exception_type(ApiError), before_sleep=self._failed)

    def _failed(self, attempt: RetryCallState) -> None:
        error = attempt.outcome.exception() if attempt.outcome else None
        if isinstance(error, _Absent):
            self._told(f"{SYNCED}, as none: {error}; {self.resource.mend}")
            return
        reason = error.reason if isinstance(error, ApiError) else "Unknown"
        mend = f"; {self.resource.mend}" if isinstance(error, ApiError) and error.status == NOT_FOUND else ""
        self._count_restart(reason)
        self._told(f"{error}{mend}")

    def _told(self, state: str) -> None:
        """Keep the state, and log it when it is another."""
        if state != self.state:
            _log.info("reflector", resource=self.resource.plural, state=state)
        self.state = state

    def _count_restart(self, reason: str) -> None:
        if self._instrumentation:
            labels = {"resource": self.resource.plural, "reason": reason}
            self._instrumentation.count("porter_kube_watch_restarts_total", 1, labels)

    def _note_alive(self) -> None:
        if self._instrumentation:
            labels = {"resource": self.resource.plural}
            self._instrumentation.gauge("porter_kube_last_event_timestamp_seconds", time.time(), labels)

    async def _list(self) -> None:
        """List all pages.

        Raises:
            _Absent: the kind is not there and can be done without; it counts as listed, and empty.
            ApiError: the listing failed.
        """
        try:
            await self._list_pages()
        except ApiError as error:
            if error.status not in self.resource.optional:
                raise
            self._refusals += 1
            if self._inventory.knows_any(self.resource.kind) and self._refusals < ABSENT_AFTER:
                raise
            self._inventory.begin_listing(self.resource.kind)
            self._inventory.end_listing(self.resource.kind)
            raise _Absent(error.status, error.reason, str(error)) from error
        self._refusals = 0

    async def _list_pages(self) -> None:
        """List all pages; a page that is too large is asked for again in smaller portions."""
        kind = self.resource.kind
        self._inventory.begin_listing(kind)
        token, version = "", ""
        while True:
            query = f"limit={self._page_items}{token and '&continue='}{token}"
            try:
                raw = await self._client.request("GET", self.resource.path, query=query, timeout_s=LIST_TIMEOUT_S)
                page = _page_decoder.decode(raw)
            except BodyTooLarge:
                if self._page_items == 1:
                    raise
                self._page_items = max(1, self._page_items // 8)
                continue
            except (msgspec.DecodeError, RecursionError) as error:
                raise ApiUnavailable(f"{self.resource.path} answers no list that can be read: {error}") from error
            for item in page.items or ():
                self._inventory.put(kind, item)
            token, version = page.metadata.token, page.metadata.resource_version or version
            if not token:
                break
        self._version = version
        self._inventory.end_listing(kind)

    async def _watch(self) -> None:
        """Watch from the last version seen until the server ends the watch or the connection breaks.

        Raises:
            Expired: the version is too old.
            ApiError: the watch was refused, or ended before it brought anything.
        """
        timeout_s = MIN_WATCH_S + secrets.randbelow(MAX_WATCH_S - MIN_WATCH_S + 1)
        query = f"watch=true&allowWatchBookmarks=true&resourceVersion={self._version}&timeoutSeconds={timeout_s}"
        began_s, began_at = time.monotonic(), self._version
        try:
            async with self._client.stream(self.resource.path, query, self._idle_timeout_s) as content:
                self._told(SYNCED)
                async for lines in split_lines(content.iter_any()):
                    self._note_alive()
                    for line in lines:
                        self._take(line)
        except ApiError as error:
            if error.status == GONE or error.status in self.resource.optional:
                raise Expired from error
            if self._version == began_at and time.monotonic() - began_s < SHORTEST_WATCH_S:
                raise
            self._count_restart(error.reason)
            return
        if self._version == began_at and time.monotonic() - began_s < SHORTEST_WATCH_S:
            raise ApiUnavailable(f"the watch of {self.resource.plural} ended at once")

    def _take(self, line: bytes) -> None:
        """Apply one watch event and remember its version."""
        try:
            event = _event_decoder.decode(line)
            if event.type == "BOOKMARK":
                self._version = _version_decoder.decode(event.object).metadata.resource_version or self._version
                return
        except RecursionError:
            # Nested deeper than any field that is read; the version that it had comes with the next bookmark.
            self._inventory.rejected += 1
            _log.warning("watch event too deep", resource=self.resource.plural)
            return
        except msgspec.DecodeError as error:
            raise ApiUnavailable(f"the watch of {self.resource.plural} sent no watch event: {error}") from error
        if event.type == "ERROR":
            raise self._failure(event.object)
        if event.type == "DELETED":
            version = self._inventory.remove(self.resource.kind, event.object)
        else:
            version = self._inventory.put(self.resource.kind, event.object)
        self._version = version or self._version

    def _failure(self, raw: msgspec.Raw) -> Exception:
        try:
            failure = _failure_decoder.decode(raw)
        except msgspec.DecodeError as error:
            return ApiUnavailable(f"the watch of {self.resource.plural} ended with an unreadable error: {error}")
        if failure.code == GONE or failure.reason in ("Expired", "Gone"):
            return Expired(failure.message)
        return ApiError(failure.code, failure.reason or "Unknown", failure.message)


_exponential = wait_exponential_jitter(multiplier=FIRST_BACKOFF_S, max=LONGEST_BACKOFF_S, jitter=FIRST_BACKOFF_S)


def _backoff(attempt: RetryCallState) -> float:
    """Wait exponentially with jitter; a kind that is not installed is asked for slowly.

    A refusal (403) is not: an API server that comes back refuses everybody until it has read its roles.
    """
    error = attempt.outcome.exception() if attempt.outcome else None
    wait_s = _exponential(attempt)
    if isinstance(error, _Absent):
        return ABSENT_KIND_RETRY_S + wait_s
    if isinstance(error, ApiError) and error.status in (401, NOT_FOUND):
        return MISSING_KIND_RETRY_S + wait_s
    return wait_s
