"""Porter's values as messages of GoBGP's interface, and back; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from google.protobuf import any_pb2
from google.protobuf.message import Message

from porter.bgp.backends.gobgp.protocol import gobgp_pb2 as wire
from porter.bgp.configuration import GTSM_TTL
from porter.model.address import FAMILIES, IPV4, IPV6, Address, Family, Prefix, family_of
from porter.model.bgp import MAX_NEXT_HOPS, Negotiated, PathAttributes, RouteKey, SessionSettings

AFI: dict[Family, int] = {IPV4: 1, IPV6: 2}
FAMILY_OF_AFI = {number: family for family, number in AFI.items()}
UNICAST = 1
AS_SEQUENCE = 2
ADD_PATH_RECEIVES = frozenset({1, 3})
DEFERRAL_S = 1
"""How long GoBGP waits at most for the peer's End-of-RIB before it sends its own routes; it takes no less."""
NO_LISTENING = -1
RESTART_STATE = 0x08
"""The Restart State bit among the four flags of RFC 4724, section 3."""

M = TypeVar("M", bound=Message)

MAX_MESSAGE_BYTES = 4096
UPDATE_OVERHEAD_BYTES = 23
"""The header, and the two lengths, of an UPDATE (RFC 4271, section 4.3)."""


LOCAL_ROUTE, ACCEPT, REJECT, IMPORT = 3, 1, 2, 1
OWN_ROUTES = wire.Policy(
    name="own-routes",
    statements=[
        wire.Statement(
            name="own-routes",
            conditions=wire.Conditions(route_type=LOCAL_ROUTE),
            actions=wire.Actions(route_action=ACCEPT),
        )
    ],
)
ONLY_OWN_ROUTES = wire.PolicyAssignment(
    name="global", direction=IMPORT, policies=[wire.Policy(name=OWN_ROUTES.name)], default_action=REJECT
)


# --------------------------------------------------------------------------------------------------------- sessions


def global_message(settings: SessionSettings) -> wire.Global:
    """What the daemon itself is told: it listens only for a session that waits to be called."""
    return wire.Global(
        asn=settings.local_as,
        router_id=settings.router_id,
        listen_port=settings.port if settings.passive else NO_LISTENING,
        listen_addresses=[settings.local_address],
    )


