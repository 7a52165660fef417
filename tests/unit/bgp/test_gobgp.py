"""GoBGP's messages, and the counting of UPDATEs that confirms routes."""

from __future__ import annotations

import pytest
from google.protobuf import any_pb2

from porter.bgp.backends.gobgp import messages
from porter.bgp.backends.gobgp.agreement import Agreement
from porter.bgp.backends.gobgp.evidence import Evidence, Sent
from porter.bgp.backends.gobgp.filling import filling
from porter.bgp.backends.gobgp.looking import Look, Seen, as_number, restart_state
from porter.bgp.backends.gobgp.places import place_of
from porter.bgp.backends.gobgp.protocol import gobgp_pb2 as wire
from porter.bgp.backends.gobgp.troubles import CONNECTS_WITHIN_S, RETRIES_WITHIN_S, Troubles
from porter.bgp.session import PeerSession
from porter.model.address import Address, Prefix
from porter.model.bgp import Negotiated, PathAttributes, PeerKey, RouteKey, SessionSettings

SETTINGS = SessionSettings(
    PeerKey("tor"), Address("10.0.0.2"), 64501, 64500, Address("10.0.0.1"), Address("10.0.0.1"), restart_time_s=60
)
BOTH = frozenset({"IPv4", "IPv6"})
KEY = RouteKey(Prefix("10.9.0.1/32"), 11)
PLAIN = PathAttributes(Address("10.77.0.11"))
RICH = PathAttributes(Address("10.77.0.11"), 7, 300, ("64500:20", "65535:65281"), ("64500:1:2",), 2)


def packed(message):
    outer = any_pb2.Any()
    outer.Pack(message)
    return outer


def family(afi):
    return wire.Family(afi=afi, safi=1)


def up(*capabilities):
    peer = wire.Peer(state=wire.PeerState(remote_cap=[packed(one) for one in capabilities]))
    peer.timers.state.negotiated_hold_time = 9
    return peer


@pytest.mark.parametrize(
    ("prefix", "attributes"),
    [
        ("10.9.0.1/32", PLAIN),
        ("10.9.0.1/32", RICH),
        ("fd09::1/128", RICH._replace(next_hop=Address("fd77::11"))),
        ("10.9.0.1/32", PLAIN._replace(next_hop=Address("fd77::11"), med=0)),
    ],
)
def test_a_route_comes_back_from_the_table_as_it_was_given(prefix, attributes):
    key = RouteKey(Prefix(prefix), 11)
    assert messages.read_path(prefix, messages.path_message(SETTINGS, key, attributes)) == (key, attributes)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_neighbour_that_may_keep_our_routes_is_told_that_forwarding_was_preserved(keeps):
    peer = messages.peer_message(SETTINGS, "key", keeps=keeps)
    assert peer.graceful_restart.local_restarting == keeps
    assert peer.graceful_restart.restart_time == 60
    assert peer.conf.auth_password == "key"
    assert [one.add_paths.config.send_max for one in peer.afi_safis] == [64, 64]
    assert all(one.mp_graceful_restart.config.enabled for one in peer.afi_safis)
    assert messages.global_message(SETTINGS).listen_port == messages.NO_LISTENING
    assert messages.global_message(SETTINGS._replace(passive=True)).listen_port == SETTINGS.port


def test_what_was_negotiated_is_what_both_offer():
    multi4, multi6 = (wire.MultiProtocolCapability(family=family(afi)) for afi in (1, 2))
    add_path = wire.AddPathCapability(
        tuples=[
            wire.AddPathCapabilityTuple(family=family(1), mode=3),
            wire.AddPathCapabilityTuple(family=family(2), mode=2),
        ]
    )
    peer = up(multi4, multi6, add_path, wire.GracefulRestartCapability())
    negotiated = messages.read_negotiated(SETTINGS, peer)
    assert negotiated == Negotiated(BOTH, frozenset({"IPv4"}), 9)
    assert messages.ends_of_rib(peer, negotiated) == 2
    # No capability at all is IPv4 (RFC 4760), and nothing to end for a peer that knows no graceful restart.
    assert messages.read_negotiated(SETTINGS, up()) == Negotiated(frozenset({"IPv4"}), frozenset(), 9)
    assert messages.ends_of_rib(up(), negotiated) == 0


def test_the_updates_of_a_table_are_counted_as_gobgp_packs_them():
    negotiated = Negotiated(BOTH, BOTH, 9)
    four = [(RouteKey(Prefix(f"10.{n >> 8}.{n & 255}.1/32"), 11), PLAIN) for n in range(1000)]
    six = [(RouteKey(Prefix(f"fd09::{n:x}/128"), 11), PLAIN._replace(next_hop=Address("fd77::11"))) for n in range(3)]
    # 4096 - 23 - (4 + 9 + 7) bytes hold 450 routes of 9 bytes.
    assert messages.updates_of(SETTINGS, negotiated, four[:450]) == 1
    assert messages.updates_of(SETTINGS, negotiated, four[:451]) == 2
    assert messages.updates_of(SETTINGS, negotiated, four + six) == 3 + 3
    assert messages.updates_of(SETTINGS, negotiated, []) == 0


