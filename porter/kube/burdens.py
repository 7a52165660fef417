"""The finalizers that an OpenELB left behind: which objects carry one that is to go.

They are taken off an object that is ours, or that is being deleted while carrying one. A Service of another class is
never touched. Porter itself sets none.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from porter.kube.facts import FactSettings
from porter.kube.objects import Kind, KubeObject, Metadata, Service

OLD_FINALIZERS = frozenset(
    {
        "finalizer.lb.kubesphere.io/v1alpha1",
        "finalizer.ipam.kubesphere.io/v1alpha1",
        "node-proxy.openelb.kubesphere.io/finalizer",
    }
)
OLD_FINALIZER_PREFIX = "finalizer.lb.kubesphere.io/"
"""The first Porter set one for each node upon an Eip: the prefix and the node's name."""

BURDENED_KINDS: frozenset[Kind] = frozenset({"Service", "Eip", "BgpConf", "BgpPeer"})


class Burden(NamedTuple):
    """An object's finalizers when it was last seen, of which some are to go."""

    uid: str
    resource_version: str
    finalizers: tuple[str, ...]

    @property
    def kept(self) -> list[str]:
        """What is left without those that an OpenELB set."""
        return [one for one in self.finalizers if not is_old(one)]


def is_old(finalizer: str) -> bool:
    """Whether a finalizer is one that an OpenELB or the first Porter set."""
    return finalizer in OLD_FINALIZERS or finalizer.startswith(OLD_FINALIZER_PREFIX)


class Burdens:
    """What is to be taken off, by kind, namespace and name; kept by the inventory as it sees objects come and go."""

    def __init__(self, settings: FactSettings) -> None:
        self.present: dict[tuple[str, str, str], Burden] = {}
        self._settings = settings
        self._any = asyncio.Event()

    async def wait_for_any(self) -> None:
        """Wait until there is one."""
        await self._any.wait()

    def look(self, kind: Kind, metadata: Metadata, item: KubeObject | None, *, ours: bool) -> None:
        """Note what an object carries; `item` is None where it does not decode, `ours` that Porter serves it."""
        key = (kind, metadata.namespace, metadata.name)
        old = kind in BURDENED_KINDS and any(is_old(one) for one in metadata.finalizers or ())
        if old and (ours or metadata.deletion_timestamp) and not self._is_foreign(kind, item):
            self.present[key] = Burden(metadata.uid, metadata.resource_version, tuple(metadata.finalizers or ()))
            self._any.set()
        else:
            self.forget(*key)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Note that an object is gone, or carries nothing."""
        if self.present.pop((kind, namespace, name), None) and not self.present:
            self._any.clear()

    def _is_foreign(self, kind: Kind, item: KubeObject | None) -> bool:
        """Whether an object is a Service of another class, or one whose class cannot be read."""
        if kind != "Service":
            return False
        return not isinstance(item, Service) or item.spec.load_balancer_class not in (
            None,
            "",
            self._settings.load_balancer_class,
        )