def peer_message(settings: SessionSettings, password: str | None, *, keeps: bool) -> wire.Peer:
    """The one neighbour of a daemon.

    Where the peer may keep our routes, it is taken for one after a restart: only then does GoBGP tell the peer that
    forwarding was preserved, and without that the peer drops what it kept as soon as the session is back (RFC 4724,
    section 4.2). A peer that restarted itself keeps nothing, and would not wait for one that did as well.
    """
    return wire.Peer(
        conf=wire.PeerConf(
            auth_password=password or "",
            description=settings.peer,
            local_asn=settings.local_as,
            neighbor_address=settings.peer_address,
            peer_asn=settings.peer_as,
        ),
        ebgp_multihop=wire.EbgpMultihop(enabled=settings.multihop_ttl > 0, multihop_ttl=settings.multihop_ttl),
        ttl_security=wire.TtlSecurity(enabled=settings.ttl_security, ttl_min=GTSM_TTL),
        timers=wire.Timers(
            config=wire.TimersConfig(
                connect_retry=settings.connect_retry_s,
                hold_time=settings.hold_time_s,
                keepalive_interval=max(1, settings.hold_time_s // 3),
            )
        ),
        transport=wire.Transport(
            local_address=settings.local_address, passive_mode=settings.passive, remote_port=settings.port
        ),
        graceful_restart=wire.GracefulRestart(
            enabled=True, restart_time=settings.restart_time_s, deferral_time=DEFERRAL_S, local_restarting=keeps
        ),
        afi_safis=[_afi_safi(family) for family in settings.families],
    )


def _afi_safi(family: Family) -> wire.AfiSafi:
    return wire.AfiSafi(
        config=wire.AfiSafiConfig(family=family_message(family), enabled=True),
        mp_graceful_restart=wire.MpGracefulRestart(config=wire.MpGracefulRestartConfig(enabled=True)),
        add_paths=wire.AddPaths(config=wire.AddPathsConfig(send_max=MAX_NEXT_HOPS)),
    )


def family_message(family: Family) -> wire.Family:
    """A unicast family."""
    return wire.Family(afi=AFI[family], safi=UNICAST)


def family_of_message(message: wire.Family) -> Family | None:
    """Our name of a family, if it is one of ours."""
    return FAMILY_OF_AFI.get(message.afi) if message.safi == UNICAST else None


def presumed(settings: SessionSettings) -> Negotiated:
    """What a session is taken to agree on before it was ever up."""
    families = frozenset(settings.families)
    return Negotiated(families, families, settings.hold_time_s)


def read_negotiated(settings: SessionSettings, peer: wire.Peer) -> Negotiated:
    """What an established session agreed on: what we offer (every family with ADD-PATH), as far as the peer does."""
    families: set[Family | None] = set()
    add_path: set[Family | None] = set()
    extended = False
    for capability in peer.state.remote_cap:
        if multiprotocol := _as(capability, wire.MultiProtocolCapability):
            families.add(family_of_message(multiprotocol.family))
        elif with_add_path := _as(capability, wire.AddPathCapability):
            add_path |= {family_of_message(one.family) for one in with_add_path.tuples if one.mode in ADD_PATH_RECEIVES}
        elif next_hops := _as(capability, wire.ExtendedNexthopCapability):
            extended |= any(one.nexthop_family.afi == AFI[IPV6] for one in next_hops.tuples)
    # A peer without the capability speaks IPv4 alone (RFC 4760, section 8).
    common = frozenset(settings.families) & (families or {IPV4})
    # GoBGP offers IPv6 next hops of IPv4 routes at all times, asked or not.
    extended = extended and settings.extended_next_hop
    return Negotiated(common, common & add_path, peer.timers.state.negotiated_hold_time, extended)


def is_up(peer: wire.Peer) -> bool:
    """Whether a neighbour's session is established."""
    return bool(peer.state.session_state == wire.PeerState.ESTABLISHED)


def uptime(peer: wire.Peer) -> tuple[int, int]:
    """When its session came up, which tells one session from the next: seconds, and nanoseconds of them."""
    began = peer.timers.state.uptime
    return began.seconds, began.nanos


def told_restart_s(peer: wire.Peer) -> int:
    """The restart time of a peer whose OPEN told that it restarted; 0 of another one."""
    told = (_as(capability, wire.GracefulRestartCapability) for capability in peer.state.remote_cap)
    return max((one.time for one in told if one is not None and one.flags & RESTART_STATE), default=0)


def ends_of_rib(peer: wire.Peer, negotiated: Negotiated) -> int:
    """How many End-of-RIB GoBGP sends: none to a peer that does not know of graceful restart."""
    knows = any(_as(capability, wire.GracefulRestartCapability) for capability in peer.state.remote_cap)
    return len(negotiated.families) if knows else 0


# ----------------------------------------------------------------------------------------------------------- routes


def path_message(
    settings: SessionSettings, key: RouteKey, attributes: PathAttributes, *, withdraw: bool = False
) -> wire.Path:
    """One path; its identifier is ours, and GoBGP gives the peer another one."""
    prefix, length = key.prefix.split("/")
    nlri = _packed(wire.IPAddressPrefix(prefix_len=int(length), prefix=prefix))
    family = family_message(family_of(key.prefix))
    return wire.Path(
        nlri=nlri,
        pattrs=[_packed(attribute) for attribute in _attributes(settings, family, nlri, attributes)],
        is_withdraw=withdraw,
        family=family,
        identifier=key.path_id,
    )


def _attributes(
    settings: SessionSettings, family: wire.Family, nlri: any_pb2.Any, attributes: PathAttributes
) -> Iterator[Message]:
    yield wire.OriginAttribute(origin=0)
    if attributes.as_path_prepend:
        numbers = [settings.local_as] * attributes.as_path_prepend
        yield wire.AsPathAttribute(segments=[wire.AsSegment(type=AS_SEQUENCE, numbers=numbers)])
    if family.afi == AFI[IPV4] and family_of(attributes.next_hop) == IPV4:
        yield wire.NextHopAttribute(next_hop=attributes.next_hop)
    else:
        yield wire.MpReachNLRIAttribute(family=family, next_hops=[attributes.next_hop], nlris=[nlri])
    if attributes.med is not None:
        yield wire.MultiExitDiscAttribute(med=attributes.med)
    if attributes.local_pref is not None:
        yield wire.LocalPrefAttribute(local_pref=attributes.local_pref)
    if attributes.communities:
        yield wire.CommunitiesAttribute(communities=[_number_of(word) for word in attributes.communities])
    if attributes.large_communities:
        yield wire.LargeCommunitiesAttribute(communities=[_large(word) for word in attributes.large_communities])


def _number_of(community: str) -> int:
    high, low = community.split(":")
    return int(high) << 16 | int(low)


def _large(community: str) -> wire.LargeCommunity:
    first, second, third = map(int, community.split(":"))
    return wire.LargeCommunity(global_admin=first, local_data1=second, local_data2=third)


def read_path(prefix: str, path: wire.Path) -> tuple[RouteKey, PathAttributes]:
    """One path of GoBGP's own table, as it was given."""
    attributes = PathAttributes(Address(""))
    for packed in path.pattrs:
        if next_hop := _as(packed, wire.NextHopAttribute):
            attributes = attributes._replace(next_hop=Address(next_hop.next_hop))
        elif reach := _as(packed, wire.MpReachNLRIAttribute):
            attributes = attributes._replace(next_hop=Address(reach.next_hops[0]))
        elif as_path := _as(packed, wire.AsPathAttribute):
            hops = sum(len(segment.numbers) for segment in as_path.segments)
            attributes = attributes._replace(as_path_prepend=hops)
        elif med := _as(packed, wire.MultiExitDiscAttribute):
            attributes = attributes._replace(med=med.med)
        elif local_pref := _as(packed, wire.LocalPrefAttribute):
            attributes = attributes._replace(local_pref=local_pref.local_pref)
        elif communities := _as(packed, wire.CommunitiesAttribute):
            words = sorted(f"{number >> 16}:{number & 0xFFFF}" for number in communities.communities)
            attributes = attributes._replace(communities=tuple(words))
        elif large := _as(packed, wire.LargeCommunitiesAttribute):
            words = sorted(f"{one.global_admin}:{one.local_data1}:{one.local_data2}" for one in large.communities)
            attributes = attributes._replace(large_communities=tuple(words))
    return RouteKey(Prefix(prefix), path.identifier), attributes


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _as(packed: any_pb2.Any, kind: type[M]) -> M | None:
    """The message within, if it is of this kind."""
    message: M = kind()
    return message if packed.Unpack(message) else None


# -------------------------------------------------------------------------------------------------------- counting


def updates_of(
    settings: SessionSettings, negotiated: Negotiated, routes: Sequence[tuple[RouteKey, PathAttributes]]
) -> int:
    """How many UPDATEs GoBGP makes when it sends these routes at once: it packs those of IPv4 by their attributes."""
    updates = 0
    packed: Counter[PathAttributes] = Counter()
    for key, attributes in routes:
        if family_of(key.prefix) == IPV4 and family_of(attributes.next_hop) == IPV4:
            packed[attributes] += 1
        else:
            updates += 1
    for attributes, number in packed.items():
        bytes_each = 9 if IPV4 in negotiated.add_path_send else 5
        most = (MAX_MESSAGE_BYTES - UPDATE_OVERHEAD_BYTES - _attribute_bytes(settings, attributes)) // bytes_each
        updates += -(-number // most)
    return updates


def _attribute_bytes(settings: SessionSettings, attributes: PathAttributes) -> int:
    hops = attributes.as_path_prepend + (settings.local_as != settings.peer_as)
    values = [1, 2 + 4 * hops if hops else 0, 4]
    values += [4] * ((attributes.med is not None) + (attributes.local_pref is not None))
    values += [4 * len(attributes.communities)] if attributes.communities else []
    values += [12 * len(attributes.large_communities)] if attributes.large_communities else []
    return sum(value + (4 if value > 255 else 3) for value in values)


def acceptable(negotiated: Negotiated, routes: Mapping[RouteKey, PathAttributes]) -> Mapping[RouteKey, PathAttributes]:
    """Those routes whose next hops a peer takes that agrees to this."""
    if negotiated.extended_next_hop or all(negotiated.carries(key.prefix, one.next_hop) for key, one in routes.items()):
        return routes
    return {key: one for key, one in routes.items() if negotiated.carries(key.prefix, one.next_hop)}


def sendable(
    negotiated: Negotiated, routes: Iterable[tuple[RouteKey, PathAttributes]]
) -> list[tuple[RouteKey, PathAttributes]]:
    """Which of a daemon's routes a session carries as they are named: of its families, with their identifiers."""
    return [
        (key, attributes)
        for key, attributes in routes
        for family in FAMILIES
        if family == family_of(key.prefix)
        and family in negotiated.families
        and (key.path_id != 0) == (family in negotiated.add_path_send)
    ]
