"""ExaBGP 5.0.15 as it behaves, defects included, with routers behind it: lines in, lines out, one turn at a time.

Modelled on its reactor: each turn every peer sends a part of its present batch, then commands that came in are
queued, then up to `STEPS_PER_TURN` steps of the queued commands run. The defects:

* a batch is taken by attribute set, in the order in which the sets first appeared: changes of one prefix in one batch
  can go out in the wrong order, the older one last;
* the first batch of a session drops its withdrawals;
* an announcement of what is already held is answered, and neither sent nor told;
* when a session comes up everything held is announced at once, before any command is read;
* an End-of-RIB that was queued when a session went down goes out with the next one;
* `reload` answers at once, does nothing while any neighbour has changes waiting, and never works again after a failure;
* `announce eor` and `flush` are answered out of turn when the session is down.

Faults on top, by request: a command that is answered and lost, an event that is lost, a peer that reads nothing.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

STEPS_PER_TURN = 50
UPDATES_PER_TURN = 25
FAMILIES = ("ipv4 unicast", "ipv6 unicast")

Key = tuple[str, int]
"""Prefix and path identifier; 0 where none was given."""


@dataclass
class Router:
    """A peer that keeps routes over a restart of the session until End-of-RIB (RFC 4724)."""

    add_path: bool = True
    sloppy: bool = False
    """As FRR 8.4: End-of-RIB purges one stale path of each prefix, and leaves its others for good."""
    table: dict[Key, dict[str, Any]] = field(default_factory=dict)
    stale: set[Key] = field(default_factory=set)
    purged: list[Key] = field(default_factory=list)
    """Keys that went by End-of-RIB, for the test to look at and clear."""

    waiting: set[str] = field(default_factory=set)
    """Families whose End-of-RIB has not come in the present session."""

    def announce(self, key: Key, attributes: dict[str, Any]) -> None:
        self.table[key] = attributes
        self.stale.discard(key)

    def withdraw(self, key: Key) -> None:
        if key in self.table:
            del self.table[key]
            self.stale.discard(key)

    def session_lost(self) -> None:
        self.stale = set(self.table)

    def session_up(self) -> None:
        self.waiting = set(FAMILIES)

    def end_of_rib(self, family: str) -> None:
        self.waiting.discard(family)
        stale = sorted(key for key in self.stale if family_of(key) == family)
        if self.sloppy:
            stale = list({prefix: (prefix, path_id) for prefix, path_id in stale}.values())
        for key in stale:
            self.withdraw(key)
            self.purged.append(key)

    def restart(self) -> None:
        """Forget everything, as a router that was itself restarted."""
        self.table.clear()
        self.stale.clear()


def family_of(key: Key) -> str:
    return FAMILIES[":" in key[0]]


@dataclass
class Change:
    key: Key
    attributes: dict[str, Any] | None

    @property
    def bucket(self) -> str:
        return json.dumps(self.attributes, sort_keys=True)


class Neighbor:
    """One peer of the simulated ExaBGP."""

    def __init__(self, identity: dict[str, Any], router: Router, description: str) -> None:
        self.identity = identity
        self.router = router
        self.description = description
        self.held: dict[Key, dict[str, Any]] = {}
        self.buckets: dict[str, dict[Key, Change]] = {}
        self.resend: list[Change] = []
        self.batch: deque[tuple[dict[str, Any] | None, list[Key]]] = deque()
        self.withdraws = False
        self.up = False
        self.since_s = 0.0
        self.reachable = False
        self.stalled = False
        self.add_path = False
        self.ends: deque[str] = deque()
        self.counter = 0
        self.lose_events = 0

    def insert(self, change: Change) -> None:
        held = self.held.get(change.key)
        if change.attributes is not None and held == change.attributes:
            return
        self.buckets.setdefault(change.bucket, {})[change.key] = change
        if change.attributes is None:
            self.held.pop(change.key, None)
        else:
            self.held[change.key] = change.attributes

    @property
    def pending(self) -> bool:
        return bool(self.buckets or self.resend)

    def take_batch(self) -> None:
        """Group by attributes in order of appearance; IPv4 in one update, IPv6 one by one."""
        refreshed = [(change.attributes, [change.key]) for change in self.resend]
        self.resend = []
        buckets, self.buckets = self.buckets, {}
        self.batch = deque(refreshed)
        for changes in buckets.values():
            for attributes in (None, "announce"):
                chosen = [c for c in changes.values() if (c.attributes is None) == (attributes is None)]
                if attributes is None and not self.withdraws:
                    continue
                v4 = [c.key for c in chosen if family_of(c.key) == FAMILIES[0]]
                if v4:
                    self.batch.append((chosen[0].attributes, v4))
                for change in chosen:
                    if family_of(change.key) == FAMILIES[1]:
                        self.batch.append((change.attributes, [change.key]))


class SimulatedExaBgp:
    """One ExaBGP process. `out` holds what it wrote to its helper and the helper has not read."""

    boots = 0

    def __init__(self, configuration: SimulatedConfiguration) -> None:
        SimulatedExaBgp.boots += 1
        self.boot = f"boot-{SimulatedExaBgp.boots}"
        self.configuration = configuration
        self.neighbors: dict[str, Neighbor] = {}
        self.inbox: deque[str] = deque()
        self.out: deque[str] = deque()
        self.steps: deque[Iterator[None]] = deque()
        self.poisoned = False
        self.reload_wanted = False
        self.lose_commands = 0
        self.now_s = 0.0
        self.load()

    # -------------------------------------------------------------------------------------------------- its environment

    def load(self) -> None:
        wanted = self.configuration.neighbors
        for name in [name for name in self.neighbors if name not in wanted]:
            neighbor = self.neighbors.pop(name)
            self.close(neighbor, "stop, message [removed]")
        for name, (identity, router, description) in wanted.items():
            if name not in self.neighbors:
                self.neighbors[name] = Neighbor(identity, router, description)
                self.neighbors[name].reachable = self.configuration.reachable.get(name, True)
            neighbor = self.neighbors[name]
            neighbor.description = description
            neighbor.ends.clear()
            neighbor.counter = 0

    def close(self, neighbor: Neighbor, reason: str) -> None:
        if not neighbor.up:
            return
        neighbor.up = False
        neighbor.batch.clear()
        neighbor.buckets.clear()
        neighbor.resend.clear()
        neighbor.router.session_lost()
        self.event(neighbor, "state", {"state": "down", "reason": reason})

    def open(self, neighbor: Neighbor) -> None:
        neighbor.up, neighbor.withdraws, neighbor.add_path = True, False, neighbor.router.add_path
        neighbor.since_s = self.now_s
        neighbor.router.session_up()
        families = list(FAMILIES)
        self.event(
            neighbor,
            "negotiated",
            {
                "negotiated": {
                    "hold_time": 90,
                    "families": families,
                    "nexthop": [],
                    "add_path": {"send": families if neighbor.add_path else [], "receive": []},
                }
            },
        )
        self.event(neighbor, "state", {"state": "up"})
        for key, attributes in neighbor.held.items():
            change = Change(key, attributes)
            neighbor.buckets.setdefault(change.bucket, {})[key] = change

    def died(self) -> None:
        for neighbor in self.neighbors.values():
            if neighbor.up:
                neighbor.router.session_lost()

    # ----------------------------------------------------------------------------------------------- turns

    def turn(self) -> None:
        if self.reload_wanted:
            self.reload_wanted = False
            if not any(neighbor.pending for neighbor in self.neighbors.values()):
                self.reload()
        for neighbor in self.neighbors.values():
            self.run(neighbor)
        while self.inbox:
            self.command(self.inbox.popleft())
        for _ in range(STEPS_PER_TURN):
            if not self.steps:
                break
            try:
                next(self.steps[0])
            except StopIteration:
                self.steps.popleft()

    def reload(self) -> None:
        if self.configuration.broken:
            self.poisoned = True
        if not self.poisoned:
            self.load()

    def run(self, neighbor: Neighbor) -> None:
        if neighbor.up and not neighbor.reachable:
            self.close(neighbor, "hold timer expired")
            return
        if not neighbor.up:
            if neighbor.reachable:
                self.open(neighbor)
            if not neighbor.up:
                return
        if neighbor.stalled:
            return
        if not neighbor.batch and neighbor.pending:
            neighbor.take_batch()
            neighbor.withdraws = True
        for _ in range(UPDATES_PER_TURN):
            if not neighbor.batch:
                break
            self.send(neighbor, *neighbor.batch.popleft())
        if not neighbor.batch and not neighbor.pending and neighbor.ends:
            family = neighbor.ends.popleft()
            neighbor.router.end_of_rib(family)
            afi, safi = family.split()
            self.event(neighbor, "update", {"direction": "send", "message": {"eor": {"afi": afi, "safi": safi}}})

    def retry(self, name: str) -> None:
        """An attempt to connect failed: what waits is dropped; what is held comes back with the session."""
        neighbor = self.neighbors.get(name)
        if neighbor is not None and not neighbor.up:
            neighbor.buckets.clear()
            neighbor.resend.clear()

    def send(self, neighbor: Neighbor, attributes: dict[str, Any] | None, keys: list[Key]) -> None:
        def nlri(key: Key) -> dict[str, str]:
            shown = {"nlri": key[0]}
            return shown | ({"path-information": str(IPv4Address(key[1]))} if neighbor.add_path else {})

        for prefix, path_id in keys:
            key = (prefix, path_id if neighbor.add_path else 0)
            if attributes is None:
                neighbor.router.withdraw(key)
            else:
                neighbor.router.announce(key, attributes)
        family = family_of(keys[0])
        nlris = [nlri(key) for key in keys]
        if attributes is None:
            update: dict[str, Any] = {"withdraw": {family: nlris}}
        else:
            attribute = {k: v for k, v in attributes.items() if k != "next-hop"}
            attribute["as-path"] = {"0": {"element": "as-sequence", "value": [neighbor.identity["local-as"]]}}
            update = {"attribute": attribute, "announce": {family: {attributes["next-hop"]: nlris}}}
        self.event(neighbor, "update", {"direction": "send", "message": {"update": update}})

    def event(self, neighbor: Neighbor, kind: str, body: dict[str, Any]) -> None:
        neighbor.counter += 1
        if neighbor.lose_events and kind == "update":
            neighbor.lose_events -= 1
            return
        identity = neighbor.identity
        shown = {
            "address": {"local": identity["local-ip"], "peer": identity["peer"]},
            "asn": {"local": identity["local-as"], "peer": identity["peer-as"]},
            "router-id": identity["router-id"],
            **body,
        }
        self.out.append(json.dumps({"counter": neighbor.counter, "type": kind, "neighbor": shown}))

    # ----------------------------------------------------------------------------------------------- commands

    def command(self, line: str) -> None:
        if line == "reload":
            self.reload_wanted = True
            self.out.extend(["reload in progress", "done"])
        elif line == "shutdown":
            self.out.append("done")
        elif line.startswith("show neighbor json"):
            self.steps.append(self.show_neighbors())
        elif line.startswith("show neighbor configuration"):
            self.steps.append(self.show_configuration())
        elif found := re.fullmatch(r"show adj-rib out (\S+ )?extensive", line):
            self.steps.append(self.show_rib((found.group(1) or "").strip()))
        else:
            self.neighbor_command(line)

    def neighbor_command(self, line: str) -> None:
        found = re.fullmatch(r"neighbor (\S+) local-ip (\S+) local-as (\d+) peer-as (\d+) router-id (\S+) (.*)", line)
        assert found, line
        neighbor = self.neighbors.get(found.group(1))
        action = found.group(6)
        swallowed = self.lose_commands > 0
        if swallowed:
            self.lose_commands -= 1
        if action.startswith("teardown "):
            # It is answered whether a session is up or not, and strikes the one that is.
            if neighbor is not None and neighbor.up:
                self.close(neighbor, "graceful restarted negotiated, closing without sending any notification")
            self.out.append("done")
        elif action.startswith("announce eor") or action.startswith("flush"):
            if neighbor is None or not neighbor.up:
                self.out.append("error")
                return
            self.steps.append(self.session_command(neighbor, action, swallowed))
        else:
            self.steps.append(self.route_command(neighbor, action, swallowed))

    def session_command(self, neighbor: Neighbor, action: str, swallowed: bool) -> Iterator[None]:
        if action.startswith("announce eor ") and not swallowed:
            neighbor.ends.append(action.removeprefix("announce eor "))
        elif not swallowed:
            neighbor.resend += [Change(key, attributes) for key, attributes in neighbor.held.items()]
        yield
        self.out.append("done")

    def route_command(self, neighbor: Neighbor | None, action: str, swallowed: bool) -> Iterator[None]:
        if neighbor is None:
            self.out.append("error")
            return
        verb, _, rest = action.partition(" attributes")
        words, _, prefixes = rest.partition(" nlri ")
        path_id, attributes = parse_attributes(words.strip())
        for prefix in prefixes.split():
            if not swallowed:
                neighbor.insert(Change((prefix, path_id), attributes if verb == "announce" else None))
            yield
        self.out.append("done")

    # ----------------------------------------------------------------------------------------------- shows

    def show_neighbors(self) -> Iterator[None]:
        shown = []
        for neighbor in self.neighbors.values():
            identity = neighbor.identity
            add_path = "send" if neighbor.up and neighbor.add_path else "disabled"
            shown.append(
                {
                    "state": "up" if neighbor.up and self.now_s - neighbor.since_s >= 1 else "down",
                    "duration": int(self.now_s - neighbor.since_s),
                    "fsm": "ESTABLISHED" if neighbor.up else "IDLE",
                    "local": {
                        "address": identity["local-ip"],
                        "as": identity["local-as"],
                        "id": identity["router-id"],
                        "hold": 90,
                    },
                    "peer": {"address": identity["peer"], "as": identity["peer-as"], "hold": 240},
                    "families": list(FAMILIES) if neighbor.up else [],
                    "add-path": dict.fromkeys(FAMILIES, add_path),
                }
            )
        self.out.append(json.dumps(shown))
        yield
        self.out.append("done")

    def show_configuration(self) -> Iterator[None]:
        # It shows the configuration that was loaded, which is what the neighbours were made from.
        for neighbor in list(self.neighbors.values()):
            identity = neighbor.identity
            self.out.extend(
                [
                    f"neighbor {identity['peer']} {{",
                    f'  description "{neighbor.description}";',
                    f"  router-id {identity['router-id']};",
                    f"  local-address {identity['local-ip']};",
                    f"  local-as {identity['local-as']};",
                    f"  peer-as {identity['peer-as']};",
                    "}",
                ]
            )
            yield
        self.out.append("done")

    def show_rib(self, only: str) -> Iterator[None]:
        for name, neighbor in list(self.neighbors.items()):
            if only and not name.startswith(only):
                continue
            identity = neighbor.identity
            head = (
                f"neighbor {name} local-ip {identity['local-ip']} local-as {identity['local-as']} "
                f"peer-as {identity['peer-as']} router-id {identity['router-id']} family-allowed in-open"
            )
            for (prefix, path_id), attributes in list(neighbor.held.items()):
                path = f" path-information {IPv4Address(path_id)}" if path_id else ""
                words = "".join(f" {name} {value}" for name, value in attributes.items() if name != "next-hop")
                self.out.append(
                    f"{head} {family_of((prefix, path_id))} {prefix}{path} next-hop {attributes['next-hop']}{words}"
                )
            yield
        self.out.append("done")


def parse_attributes(words: str) -> tuple[int, dict[str, Any]]:
    """The path identifier, and next hop and MED; the suites of the text cover the other attributes."""
    path_id, attributes = 0, dict[str, Any]()
    parts = iter(words.split())
    for name in parts:
        value = next(parts)
        if name == "path-information":
            path_id = int(IPv4Address(value))
        else:
            attributes[name] = int(value) if name == "med" else value
    return path_id, attributes


@dataclass
class SimulatedConfiguration:
    """The configuration file as the simulated ExaBGP reads it."""

    neighbors: dict[str, tuple[dict[str, Any], Router, str]] = field(default_factory=dict)
    reachable: dict[str, bool] = field(default_factory=dict)
    broken: bool = False
