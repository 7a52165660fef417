"""Recorded lines of ExaBGP 5.0.15, and the commands that it takes."""

from __future__ import annotations

import json

import pytest

from porter.bgp.backends.exabgp_agreements import Agreements
from porter.bgp.backends.exabgp_text import (
    EndOfRibWasSent,
    NegotiatedEvent,
    SessionId,
    StateEvent,
    UnknownText,
    UpdateSent,
    command_line,
    read_event,
    read_neighbors,
    read_route,
)
from porter.bgp.commands import Announce, ReadRib, Resend, SendEndOfRib, Withdraw, announcements, withdrawals
from porter.model.address import IPV4, IPV6, Address, Prefix
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings

SETTINGS = SessionSettings(
    PeerKey("tor"), Address("127.0.0.2"), 64501, 64500, Address("127.0.0.1"), Address("127.0.0.1")
)
SESSION = SessionId.of(SETTINGS)
SELECTOR = "neighbor 127.0.0.2 local-ip 127.0.0.1 local-as 64500 peer-as 64501 router-id 127.0.0.1"
HEAD = (
    '{ "exabgp": "5.0.0", "time": 1.5, "host" : "vm", "pid" : 1, "ppid" : 1, "counter": 4, "type": "%s", "neighbor": '
    '{ "address": { "local": "127.0.0.1", "peer": "127.0.0.2" }, "asn": { "local": 64500, "peer": 64501 }, '
    '"router-id": "127.0.0.1" , %s } }'
)
NEGOTIATED = (
    '"negotiated": { "message_size": 4096, "hold_time": 90, "asn4": true, "multisession": false, "operational": false, '
    '"refresh": "enhanced", "families": ["ipv4 unicast", "ipv6 unicast"], "nexthop": [], '
    '"add_path": {"send": ["ipv4 unicast"], "receive": []} }'
)


def event(kind: str, body: str):
    return read_event(json.loads(HEAD % (kind, body)))


def prefixes(*texts: str) -> tuple[Prefix, ...]:
    return tuple(Prefix(text) for text in texts)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (
            Announce(PathAttributes(Address("10.0.0.1")), 9, prefixes("10.9.0.1/32", "10.9.0.2/32")),
            "announce attributes next-hop 10.0.0.1 path-information 0.0.0.9 nlri 10.9.0.1/32 10.9.0.2/32",
        ),
        (
            Announce(
                PathAttributes(Address("fd00::1"), 7, 200, ("64500:1", "65535:65281"), ("64500:1:2",), 2),
                0,
                prefixes("fd09::1/128"),
            ),
            "announce attributes next-hop fd00::1 med 7 local-preference 200 community [64500:1 65535:65281] "
            "large-community [64500:1:2] as-path [64500 64500 64500] nlri fd09::1/128",
        ),
        (
            Withdraw(172818443, prefixes("10.9.0.1/32")),
            "withdraw attributes path-information 10.77.0.11 nlri 10.9.0.1/32",
        ),
        (Withdraw(0, prefixes("10.9.0.1/32")), "withdraw attributes nlri 10.9.0.1/32"),
        (SendEndOfRib(IPV6), "announce eor ipv6 unicast"),
        (Resend(), "flush adj-rib out"),
    ],
)
def test_commands_act_on_one_neighbour_alone(command, line):
    assert command_line(SESSION, SETTINGS, command) == f"{SELECTOR} {line}"


def test_reading_filters_by_address():
    assert command_line(SESSION, SETTINGS, ReadRib(1)) == "show adj-rib out 127.0.0.2 extensive"


def test_an_internal_session_prepends_without_its_own_number():
    internal = SETTINGS._replace(peer_as=64500)
    command = Announce(PathAttributes(Address("10.0.0.1"), as_path_prepend=2), 0, prefixes("10.9.0.1/32"))
    assert "as-path [64500 64500] nlri" in command_line(SessionId.of(internal), internal, command)


