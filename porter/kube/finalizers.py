"""Takes off the finalizers that an OpenELB left behind, so that no deletion hangs: nobody else would any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from porter.kube.burdens import Burden
from porter.kube.client import MERGE_PATCH, ApiError, KubeClient
from porter.kube.inventory import Inventory

_log = structlog.get_logger(__name__)

WRITE_TIMEOUT_S = 3.0
ROUND_INTERVAL_S = 1.0
REFUSED_RETRY_S = 60.0
"""A patch that is not allowed is tried again this often: somebody may grant the right."""

_PATHS = {
    "Service": "/api/v1/namespaces/{namespace}/services/{name}",
    "Eip": "/apis/network.kubesphere.io/v1alpha2/eips/{name}",
    "BgpConf": "/apis/network.kubesphere.io/v1alpha2/bgpconfs/{name}",
    "BgpPeer": "/apis/network.kubesphere.io/v1alpha2/bgppeers/{name}",
}


class FinalizerWriter:
    """Works off the inventory's burdens while this process leads and has seen every object.

    `leads` is asked right before every request. A patch holds for the very version that was seen, or not at all.
    """

    def __init__(self, client: KubeClient, inventory: Inventory, leads: Callable[[], bool]) -> None:
        self._client = client
        self._inventory = inventory
        self._leads = leads
        self._not_before_s: dict[tuple[str, str, str], float] = {}

    async def run(self) -> None:
        """Take finalizers off until cancelled, in rounds."""
        burdens = self._inventory.burdens
        while True:
            await burdens.wait_for_any()
            due = dict(burdens.present)
            self._not_before_s = {key: due_s for key, due_s in self._not_before_s.items() if key in due}
            for key, burden in due.items():
                if not (self._leads() and self._inventory.synced):
                    break
                now_s = asyncio.get_running_loop().time()
                if self._not_before_s.get(key, now_s) <= now_s and burdens.present.get(key) == burden:
                    self._not_before_s[key] = now_s + await self._take_off(key, burden)
            await asyncio.sleep(ROUND_INTERVAL_S)

    async def _take_off(self, key: tuple[str, str, str], burden: Burden) -> float:
        """Patch one object; return after how many seconds to try again, if it still carries them."""
        kind, namespace, name = key
        path = _PATHS[kind].format(namespace=namespace, name=name)
        metadata = {"uid": burden.uid, "resourceVersion": burden.resource_version, "finalizers": burden.kept}
        try:
            await self._client.request(
                "PATCH", path, body={"metadata": metadata}, content_type=MERGE_PATCH, timeout_s=WRITE_TIMEOUT_S
            )
        except ApiError as error:
            # 404 and 409: its deletion, or a newer version of it, is about to be seen.
            if error.status not in (404, 409):
                _log.warning("finalizers not taken off", kind=kind, namespace=namespace, name=name, why=str(error))
            return REFUSED_RETRY_S if error.status in (403, 422) else ROUND_INTERVAL_S
        _log.info("finalizers taken off", kind=kind, namespace=namespace, name=name)
        return ROUND_INTERVAL_S
