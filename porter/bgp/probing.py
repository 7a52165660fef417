"""A look from outside at a router that takes no connection: does its port answer at all?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from porter.bgp.attempts import Verdict
from porter.bgp.configuration import GTSM_TTL
from porter.bgp.session import PeerSession
from porter.bgp.states import DOWN
from porter.model.address import IPV6, family_of
from porter.model.bgp import SessionSettings

ANSWER_TIMEOUT_S = 5.0
"""Longer than the kernel takes to find out that nobody has an address of its own subnet (3 s)."""
IP_MINTTL = 21
IPV6_MINHOPCOUNT = 73
"""Of linux/in.h and linux/in6.h; Python has no names for them."""


async def probe(settings: SessionSettings) -> Verdict:
    """Connect to a session's peer as the engine would, but for its password, and close at once."""
    try:
        with socket_of(settings) as probing:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(probing, (settings.peer_address, settings.port))
    except ConnectionRefusedError:
        return Verdict.REFUSED
    except TimeoutError:
        return Verdict.SILENT
    except OSError:
        return Verdict.UNREACHABLE
    return Verdict.ACCEPTED


def socket_of(settings: SessionSettings) -> socket.socket:
    """A socket with the addresses and the TTL of a session: under TTL security nothing else is answered, or heard.

    Raises:
        OSError: the local address is not this machine's.
    """
    six = family_of(settings.peer_address) == IPV6
    made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        level, name = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if six else (socket.IPPROTO_IP, socket.IP_TTL)
        if settings.ttl_security:
            made.setsockopt(level, name, GTSM_TTL)
            made.setsockopt(level, IPV6_MINHOPCOUNT if six else IP_MINTTL, GTSM_TTL)
        elif settings.multihop_ttl:
            made.setsockopt(level, name, settings.multihop_ttl)
        made.bind((settings.local_address, 0))
    except OSError:
        made.close()
        raise
    return made


class Lookout:
    """Finds out, for one session at a time, why it is down where the engine does not say it."""

    def __init__(self) -> None:
        self._looking: asyncio.Task[None] | None = None

    def watch(self, sessions: Iterable[PeerSession], now_s: float) -> None:
        """Begin a look at the first session that is due."""
        if self._looking is not None:
            return
        for session in sessions:
            if session.sync is DOWN and session.attempts.due(session.settings, now_s):
                self._looking = asyncio.create_task(self._look(session), name=f"a look at {session.settings.peer}")
                return

    def cancel(self) -> None:
        """End a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self, session: PeerSession) -> None:
        try:
            session.attempts.looked(await probe(session.settings), session.settings)
        finally:
            self._looking = None
