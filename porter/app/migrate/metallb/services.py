"""Services that MetalLB serves: they are marked as Porter's, and pinned to what they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, NamedTuple

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.kubernetes import canonical, held_by
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report

PREFIXES = ("metallb.io/", "metallb.universe.tf/")
"""The newer prefix wins, as with MetalLB."""

OPT_IN = "lb.kubesphere.io/v1alpha1"
POOL = "eip.openelb.kubesphere.io/v1alpha2"
ADDRESSES = "eip.openelb.kubesphere.io/v1alpha1"
SHARING_KEY = "porter.io/sharing-key"
WRITTEN_BY_METALLB = frozenset({"ip-allocated-from-pool"})


class Options(NamedTuple):
    """`service_class` is MetalLB's `--lb-class`; `pin` writes what a Service holds into its request."""

    namespace: str = "porter-system"
    service_class: str = ""
    pin: bool = True


class Claim(NamedTuple):
    """A Service's part in sharing: its key, and the addresses that it holds or requests."""

    key: str
    namespace: str
    addresses: tuple[str, ...]


def convert(
    document: Document, report: Report, options: Options, in_pools: Callable[[str], bool]
) -> tuple[dict[str, Any], Claim] | None:
    """The Service as Porter's, with its status, and its part in sharing; None where MetalLB does not serve it."""
    metadata = Fields(document, report, document.metadata, "metadata")
    spec = Fields(document, report, document.tree.get("spec"), "spec")
    service_class = spec.text("loadBalancerClass")
    if not _is_served(document, spec, service_class, options):
        return None
    annotations: dict[str, str] = dict(document.metadata.get("annotations") or {})
    added: dict[str, str] = {}
    if service_class:
        note = f"{service_class}, which cannot be edited: start Porter with --load-balancer-class {service_class}"
        spec.changed("loadBalancerClass", note)
    else:
        added[OPT_IN] = "porter"
        metadata.changed("annotations", f"{OPT_IN}: porter is added, which makes the Service Porter's")
    found = _requests(metadata, annotations)
    pool, key = found.get("address-pool", ""), found.get("allow-shared-ip", "")
    if pool:
        added[POOL] = pool
    if key:
        added[SHARING_KEY] = key
    held = held_by(document)
    requested = _addresses(metadata, spec, found.get("loadBalancerIPs", ""), annotations)
    if requested:
        added[ADDRESSES] = ",".join(requested)
    pinned = [address for address in held if in_pools(address)]
    status = Fields(document, report, document.tree.get("status"), "status")
    for address in held:
        if address not in pinned:
            note = "lies in no pool that was read; Porter keeps it with the Service, and gives it to no other one"
            status.refused("loadBalancer.ingress", f"{address} {note}: add it to a pool")
    if options.pin and pinned and pinned == list(held) and set(pinned) != set(requested):
        added[ADDRESSES] = ",".join(pinned)
        status.changed("loadBalancer.ingress", f"{', '.join(pinned)}: written into the annotation {ADDRESSES}")
    elif pinned:
        status.kept("loadBalancer.ingress", f"{', '.join(pinned)}: adopted as it stands")
    return _annotated(document, added), Claim(key, document.namespace or "default", (*held, *requested))


def _is_served(document: Document, spec: Fields, service_class: str, options: Options) -> bool:
    if not service_class:
        if options.service_class:
            note = f"is not set, and MetalLB serves the class {options.service_class}: this Service is left alone"
            spec.kept("loadBalancerClass", note)
        return not options.service_class
    given = any(f"{prefix}ip-allocated-from-pool" in document.metadata.get("annotations", {}) for prefix in PREFIXES)
    if service_class == options.service_class or given:
        return True
    note = "another controller's, and left alone; if it is MetalLB's --lb-class, say so with --metallb-class"
    spec.kept("loadBalancerClass", f"{service_class}: {note}")
    return False


def _requests(metadata: Fields, annotations: dict[str, str]) -> dict[str, str]:
    """The values of MetalLB's annotations by their name without prefix, each reported."""
    targets = {"address-pool": POOL, "loadBalancerIPs": ADDRESSES, "allow-shared-ip": SHARING_KEY}
    found: dict[str, str] = {}
    for prefix in PREFIXES:
        for key, value in annotations.items():
            name = key.removeprefix(prefix)
            path = f"annotations[{key}]"
            if name == key or name in WRITTEN_BY_METALLB:
                continue
            if name not in targets:
                metadata.refused(path, "is no annotation that this command knows; set its counterpart by hand")
            elif not value.strip():
                metadata.kept(path, "is empty, and requests nothing")
            elif name in found:
                metadata.changed(path, f"is not used: {PREFIXES[0]}{name} wins, as with MetalLB")
            else:
                found[name] = value.strip()
                metadata.changed(path, f"{shown(value)}: the annotation {targets[name]}")
    return found


def _addresses(metadata: Fields, spec: Fields, wanted: str, annotations: dict[str, str]) -> list[str]:
    """The addresses that the annotation requests, canonical; beside it `spec.loadBalancerIP` stays where it is."""
    key = next((f"{prefix}loadBalancerIPs" for prefix in PREFIXES if f"{prefix}loadBalancerIPs" in annotations), "")
    good = []
    for text in filter(None, (part.strip() for part in wanted.split(","))):
        if canonical(text):
            good.append(canonical(text))
        else:
            metadata.refused(f"annotations[{key}]", f"{shown(text)} is no IP address; write one such as 192.0.2.1")
    address = spec.text("loadBalancerIP")
    if address and good:
        spec.changed(
            "loadBalancerIP", f"{address}: with the annotation too, MetalLB gives none; here the annotation wins"
        )
    elif address:
        spec.kept("loadBalancerIP", f"{address}: requested in the same way")
    return good


def _annotated(document: Document, added: dict[str, str]) -> dict[str, Any]:
    """The whole Service with more annotations: an apply of less would take away what an earlier one had set."""
    tree = deepcopy(document.tree)
    metadata = tree["metadata"]
    metadata.setdefault("namespace", "default")
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **added}
    return tree


def shared_namespaces(claims: Iterable[Claim]) -> dict[str, set[str]]:
    """By address: the namespaces whose Services share it, or want to, by one key, where they are several."""
    namespaces: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for claim in claims:
        for address in claim.addresses if claim.key else ():
            namespaces[address, claim.key].add(claim.namespace)
    shared: defaultdict[str, set[str]] = defaultdict(set)
    for (address, _), names in namespaces.items():
        if len(names) > 1:
            shared[address] |= names
    return dict(shared)