def test_an_update_tells_every_route_with_its_attributes():
    body = (
        '"direction": "send", "message": { "update": { "attribute": { "origin": "igp", "as-path": {"0": {"element": '
        '"as-sequence", "value": [64500, 64500, 64500]}}, "med": 7, "community": [ [ 65535, 65281 ], [ 64500, 1 ] ], '
        '"large-community": [ [ 64500, 1 , 2 ] ] }, "announce": { "ipv4 unicast": { "10.0.0.1": [ { "nlri": '
        '"10.9.0.1/32", "path-information": "0.0.0.9" }, { "nlri": "10.9.0.2/32", "path-information": "0.0.0.9" } ] } }'
        " } }, " + NEGOTIATED
    )
    attributes = PathAttributes(Address("10.0.0.1"), 7, None, ("64500:1", "65535:65281"), ("64500:1:2",), 2)
    found = event("update", body)
    assert found is not None
    assert found.session == SESSION
    assert found.counter == 4
    assert found.body == UpdateSent(
        (
            (RouteKey(Prefix("10.9.0.1/32"), 9), attributes),
            (RouteKey(Prefix("10.9.0.2/32"), 9), attributes),
        ),
        (),
    )


def test_a_withdrawal_is_told_with_its_path():
    body = (
        '"direction": "send", "message": { "update": { "withdraw": { "ipv6 unicast": [ { "nlri": "fd09::1/128", '
        '"path-information": "0.0.0.9" } ] } } }, ' + NEGOTIATED
    )
    assert event("update", body).body == UpdateSent((), (RouteKey(Prefix("fd09::1/128"), 9),))


def test_without_add_path_the_prefix_is_the_key():
    body = (
        '"direction": "send", "message": { "update": { "attribute": { "origin": "igp" }, "announce": '
        '{ "ipv4 unicast": { "10.0.0.1": [ { "nlri": "10.9.0.1/32" } ] } } } }'
    )
    assert event("update", body).body.announced[0][0] == RouteKey(Prefix("10.9.0.1/32"), 0)


def test_states_and_end_of_rib():
    assert event("state", '"state": "up"').body == StateEvent("up", "")
    assert event("state", '"state": "down", "reason": "closing connection"').body == StateEvent(
        "down", "closing connection"
    )
    eor = '"direction": "send", "message": { "eor": { "afi" : "ipv6", "safi" : "unicast" } }'
    assert event("update", eor).body == EndOfRibWasSent(IPV6)
    assert event("negotiated", NEGOTIATED).body == NegotiatedEvent(
        Negotiated(frozenset({IPV4, IPV6}), frozenset({IPV4}), 90)
    )
    assert read_event({"type": "notification", "notification": "shutdown"}) is None
    with pytest.raises(UnknownText, match="unknown form"):
        event("state", '"nothing": "here"')


def test_routes_of_the_engine_are_read_with_their_attributes():
    line = (
        f"{SELECTOR} family-allowed in-open ipv4 unicast 10.9.0.1/32 path-information 0.0.0.9 next-hop 10.0.0.1 "
        "as-path ( 64500 64500 ) med 7 community [ 64500:1 no-export ] large-community 64500:1:2"
    )
    assert read_route(line) == (
        SESSION,
        RouteKey(Prefix("10.9.0.1/32"), 9),
        PathAttributes(Address("10.0.0.1"), 7, None, ("64500:1", "no-export"), ("64500:1:2",), 1),
    )
    plain = f"{SELECTOR} family-allowed in-open ipv6 unicast fd09::1/128 next-hop fd00::1"
    assert read_route(plain) == (SESSION, RouteKey(Prefix("fd09::1/128"), 0), PathAttributes(Address("fd00::1")))
    assert read_route(f"{SELECTOR} family-allowed in-open ipv4 flow something") is None
    with pytest.raises(UnknownText, match="surprise"):
        read_route(f"{plain} surprise 5")


