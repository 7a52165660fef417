"""BGPAdvertisement becomes BgpAdvertisement, with the aliases of Communities resolved.

Where MetalLB takes several selectors of which one must match, and no single one says the same, several advertisements
are made, one for each: what they announce is united.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.metallb import selectors
from porter.app.migrate.metallb.aggregates import LENGTHS, Clashes
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report, manifest
from porter.model.selector import Selector

MAX_PARTS = 64
"""Most advertisements that one is split into."""

LARGE = "large:"
LAYER2 = "layer 2 is not there yet in Porter"

Aliases = dict[str, str]


def aliases_of(document: Document, report: Report) -> Aliases:
    """Take a Community's aliases; a bad one is refused."""
    fields = Fields(document, report, document.tree.get("spec"), "spec")
    found: Aliases = {}
    for index, tree in enumerate(fields.objects("communities")):
        entry = Fields(document, report, tree, f"spec.communities[{index}]")
        name, value = entry.text("name"), entry.text("value")
        if not name or not is_community(value):
            entry.refused("value", f"{shown(value)} is no community; write 65000:100, or large:64512:1:2")
        else:
            found[name] = value
            entry.kept("", f"{name} is {value}: written out wherever an advertisement names it")
        entry.finish()
    fields.finish()
    return found


def is_community(text: str) -> bool:
    """Whether a text is a community: two halves of 16 bits, or `large:` and three numbers of 32 bits."""
    large = text.startswith(LARGE)
    parts = text.removeprefix(LARGE).split(":")
    limit, count = (2**32, 3) if large else (2**16, 2)
    return len(parts) == count and all(part.isascii() and part.isdigit() and int(part) < limit for part in parts)


def advertisements_of(fields: Fields, aliases: Mapping[str, str], clashing: Clashes) -> list[Any]:
    """Convert an advertisement into one or more."""
    document = fields.document
    spec: dict[str, Any] = {}
    for name, target in (("ipAddressPools", "eips"), ("peers", "peers")):
        names = fields.texts(name)
        if names:
            spec[target] = names
            fields.kept(name, f"{shown(names)}: spec.{target}")
    _lengths(fields, spec, clashing)
    _attributes(fields, spec, aliases)
    nodes = selectors.taken(fields, "nodeSelectors")
    if nodes:
        spec["nodeSelectors"] = [selectors.tree_of(one) for one in nodes]
        fields.changed("nodeSelectors", "which nodes announce becomes which nodes are next hops: spec.nodeSelectors")
    pools = _alternatives(fields, "ipAddressPoolSelectors", "eipSelector")
    services = _alternatives(fields, "serviceSelectors", "serviceSelector")
    fields.finish()
    parts = list(_parts(spec, pools, services))
    if len(parts) > MAX_PARTS:
        fields.refused("", f"its selectors would need {len(parts)} advertisements, at most {MAX_PARTS} are made")
        return []
    names = [document.name, *(f"{document.name}-{number}" for number in range(2, len(parts) + 1))]
    if parts[1:]:
        fields.changed("", f"becomes {len(parts)} advertisements, {', '.join(names)}: one for each selector")
    return [manifest("BgpAdvertisement", name, part) for name, part in zip(names, parts, strict=True)]


def _alternatives(fields: Fields, name: str, target: str) -> list[Selector]:
    alternatives = selectors.taken(fields, name)
    if not alternatives:
        return []
    one = selectors.united(alternatives)
    fields.kept(name, f"one of them must match: spec.{target}")
    return [one] if one is not None else alternatives


def _parts(spec: dict[str, Any], pools: list[Selector], services: list[Selector]) -> Iterator[dict[str, Any]]:
    for number, (pool, service) in enumerate(product(pools or (None,), services or (None,))):
        part = dict(spec)
        if pool is not None:
            part["eipSelector"] = selectors.tree_of(pool)
            # Pools by name and by selector are alternatives: the names are said once.
            if number >= max(1, len(services)):
                part.pop("eips", None)
        if service is not None:
            part["serviceSelector"] = selectors.tree_of(service)
        yield part


def _lengths(fields: Fields, spec: dict[str, Any], clashing: Clashes) -> None:
    for name, (longest, _) in LENGTHS.items():
        length = fields.integer(name, 1, longest)
        clash = clashing.get((fields.document.name, name))
        if clash is not None:
            fields.refused(name, clash)
        elif length is not None:
            fields.kept(name, f"{length}: spec.{name}")
            if length != longest:
                spec[name] = length


def _attributes(fields: Fields, spec: dict[str, Any], aliases: Mapping[str, str]) -> None:
    preference = fields.integer("localPref", 0, 2**32 - 1)
    if preference is not None:
        spec["localPref"] = preference
        fields.kept("localPref", f"{preference}: spec.localPref, which only sessions within one AS carry")
    for text in fields.texts("communities"):
        value = aliases.get(text, text)
        if not is_community(value):
            fields.refused("communities", f"{shown(text)} is no community, nor an alias of a Community that was read")
        elif value.startswith(LARGE):
            spec.setdefault("largeCommunities", []).append(value.removeprefix(LARGE))
            fields.changed("communities", f"{text}: spec.largeCommunities {value.removeprefix(LARGE)}")
        else:
            spec.setdefault("communities", []).append(value)
            note = "spec.communities" if value == text else f"spec.communities {value}"
            (fields.kept if value == text else fields.changed)("communities", f"{text}: {note}")


def refuse_layer2(fields: Fields) -> list[str]:
    """Refuse an L2Advertisement; return the pools that it names."""
    fields.refused("", f"{LAYER2}; announce its pools by BGP, or leave them with MetalLB until it is")
    return fields.texts("ipAddressPools")
