"""The addresses and router ids that sessions are made of."""

from __future__ import annotations

import pytest

from porter.app.local_address import AddressBook
from porter.model.address import Address


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