def test_a_session_carries_the_keys_that_fit_it():
    single = RouteKey(KEY.prefix, 0)
    routes = {KEY: PLAIN, single: PLAIN, RouteKey(Prefix("fd09::1/128"), 1): PLAIN}
    only4 = frozenset({"IPv4"})
    assert messages.sendable(Negotiated(only4, only4, 9), routes.items()) == [(KEY, PLAIN)]
    assert messages.sendable(Negotiated(only4, frozenset(), 9), routes.items()) == [(single, PLAIN)]


def test_a_table_is_confirmed_when_all_of_it_was_sent_and_the_count_stands_still():
    evidence = Evidence()
    evidence.begin()
    evidence.owe_all(3, [(KEY, PLAIN)])
    assert evidence.transferring
    assert evidence.count(2) == []
    assert evidence.count(2) == [], "a peer that reads slowly makes the count stand still, too"
    assert evidence.count(3) == []
    assert evidence.count(3) == [Sent([(KEY, PLAIN)], ())]
    assert evidence.complete


def test_changes_are_confirmed_in_their_order_as_the_count_goes_up():
    evidence = Evidence()
    evidence.begin(10)
    first, second = Sent([(KEY, PLAIN)], ()), Sent((), [KEY])
    evidence.owe(2, first)
    evidence.owe(1, second)
    evidence.owe(0, first)
    assert evidence.count(11) == []
    assert evidence.count(12) == [first]
    assert not evidence.complete
    assert evidence.count(13) == [second, first]
    assert evidence.complete


def test_where_a_change_makes_an_unknown_number_of_updates_counting_begins_anew():
    evidence = Evidence()
    evidence.begin()
    evidence.owe(5, Sent([(KEY, PLAIN)], ()))
    evidence.recount()
    assert evidence.transferring
    assert evidence.count(3) == []
    assert evidence.count(3) == []
    assert evidence.complete
    evidence.owe(1, Sent((), [KEY]))
    assert evidence.count(4) == [Sent((), [KEY])]


OTHER = RouteKey(Prefix("10.9.0.2/32"), 11)
SINGLE = RouteKey(Prefix("10.9.0.3/32"), 0)
HELD = {KEY: PLAIN, OTHER: PLAIN, SINGLE: PLAIN}


def filled(**changes):
    arguments = {
        "held": HELD,
        "wanted": {KEY: PLAIN._replace(med=1)},
        "inherited": {},
        "families": SETTINGS.families,
        "canonical": lambda attributes: attributes,
        "certain": True,
        "kept": False,
    }
    return filling(**(arguments | changes))


def test_a_table_is_filled_with_what_is_wanted_alone():
    assert filled() == ([(KEY, PLAIN._replace(med=1))], [OTHER, SINGLE])
    assert filled(held={}) == ([(KEY, PLAIN._replace(med=1))], [])
    assert filled(families=("IPv6",)).additions == []


def test_an_uncertain_filling_takes_nothing_away():
    assert filled(certain=False).removals == []


def test_what_the_peer_may_still_keep_is_announced_to_be_withdrawn_by_name():
    assert filled(kept=True).removals == [SINGLE]
    inherited = {OTHER: PLAIN, SINGLE: PLAIN}
    # In the order of before, so that GoBGP gives each path the number that it had.
    assert filled(held={}, kept=True, inherited=inherited).additions == [(OTHER, PLAIN), (KEY, PLAIN._replace(med=1))]
    assert filled(held={}, kept=False, inherited=inherited).additions == [(KEY, PLAIN._replace(med=1))]


def test_an_agreement_outlives_its_session(tmp_path):
    file = tmp_path / "tor.agreed"
    assert Agreement(file, SETTINGS).presumed == Negotiated(BOTH, BOTH, SETTINGS.hold_time_s)
    only4 = Negotiated(frozenset({"IPv4"}), frozenset(), 9)
    Agreement(file, SETTINGS).learn(only4)
    assert Agreement(file, SETTINGS).presumed == only4
    assert Agreement(file, SETTINGS).offered == ("IPv4",)
    # Where nothing is common any more, everything is offered.
    assert Agreement(file, SETTINGS._replace(families=("IPv6",))).offered == ("IPv6",)
    file.write_text("broken")
    assert Agreement(file, SETTINGS).offered == SETTINGS.families


