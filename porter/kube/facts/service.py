"""Services: which are ours, and what they ask for.

The annotations of every generation are read, the newer key winning: `eip.openelb.kubesphere.io/*` before
`eip.porter.kubesphere.io/*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from porter.events.observed import ServiceObserved
from porter.kube.facts import FactSettings
from porter.kube.facts.fields import (
    MAX_NAME_CHARACTERS,
    closed,
    malformed_problem,
    milliseconds,
    newest_annotation,
    pairs,
    quoted,
)
from porter.kube.objects import Malformed, Metadata, Service, ServiceSpec
from porter.model.address import FAMILIES, IPV4, Address, InvalidAddress, parse_address
from porter.model.reasons import Problem, Reason
from porter.model.selector import Pairs

OPT_IN_ANNOTATION = "lb.kubesphere.io/v1alpha1"
OPT_IN_VALUES = frozenset({"openelb", "porter"})
POOL_ANNOTATIONS = ("eip.openelb.kubesphere.io/v1alpha2", "eip.porter.kubesphere.io/v1alpha2")
ADDRESS_ANNOTATIONS = ("eip.openelb.kubesphere.io/v1alpha1", "eip.porter.kubesphere.io/v1alpha1")
SHARING_ANNOTATION = "porter.io/sharing-key"
DECISION_ANNOTATION = "porter.io/decision"
NODE_PROXY_ANNOTATION = "node-proxy.openelb.kubesphere.io/type"
"""OpenELB ran a proxy on the nodes' own ports for such a Service, instead of giving it an address."""

POOL_LABEL = "eip.openelb.kubesphere.io/v1alpha2"
"""The label that OpenELB kept with the pool's name; Porter keeps it up."""

LOAD_BALANCER = "LoadBalancer"
MAX_REQUESTED_ADDRESSES = 16
MAX_ADDRESS_REQUEST_CHARACTERS = 1024
MAX_HELD_ADDRESSES = 16
_DECISION = re.compile(r"#?(\d{1,18})\b")


def is_ours(metadata: Metadata, spec: ServiceSpec, settings: FactSettings) -> bool:
    """Decide whether Porter serves a Service.

    In this order: it must be of type LoadBalancer and not on its way out (a foreign finalizer may hold it for long);
    another class than ours is never touched, whatever its annotations say; then class, annotation, or no class with
    `claim_unclassified`.
    """
    if spec.type != LOAD_BALANCER or metadata.deletion_timestamp:
        return False
    if spec.load_balancer_class:
        return spec.load_balancer_class == settings.load_balancer_class
    return _opted_in(metadata) or settings.claim_unclassified


def _opted_in(metadata: Metadata) -> bool:
    return (metadata.annotations or {}).get(OPT_IN_ANNOTATION, "").strip() in OPT_IN_VALUES


def service_fact(service: Service, settings: FactSettings) -> ServiceObserved | None:
    """Convert a Service; None where it is not ours."""
    metadata, spec = service.metadata, service.spec
    if not is_ours(metadata, spec, settings):
        return None
    problems: list[Problem] = []
    _refuse_node_proxy(metadata, problems)
    return ServiceObserved(
        uid=metadata.uid,
        namespace=metadata.namespace,
        name=metadata.name,
        resource_version=metadata.resource_version,
        created_ms=milliseconds(metadata.creation_timestamp),
        generation=metadata.generation,
        ports=tuple(sorted({(port.protocol or "TCP", port.port) for port in spec.ports or ()})),
        traffic_policy=spec.external_traffic_policy or "Cluster",
        families=_families(spec),
        family_policy=spec.ip_family_policy or "SingleStack",
        requested_pool=_requested_pool(metadata, problems),
        requested_addresses=_requested_addresses(metadata, spec, problems),
        sharing_key=_sharing_key(metadata, problems),
        selector=pairs(spec.selector),
        labels=_foreign_labels(metadata),
        held=held_addresses(service),
        held_decision=_held_decision(metadata),
        problems=closed(problems),
    )


def malformed_service_fact(error: Malformed, settings: FactSettings) -> ServiceObserved | None:
    """Convert a Service that does not decode: known by name, served by nobody, with the fault as its problem.

    It counts as ours by its annotation alone, since its spec cannot be trusted.
    """
    metadata = error.metadata
    if metadata is None or metadata.deletion_timestamp or not (_opted_in(metadata) or settings.claim_unclassified):
        return None
    return ServiceObserved(
        uid=metadata.uid,
        namespace=metadata.namespace,
        name=metadata.name,
        resource_version=metadata.resource_version,
        created_ms=milliseconds(metadata.creation_timestamp),
        generation=metadata.generation,
        ports=(),
        traffic_policy="Cluster",
        families=(IPV4,),
        family_policy="SingleStack",
        labels=_foreign_labels(metadata),
        problems=(malformed_problem(error),),
    )