def test_the_list_of_neighbours_tells_who_is_up():
    shown = [
        {
            "state": "down",  # It says so throughout the first second of a session.
            "fsm": "ESTABLISHED",
            "local": {"address": "127.0.0.1", "as": 64500, "id": "127.0.0.1", "hold": 90},
            "peer": {"address": "127.0.0.2", "as": 64501, "id": "127.0.0.2", "hold": 240},
            "families": ["ipv4 unicast", "ipv6 unicast"],
            "add-path": {"ipv4 unicast": "send", "ipv6 unicast": "disabled"},
            "messages": {"sent": {"update": 9}, "received": {"update": 7}},
        },
        {
            "fsm": "IDLE",
            "local": {"address": "127.0.0.1", "as": 64500, "id": "127.0.0.1", "hold": 90},
            "peer": {"address": "127.0.0.3", "as": 64501, "id": None, "hold": None},
            "families": [],
            "add-path": {"ipv4 unicast": "disabled", "ipv6 unicast": "disabled"},
        },
    ]
    up, down = read_neighbors(shown)
    [older, _] = read_neighbors([shown[0] | {"state": "up", "duration": 61}, shown[1]])
    assert (up.up_s, older.up_s, down.up_s) == (0, 61, 0)
    assert up == (SESSION, Negotiated(frozenset({IPV4, IPV6}), frozenset({IPV4}), 90), 7, 0)
    assert down == (SESSION._replace(peer_address="127.0.0.3"), None, 0, 0)


def test_routes_are_grouped_by_what_they_share():
    one, two = PathAttributes(Address("10.0.0.1")), PathAttributes(Address("10.0.0.2"))
    routes = [(RouteKey(Prefix(f"10.9.{n // 250}.{n % 250}/32"), 1), one) for n in range(250)]
    routes += [(RouteKey(Prefix("10.9.0.1/32"), 2), two), (RouteKey(Prefix("fd09::1/128"), 2), two)]
    assert [len(command.prefixes) for command in announcements(routes)] == [100, 100, 50, 1, 1]
    assert [len(command.prefixes) for command in withdrawals(key for key, _ in routes)] == [100, 100, 50, 1, 1]


def test_what_the_list_of_neighbours_leaves_out_is_remembered_for_one_engine():
    agreements = Agreements()
    settings = SETTINGS._replace(extended_next_hop=True)
    shown = Negotiated(frozenset({IPV4, IPV6}), frozenset({IPV4}), 90)
    agreements.of_engine("1-1")
    assert agreements.completed(settings, None, {}) is None
    assert agreements.completed(settings, shown, {}).extended_next_hop, "nobody knows better"
    agreements.take(event("negotiated", NEGOTIATED))
    assert not agreements.completed(settings, shown, {}).extended_next_hop
    agreements.take(event("negotiated", NEGOTIATED.replace('"nexthop": []', '"nexthop": [ "ipv4 unicast ipv6" ]')))
    assert agreements.completed(settings, shown, {}).extended_next_hop
    assert not agreements.completed(SETTINGS, shown, {}).extended_next_hop
    agreements.of_engine("1-1")
    assert agreements.of(SESSION) is not None
    agreements.of_engine("2-2")
    assert agreements.of(SESSION) is None


@pytest.mark.parametrize(
    ("next_hops", "agreed"), [(("10.0.0.1",), False), (("10.0.0.1", "fd00::2"), True), (("fd00::2",), True), ((), True)]
)
def test_what_nobody_remembers_of_an_agreement_is_told_by_the_routes_that_it_let_through(next_hops, agreed):
    settings = SETTINGS._replace(extended_next_hop=True)
    shown = Negotiated(frozenset({IPV4, IPV6}), frozenset(), 90)
    held = {RouteKey(Prefix("fd09::1/128"), 0): PathAttributes(Address("fd00::2"))}
    for number, address in enumerate(next_hops):
        held[RouteKey(Prefix(f"192.0.2.{number}/32"), 0)] = PathAttributes(Address(address))
    completed = Agreements().completed(settings, shown, held)
    assert completed is not None
    assert completed.extended_next_hop == agreed
