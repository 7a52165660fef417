"""ServiceCIDRs: where the cluster's own Service addresses come from, which no pool may overlap (KEP-1880)."""

from __future__ import annotations

from porter.events.observed import ServiceRangeObserved
from porter.kube.objects import ServiceCIDR
from porter.model.address import InvalidAddress, Prefix, parse_prefix

MAX_PREFIXES = 16


def service_range_fact(service_range: ServiceCIDR) -> ServiceRangeObserved:
    """Convert a ServiceCIDR; one that is on its way out counts until it is gone, since addresses of it are in use."""
    prefixes: set[Prefix] = set()
    for text in (service_range.spec.cidrs or [])[:MAX_PREFIXES]:
        try:
            prefixes.add(parse_prefix(text))
        except InvalidAddress:
            continue
    return ServiceRangeObserved(service_range.metadata.name, tuple(sorted(prefixes)))