def _foreign_labels(metadata: Metadata) -> Pairs:
    """Return the labels less the one that Porter writes: its own write must not make another fact."""
    return tuple(pair for pair in pairs(metadata.labels) if pair[0] != POOL_LABEL)


def held_addresses(service: Service) -> tuple[Address, ...]:
    """Return the addresses in a Service's status, canonical, in the API's order; what is no address is left out."""
    load_balancer = service.status.load_balancer
    points = (load_balancer.ingress or []) if load_balancer else []
    return tuple(_canonical(point.ip for point in points[:MAX_HELD_ADDRESSES] if point.ip))


def _canonical(texts: Iterable[str]) -> list[Address]:
    addresses: list[Address] = []
    for text in texts:
        try:
            addresses.append(parse_address(text))
        except InvalidAddress:
            continue
    return addresses


def _families(spec: ServiceSpec) -> tuple[str, ...]:
    """Return the families in the API's order; the defaults are those of a dual-stack API server."""
    if spec.ip_families:
        return tuple(family for family in spec.ip_families[:2] if family in FAMILIES)
    return (IPV4,) if spec.ip_family_policy in ("", "SingleStack") else FAMILIES


def _requested_pool(metadata: Metadata, problems: list[Problem]) -> str:
    key, name = newest_annotation(metadata.annotations, POOL_ANNOTATIONS)
    if len(name) <= MAX_NAME_CHARACTERS:
        return name
    message = f"the annotation {key} names a pool with {len(name)} characters; write the name of an Eip"
    problems.append(Problem(Reason.POOL_NOT_FOUND, _annotation_path(key), message))
    return ""


def _requested_addresses(metadata: Metadata, spec: ServiceSpec, problems: list[Problem]) -> tuple[Address, ...]:
    key, text = newest_annotation(metadata.annotations, ADDRESS_ANNOTATIONS)
    field = _annotation_path(key) if key else "spec.loadBalancerIP"
    text = text or spec.load_balancer_ip.strip()
    if len(text) > MAX_ADDRESS_REQUEST_CHARACTERS:
        message = f"{field} has {len(text)} characters; write at most {MAX_REQUESTED_ADDRESSES} addresses with commas"
        problems.append(Problem(Reason.ADDRESS_INVALID, field, message))
        return ()
    addresses: dict[Address, None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            addresses[parse_address(part)] = None
        except InvalidAddress:
            message = f"{field} asks for {quoted(part)}, which is no IP address; write one like 192.0.2.1"
            problems.append(Problem(Reason.ADDRESS_INVALID, field, message))
    if len(addresses) > MAX_REQUESTED_ADDRESSES:
        message = f"{field} asks for {len(addresses)} addresses; write at most {MAX_REQUESTED_ADDRESSES}"
        problems.append(Problem(Reason.ADDRESS_INVALID, field, message))
        return ()
    return tuple(addresses)


def _refuse_node_proxy(metadata: Metadata, problems: list[Problem]) -> None:
    if (metadata.annotations or {}).get(NODE_PROXY_ANNOTATION, "").strip():
        field = _annotation_path(NODE_PROXY_ANNOTATION)
        message = (
            f"{field} asks for a proxy on the nodes' ports, which Porter does not run; remove it to get an address"
        )
        problems.append(Problem(Reason.FIELD_INVALID, field, message))


def _sharing_key(metadata: Metadata, problems: list[Problem]) -> str:
    key = (metadata.annotations or {}).get(SHARING_ANNOTATION, "").strip()
    if len(key) <= MAX_NAME_CHARACTERS:
        return key
    field = _annotation_path(SHARING_ANNOTATION)
    message = f"{field} has {len(key)} characters; write at most {MAX_NAME_CHARACTERS}"
    problems.append(Problem(Reason.SHARING_REFUSED, field, message))
    return ""


def _held_decision(metadata: Metadata) -> int:
    found = _DECISION.match((metadata.annotations or {}).get(DECISION_ANNOTATION, "").strip()[:64])
    return int(found.group(1)) if found else 0


def _annotation_path(key: str) -> str:
    return f"metadata.annotations[{key}]"
