"""`KubeStatusWriter`: statuses written to the API server, one patch each.

Seen on Kubernetes 1.34: the /status subresource of a Service takes labels and annotations in the same patch; that of a
custom resource ignores them, so that they need a second one. The patch carries uid and resourceVersion: it changes the
very object that was compared, or nothing. A Service's conditions have many owners and are a list keyed by type: they
are written by strategic merge patch, which names ours alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import structlog

from porter.kube.client import MERGE_PATCH, STRATEGIC_MERGE_PATCH, ApiError, ApiUnavailable, KubeClient
from porter.kube.inventory import Inventory, ObjectKey, Seen, seen_in
from porter.kube.objects import Kind
from porter.kube.wanted import WantedStatuses, WriteFailed, merge_patch
from porter.ports import Clock, FactKey, ObjectStatus

_log = structlog.get_logger(__name__)

WRITE_TIMEOUT_S = 3.0
CONFLICT_RETRY_S = 1.0
"""After a conflict the newer object is waited for; this is for the case that its event was the one just compared."""

_PLURALS: dict[Kind, str] = {
    "Eip": "eips",
    "BgpConf": "bgpconfs",
    "BgpPeer": "bgppeers",
    "BgpAdvertisement": "bgpadvertisements",
}
"""The kinds of ours, by the name of their resource."""

_KINDS: dict[str, Kind] = {"Service": "Service", **{kind: kind for kind in _PLURALS}}


class _Answered(NamedTuple):
    """What a write answered, valid until the watch shows another version than the one that was written upon."""

    upon_version: str
    seen: Seen


class KubeStatusWriter(WantedStatuses):
    """The port `StatusWriter` over an API server.

    Of a Service's status only `loadBalancer` and conditions whose type begins with `porter.io/` are written. Labels
    and annotations that are wanted as None are taken off; annotations must begin with `porter.io/`. `leads` is asked
    right before every request.
    """

    def __init__(self, client: KubeClient, inventory: Inventory, leads: Callable[[], bool], clock: Clock) -> None:
        super().__init__(leads, clock)
        self._client = client
        self._inventory = inventory
        self._answered: dict[ObjectKey, _Answered] = {}
        inventory.on_seen = self._look_at

    def want(self, status: ObjectStatus) -> None:
        """Queue a status; an older one of the same object that waits is forgotten."""
        if status.kind == "Service":
            # The API server stores no empty parts: what is compared with it must have none either.
            parts = ((name, status.status.get(name)) for name in ("loadBalancer", "conditions"))
            status = status._replace(status={name: part for name, part in parts if part})
        super().want(status)

    def drop(self) -> None:
        """Forget everything that is wanted: this process leads no more."""
        super().drop()
        self._answered.clear()

    def _forget(self, key: ObjectKey) -> None:
        super()._forget(key)
        self._answered.pop(key, None)

    async def _present(self, key: ObjectKey) -> Seen | None:
        seen = self._inventory.seen(key)
        if seen is None:
            return None
        if key.kind == "Service" and self._wanted[key].status and not self._is_ours(key):
            return None
        answered = self._answered.get(key)
        if answered and answered.upon_version == seen.resource_version:
            return answered.seen
        self._answered.pop(key, None)
        return seen

    def _is_ours(self, key: ObjectKey) -> bool:
        return FactKey("Service", f"{key.namespace}/{key.name}") in self._inventory.facts

    async def _write(self, wanted: ObjectStatus, present: Seen) -> None:
        key = ObjectKey(wanted.kind, wanted.namespace, wanted.name)
        metadata = _metadata_patch(wanted, present)
        status = merge_patch(present.status, wanted.status)
        try:
            if wanted.kind == "Service":
                if "conditions" in status:
                    status["conditions"] = _conditions_patch(wanted, present)
                await self._patch(key, "/status", metadata | {"status": status}, present, STRATEGIC_MERGE_PATCH)
                return
            if status:
                present = await self._patch(key, "/status", {"status": status}, present)
            if metadata and self._leads():
                await self._patch(key, "", metadata, present)
        except ApiUnavailable as error:
            raise WriteFailed(str(error)) from error
        except ApiError as error:
            self._refused(key, error)

    async def _patch(
        self, key: ObjectKey, subresource: str, body: dict[str, Any], present: Seen, kind: str = MERGE_PATCH
    ) -> Seen:
        """Send one patch upon the version of `present`; return what the object says afterwards."""
        metadata = body.setdefault("metadata", {})
        metadata |= {"uid": present.uid, "resourceVersion": present.resource_version}
        path = _path(key) + subresource
        raw = await self._client.request("PATCH", path, body=body, content_type=kind, timeout_s=WRITE_TIMEOUT_S)
        after = seen_in(_KINDS[key.kind], raw) or present
        watched = self._inventory.seen(key)
        if watched and key in self._wanted:
            self._answered[key] = _Answered(watched.resource_version, after)
        return after

    def _refused(self, key: ObjectKey, error: ApiError) -> None:
        """Decide what a refusal means: the object changed or is gone, the server is busy, or it is no use."""
        if error.status == 409:
            self._answered.pop(key, None)
            self._look_later(key, CONFLICT_RETRY_S)
        elif error.status == 404:
            self._forget(key)
        elif error.status == 429 or error.status >= 500 or error.status == 401:
            raise WriteFailed(str(error)) from error
        else:
            _log.error("status refused", kind=key.kind, namespace=key.namespace, name=key.name, why=str(error))
            self._forget(key)


def _path(key: ObjectKey) -> str:
    if key.kind == "Service":
        return f"/api/v1/namespaces/{key.namespace}/services/{key.name}"
    return f"/apis/network.kubesphere.io/v1alpha2/{_PLURALS[_KINDS[key.kind]]}/{key.name}"


def _metadata_patch(wanted: ObjectStatus, present: Seen) -> dict[str, Any]:
    """Return the `metadata` part of a merge patch, or nothing where labels and annotations are as wanted."""
    fields: dict[str, Any] = {}
    sides: tuple[tuple[str, Mapping[str, str | None], Mapping[str, str]], ...] = (
        ("labels", wanted.labels, present.labels),
        ("annotations", wanted.annotations, present.annotations),
    )
    for name, asked, there in sides:
        changes = {key: value for key, value in asked.items() if there.get(key) != value}
        if changes:
            fields[name] = changes
    return {"metadata": fields} if fields else {}


def _conditions_patch(wanted: ObjectStatus, present: Seen) -> list[dict[str, Any]]:
    """Return a Service's conditions in a strategic merge patch: ours that differ, and the deletion of those to go."""
    asked = wanted.status.get("conditions", ())
    assert isinstance(asked, list | tuple)
    there: dict[str, Any] = {each["type"]: each for each in present.status.get("conditions", ())}
    kept = {each["type"] for each in asked}
    changes = [each for each in asked if there.get(each["type"]) != each]
    return changes + [{"type": kind, "$patch": "delete"} for kind in there if kind not in kept]
