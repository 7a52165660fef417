"""`KubeSource`: facts from a Kubernetes API server, by one reflector per kind."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from porter.events.catalogue import Event
from porter.kube.client import KubeClient
from porter.kube.facts import FactSettings
from porter.kube.facts.convert import FACT_KINDS
from porter.kube.inventory import Inventory
from porter.kube.objects import Kind
from porter.kube.reflector import IDLE_TIMEOUT_S, PAGE_ITEMS, Reflector, resources
from porter.ports import FactKey, FactKind, Instrumentation

_BEHIND: Mapping[FactKind, frozenset[Kind]] = {
    **{fact_kind: frozenset({kind}) for kind, fact_kind in FACT_KINDS.items()},
    "Endpoints": frozenset({"EndpointSlice"}),
    "Conf": frozenset({"BgpConf", "ConfigMap"}),
    "Peer": frozenset({"BgpPeer", "ConfigMap"}),
    "Advertisement": frozenset({"BgpAdvertisement", "ConfigMap"}),
}
"""The kinds of objects that facts of a kind are made of; ConfigMaps are those of an old configuration."""


class KubeSource:
    """The port `Source` over an API server; a Service re-created under its name shows the new object's uid."""

    def __init__(
        self,
        client: KubeClient,
        settings: FactSettings | None = None,
        *,
        instrumentation: Instrumentation | None = None,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        page_items: int = PAGE_ITEMS,
    ) -> None:
        settings = settings or FactSettings()
        self.inventory = Inventory(settings)
        self._reflectors = [
            Reflector(
                client,
                resource,
                self.inventory,
                instrumentation=instrumentation,
                idle_timeout_s=idle_timeout_s,
                page_items=page_items,
            )
            for resource in resources(settings.namespace)
        ]

    @property
    def facts(self) -> Mapping[FactKey, Event]:
        """The present fact of every object that concerns Porter."""
        return self.inventory.facts

    @property
    def synced(self) -> bool:
        """Whether every kind was listed completely, and none is being listed anew."""
        return self.inventory.synced

    async def run(self) -> None:
        """List and watch every kind until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._reflectors:
                tasks.create_task(reflector.run(), name=f"reflector {reflector.resource.plural}")

    async def changed(self) -> frozenset[FactKey]:
        """Wait until facts or `synced` changed; return the facts' keys and forget them."""
        return await self.inventory.changed()

    async def refresh(self) -> None:
        """Watch every kind by a new connection, from the last version seen.

        A server sends at once what came since, or waits until it has it. A connection that died without a sign would
        be noticed after `KEEPALIVE_S`, or `IDLE_TIMEOUT_S` where only the server behind it is dead.
        """
        for reflector in self._reflectors:
            reflector.renew()

    def relist(self, kinds: Collection[FactKind]) -> None:
        """List what facts of these kinds are made of anew: quorum reads, none of which began before this."""
        wanted = {kind for fact_kind in kinds for kind in _BEHIND[fact_kind]}
        for reflector in self._reflectors:
            if reflector.resource.kind in wanted:
                reflector.relist()

    def listed(self, kind: FactKind) -> bool:
        """Whether all that facts of a kind are made of was listed, and nothing of it is being listed anew."""
        return self.inventory.listed(_BEHIND[kind])

    def parts(self) -> Mapping[str, str]:
        """Each reflector's state: it begins with "synced", or says why it is not."""
        return {reflector.resource.plural: reflector.state for reflector in self._reflectors}
