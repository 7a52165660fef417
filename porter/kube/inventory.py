"""The present objects of one source, as facts: what both the API server and a folder of manifests fill.

Besides the facts it keeps what the status writer compares with: the status, labels and annotations last seen of each
object that may have a status of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import structlog

from porter.events.catalogue import Event
from porter.events.observed import ConfObserved, EndpointsObserved, PeerObserved, ServiceObserved
from porter.kube.burdens import Burdens
from porter.kube.facts import FactSettings
from porter.kube.facts.bgp import CONF_NAME, inline_password, policy_name
from porter.kube.facts.convert import FACT_KINDS, fact_of, malformed_fact_of
from porter.kube.facts.endpoints import SliceNodes, endpoints_fact, slice_nodes
from porter.kube.facts.service import LOAD_BALANCER
from porter.kube.objects import (
    KINDS,
    ConfigMap,
    Custom,
    EndpointSlice,
    Kind,
    KubeObject,
    Malformed,
    Metadata,
    Service,
    ServiceStatus,
    decode,
)
from porter.kube.old_configuration import OldConfiguration
from porter.ports import FactKey

_log = structlog.get_logger(__name__)

OWN_PREFIX = "porter.io/"
"""Only annotations, and conditions of Services, that are ours are kept for comparison: others are never written."""

_CONFIGURING: frozenset[Kind] = frozenset({"BgpConf", "BgpPeer", "BgpAdvertisement", "ConfigMap"})
"""Kinds whose objects decide what of the old ConfigMaps counts."""


class Seen(NamedTuple):
    """What an object said of itself when it was last seen.

    Of a Service's status it is the ingress and the conditions of ours, by type, and neither where there is none.
    """

    uid: str
    resource_version: str
    status: Mapping[str, Any]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class ObjectKey(NamedTuple):
    """An object by kind, namespace ("" for cluster-scoped kinds) and name."""

    kind: str
    namespace: str
    name: str


class Inventory:
    """Facts by key, updated object by object; listings tell which objects are gone.

    Endpoints appear with the Service of ours that they belong to, and only once every slice has been listed: before,
    "nobody is ready" would be a guess.
    """

    def __init__(self, settings: FactSettings) -> None:
        self.facts: dict[FactKey, Event] = {}
        self.rejected = 0
        """How many objects could not even be named since the start."""
        self.passwords: dict[str, str] = {}
        """Those that are written into BgpPeers, by name: no fact holds them."""
        self.on_seen: Callable[[ObjectKey], None] | None = None
        """Told of every object whose status may have changed."""
        self.burdens = Burdens(settings)
        self._settings = settings
        self._seen: dict[ObjectKey, Seen] = {}
        self._known: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
        self._listing: dict[Kind, set[str]] = {}
        self._synced: set[Kind] = set()
        self._slices: dict[str, dict[str, SliceNodes]] = {}
        self._service_of_slice: dict[str, str] = {}
        self._touched_services: set[str] = set()
        self._old = OldConfiguration(settings.namespace)
        self._derived: set[FactKey] = set()
        self._changed: set[FactKey] = set()
        self._wake = asyncio.Event()

    # ------------------------------------------------------------------------------------------------------ reading

    @property
    def synced(self) -> bool:
        """Whether every kind was listed completely and none is being listed again."""
        return len(self._synced) == len(KINDS)

    def listed(self, kinds: Iterable[Kind]) -> bool:
        """Whether these kinds were listed completely, and none is being listed again."""
        return self._synced.issuperset(kinds)

    def knows_any(self, kind: Kind) -> bool:
        """Whether there is any object of a kind."""
        return bool(self._known[kind])

    def seen(self, key: ObjectKey) -> Seen | None:
        """Return what an object last said of itself, or None where it is not there."""
        return self._seen.get(key)

    async def changed(self) -> frozenset[FactKey]:
        """Wait until facts or `synced` changed; return the facts' keys and forget them."""
        await self._wake.wait()
        self._wake.clear()
        changed, self._changed = frozenset(self._changed), set()
        return changed

    # ------------------------------------------------------------------------------------------------------ filling

    def begin_listing(self, kind: Kind) -> None:
        """Start a listing of a kind: what is not put until its end is gone, and until then absence means nothing."""
        self._listing[kind] = set()
        self.unsync(kind)

    def unsync(self, kind: Kind) -> None:
        """Note that a kind must be listed anew before absence means anything."""
        if kind in self._synced:
            self._synced.discard(kind)
            self._wake.set()

    def end_listing(self, kind: Kind) -> None:
        """End a listing: drop what it did not hold, and count the kind as synced."""
        listed = self._listing.pop(kind)
        for name in self._known[kind] - listed:
            self._drop(kind, name)
        self._synced.add(kind)
        if kind == "EndpointSlice":
            touched, self._touched_services = self._touched_services, set()
            ours = {key.name for key in self.facts if key.kind == "Service"}
            for service in touched | ours:
                self._settle_endpoints(service)
        if kind == "ConfigMap":
            self._settle_old()
        self._wake.set()

    def put(self, kind: Kind, raw: bytes | msgspec.Raw) -> str:
        """Take an object as it is now; return its resourceVersion, "" where it has none that can be read."""
        fact: Event | None
        item: KubeObject | None
        try:
            item = decode(kind, raw)
            fact, metadata = fact_of(kind, item, self._settings), item.metadata
        except Malformed as error:
            if error.metadata is None:
                self.rejected += 1
                _log.warning("object rejected", kind=kind, why=str(error))
                return ""
            _log.warning("object malformed", kind=kind, name=error.metadata.name, why=str(error))
            item, metadata = None, error.metadata
            fact = self._malformed_fact(kind, error)
        name = _full_name(metadata)
        self._known[kind].add(name)
        if kind in self._listing:
            self._listing[kind].add(name)
        if isinstance(item, EndpointSlice):
            self._put_slice(name, slice_nodes(item))
        elif kind in FACT_KINDS:
            self._settle_object(kind, name, fact, item)
            if kind == "BgpPeer" and isinstance(item, Custom):
                self._keep_password(name, inline_password(item, self.passwords.get(name)))
            self._see(kind, metadata, item)
            self.burdens.look(kind, metadata, item, ours=fact is not None)
        elif isinstance(item, ConfigMap):
            self._old.put_map(name, item)
            self._settle_old()
        return metadata.resource_version

    def remove(self, kind: Kind, raw: bytes | msgspec.Raw) -> str:
        """Take an object's deletion, given by its last state; return its resourceVersion as `put` does."""
        try:
            metadata = decode(kind, raw).metadata
        except Malformed as error:
            if error.metadata is None:
                return ""
            metadata = error.metadata
        self._drop(kind, _full_name(metadata))
        return metadata.resource_version

    # ------------------------------------------------------------------------------------------------------- inside

    def _drop(self, kind: Kind, name: str) -> None:
        self._known[kind].discard(name)
        if kind == "EndpointSlice":
            self._put_slice(name, None)
            return
        if kind == "ConfigMap":
            self._old.put_map(name, None)
            self._settle_old()
            return
        self._settle_object(kind, name, None, None)
        if kind == "BgpPeer":
            self._keep_password(name, None)
        namespace, _, bare = name.rpartition("/")
        key = ObjectKey(kind, namespace, bare)
        self.burdens.forget(*key)
        if self._seen.pop(key, None) and self.on_seen:
            self.on_seen(key)

    def _malformed_fact(self, kind: Kind, error: Malformed) -> Event | None:
        if kind not in FACT_KINDS or error.metadata is None:
            return None
        return malformed_fact_of(
            error, self._settings, self.facts.get(FactKey(FACT_KINDS[kind], _full_name(error.metadata)))
        )

    def _settle_object(self, kind: Kind, name: str, fact: Event | None, item: KubeObject | None) -> None:
        """Settle an object's own fact, and what of the old ConfigMaps counts beside it."""
        if kind == "BgpConf" and name == CONF_NAME:
            self._old.put_conf(fact if isinstance(fact, ConfObserved) else None, _policy_of(item))
        else:
            self._settle(FactKey(FACT_KINDS[kind], name), fact)
        if kind in _CONFIGURING:
            self._settle_old()

    def _settle_old(self) -> None:
        names = {FACT_KINDS[kind]: self._known[kind] for kind in ("BgpPeer", "BgpAdvertisement")}
        peers = (self.facts.get(FactKey("Peer", name)) for name in self._known["BgpPeer"])
        derived = self._old.facts(
            (peer for peer in peers if isinstance(peer, PeerObserved)),
            names,
            complete="ConfigMap" in self._synced,
        )
        for key in self._derived - derived.keys():
            if key.name not in names.get(key.kind, ()):
                self._settle(key, None)
        for key, fact in derived.items():
            self._settle(key, fact)
        self._derived = set(derived)

    def _settle(self, key: FactKey, fact: Event | None) -> None:
        """Set or clear a fact; only a change of meaning is told."""
        before = self.facts.get(key)
        if fact is None:
            self.facts.pop(key, None)
        else:
            self.facts[key] = fact
        if before is None and fact is None:
            return
        if before is None or fact is None or meaning(before) != meaning(fact):
            self._changed.add(key)
            self._wake.set()
        if key.kind == "Service" and (before is None or fact is None):
            self._settle_endpoints(key.name)

    def _keep_password(self, name: str, password: str | None) -> None:
        if password is None:
            self.passwords.pop(name, None)
        else:
            self.passwords[name] = password

    def _put_slice(self, name: str, nodes: SliceNodes | None) -> None:
        before = self._service_of_slice.get(name)
        if before is not None and (nodes is None or nodes.service != before):
            of_service = self._slices[before]
            del of_service[name], self._service_of_slice[name]
            if not of_service:
                del self._slices[before]
            self._touch(before)
        if nodes is None:
            return
        of_service = self._slices.setdefault(nodes.service, {})
        if of_service.get(name) != nodes:
            of_service[name] = nodes
            self._service_of_slice[name] = nodes.service
            self._touch(nodes.service)

    def _touch(self, service: str) -> None:
        if "EndpointSlice" in self._listing:
            # An endpoint may have moved to a slice of a later page.
            self._touched_services.add(service)
        else:
            self._settle_endpoints(service)

    def _settle_endpoints(self, service: str) -> None:
        key = FactKey("Endpoints", service)
        if FactKey("Service", service) not in self.facts:
            self._settle(key, None)
        elif "EndpointSlice" in self._synced or key in self.facts:
            namespace, _, name = service.partition("/")
            self._settle(key, endpoints_fact(namespace, name, self._slices.get(service, {}).values()))

    def _see(self, kind: Kind, metadata: Metadata, item: KubeObject | None) -> None:
        key = ObjectKey(kind, metadata.namespace, metadata.name)
        seen = _seen_of(metadata, item)
        if seen is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = seen
        if self.on_seen:
            self.on_seen(key)


