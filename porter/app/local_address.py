"""The speaker's own addresses: the one given, or the one that the kernel would send from."""

from __future__ import annotations

import socket

from porter.model.address import IPV4, Address, family_of, parse_address

_DISCARD_PORT = 9


class AddressBook:
    """Answers which local address a session towards a peer uses; nothing is sent to find out."""

    def __init__(self, configured: str) -> None:
        self._configured = parse_address(configured) if configured else None
        self._last_ipv4 = Address("")

    def towards(self, peer: Address) -> Address:
        """The configured address if it is of the peer's family, else the kernel's choice; "" without a route."""
        if self._configured is not None and family_of(self._configured) == family_of(peer):
            return self._configured
        family = socket.AF_INET if family_of(peer) == IPV4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                # Connecting a datagram socket only asks the routing table.
                probe.connect((peer, _DISCARD_PORT))
                chosen = parse_address(probe.getsockname()[0])
        except OSError:
            return Address("")
        if family == socket.AF_INET:
            self._last_ipv4 = chosen
        return chosen

    def own_ipv4(self) -> Address:
        """The IPv4 address that serves as router id: the configured one, else the last that a session was given."""
        if self._configured is not None and family_of(self._configured) == IPV4:
            return self._configured
        return self._last_ipv4 or Address("127.0.0.1")
