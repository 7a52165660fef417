"""Export policy: which of a route's next hops a peer is given, and as what.

Choices are made by rendezvous (highest random weight): each candidate is hashed together with what must spread, and
the highest hash wins, so that a node that comes or goes moves only the choices that it takes part in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from porter.model.address import Address, Prefix
from porter.model.bgp import (
    GRACEFUL_SHUTDOWN,
    IN_SERVICE,
    MAX_NEXT_HOPS,
    NextHop,
    PathAttributes,
    RouteKey,
    node_of,
)
from porter.policy.advertisements import PLAIN
from porter.policy.next_hops import carried
from porter.policy.topology import own

_CACHED_WEIGHTS = 65536
_CACHED_ATTRIBUTES = 4096
_CACHED_SPEAKERS = 64
_ORDINAL = re.compile(r"\d+$")


class Routed(Protocol):
    """A prefix with its next hops, as a `LocRoute` is one."""

    @property
    def prefix(self) -> Prefix: ...

    @property
    def next_hops(self) -> tuple[NextHop, ...]: ...


@lru_cache(maxsize=_CACHED_WEIGHTS)
def _weight(scope: str, node: str) -> bytes:
    # Python's own hash differs from process to process, but speakers must choose alike.
    return blake2b(f"{scope}\0{node}".encode(), digest_size=8).digest()


def rendezvous(scope: str, hops: Iterable[NextHop], count: int) -> tuple[NextHop, ...]:
    """The `count` next hops with the highest weights in a scope, sorted by node."""
    ranked = sorted(hops, key=lambda hop: (_weight(scope, hop.node), hop.node), reverse=True)
    return tuple(sorted(ranked[:count]))


@lru_cache(maxsize=_CACHED_SPEAKERS)
def _turn(speaker: str) -> int:
    """Which of the ranked next hops a speaker takes: that of its ordinal in a StatefulSet."""
    ordinal = _ORDINAL.search(speaker)
    return int(ordinal[0]) if ordinal else int.from_bytes(_weight("", speaker))


def alone(speaker: str, prefix: Prefix, hops: Sequence[NextHop]) -> NextHop:
    """The one next hop of a prefix that a speaker gives to peers without ADD-PATH.

    As many speakers of a StatefulSet as there are next hops take a different one each.
    """
    ranked = sorted(hops, key=lambda hop: (_weight(prefix, hop.node), hop.node), reverse=True)
    return ranked[_turn(speaker) % len(ranked)]


@lru_cache(maxsize=_CACHED_ATTRIBUTES)
def _attributes(template: PathAttributes, next_hop: Address) -> PathAttributes:
    return template._replace(next_hop=next_hop)


@lru_cache(maxsize=_CACHED_ATTRIBUTES)
def _plain(next_hop: Address) -> PathAttributes:
    return PathAttributes(next_hop)


def plain(node: str) -> PathAttributes:
    """The attributes of a path that nothing more is said of, but for its next hop."""
    del node
    return PLAIN


@lru_cache(maxsize=_CACHED_ATTRIBUTES)
def shutting_down(attributes: PathAttributes, *, internal: bool) -> PathAttributes:
    """A path that is about to go: marked with GRACEFUL_SHUTDOWN, and within the AS the least preferred (RFC 8326)."""
    communities = (*(one for one in attributes.communities if one != GRACEFUL_SHUTDOWN), GRACEFUL_SHUTDOWN)
    return attributes._replace(communities=communities, local_pref=0 if internal else attributes.local_pref)


def _path(
    hop: NextHop, attributes: Callable[[str], PathAttributes], *, internal: bool, leaving: bool
) -> PathAttributes:
    path = _plain(hop.address) if attributes is plain else _attributes(attributes(hop.node), hop.address)
    return shutting_down(path, internal=internal) if leaving or hop.standing != IN_SERVICE else path


def exported(
    route: Routed,
    *,
    speaker: str,
    max_next_hops: int = MAX_NEXT_HOPS,
    add_path: bool,
    attributes: Callable[[str], PathAttributes] = plain,
    internal: bool = False,
    extended: bool = False,
    leaving: bool = False,
) -> dict[RouteKey, PathAttributes]:
    """The paths of one route for one session; `attributes` gives those of a path through a node.

    With ADD-PATH (RFC 7911) all next hops, or the same `max_next_hops` (0: `MAX_NEXT_HOPS`) of them at every speaker.
    Without, one path, chosen per speaker, so that speakers spread over the nodes; never one that is leaving, while
    others are not. `internal` says that the session is within one AS, `extended` that it agreed to IPv6 next hops of
    IPv4 routes, `leaving` that the speaker itself is about to go, and all its paths with it.
    """
    prefix = route.prefix
    hops = carried(prefix, route.next_hops, extended=extended)
    if node_of(speaker):
        # Each agent is a session of its own, so that a limit of the peer's chooses among them all.
        hops = own(speaker, rendezvous(prefix, hops, max_next_hops) if 0 < max_next_hops < len(hops) else hops)
    if not hops:
        return {}
    if not add_path:
        hops = tuple(hop for hop in hops if hop.standing == IN_SERVICE) or hops
        hop = alone(speaker, prefix, hops)
        return {RouteKey(prefix, 0): _path(hop, attributes, internal=internal, leaving=leaving)}
    limit = max_next_hops if 0 < max_next_hops < MAX_NEXT_HOPS else MAX_NEXT_HOPS
    if len(hops) > limit:
        hops = rendezvous(prefix, hops, limit)
    paths: dict[RouteKey, PathAttributes] = {}
    for hop in hops:
        # Two nodes that claim one IPv4 address share the identifier; the first by name stands for both.
        paths.setdefault(RouteKey(prefix, hop.path_id), _path(hop, attributes, internal=internal, leaving=leaving))
    return paths
