"""A speaker, a simulated ExaBGP and its routers in one place, with a clock that the test turns."""

from __future__ import annotations

import itertools
import re
from ipaddress import IPv4Address

from porter.bgp.backends.asking import Hello
from porter.bgp.backends.exabgp import Dialogue
from porter.bgp.states import LIVE
from porter.events.routed import PeerUnsynced, SessionStateChanged
from porter.model.address import Address
from porter.model.bgp import PathAttributes, PeerKey, RouteKey, SessionSettings
from porter.ports import Desired
from tests.simulation.exabgp import Key, Router, SimulatedConfiguration, SimulatedExaBgp

TURN_S = 0.001
QUIET_TURNS = 40
RELAY_START_TURNS = 20
"""A process takes longer to start than ExaBGP to work off the few commands that it has."""
LONGEST_S = 900.0

Wish = dict[tuple[str, str], int | None]
"""What an operator wants of one peer: (prefix, next hop) with its MED."""


def path_id_of(next_hop: str) -> int:
    return sum(next_hop.encode()) + 1


class World:
    """The application's part is small: it desires anew when a session was established, for what was negotiated."""

    def __init__(self, peers: int = 2) -> None:
        self.now_s = 1000.0
        self.configuration = SimulatedConfiguration()
        self.settings: dict[PeerKey, SessionSettings] = {}
        self.routers: dict[PeerKey, Router] = {}
        self.wishes: dict[PeerKey, Wish] = {}
        self.certain = True
        self.digests = itertools.count(1)
        self.log: list = []
        self.engine: SimulatedExaBgp | None = None
        self.lost_routes: list[tuple[PeerKey, Key]] = []
        self._desired_since: dict[tuple[PeerKey, RouteKey], float] = {}
        self._announced_at: dict[tuple[PeerKey, Key], float] = {}
        for number in range(1, peers + 1):
            peer = PeerKey(f"r{number}")
            self.settings[peer] = SessionSettings(
                peer, Address(f"10.0.0.{number}"), 64501, 64500, Address("10.0.0.100"), Address("10.0.0.100")
            )
            self.routers[peer] = Router()
            self.wishes[peer] = {}
        self.configured: set[PeerKey] = set(self.settings)
        self.dialogue = self.new_speaker()
        self.start_engine()

    # --------------------------------------------------------------------------------------------------------- speaker

    def new_speaker(self) -> Dialogue:
        self.dialogue = Dialogue("speaker-0")
        self.told: dict[PeerKey, bool | None] = {}
        self.configure()
        return self.dialogue

    def configure(self) -> None:
        digest = f"digest{next(self.digests)}" if self.configuration.neighbors == {} else self.digest
        names = {str(self.settings[peer].peer_address) for peer in self.configured}
        if names != self.configuration.neighbors.keys():
            digest = f"digest{next(self.digests)}"
            self.configuration.neighbors = {
                str(settings.peer_address): (
                    {
                        "peer": settings.peer_address,
                        "local-ip": settings.local_address,
                        "local-as": settings.local_as,
                        "peer-as": settings.peer_as,
                        "router-id": settings.router_id,
                    },
                    self.routers[peer],
                    f"{peer} {digest}",
                )
                for peer, settings in self.settings.items()
                if peer in self.configured
            }
        self.digest = digest
        self.dialogue.configure([self.settings[peer] for peer in sorted(self.configured)], digest, self.now_s)

    def desire(self, peer: PeerKey, changed: frozenset[RouteKey] | None = None) -> None:
        session = self.dialogue.session(peer)
        if session is None:
            return
        routes = self.routes(peer, add_path=self.told.get(peer) is not False)
        session.desire(Desired(peer, routes, 1, self.certain, changed))

    def routes(self, peer: PeerKey, *, add_path: bool) -> dict[RouteKey, PathAttributes]:
        routes = {}
        for (prefix, hop), med in sorted(self.wishes[peer].items()):
            key = RouteKey(prefix, path_id_of(hop) if add_path else 0)
            routes[key] = PathAttributes(Address(hop), med)
        return routes

    def wish(self, peer: PeerKey, wish: Wish) -> None:
        """Want other routes, telling only the keys that may differ."""
        before = self.routes(peer, add_path=self.told.get(peer) is not False)
        self.wishes[peer] = dict(wish)
        after = self.routes(peer, add_path=self.told.get(peer) is not False)
        for name in [name for name in self._desired_since if name[0] == peer and name[1] not in after]:
            del self._desired_since[name]
        for key in after:
            self._desired_since.setdefault((peer, key), self.now_s)
        changed = frozenset(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        self.desire(peer, changed)

    def take_outcomes(self) -> None:
        for session in list(self.dialogue.sessions.values()):
            outcomes, session.outcomes = session.outcomes, []
            self.log += outcomes
            for event in outcomes:
                if isinstance(event, SessionStateChanged) and event.state == "Established":
                    self.told[PeerKey(event.peer)] = bool(event.add_path)
                    self.desire(PeerKey(event.peer))
        self.dialogue.outcomes.clear()

    # --------------------------------------------------------------------------------------------------------- engine

    def start_engine(self) -> None:
        if self.engine is not None:
            self.engine.died()
            self.dialogue.lost("engine died", self.now_s)
        self.engine = SimulatedExaBgp(self.configuration)
        self.connect()

    def connect(self) -> None:
        assert self.engine is not None
        self.engine.out.clear()
        unanswered = len(self.engine.inbox) + len(self.engine.steps)
        self.dialogue.connected(Hello(1, 2, self.engine.boot, False, unanswered), self.now_s)

    def crash_speaker(self) -> None:
        self.new_speaker()
        self.connect()

    def crash_relay(self) -> None:
        """Commands and answers in the pipes are lost with it."""
        assert self.engine is not None
        self.engine.inbox.clear()
        self.dialogue.lost("relay died", self.now_s)
        for _ in range(RELAY_START_TURNS):
            self.engine.turn()
        self.connect()

    def neighbor(self, peer: PeerKey):
        assert self.engine is not None
        return self.engine.neighbors.get(str(self.settings[peer].peer_address))

    def reach(self, peer: PeerKey, reachable: bool) -> None:
        self.configuration.reachable[str(self.settings[peer].peer_address)] = reachable
        neighbor = self.neighbor(peer)
        if neighbor is not None:
            neighbor.reachable = reachable

    # ------------------------------------------------------------------------------------------------------------ time

    def turn(self, seconds: float = TURN_S) -> bool:
        """One turn of everybody; whether anything was said."""
        assert self.engine is not None
        self.now_s += seconds
        lines = self.speak()
        before = {peer: dict(router.table) for peer, router in self.routers.items()}
        self.engine.now_s = self.now_s
        self.engine.turn()
        self._watch(before)
        said = bool(lines) or bool(self.engine.out)
        while self.engine.out:
            self.dialogue.receive(self.engine.out.popleft(), self.now_s)
        assert not self.dialogue.fault, self.dialogue.fault
        if self.dialogue.reloading.exhausted:
            self.start_engine()
        self.take_outcomes()
        return said

    def speak(self) -> list[str]:
        """The speaker writes what it may, whether the engine reads or not."""
        assert self.engine is not None
        lines = self.dialogue.lines(self.now_s)
        for line in lines:
            self._check(line)
        self.engine.inbox.extend(lines)
        return lines

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.turn()

    def _watch(self, before: dict[PeerKey, dict]) -> None:
        for peer, router in self.routers.items():
            for key in router.table:
                if before[peer].get(key) is not router.table[key]:
                    self._announced_at[peer, key] = self.now_s
            purged, router.purged = router.purged, []
            wanted = self.routes(peer, add_path=router.add_path)
            for key in purged:
                since = self._desired_since.get((peer, RouteKey(*key)), float("inf"))
                if key in wanted and self._announced_at.get((peer, key), 0.0) > since:
                    self.lost_routes.append((peer, key))

    def _check(self, line: str) -> None:
        """A withdrawal that leaves the speaker must be of a route that nobody wants."""
        found = re.fullmatch(r"neighbor (\S+) .* withdraw attributes( path-information (\S+))? nlri (.*)", line)
        if found is None:
            return
        peer = next(p for p, settings in self.settings.items() if settings.peer_address == found.group(1))
        path_id = int(IPv4Address(found.group(3))) if found.group(3) else 0
        wanted = self.routes(peer, add_path=self.routers[peer].add_path)
        self.lost_routes += [(peer, (p, path_id)) for p in found.group(4).split() if RouteKey(p, path_id) in wanted]

    def settle(self) -> None:
        """Let time pass, with every connection attempt failing now and then, until nothing is said any more."""
        assert self.engine is not None
        deadline_s = self.now_s + LONGEST_S
        quiet = 0
        while quiet < QUIET_TURNS or not self.done():
            assert self.now_s < deadline_s, self.describe()
            if self.turn(TURN_S if quiet < QUIET_TURNS else 0.5):
                quiet = 0
            else:
                quiet += 1
                if quiet % QUIET_TURNS == 0:
                    for name in list(self.engine.neighbors):
                        self.engine.retry(name)

    def done(self) -> bool:
        sessions = [self.dialogue.session(peer) for peer in self.configured]
        return not self.dialogue.reloading.pending and all(
            session.sync is LIVE and session.rib.idle() and not session.rib.withdraw_queue for session in sessions
        )

    def describe(self) -> str:
        lines = [f"reloading {vars(self.dialogue.reloading)}"]
        for peer in sorted(self.configured):
            session = self.dialogue.session(peer)
            rib = session.rib
            lines.append(
                f"{peer}: {session.sync} fresh={session._fresh} queues={list(rib.announce_queue)}/"
                f"{list(rib.withdraw_queue)} awaited={list(rib.awaited)} flight={list(rib.flight)} "
                f"forced={rib.forced} reason={session.reason}"
            )
        return "\n".join([*lines, *map(str, self.log[-15:])])

    def assert_equal(self) -> None:
        """Every configured peer's router holds exactly what is wished."""
        for peer in sorted(self.configured):
            router = self.routers[peer]
            wanted = self.routes(peer, add_path=router.add_path)
            table = {
                RouteKey(*key): PathAttributes(Address(value["next-hop"]), value.get("med"))
                for key, value in router.table.items()
            }
            assert table == wanted, f"{peer}: {table} != {wanted}\n{self.describe()}"
            assert not router.stale
            assert not router.waiting, f"{peer} waits for End-of-RIB: {router.waiting}"

    def unsynced(self) -> list[PeerUnsynced]:
        return [event for event in self.log if isinstance(event, PeerUnsynced)]
