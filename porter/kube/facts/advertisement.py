"""BgpAdvertisements: which routes go to which peers, and with which attributes."""

from __future__ import annotations

from collections.abc import Callable

from porter.events.observed import AdvertisementObserved
from porter.kube.facts.fields import Fields, closed, malformed_problem, milliseconds, quoted
from porter.kube.facts.pool import CNI_LABEL
from porter.kube.facts.selectors import optional_selector, several_selectors
from porter.kube.objects import Custom, Malformed
from porter.model.community import parse_community, parse_large_community
from porter.model.reasons import Problem

MAX_NAMES = 1024
MAX_COMMUNITIES = 64
MAX_ATTRIBUTE = 4294967295
"""LOCAL_PREF and MED have 32 bits (RFC 4271, section 5.1)."""

MAX_PREPEND = 16
MAX_COMMUNITY_CHARACTERS = 64


def advertisement_fact(advertisement: Custom) -> AdvertisementObserved | None:
    """Convert a BgpAdvertisement; None where it is being deleted or belongs to a CNI."""
    metadata = advertisement.metadata
    if metadata.deletion_timestamp or CNI_LABEL in (metadata.labels or {}):
        return None
    problems: list[Problem] = []
    spec = Fields(advertisement.spec, "spec", problems)
    fact = AdvertisementObserved(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        created_ms=milliseconds(metadata.creation_timestamp),
        pools=spec.names("eips", MAX_NAMES),
        pool_selector=optional_selector(spec, "eipSelector"),
        service_selector=optional_selector(spec, "serviceSelector"),
        peers=spec.names("peers", MAX_NAMES),
        peer_selector=optional_selector(spec, "peerSelector"),
        node_selectors=several_selectors(spec, "nodeSelectors"),
        communities=communities(spec, "communities", parse_community),
        large_communities=communities(spec, "largeCommunities", parse_large_community),
        local_pref=_optional(spec, "localPref"),
        med=_optional(spec, "med"),
        as_path_prepend=spec.integer("asPathPrepend", 0, 0, MAX_PREPEND, unit="times"),
        aggregation_length=spec.integer("aggregationLength", 0, 0, 32, unit="bits"),
        aggregation_length_v6=spec.integer("aggregationLengthV6", 0, 0, 128, unit="bits"),
    )
    spec.finish()
    return fact._replace(problems=closed(problems))


def malformed_advertisement_fact(error: Malformed) -> AdvertisementObserved | None:
    """Convert a BgpAdvertisement that does not decode: one that says why it advertises nothing."""
    metadata = error.metadata
    if metadata is None or metadata.deletion_timestamp or CNI_LABEL in (metadata.labels or {}):
        return None
    return AdvertisementObserved(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        created_ms=milliseconds(metadata.creation_timestamp),
        problems=(malformed_problem(error),),
    )


def communities(fields: Fields, name: str, parse: Callable[[str], str]) -> tuple[str, ...]:
    """Take a list of communities: canonical, sorted, each once."""
    entries = fields.each(name)
    if len(entries) > MAX_COMMUNITIES:
        fields.invalid(name, f"holds {len(entries)} communities; at most {MAX_COMMUNITIES} are allowed")
        return ()
    known: set[str] = set()
    for index, entry in enumerate(entries):
        if not isinstance(entry, str) or len(entry) > MAX_COMMUNITY_CHARACTERS:
            fields.invalid(f"{name}[{index}]", f"is {quoted(entry)} where a text is expected; put it in quotes")
            continue
        try:
            known.add(parse(entry))
        except ValueError as error:
            fields.invalid(f"{name}[{index}]", f"is wrong: {error}")
    return tuple(sorted(known))


def _optional(spec: Fields, name: str) -> int | None:
    if not spec.has(name):
        spec.taken(name)
        return None
    return spec.integer(name, 0, 0, MAX_ATTRIBUTE)
