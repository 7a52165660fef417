"""`LeaseElection`: leadership by a coordination.k8s.io/v1 Lease, with the journal's anchor beside it.

    candidate --create or take over (compare-and-set by resourceVersion)--> leader
    leader    --no renewal for `renew_deadline_s`, another holder, resigned--> candidate

The holder counts its deadline from before it sent the renewal, candidates count from when they saw the Lease change;
both by monotonic clocks, and the deadline is shorter than the Lease, so that two holders never overlap while clocks
run at the same speed. `leaseTransitions` rises with every new holder: it is the fencing token's lower bound.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from porter.kube.anchor import ANCHOR_ANNOTATION, decode_anchor, encode_anchor
from porter.kube.client import MERGE_PATCH, ApiError, KubeClient
from porter.kube.leadership import Leadership
from porter.ports import Anchor, AnchorUnavailable, Clock

_log = structlog.get_logger(__name__)

LEASE_NAME = "porter-controller"
CALL_TIMEOUT_S = 1.5
"""No call of the election may take longer: several must fit into the renewal deadline."""

RELEASE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """The three durations, in seconds; each must be longer than the next."""

    lease_duration_s: float = 5.0
    renew_deadline_s: float = 3.5
    retry_period_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.lease_duration_s > self.renew_deadline_s > self.retry_period_s > 0:
            raise ValueError(f"{self} must fall: lease duration > renew deadline > retry period > 0")


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Spec(msgspec.Struct, gc=False, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


class LeaseElection:
    """The port `Election` over a Lease in `namespace`. The identity is unique to this process' run."""

    def __init__(
        self, client: KubeClient, namespace: str, name: str, clock: Clock, settings: LeaseSettings | None = None
    ) -> None:
        self.settings = settings or LeaseSettings()
        self.identity = f"{name}_{secrets.token_hex(4)}"
        self.state = "not campaigning yet"
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._leases}/{LEASE_NAME}"
        self._leadership = Leadership()
        self._deadline_s = 0.0
        self._version = ""
        self._watched: tuple[str, float] = ("", 0.0)
        self._stay_away_until_s = 0.0
        self._resigned = ""
        self._holder = ""
        self._anchor: Anchor | None = None
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Campaign, renew and give up until cancelled; releases the Lease at the end."""
        try:
            while True:
                if self._leadership.held:
                    await self._hold()
                else:
                    await self._campaign()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            await self._release()

    async def elected(self) -> int:
        """Wait until this process leads; return the Lease's transitions."""
        return await self._leadership.elected()

    async def deposed(self) -> None:
        """Wait until this process leads no more."""
        await self._leadership.deposed()

    def leads(self) -> bool:
        """Whether the monotonic deadline of the last renewal still stands."""
        return self._leadership.held and not self._resigned and self._clock.monotonic_s() < self._deadline_s

    def leader(self) -> str:
        """The Lease's holder as it was last read; "" where the Lease is free, or could not be read."""
        return (self.identity if self.leads() else self._holder).rpartition("_")[0]

    def resign(self, why: str) -> None:
        """Give the Lease up now, and stay away from it for one lease duration."""
        if not self._leadership.held:
            return
        self._resigned = why
        self._wake.set()
        self._stay_away_until_s = self._clock.monotonic_s() + self.settings.lease_duration_s

    async def read_anchor(self) -> Anchor | None:
        """Read the anchor afresh; None where none was ever written.

        Raises:
            AnchorUnavailable: the API server did not answer, or something else stands where the anchor should.
        """
        try:
            lease = await self._read()
        except ApiError as error:
            raise AnchorUnavailable(f"the Lease cannot be read: {error}") from error
        return decode_anchor((lease.metadata.annotations or {}).get(ANCHOR_ANNOTATION)) if lease else None

    def write_anchor(self, anchor: Anchor) -> None:
        """Keep this anchor; the next renewal writes it."""
        self._anchor = anchor

    async def ensure_namespace(self) -> None:
        """Create the Lease's Namespace where it is missing.

        Raises:
            ApiError: the API server did not answer, or refuses it.
        """
        try:
            await self._client.request("GET", f"/api/v1/namespaces/{self._namespace}")
        except ApiError as error:
            if error.status != 404:
                raise
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
            try:
                await self._client.request("POST", "/api/v1/namespaces", body=body)
            except ApiError as other:
                if other.status != 409:
                    raise

    # ------------------------------------------------------------------------------------------------------- leading

    async def _hold(self) -> None:
        """Renew, or find that leadership is over."""
        if self._resigned:
            await self._release()
            self._step_down(self._resigned)
            return
        began_s = self._clock.monotonic_s()
        if began_s >= self._deadline_s:
            self._step_down("this process stood still beyond the renewal deadline")
            return
        try:
            lease = await self._renewed()
        except (ApiError, TimeoutError) as error:
            self.state = f"the Lease was not renewed: {str(error) or 'no answer in time'}"
            if self._clock.monotonic_s() >= self._deadline_s:
                self._step_down(self.state)
            return
        if lease is None:
            self._step_down("another process took the Lease")
            return
        self._version = lease.metadata.resource_version
        self._deadline_s = began_s + self.settings.renew_deadline_s
        self.state = "leading"

    async def _renewed(self) -> _Lease | None:
        """Write one renewal; None where somebody else holds the Lease now."""
        left_s = self._deadline_s - self._clock.monotonic_s()
        async with asyncio.timeout(max(0.0, min(CALL_TIMEOUT_S, left_s))):
            try:
                return await self._patch(self._version, self._own_spec(self._leadership.transitions))
            except ApiError as error:
                if error.status == 404:
                    # Somebody deleted it; whoever creates it first holds it.
                    return await self._create(self._leadership.transitions)
                if error.status != 409:
                    raise
            lease = await self._read()
            if lease is None or lease.spec.holder_identity != self.identity:
                return None
            return await self._patch(lease.metadata.resource_version, self._own_spec(self._leadership.transitions))

    def _step_down(self, why: str) -> None:
        _log.warning("leadership lost", why=why)
        self.state = f"standing by: {why}"
        self._resigned = ""
        self._watched = ("", 0.0)
        self._anchor = None
        self._leadership.lose()

    # --------------------------------------------------------------------------------------------------- campaigning

    async def _campaign(self) -> None:
        """Look at the Lease, and take it where it is free or its holder has not renewed it for its duration."""
        self._anchor = None  # What was kept before this leadership is no longer true.
        now_s = self._clock.monotonic_s()
        if now_s < self._stay_away_until_s:
            return
        try:
            async with asyncio.timeout(self.settings.renew_deadline_s):
                lease = await self._read()
                if lease is not None and not self._is_free(lease, now_s):
                    self._holder = lease.spec.holder_identity or ""
                    self.state = f"standing by: {lease.spec.holder_identity} leads"
                    return
                self._holder = ""
                began_s = self._clock.monotonic_s()
                transitions = (lease.spec.lease_transitions or 0 if lease else 0) + 1
                if lease is None:
                    taken = await self._create(transitions)
                else:
                    taken = await self._patch(lease.metadata.resource_version, self._taken_spec(transitions))
        except (ApiError, TimeoutError) as error:
            self._campaign_failed(error)
            return
        self._version = taken.metadata.resource_version
        self._deadline_s = began_s + self.settings.renew_deadline_s
        self.state = "leading"
        _log.info("leadership gained", identity=self.identity, transitions=transitions)
        self._leadership.gain(transitions)

    def _is_free(self, lease: _Lease, now_s: float) -> bool:
        """Whether nobody holds the Lease, or its holder was silent for the duration that it stated."""
        version = lease.metadata.resource_version
        if self._watched[0] != version:
            self._watched = (version, now_s)
        if lease.spec.holder_identity in (None, "", self.identity):
            return True
        duration_s = lease.spec.lease_duration_seconds or self.settings.lease_duration_s
        return now_s - self._watched[1] > duration_s

    def _campaign_failed(self, error: Exception) -> None:
        self._holder = ""
        if isinstance(error, ApiError) and error.status == 409:
            self.state = "standing by: another process was faster"
            return
        mend = ""
        if isinstance(error, ApiError) and error.status == 404:
            mend = f"; create the namespace: kubectl create namespace {self._namespace}"
        state = f"standing by: {str(error) or 'the API server did not answer in time'}{mend}"
        if state != self.state:
            _log.warning("election", state=state)
        self.state = state

    # ------------------------------------------------------------------------------------------------------ requests

    def _own_spec(self, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            # The API holds whole seconds; rounding up keeps candidates away for longer, never shorter.
            "leaseDurationSeconds": int(-(-self.settings.lease_duration_s // 1)),
            "renewTime": self._micro_time(),
            "leaseTransitions": transitions,
        }

    def _taken_spec(self, transitions: int) -> dict[str, Any]:
        return self._own_spec(transitions) | {"acquireTime": self._micro_time()}

    def _micro_time(self) -> str:
        """The present as the API's MicroTime: UTC, six digits after the second."""
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _annotations(self) -> dict[str, Any]:
        return {"annotations": {ANCHOR_ANNOTATION: encode_anchor(self._anchor)}} if self._anchor else {}

    async def _read(self) -> _Lease | None:
        try:
            return _decoded(await self._client.request("GET", self._path, timeout_s=CALL_TIMEOUT_S))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _create(self, transitions: int) -> _Lease:
        metadata = {"name": LEASE_NAME, "namespace": self._namespace} | self._annotations()
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        body |= {"spec": self._taken_spec(transitions)}
        return _decoded(await self._client.request("POST", self._leases, body=body, timeout_s=CALL_TIMEOUT_S))

    async def _patch(self, version: str, spec: dict[str, Any]) -> _Lease:
        """Change the Lease only if it is still at `version`: the API server compares, and answers 409 if not."""
        body = {"metadata": {"resourceVersion": version} | self._annotations(), "spec": spec}
        raw = await self._client.request(
            "PATCH", self._path, body=body, content_type=MERGE_PATCH, timeout_s=CALL_TIMEOUT_S
        )
        return _decoded(raw)

    async def _release(self) -> None:
        """Free the Lease if it is still ours; a failure only means that others wait for its end."""
        if not self._leadership.held:
            return
        self._leadership.lose()
        spec = self._own_spec(self._leadership.transitions) | {"holderIdentity": "", "leaseDurationSeconds": 1}
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await self._patch(self._version, spec)

    def _pause_s(self) -> float:
        """Renew every period; candidates add some jitter, so that they do not collide."""
        period_s = self.settings.retry_period_s
        if self._leadership.held:
            # What resigned meanwhile, or nears its deadline, is looked at sooner.
            return max(0.0, min(period_s, self._deadline_s - self._clock.monotonic_s()))
        return period_s * (1 + secrets.randbelow(200) / 1000)


def _decoded(raw: bytes) -> _Lease:
    try:
        return msgspec.json.decode(raw, type=_Lease)
    except msgspec.DecodeError as error:
        raise ApiError(0, "Malformed", f"the Lease {LEASE_NAME} does not decode: {error}; delete it") from error
