"""The addresses and router ids that sessions are made of."""

from __future__ import annotations

import pytest

from porter.app.speaker.local_address import AddressBook
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings


def test_a_router_id_is_the_same_whatever_was_asked_before() -> None:
    """A session over IPv6 would otherwise restart when one over IPv4 follows."""
    book = AddressBook("")
    six = book.router_id(Address("fd00::1"))
    assert book.router_id(book.towards(Address("127.0.0.9"))) == "127.0.0.1"
    assert book.router_id(Address("fd00::1")) == six
    assert AddressBook("192.0.2.7").router_id(Address("fd00::1")) == "192.0.2.7"


def test_a_machine_of_ipv6_alone_has_a_router_id_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AddressBook, "towards", lambda _book, _peer: Address(""))
    one, other = (AddressBook("").router_id(Address(f"fd00::{number}")) for number in (1, 2))
    assert one != other
    assert all(len(name.split(".")) == 4 and name.startswith("10.") for name in (one, other))
    assert one == AddressBook("").router_id(Address("fd00::1"))
    assert AddressBook("").router_id() == "127.0.0.1"


def test_what_an_earlier_process_knew_counts_where_there_is_no_way_to_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    peer, own, number = Address("192.0.2.254"), Address("192.0.2.1"), Address("192.0.2.9")
    before = SessionSettings(PeerKey("tor"), peer, 65001, 65000, number, own)
    monkeypatch.setattr(AddressBook, "towards", lambda _book, _peer: Address(""))
    book = AddressBook("")
    assert book.own(peer, before, up=False) == (own, number)
    assert book.own(Address("192.0.2.253"), before, up=False) is None
    assert book.own(peer, None, up=False) is None
