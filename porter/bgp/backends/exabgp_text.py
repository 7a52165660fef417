"""ExaBGP 5.0's two languages, as text to values and back; pure.

Commands and the answers to `show` are lines of words, events are lines of JSON. Seen with 5.0.15: the grouped form
`attributes ... path-information I nlri P1 P2 ...` carries the path identifier; a withdrawal needs no next hop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from porter.bgp.commands import Announce, Command, ReadRib, Resend, SendEndOfRib, Withdraw
from porter.model.address import IPV4, IPV6, Address, Family, Prefix
from porter.model.bgp import Negotiated, PathAttributes, RouteKey, SessionSettings

FAMILY_NAMES: dict[Family, str] = {IPV4: "ipv4 unicast", IPV6: "ipv6 unicast"}
BFD_DOWN_SUBCODE = 10
FAMILIES_BY_NAME: dict[str, Family] = {name: family for family, name in FAMILY_NAMES.items()}


class UnknownText(ValueError):
    """ExaBGP said something that this module does not know; the message quotes it."""


class SessionId(NamedTuple):
    """What ExaBGP tells neighbours apart by; a change of any of these is another neighbour to it."""

    peer_address: str
    local_address: str
    local_as: int
    peer_as: int
    router_id: str

    @classmethod
    def of(cls, settings: SessionSettings) -> SessionId:
        """The identity that these settings give a session."""
        return cls(
            settings.peer_address, settings.local_address, settings.local_as, settings.peer_as, settings.router_id
        )

    @property
    def selector(self) -> str:
        """The words that make a command act on this neighbour alone: an address by itself would match more."""
        return (
            f"neighbor {self.peer_address} local-ip {self.local_address} local-as {self.local_as} "
            f"peer-as {self.peer_as} router-id {self.router_id}"
        )


# ------------------------------------------------------------------------------------------------------------- commands


def command_line(session: SessionId, settings: SessionSettings, command: Command) -> str:
    """Render one command for one neighbour."""
    if isinstance(command, ReadRib):
        # The filter is one word; neighbours whose address begins alike answer too, and are told apart by their names.
        return f"show adj-rib out {session.peer_address} extensive"
    return f"{session.selector} {_action(settings, command)}"


def cut_line(session: SessionId) -> str:
    """Render the end of a session that is up: Cease, "BFD Down" (RFC 9384).

    With graceful restart in its settings ExaBGP closes the connection without sending it.
    """
    return f"{session.selector} teardown {BFD_DOWN_SUBCODE}"


def _action(settings: SessionSettings, command: Announce | Withdraw | SendEndOfRib | Resend) -> str:
    if isinstance(command, Announce):
        return f"announce attributes {_attribute_words(settings, command)} nlri {' '.join(command.prefixes)}"
    if isinstance(command, Withdraw):
        return f"withdraw attributes{_path_words(command.path_id)} nlri {' '.join(command.prefixes)}"
    if isinstance(command, SendEndOfRib):
        return f"announce eor {FAMILY_NAMES[command.family]}"
    return "flush adj-rib out"


def _path_words(path_id: int) -> str:
    return f" path-information {IPv4Address(path_id)}" if path_id else ""


def _attribute_words(settings: SessionSettings, command: Announce) -> str:
    attributes = command.attributes
    words = [f"next-hop {attributes.next_hop}"]
    if attributes.med is not None:
        words.append(f"med {attributes.med}")
    if attributes.local_pref is not None:
        words.append(f"local-preference {attributes.local_pref}")
    if attributes.communities:
        words.append(f"community [{' '.join(attributes.communities)}]")
    if attributes.large_communities:
        words.append(f"large-community [{' '.join(attributes.large_communities)}]")
    if attributes.as_path_prepend:
        # A path that is given is sent as it is: on an external session our own number belongs to it (RFC 4271, 5.1.2).
        own = settings.local_as != settings.peer_as
        words.append(f"as-path [{' '.join([str(settings.local_as)] * (attributes.as_path_prepend + own))}]")
    return " ".join(words) + _path_words(command.path_id)


# --------------------------------------------------------------------------------------------------------------- events


class UpdateSent(NamedTuple):
    """An UPDATE was handed to TCP."""

    announced: tuple[tuple[RouteKey, PathAttributes], ...]
    withdrawn: tuple[RouteKey, ...]


class EndOfRibWasSent(NamedTuple):
    """An End-of-RIB was handed to TCP."""

    family: Family | None


class StateEvent(NamedTuple):
    """`state` is "connected", "up" or "down"."""

    state: str
    reason: str


class NegotiatedEvent(NamedTuple):
    """Comes before the state "up"."""

    negotiated: Negotiated


class EngineEvent(NamedTuple):
    """One event about one neighbour. `counter` goes up by one each time, and starts anew after a reload."""

    session: SessionId
    counter: int
    body: UpdateSent | EndOfRibWasSent | StateEvent | NegotiatedEvent | None


def read_event(event: Mapping[str, Any]) -> EngineEvent | None:
    """Read one decoded JSON event; None when it is about no neighbour.

    Raises:
        UnknownText: a field is missing or has an unexpected form.
    """
    neighbor = event.get("neighbor")
    if neighbor is None:
        return None
    try:
        session = _session_of(neighbor)
        return EngineEvent(session, event["counter"], _body(event["type"], neighbor, session))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnknownText(f"an event of an unknown form: {str(event)[:500]}") from error


def _session_of(neighbor: Mapping[str, Any]) -> SessionId:
    address, asn = neighbor["address"], neighbor["asn"]
    return SessionId(address["peer"], address["local"], asn["local"], asn["peer"], neighbor.get("router-id", ""))


def _body(
    kind: str, neighbor: Mapping[str, Any], session: SessionId
) -> UpdateSent | EndOfRibWasSent | StateEvent | NegotiatedEvent | None:
    if kind == "update" and neighbor.get("direction") == "send":
        message = neighbor["message"]
        if "eor" in message:
            end = message["eor"]
            return EndOfRibWasSent(FAMILIES_BY_NAME.get(f"{end['afi']} {end['safi']}"))
        return _update(message["update"], session)
    if kind == "state":
        return StateEvent(neighbor["state"], neighbor.get("reason", ""))
    if kind == "negotiated":
        return NegotiatedEvent(_negotiated(neighbor["negotiated"]))
    return None


def _update(update: Mapping[str, Any], session: SessionId) -> UpdateSent:
    announced: list[tuple[RouteKey, PathAttributes]] = []
    for name, next_hops in update.get("announce", {}).items():
        if name not in FAMILIES_BY_NAME:
            continue
        for next_hop, nlris in next_hops.items():
            attributes = _sent_attributes(Address(next_hop), update["attribute"], session)
            announced += [(_key(nlri), attributes) for nlri in nlris]
    withdrawn = [
        _key(nlri) for name, nlris in update.get("withdraw", {}).items() if name in FAMILIES_BY_NAME for nlri in nlris
    ]
    return UpdateSent(tuple(announced), tuple(withdrawn))


def _key(nlri: Mapping[str, str]) -> RouteKey:
    path = nlri.get("path-information")
    return RouteKey(Prefix(nlri["nlri"]), int(IPv4Address(path)) if path else 0)


def _sent_attributes(next_hop: Address, attribute: Mapping[str, Any], session: SessionId) -> PathAttributes:
    hops = sum(len(segment["value"]) for segment in attribute.get("as-path", {}).values())
    external = session.local_as != session.peer_as
    return PathAttributes(
        next_hop,
        attribute.get("med"),
        None if external else attribute.get("local-preference"),
        tuple(sorted(f"{high}:{low}" for high, low in attribute.get("community", ()))),
        tuple(sorted(":".join(map(str, parts)) for parts in attribute.get("large-community", ()))),
        max(0, hops - external),
    )


def _negotiated(negotiated: Mapping[str, Any]) -> Negotiated:
    return Negotiated(
        _families(negotiated["families"]),
        _families(negotiated["add_path"]["send"]),
        negotiated["hold_time"],
        bool(negotiated["nexthop"]),
    )


def _families(names: Iterable[str]) -> frozenset[Family]:
    return frozenset(FAMILIES_BY_NAME[name] for name in names if name in FAMILIES_BY_NAME)


# -------------------------------------------------------------------------------------------------------------- answers


class Answer(NamedTuple):
    """ExaBGP's answer to one command: the lines before its `done` (accepted) or `error`, and when it came."""

    text: list[str]
    accepted: bool
    now_s: float