def test_the_name_of_a_session_tells_nothing_of_its_key(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    place = place_of(tmp_path / "one", SETTINGS, "s3cret")
    assert place == place_of(tmp_path / "one", SETTINGS, "s3cret")
    assert place.name != place_of(tmp_path / "one", SETTINGS, "other").name
    assert place.name != place_of(tmp_path / "two", SETTINGS, "s3cret").name


def test_a_setting_that_no_daemon_is_told_makes_no_other_session(tmp_path):
    place = place_of(tmp_path, SETTINGS, None)
    timers = {"bfd_receive_ms": 300, "bfd_transmit_ms": 300, "bfd_multiplier": 3, "bfd_passive": True}
    assert place_of(tmp_path, SETTINGS._replace(description="the router in rack 7", **timers), None) == place
    assert place_of(tmp_path, SETTINGS._replace(connect_retry_s=60), None) == place
    assert place_of(tmp_path, SETTINGS._replace(peer=PeerKey("renamed")), None) == place
    assert place_of(tmp_path, SETTINGS._replace(hold_time_s=60), None) != place


def test_a_router_tells_of_its_restart_in_its_open():
    head = bytes(9)
    multiprotocol, restarting, running = bytes([1, 4, 0, 1, 0, 1]), bytes([64, 2, 0x80, 120]), bytes([64, 2, 0, 120])

    def opened(*parameters: bytes) -> bytes:
        packed = b"".join(bytes([2, len(one)]) + one for one in parameters)
        return head + bytes([len(packed)]) + packed

    assert restart_state(opened(multiprotocol, restarting))
    assert restart_state(opened(multiprotocol + restarting))
    assert not restart_state(opened(multiprotocol, running))
    assert not restart_state(opened())
    for cut in range(len(opened(restarting))):
        assert not restart_state(opened(restarting)[:cut])


@pytest.mark.parametrize(
    ("looked", "told_before", "keeps"),
    [
        (Look.RUNNING, False, True),
        (Look.UNKNOWN, False, True),
        (Look.RESTARTING, False, False),
        (Look.RESTARTING, True, True),
        (Look.CLOSED, False, False),
    ],
)
def test_who_restarted_keeps_nothing_of_before(looked, told_before, keeps):
    assert looked.may_keep(told_before=told_before) == keeps


@pytest.mark.parametrize(
    ("opened", "number"),
    [
        (bytes([4]) + (64999).to_bytes(2, "big") + bytes(7), 64999),
        (bytes([4]) + (23456).to_bytes(2, "big") + bytes(6) + bytes([8, 2, 6, 65, 4, 0, 3, 0, 1]), 196609),
        (bytes([4]) + (23456).to_bytes(2, "big") + bytes(7), None),
    ],
)
def test_a_router_tells_its_as_number_in_its_open(opened, number):
    assert as_number(opened) == number


def told(session: PeerSession, now_s: float) -> list[tuple[str, str]]:
    session.tell_news(now_s)
    outcomes, session.outcomes = session.outcomes, []
    return [(event.state, event.reason) for event in outcomes]


def test_another_as_number_in_the_routers_open_is_told_at_once_and_once():
    session = PeerSession(SETTINGS, 0.0)
    troubles, peer = Troubles(session), wire.Peer()
    troubles.begin(Seen(Look.RUNNING, 64999), 0.5)
    ((state, reason),) = told(session, 0.5)
    assert state == "Idle"
    assert f"another AS number than {SETTINGS.peer_as}; correct spec.conf.peerAs" in reason
    assert "AS 64999" in reason
    peer.state.messages.sent.notification = 1
    troubles.see(peer, 20.0)
    assert told(session, 20.0) == []


def test_a_refusal_is_told_and_stands_until_gobgp_had_time_to_try_again():
    session = PeerSession(SETTINGS, 0.0)
    troubles, peer = Troubles(session), wire.Peer()
    troubles.begin(Seen(Look.RUNNING, SETTINGS.peer_as), 0.0)
    assert not troubles.puzzling(CONNECTS_WITHIN_S)
    assert troubles.puzzling(CONNECTS_WITHIN_S + 1)
    peer.state.messages.received.notification = 1
    troubles.see(peer, 20.0)
    ((state, reason),) = told(session, 20.0)
    assert state == "Idle"
    assert f"expects our AS {SETTINGS.local_as}" in reason
    assert not troubles.puzzling(20.0 + RETRIES_WITHIN_S)
    assert troubles.puzzling(21.0 + RETRIES_WITHIN_S)


def test_a_port_that_was_found_closed_is_told():
    session = PeerSession(SETTINGS, 0.0)
    Troubles(session).begin(Seen(Look.CLOSED), 0.0)
    ((state, reason),) = told(session, 0.0)
    assert state == "Connect"
    assert "refuses connections" in reason


def test_an_open_that_is_never_answered_is_told():
    session = PeerSession(SETTINGS, 0.0)
    troubles, peer = Troubles(session), wire.Peer()
    troubles.begin(Seen(Look.UNKNOWN), 0.0)
    peer.state.session_state = wire.PeerState.OPENSENT
    troubles.see(peer, 8.0)
    assert told(session, 8.0) == [("OpenSent", "")]
    troubles.see(peer, 19.0)
    ((state, reason),) = told(session, 19.0)
    assert state == "OpenSent"
    assert "has not answered our OPEN" in reason
    # GoBGP gives up.
    peer.state.session_state = wire.PeerState.IDLE
    peer.state.messages.sent.notification = 1
    troubles.see(peer, 250.0)
    assert told(session, 250.0) == []
