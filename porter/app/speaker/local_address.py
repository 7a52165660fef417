"""The speaker's own addresses: the one given, or the one that the kernel would send from."""

from __future__ import annotations

import socket
from hashlib import sha256
from typing import NamedTuple

from porter.model.address import IPV4, Address, family_of, parse_address
from porter.model.bgp import SessionSettings

_DISCARD_PORT = 9
_SOMEWHERE = Address("192.0.2.1")
"""An address that nobody has (RFC 5737): the way there is the default route."""
_PRIVATE = 10
_NONE = Address("127.0.0.1")
_UNKNOWN = Address("")


class Own(NamedTuple):
    """This end of a session."""

    local_address: Address
    router_id: Address


class AddressBook:
    """Answers which local address a session towards a peer uses; nothing is sent to find out."""

    def __init__(self, configured: str) -> None:
        self._configured = parse_address(configured) if configured else None
        self._said: dict[Address, Own] = {}

    def own(self, peer: Address, before: SessionSettings | None, *, up: bool) -> Own | None:
        """This end of the session with a peer; None while it has no address, and never had one.

        A link that is down for a moment takes its routes along, and the kernel then knows no way, or another one. The
        session outlives that: what was said of it holds while it is up, and while there is nothing better to say.
        `before` is what an earlier process knew of it.
        """
        said, local_address = self._said.get(peer), self.towards(peer)
        if said is not None and (up or not local_address):
            return said
        if local_address:
            own = self._said[peer] = Own(local_address, self.router_id(local_address))
            return own
        if before is None or before.peer_address != peer:
            return None
        return Own(before.local_address, before.router_id)

    def towards(self, peer: Address) -> Address:
        """The configured address if it is of the peer's family, else the kernel's choice; "" without a route."""
        if self._configured is not None and family_of(self._configured) == family_of(peer):
            return self._configured
        family = socket.AF_INET if family_of(peer) == IPV4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                # Connecting a datagram socket only asks the routing table.
                probe.connect((peer, _DISCARD_PORT))
                return parse_address(probe.getsockname()[0])
        except OSError:
            return Address("")

    def router_id(self, local_address: Address = _UNKNOWN) -> Address:
        """The router id of a session from a local address, written like an IPv4 address.

        The configured IPv4 address, else the session's own, else that of the default route. A machine without any has
        a number that follows from the session's IPv6 address (RFC 6286 asks for no more than that it differs).
        """
        if self._configured is not None and family_of(self._configured) == IPV4:
            return self._configured
        if local_address and family_of(local_address) == IPV4:
            return local_address
        default = self.towards(_SOMEWHERE)
        if default or not local_address:
            return default or _NONE
        return Address(".".join(map(str, (_PRIVATE, *sha256(local_address.encode()).digest()[:3]))))
