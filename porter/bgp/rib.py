"""One peer's routes as three sides see them, and what is left to do to make them agree.

`desired` is what the application wants, `engine` what the BGP engine holds in its Adj-RIB-Out by our commands, and
`wire` what the present session has carried, as the engine's send events tell. None of the three implies another: the
engine may hold a route that it never sent, and may have sent one that it no longer holds.

Each key is in at most one place at a time: in a window in flight, in one of the two queues, awaited, or at rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

from porter.bgp.canonical import Canonicaliser
from porter.model.address import family_of, is_aggregate
from porter.model.bgp import Negotiated, PathAttributes, RouteKey, SessionSettings

Routes = Mapping[RouteKey, PathAttributes]
NO_ROUTES: Routes = MappingProxyType({})
MAX_TOMBSTONES = 10_000
TOMBSTONE_S = 300.0


class Window(NamedTuple):
    """Operations in flight together, at most one for each key; None stands for a withdrawal.

    `former` is what they replace; `landed` fills with the keys whose send event came; `position` is the journal's
    that they realise.
    """

    operations: dict[RouteKey, PathAttributes | None]
    former: dict[RouteKey, PathAttributes]
    landed: set[RouteKey]
    position: int
    deadline_s: float


class PeerRib:
    """The three sides, the queues between them, and the windows in flight."""

    def __init__(self, settings: SessionSettings) -> None:
        self.canonical = Canonicaliser(settings)
        self.negotiated: Negotiated | None = None
        self.desired: Routes = NO_ROUTES
        self.engine: dict[RouteKey, PathAttributes] = {}
        self.wire: dict[RouteKey, PathAttributes] = {}
        self.announce_queue: dict[RouteKey, None] = {}
        self.withdraw_queue: dict[RouteKey, None] = {}
        self.awaited: dict[RouteKey, None] = {}
        """Held by the engine as desired, but not yet seen in this session: the engine sends them by itself."""
        self.forced: set[RouteKey] = set()
        """To be withdrawn explicitly, whatever the engine and the wire seem to hold."""
        self.overtaken: set[RouteKey] = set()
        """Sent otherwise than the engine holds them: an older change overtook a newer one on the way."""
        self.flight: dict[RouteKey, Window] = {}
        self.windows: list[Window] = []
        self.tombstones: dict[RouteKey, float] = {}
        self.left: dict[RouteKey, None] = {}
        """Carried by earlier sessions and not withdrawn since: the peer may keep them over its graceful restart."""

    # ------------------------------------------------------------------------------------------------ what is wanted

    def fits(self, key: RouteKey) -> bool:
        """Whether the session can carry this key: its family, and a path identifier just where it has ADD-PATH."""
        if self.negotiated is None:
            return False
        family = family_of(key.prefix)
        return family in self.negotiated.families and (key.path_id != 0) == (family in self.negotiated.add_path_send)

    def suits(self, key: RouteKey, attributes: PathAttributes) -> bool:
        """Whether the session can carry this route: its key, and a next hop of its own family or as agreed."""
        return (
            self.fits(key) and self.negotiated is not None and self.negotiated.carries(key.prefix, attributes.next_hop)
        )

    def silent(self, key: RouteKey) -> bool:
        """Whether a withdrawal of this key has no send event under its own name.

        The session lacks the family, so that nothing is sent; or it lacks ADD-PATH, so that the path identifier is
        not sent.
        """
        if self.negotiated is None:
            return True
        family = family_of(key.prefix)
        return family not in self.negotiated.families or (
            key.path_id != 0 and family not in self.negotiated.add_path_send
        )

    def wanted(self, key: RouteKey) -> PathAttributes | None:
        """The canonical attributes that the session should carry for a key, or None."""
        attributes = self.desired.get(key)
        if attributes is None or not self.suits(key, attributes):
            return None
        return self.canonical(attributes)

    def all_keys(self) -> dict[RouteKey, None]:
        """Every key that any side knows, the desired ones first and in their order."""
        return dict.fromkeys(chain(self.desired, self.engine, self.wire, self.forced, self.left))

    def settle(self, key: RouteKey) -> None:
        """Decide anew what a key needs; one in flight is decided when it lands."""
        if key in self.flight:
            return
        self.announce_queue.pop(key, None)
        self.withdraw_queue.pop(key, None)
        self.awaited.pop(key, None)
        wanted = self.wanted(key)
        if wanted is None:
            self.overtaken.discard(key)
            if any(key in side for side in (self.engine, self.wire, self.forced, self.left)) and not self.silent(key):
                self.withdraw_queue[key] = None
            return
        self.forced.discard(key)
        self.tombstones.pop(key, None)
        if self.engine.get(key) != wanted:
            self.overtaken.discard(key)
            self.announce_queue[key] = None
        elif self.wire.get(key) != wanted:
            self.awaited[key] = None
        else:
            self.overtaken.discard(key)

    def settle_all(self, keys: Iterable[RouteKey] | None = None) -> None:
        """Settle some keys, or every one that any side knows."""
        for key in self.all_keys() if keys is None else keys:
            self.settle(key)

    # --------------------------------------------------------------------------------------------------------- windows

    def open_window(
        self, queue: dict[RouteKey, None], limit: int, position: int, deadline_s: float
    ) -> dict[RouteKey, PathAttributes | None]:
        """Take up to `limit` keys off a queue into a new window; return its operations (none: no window)."""
        operations: dict[RouteKey, PathAttributes | None] = {}
        while queue and len(operations) < limit:
            key = next(iter(queue))
            del queue[key]
            operations[key] = self.wanted(key)
        if operations:
            former = {key: self.wire[key] for key in operations if key in self.wire}
            window = Window(operations, former, set(), position, deadline_s)
            self.windows.append(window)
            for key, attributes in operations.items():
                self.flight[key] = window
                self._hold(key, attributes)
        return operations

    def _hold(self, key: RouteKey, attributes: PathAttributes | None) -> None:
        if attributes is None:
            self.engine.pop(key, None)
        else:
            self.engine[key] = attributes

    def carried(self, key: RouteKey, attributes: PathAttributes | None) -> Window | None:
        """Note that the session carried a change of a key; return the window that this completes, if it does."""
        if attributes is None:
            self.wire.pop(key, None)
        else:
            self.wire[key] = attributes
        self.left.pop(key, None)
        window = self.flight.get(key)
        if window is not None and window.operations[key] == attributes:
            del self.flight[key]
            window.landed.add(key)
            if attributes is None:
                self.forced.discard(key)
        if key not in self.flight:
            if self.wanted(key) is not None and self.engine.get(key) == self.wanted(key) != attributes:
                self.overtaken.add(key)
            self.settle(key)
        if window is None or len(window.landed) < len(window.operations):
            return None
        self.windows.remove(window)
        return window

    def ground(self) -> set[RouteKey]:
        """Give up waiting for everything in flight; return the keys, none of which is settled yet."""
        keys = set(self.flight)
        self.flight.clear()
        self.windows.clear()
        return keys

    def idle(self) -> bool:
        """Whether nothing is queued for announcing, awaited, or in flight."""
        return not (self.announce_queue or self.awaited or self.flight)

    def replacing(self) -> bool:
        """Whether aggregates take the place of their members right now, or give it back.

        The engine sends what it has together in an order of its own: a withdrawal must wait for the announcement that
        stands for it.
        """
        return not self.idle() and any(
            is_aggregate(key.prefix)
            for key in chain(self.withdraw_queue, self.announce_queue, self.flight, self.awaited)
        )

    # ------------------------------------------------------------------------------------------------------ tombstones

    def bury(self, keys: Iterable[RouteKey], now_s: float) -> None:
        """Remember withdrawn keys, so that reconciliation withdraws them again."""
        for key in keys:
            self.tombstones.pop(key, None)
            self.tombstones[key] = now_s
        while len(self.tombstones) > MAX_TOMBSTONES:
            del self.tombstones[next(iter(self.tombstones))]

    def exhume(self, now_s: float) -> None:
        """Queue every young tombstone for another withdrawal; forget the old ones."""
        for key, buried_s in list(self.tombstones.items()):
            if now_s - buried_s > TOMBSTONE_S:
                del self.tombstones[key]
            elif self.wanted(key) is None and key not in self.flight:
                self.forced.add(key)
                self.settle(key)

    # ------------------------------------------------------------------------------------------------------- sessions

    def begin(self, negotiated: Negotiated, *, resumed: bool) -> None:
        """Start a session. Nothing was carried yet; or, when resumed, all that the engine holds.

        What earlier sessions left with the peer and nobody wants any more is withdrawn explicitly: FRR 8.4 purges at
        End-of-RIB only one stale path of each prefix, and leaves the others of an ADD-PATH session for good.
        """
        self.negotiated = negotiated
        self._clear()
        self.wire = {key: held for key, held in self.engine.items() if not self.silent(key)} if resumed else {}
        self.left = {key: None for key in self.left if key not in self.wire and not self.silent(key)}
        self.settle_all()

    def end(self) -> None:
        """End a session: nothing is on the wire any more; the engine keeps what it holds."""
        self._clear()
        self.wire = {}

    def _clear(self) -> None:
        self.left |= dict.fromkeys(chain(self.wire, self.forced, self.flight))
        self.ground()
        for part in (self.announce_queue, self.withdraw_queue, self.awaited):
            part.clear()
        self.forced.clear()
        self.overtaken.clear()
        self.tombstones.clear()

    def foreign(self) -> list[RouteKey]:
        """Keys that the engine holds but this session cannot name: left from another negotiation."""
        return [key for key in self.engine if self.silent(key)]

    def outdated(self, key: RouteKey) -> bool:
        """Whether the engine, while the session is down, holds a route that it should not bring back with it.

        One whose attributes changed is kept: the peer may hold it over the restart, and an End-of-RIB that the engine
        had queued when the session went down goes out as soon as the next one is up. The next session may negotiate
        ADD-PATH or not: a path is kept as well while the prefix is desired in the other form, because then the
        application has not yet computed this one.

        One with a next hop that the last session had not agreed to goes in any case: a router that finds it in an
        UPDATE may end the session over it, again and again (RFC 8950, section 4).
        """
        if key not in self.engine:
            return False
        if self.refused(key):
            return True
        if key in self.desired:
            return False
        return not (key.path_id != 0 and RouteKey(key.prefix, 0) in self.desired)

    def refused(self, key: RouteKey) -> bool:
        """Whether the engine holds a route with a next hop that the last session had not agreed to."""
        held = self.engine.get(key)
        return (
            held is not None and self.negotiated is not None and not self.negotiated.carries(key.prefix, held.next_hop)
        )

    def replace_engine(self, rib: Routes, *, besides: frozenset[RouteKey] | set[RouteKey]) -> set[RouteKey]:
        """Correct what the engine is believed to hold by its own words, but for keys touched meanwhile.

        Returns the keys that differed; they are settled.
        """
        differing = {
            key
            for key in self.engine.keys() | rib.keys()
            if key not in besides and self.engine.get(key) != rib.get(key)
        }
        for key in differing:
            self._hold(key, rib.get(key))
        self.settle_all(differing)
        return differing
