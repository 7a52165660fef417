"""Advertisements of one pool with different aggregation lengths: MetalLB announces a route of each, Porter only one.

MetalLB's advertisements stand side by side, each with its own route. In Porter all that are about a route are united
in it, so that there is one length for each pool and peer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from porter.app.migrate.reading import Document
from porter.model.address import IPV4, IPV6, Family, InvalidAddress, parse_range

LENGTHS: Mapping[str, tuple[int, Family]] = {"aggregationLength": (32, IPV4), "aggregationLengthV6": (128, IPV6)}

Clashes = dict[tuple[str, str], str]
"""By advertisement and field: what is said of a length that is left out."""


def clashes(documents: Iterable[Document], eips: Mapping[str, dict[str, Any]]) -> Clashes:
    """Find the lengths that differ from those of an earlier advertisement of the same pool."""
    found: Clashes = {}
    kept: list[tuple[Document, str, int]] = []
    for document in documents:
        for name, (longest, family) in LENGTHS.items():
            length = _spec(document).get(name, longest)
            if isinstance(length, bool) or not isinstance(length, int) or not 0 < length <= longest:
                continue
            for other, other_name, other_length in kept:
                if other_name != name or other_length == length or not _one_peer(document, other):
                    continue
                pool = _one_pool(document, other, eips, family)
                if pool:
                    found[document.name, name] = (
                        f"{length}: {other.title} says {other_length} for the pool {pool} too. MetalLB announces a "
                        "route of each, Porter one route for each pool and peer, with the communities of both: this "
                        f"length is left out, and {other_length} counts; name different pools or peers, or keep one "
                        "of the two"
                    )
                    break
            else:
                kept.append((document, name, length))
    return found


def _spec(document: Document) -> dict[str, Any]:
    spec = document.tree.get("spec")
    return spec if isinstance(spec, dict) else {}


def _named(document: Document, name: str) -> set[str]:
    """The names in a list; none means all."""
    names = _spec(document).get(name)
    return {each for each in names if isinstance(each, str)} if isinstance(names, list) else set()


def _one_peer(one: Document, two: Document) -> bool:
    first, second = _named(one, "peers"), _named(two, "peers")
    return not first or not second or bool(first & second)


def _one_pool(one: Document, two: Document, eips: Mapping[str, dict[str, Any]], family: Family) -> str:
    """A pool with addresses of a family that both may be about; a selector may select any."""
    for name, eip in sorted(eips.items()):
        if _has(eip, family) and all(_about(document, name) for document in (one, two)):
            return name
    return ""


def _about(document: Document, pool: str) -> bool:
    names = _named(document, "ipAddressPools")
    return pool in names or not names or bool(_spec(document).get("ipAddressPoolSelectors"))


def _has(eip: dict[str, Any], family: Family) -> bool:
    for text in (eip["spec"]["address"], *eip["spec"].get("addresses", ())):
        try:
            if parse_range(text).family == family:
                return True
        except InvalidAddress:
            continue
    return False
