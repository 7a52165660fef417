"""What a cluster says of itself, for a person who looks for what is wrong: read once, nothing is watched.

Each part is asked by itself: what the credentials may not read is told as such, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import yaml

from porter.kube.anchor import ANCHOR_ANNOTATION, decode_anchor
from porter.kube.client import ApiError, ApiUnavailable, KubeClient
from porter.kube.lease import LEASE_NAME
from porter.ports import Anchor, AnchorUnavailable

WORKLOADS_MAX = 500
"""Most DaemonSets and Deployments of each kind that are looked through."""


class LeaseFacts(NamedTuple):
    """Who holds the Lease, when it was renewed (Unix seconds), for how long it stands, and its anchor."""

    holder: str
    renewed_s: float
    duration_s: int
    anchor: Anchor | None
    anchor_problem: str = ""


class ClusterFacts(NamedTuple):
    """What was read; None where `refused` says why it could not be."""

    version: str | None
    resources: frozenset[str] | None
    lease: LeaseFacts | None
    proxy: dict[str, Any] | None
    """kube-proxy's configuration; empty where there is none."""
    workloads: tuple[str, ...] | None
    """DaemonSets and Deployments as "namespace/name"."""
    refused: tuple[tuple[str, str], ...]


async def examine_cluster(client: KubeClient, namespace: str) -> ClusterFacts:
    """Read what there is to read.

    Raises:
        ApiUnavailable: the API server does not answer.
    """
    refused: list[tuple[str, str]] = []

    async def read(what: str, reader: Callable[[KubeClient, str], Awaitable[Any]]) -> Any:
        try:
            return await reader(client, namespace)
        except ApiUnavailable:
            raise
        except ApiError as error:
            refused.append((what, str(error)))
            return None

    return ClusterFacts(
        version=await read("version", _version),
        resources=await read("crds", _resources),
        lease=await read("lease", _lease),
        proxy=await read("kubeProxy", _proxy),
        workloads=await read("otherControllers", _workloads),
        refused=tuple(refused),
    )


async def _get(client: KubeClient, path: str, query: str = "") -> Any:
    return msgspec.json.decode(await client.request("GET", path, query=query))


async def _version(client: KubeClient, _namespace: str) -> str:
    return str((await _get(client, "/version"))["gitVersion"])


async def _resources(client: KubeClient, _namespace: str) -> frozenset[str]:
    """The resources of Porter's group that are served, in any version."""
    try:
        group = await _get(client, "/apis/network.kubesphere.io")
    except ApiError as error:
        if error.status == 404:
            return frozenset()
        raise
    found: set[str] = set()
    for version in group["versions"]:
        listed = await _get(client, f"/apis/{version['groupVersion']}")
        found |= {each["name"] for each in listed["resources"] if "/" not in each["name"]}
    return frozenset(found)


async def _lease(client: KubeClient, namespace: str) -> LeaseFacts | None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE_NAME}"
    try:
        lease = await _get(client, path)
    except ApiError as error:
        if error.status == 404:
            return LeaseFacts("", 0.0, 0, None)
        raise
    spec = lease.get("spec") or {}
    renewed = spec.get("renewTime")
    text = ((lease.get("metadata") or {}).get("annotations") or {}).get(ANCHOR_ANNOTATION)
    anchor, problem = None, ""
    try:
        anchor = decode_anchor(text)
    except AnchorUnavailable as error:
        problem = str(error)
    renewed_s = datetime.fromisoformat(renewed).timestamp() if renewed else 0.0
    return LeaseFacts(
        spec.get("holderIdentity") or "", renewed_s, spec.get("leaseDurationSeconds") or 0, anchor, problem
    )


async def _proxy(client: KubeClient, _namespace: str) -> dict[str, Any]:
    try:
        found = await _get(client, "/api/v1/namespaces/kube-system/configmaps/kube-proxy")
        loaded = yaml.safe_load((found.get("data") or {}).get("config.conf") or "")
    except ApiError as error:
        if error.status == 404:
            return {}
        raise
    except yaml.YAMLError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


async def _workloads(client: KubeClient, _namespace: str) -> tuple[str, ...]:
    found = []
    for kind in ("daemonsets", "deployments"):
        listed = await _get(client, f"/apis/apps/v1/{kind}", f"limit={WORKLOADS_MAX}")
        found += [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in listed["items"]]
    return tuple(found)
