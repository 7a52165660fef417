"""Documents from a cluster: every kind that a migration looks at is listed once, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from porter.app.migrate.reading import Document, Fault, parse_tree
from porter.kube.client import ApiError, KubeClient

PAGE_SIZE = 500
LIST_TIMEOUT_S = 60.0
FORBIDDEN = 403
NOT_FOUND = 404


class Listing(NamedTuple):
    """A path that is listed, and what its items are. `instead` is listed where the server does not know `path`."""

    path: str
    api_version: str
    kind: str
    instead: Listing | None = None


def _custom(group: str, plural: str, kind: str, versions: Sequence[str]) -> Listing:
    newest, *older = versions
    instead = _custom(group, plural, kind, older) if older else None
    return Listing(f"/apis/{group}/{newest}/{plural}", f"{group}/{newest}", kind, instead)


def _config_map(namespace: str, name: str) -> Listing:
    return Listing(f"/api/v1/namespaces/{namespace}/configmaps?fieldSelector=metadata.name%3D{name}", "v1", "ConfigMap")


CORE = (Listing("/api/v1/services", "v1", "Service"), Listing("/api/v1/namespaces", "v1", "Namespace"))
_METALLB = "metallb.io"
METALLB = (
    _custom(_METALLB, "ipaddresspools", "IPAddressPool", ["v1beta1"]),
    _custom(_METALLB, "bgppeers", "BGPPeer", ["v1beta2", "v1beta1"]),
    _custom(_METALLB, "bgpadvertisements", "BGPAdvertisement", ["v1beta1"]),
    _custom(_METALLB, "l2advertisements", "L2Advertisement", ["v1beta1"]),
    _custom(_METALLB, "communities", "Community", ["v1beta1"]),
    _custom(_METALLB, "bfdprofiles", "BFDProfile", ["v1beta1"]),
    _config_map("metallb-system", "config"),
    *CORE,
)
_OPENELB = "network.kubesphere.io"
_WEBHOOKS = "admissionregistration.k8s.io"
OPENELB = (
    _custom(_OPENELB, "eips", "Eip", ["v1alpha2", "v1alpha1"]),
    _custom(_OPENELB, "bgpconfs", "BgpConf", ["v1alpha2", "v1alpha1"]),
    _custom(_OPENELB, "bgppeers", "BgpPeer", ["v1alpha2", "v1alpha1"]),
    Listing("/api/v1/namespaces/porter-system/configmaps", "v1", "ConfigMap"),
    Listing("/api/v1/namespaces/openelb-system/configmaps", "v1", "ConfigMap"),
    _custom(_WEBHOOKS, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", ["v1"]),
    _custom(_WEBHOOKS, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", ["v1"]),
    *CORE,
)


async def read(kubeconfig: Path, listings: Sequence[Listing]) -> tuple[list[Document], list[Fault]]:
    """List everything; a kind that the server does not know has no objects, and one that may not be listed is a fault.

    Raises:
        InvalidKubeconfig: the file cannot be used.
        ApiError: the server does not answer, or refuses.
    """
    client = await KubeClient.connect(kubeconfig)
    documents: list[Document] = []
    faults: list[Fault] = []
    try:
        for listing in listings:
            for found in await _listed(client, listing):
                (faults if isinstance(found, Fault) else documents).append(found)  # type: ignore[arg-type]
    finally:
        await client.close()
    return documents, faults


async def _listed(client: KubeClient, listing: Listing) -> list[Document | Fault]:
    found: list[Document | Fault] = []
    path, _, query = listing.path.partition("?")
    going_on = ""
    while True:
        wanted = "&".join(filter(None, (query, f"limit={PAGE_SIZE}", going_on)))
        try:
            body = await client.request("GET", path, query=wanted, timeout_s=LIST_TIMEOUT_S)
        except ApiError as error:
            if error.status == FORBIDDEN:
                return [Fault(f"the cluster, {path}", "", f"{error}; what it holds is missing from all that follows")]
            if error.status != NOT_FOUND:
                raise
            return await _listed(client, listing.instead) if listing.instead is not None else []
        page: dict[str, Any] = msgspec.json.decode(body)
        for item in page.get("items") or ():
            tree = {"apiVersion": listing.api_version, "kind": listing.kind, **item}
            found.extend(parse_tree(tree, f"the cluster, {path}"))
        token = page.get("metadata", {}).get("continue")
        if not token:
            return found
        going_on = f"continue={token}"
