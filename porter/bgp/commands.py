"""What a session asks of the BGP engine, in neutral terms; a backend turns each into its engine's language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from porter.model.address import Family, Prefix, family_of
from porter.model.bgp import PathAttributes, RouteKey

MAX_PREFIXES_PER_COMMAND = 100
"""Above this a longer line gains nothing, and the engine answers and sends in smaller steps."""


class Announce(NamedTuple):
    """Announce prefixes of one family that share their attributes and their path identifier."""

    attributes: PathAttributes
    path_id: int
    prefixes: tuple[Prefix, ...]


class Withdraw(NamedTuple):
    """Withdraw prefixes of one family that share their path identifier."""

    path_id: int
    prefixes: tuple[Prefix, ...]


class SendEndOfRib(NamedTuple):
    """Send End-of-RIB (RFC 4724, section 2) for one family, behind every update before it."""

    family: Family


class ReadRib(NamedTuple):
    """Read the engine's own Adj-RIB-Out of this peer; the serial tells the answers apart."""

    serial: int


class Resend(NamedTuple):
    """Send everything in the engine's Adj-RIB-Out of this peer again."""


Command = Announce | Withdraw | SendEndOfRib | ReadRib | Resend


def announcements(routes: Iterable[tuple[RouteKey, PathAttributes]]) -> Iterator[Announce]:
    """Group routes into as few announcements as their attributes, path identifiers and families allow."""
    groups: dict[tuple[PathAttributes, int, Family], list[Prefix]] = {}
    for key, attributes in routes:
        groups.setdefault((attributes, key.path_id, family_of(key.prefix)), []).append(key.prefix)
    for (attributes, path_id, _), prefixes in groups.items():
        for chunk in _chunks(prefixes):
            yield Announce(attributes, path_id, chunk)


def withdrawals(keys: Iterable[RouteKey]) -> Iterator[Withdraw]:
    """Group keys into as few withdrawals as their path identifiers and families allow."""
    groups: dict[tuple[int, Family], list[Prefix]] = {}
    for key in keys:
        groups.setdefault((key.path_id, family_of(key.prefix)), []).append(key.prefix)
    for (path_id, _), prefixes in groups.items():
        for chunk in _chunks(prefixes):
            yield Withdraw(path_id, chunk)


def _chunks(prefixes: list[Prefix]) -> Iterator[tuple[Prefix, ...]]:
    for start in range(0, len(prefixes), MAX_PREFIXES_PER_COMMAND):
        yield tuple(prefixes[start : start + MAX_PREFIXES_PER_COMMAND])
