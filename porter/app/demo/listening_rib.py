"""The RIB of a router that only listens: a fold of what ExaBGP receives, kept through a graceful restart.

ExaBGP keeps no stale routes by itself. As the receiving speaker of RFC 4724, section 4.2, this one keeps the routes of
a session that went down, marks them stale, and drops at End-of-RIB what was not announced again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FAMILY = "ipv4 unicast"


class ListeningRib:
    """An Adj-RIB-In by (prefix, path identifier)."""

    def __init__(self) -> None:
        self._next_hops: dict[tuple[str, str], str] = {}
        self._stale: set[tuple[str, str]] = set()

    def routes(self) -> dict[str, frozenset[str]]:
        """The next hops of every prefix, stale ones included: a router forwards along them."""
        found: dict[str, set[str]] = {}
        for (prefix, _), next_hop in self._next_hops.items():
            found.setdefault(prefix, set()).add(next_hop)
        return {prefix: frozenset(next_hops) for prefix, next_hops in found.items()}

    def feed(self, line: str) -> None:
        """Apply one line of ExaBGP's API: a change of the session, an UPDATE, or an End-of-RIB."""
        message = json.loads(line)
        neighbour = message.get("neighbor", {})
        if message.get("type") == "state" and neighbour.get("state") == "down":
            self._stale = set(self._next_hops)
        received = neighbour.get("message", {})
        if "eor" in received:
            for key in self._stale:
                self._next_hops.pop(key, None)
            self._stale = set()
        self._update(received.get("update", {}))

    def _update(self, update: Mapping[str, Any]) -> None:
        for nlri in update.get("withdraw", {}).get(FAMILY, []):
            self._next_hops.pop(_key(nlri), None)
        for next_hop, announced in update.get("announce", {}).get(FAMILY, {}).items():
            for nlri in announced:
                self._next_hops[_key(nlri)] = next_hop
                self._stale.discard(_key(nlri))


def _key(nlri: Mapping[str, str]) -> tuple[str, str]:
    return nlri["nlri"], nlri.get("path-information", "")