class NeighborState(NamedTuple):
    """One neighbour as `show neighbor json` tells it; `negotiated` is None unless its session is up.

    `updates` counts those that came from the router in this session; `up_s` is its age, rounded down.
    """

    session: SessionId
    negotiated: Negotiated | None
    updates: int = 0
    up_s: int = 0


def read_neighbors(neighbors: Iterable[Mapping[str, Any]]) -> list[NeighborState]:
    """Read the decoded answer to `show neighbor json`.

    Raises:
        UnknownText: a field is missing or has an unexpected form.
    """
    try:
        return [_neighbor_state(neighbor) for neighbor in neighbors]
    except (KeyError, TypeError) as error:
        raise UnknownText(f"a list of neighbours of an unknown form: {str(neighbors)[:500]}") from error


def _neighbor_state(neighbor: Mapping[str, Any]) -> NeighborState:
    local, peer = neighbor["local"], neighbor["peer"]
    session = SessionId(peer["address"], local["address"], local["as"], peer["as"], local["id"])
    # The field `state` says "down" throughout the first second of a session.
    if neighbor["fsm"] != "ESTABLISHED":
        return NeighborState(session, None)
    add_path = [name for name, mode in neighbor["add-path"].items() if "send" in mode]
    hold_time_s = min(local["hold"], peer["hold"])
    negotiated = Negotiated(_families(neighbor["families"]), _families(add_path), hold_time_s)
    updates = neighbor.get("messages", {}).get("received", {}).get("update", 0)
    # Where it says "down" the duration is of something else.
    return NeighborState(session, negotiated, updates, neighbor["duration"] if neighbor["state"] == "up" else 0)


