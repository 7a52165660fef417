"""BGP values in the words of RFC 4271: routes, path attributes, sessions."""

from __future__ import annotations

from typing import Literal, NamedTuple, NewType

from porter.model.address import IPV4, IPV6, Address, Family, Prefix, family_of

PeerKey = NewType("PeerKey", str)
"""The name of a BgpPeer object."""

SpeakerName = NewType("SpeakerName", str)
"""The name of one speaker process, stable over its restarts (the pod's name in a StatefulSet)."""

SessionState = Literal["Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"]
"""The states of RFC 4271, section 8.2.2."""

Topology = Literal["central", "node"]

DEFAULT_BGP_PORT = 179
MAX_AS_NUMBER = 4294967295
MIN_HOLD_TIME_S = 3
MAX_HOLD_TIME_S = 65535
MAX_PATH_ID = 4294967295
DEFAULT_BFD_INTERVAL_MS = 300
MIN_BFD_INTERVAL_MS = 10
MAX_BFD_INTERVAL_MS = 60000
DEFAULT_BFD_MULTIPLIER = 3
MIN_BFD_MULTIPLIER = 2
MAX_BFD_MULTIPLIER = 255
"""RFC 5880, section 4.1: it has eight bits. One missed packet must not end a session."""

BFD_UP = "Up"
BFD_DOWN = "Down"
"""Of the states of RFC 5880, section 6.2, the two that are told; Init, and AdminDown, count as down."""

GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326, section 5; BGP engines that know no name for it take the number."""
MAX_NEXT_HOPS = 64
"""Most next hops of one prefix that a peer is given; the ECMP width of common routers."""


AGENT_PREFIX = "agent_"
"""The name of an agent is this and its node's name. Names in Kubernetes have no underscore, so that no other speaker's
name begins like it."""


def agent_name(node: str) -> SpeakerName:
    """The name of the agent of a node, and of its stream."""
    return SpeakerName(f"{AGENT_PREFIX}{node}")


def node_of(speaker: str) -> str:
    """The node of an agent, by its name; "" for a central speaker."""
    return speaker.removeprefix(AGENT_PREFIX) if speaker.startswith(AGENT_PREFIX) else ""


PASSWORD_INLINE = "inline"  # noqa: S105 - This says where a password is; it is none.
PASSWORD_INLINE_PREFIX = "inline:"  # noqa: S105 - Likewise.
PASSWORD_SECRET_PREFIX = "secret:"  # noqa: S105 - Likewise.


class RouteKey(NamedTuple):
    """What identifies a route within one Adj-RIB-Out: RFC 7911 adds the path identifier to the NLRI.

    `path_id` is 0 where ADD-PATH was not negotiated.
    """

    prefix: Prefix
    path_id: int


class PathAttributes(NamedTuple):
    """The attributes of a route (RFC 4271, section 5; RFC 1997; RFC 8092); equal values are announced together."""

    next_hop: Address
    med: int | None = None
    local_pref: int | None = None
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    as_path_prepend: int = 0


IN_SERVICE = 0
LEAVING = 1
"""A drain has begun: the path carries GRACEFUL_SHUTDOWN, so that routers turn to others while it still works."""
LAST_RESORT = 2
"""A drain is over: the path stays only where no other one is left."""


class NextHop(NamedTuple):
    """One eligible node of a Service and the identifier that its path carries under ADD-PATH.

    `standing` is one of the three above.

    `extended` is the node's IPv6 address on IPv4 routes, for sessions that agreed to such next hops (RFC 8950); a node
    without an IPv4 address has it as `address`, too. It is "" as long as no BgpPeer wants them.
    """

    node: str
    address: Address
    path_id: int
    standing: int = IN_SERVICE
    extended: Address = Address("")


class SessionSettings(NamedTuple):
    """All that the transport and the OPEN message of one session depend on: a change restarts the session."""

    peer: PeerKey
    peer_address: Address
    peer_as: int
    local_as: int
    router_id: Address
    local_address: Address
    port: int = DEFAULT_BGP_PORT
    families: tuple[Family, ...] = ("IPv4", "IPv6")
    hold_time_s: int = 90
    connect_retry_s: int = 5
    multihop_ttl: int = 0
    ttl_security: bool = False
    passive: bool = False
    restart_time_s: int = 120
    password_source: str = ""
    """Where the MD5 key (RFC 2385) is found, never the key: "" none, "secret:<name>" a mounted Secret, "inline:<peer>"
    the BgpPeer itself."""
    description: str = ""
    extended_next_hop: bool = False
    """Whether IPv6 next hops of IPv4 routes are offered (RFC 8950)."""
    bfd_receive_ms: int = 0
    """The least interval between packets of BFD that are received (RFC 5880); 0: no BFD with this peer. The engine has
    no part in BFD, so that none of these restarts the session."""
    bfd_transmit_ms: int = 0
    bfd_multiplier: int = 0
    bfd_passive: bool = False

    @property
    def wants_bfd(self) -> bool:
        """Whether BFD watches the path to this peer."""
        return self.bfd_receive_ms > 0

    @property
    def bfd_multihop(self) -> bool:
        """Whether BFD's packets may pass routers (RFC 5883): with internal peers, too, as routers have it."""
        return self.multihop_ttl > 1 or self.local_as == self.peer_as


class Negotiated(NamedTuple):
    """What both sides' OPEN messages agreed on."""

    families: frozenset[Family]
    add_path_send: frozenset[Family]
    hold_time_s: int
    extended_next_hop: bool = False
    """Whether IPv4 routes may have IPv6 next hops (RFC 8950)."""

    def carries(self, prefix: Prefix, next_hop: Address) -> bool:
        """Whether a route may have a next hop: one of its own family, or as agreed one of IPv6."""
        family, of_hop = family_of(prefix), family_of(next_hop)
        return family == of_hop or (self.extended_next_hop and (family, of_hop) == (IPV4, IPV6))