def meaning(fact: Event) -> Event:
    """Return a fact without what does not make it another: its version, and what a Service's status held."""
    if isinstance(fact, ServiceObserved):
        return fact._replace(resource_version="", held=(), held_decision=0)
    if isinstance(fact, EndpointsObserved) or not hasattr(fact, "resource_version"):
        return fact
    return fact._replace(resource_version="")  # type: ignore[call-arg, unused-ignore]


def _policy_of(item: KubeObject | None) -> str:
    return policy_name(item) if isinstance(item, Custom) else ""


def _full_name(metadata: Metadata) -> str:
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name


def _seen_of(metadata: Metadata, item: KubeObject | None) -> Seen | None:
    """Return what the status writer compares with; None for an object that gets no status from us."""
    status: Mapping[str, Any] = {}
    if isinstance(item, Service):
        status = _seen_of_service(item.status)
        if not status and item.spec.type != LOAD_BALANCER:
            return None
    elif isinstance(item, Custom):
        status = item.status if isinstance(item.status, dict) else {}
    elif item is not None:
        return None
    annotations = {k: v for k, v in (metadata.annotations or {}).items() if k.startswith(OWN_PREFIX)}
    return Seen(metadata.uid, metadata.resource_version, status, metadata.labels or {}, annotations)


def _seen_of_service(status: ServiceStatus) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    points = (status.load_balancer.ingress or []) if status.load_balancer else []
    if points:
        ingress = [{"ip": p.ip} | ({"ipMode": p.ip_mode} if p.ip_mode else {}) for p in points]
        seen["loadBalancer"] = {"ingress": ingress}
    ours = [each for each in status.conditions or () if each.type.startswith(OWN_PREFIX)]
    if ours:
        seen["conditions"] = [msgspec.to_builtins(each) for each in sorted(ours, key=lambda each: each.type)]
    return seen


def seen_in(kind: Kind, raw: bytes) -> Seen | None:
    """Read from one object's JSON what the status writer compares with; None where it does not decode."""
    try:
        item = decode(kind, raw)
    except Malformed:
        return None
    return _seen_of(item.metadata, item)