def read_routes(
    lines: Iterable[str], canonical: Callable[[SessionId, PathAttributes], PathAttributes]
) -> dict[SessionId, dict[RouteKey, PathAttributes]]:
    """Read the answer to `show adj-rib out extensive`: the routes of our families, by session.

    Raises:
        UnknownText: a line has another form.
    """
    found: dict[SessionId, dict[RouteKey, PathAttributes]] = {}
    for line in lines:
        route = read_route(line)
        if route is not None:
            session, key, attributes = route
            found.setdefault(session, {})[key] = canonical(session, attributes)
    return found


def read_route(line: str) -> tuple[SessionId, RouteKey, PathAttributes] | None:
    """Read one line of `show adj-rib out extensive`; None for a family that is not ours.

    Raises:
        UnknownText: the line has another form.
    """
    words = iter(line.split())
    try:
        session = _session_words(words)
        family = f"{next(words)} {next(words)}"
        if family not in FAMILIES_BY_NAME:
            return None
        prefix, path_id, attributes = Prefix(next(words)), 0, PathAttributes(Address(""))
        for word in words:
            if word == "path-information":
                path_id = int(IPv4Address(next(words)))
            else:
                attributes = _with_attribute(attributes, word, words, session)
    except (StopIteration, ValueError, KeyError) as error:
        raise UnknownText(f"a route of an unknown form: {line[:500]!r}") from error
    return session, RouteKey(prefix, path_id), attributes


def _session_words(words: Iterable[str]) -> SessionId:
    found: dict[str, str] = {}
    iterator = iter(words)
    for word in iterator:
        found[word] = next(iterator)
        if word == "family-allowed":
            break
    return SessionId(
        found["neighbor"], found["local-ip"], int(found["local-as"]), int(found["peer-as"]), found["router-id"]
    )


def _with_attribute(attributes: PathAttributes, word: str, words: Iterable[str], session: SessionId) -> PathAttributes:
    value = _value(words)
    match word:
        case "next-hop":
            changed = attributes._replace(next_hop=Address(value[0]))
        case "med":
            changed = attributes._replace(med=int(value[0]))
        case "local-preference":
            changed = attributes._replace(local_pref=int(value[0]))
        case "community":
            changed = attributes._replace(communities=tuple(value))
        case "large-community":
            changed = attributes._replace(large_communities=tuple(value))
        case "as-path":
            own = session.local_as != session.peer_as
            changed = attributes._replace(as_path_prepend=max(0, len(value) - own))
        case "origin":
            changed = attributes
        case _:
            raise ValueError(word)
    return changed


def _value(words: Iterable[str]) -> list[str]:
    """One word, or the words within brackets."""
    iterator = iter(words)
    first = next(iterator)
    if first not in {"[", "("}:
        return [first]
    values: list[str] = []
    for word in iterator:
        if word in {"]", ")"}:
            break
        values.append(word)
    return values
