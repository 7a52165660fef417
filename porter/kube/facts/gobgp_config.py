"""The ConfigMap `bgp-cfg` of the first Porter: GoBGP's own configuration in TOML, as a seed of the BGP settings.

Keys that have a counterpart are taken; every other key is named in the problems of the fact that it belongs to. A
password is none of them: it must not stand in a ConfigMap.
"""

from __future__ import annotations

from porter.events.observed import ConfObserved, PeerObserved
from porter.kube.facts.bgp import (
    CONF_NAME,
    DEFAULT_CONNECT_RETRY_S,
    DEFAULT_HOLD_TIME_S,
    DEFAULT_RESTART_TIME_S,
    MAX_CONNECT_RETRY_S,
    MAX_MULTIHOP_TTL,
    MAX_RESTART_TIME_S,
    parse_router_id,
)
from porter.kube.facts.fields import Fields, closed, quoted
from porter.kube.facts.old_maps import parse_toml
from porter.model.address import FAMILIES, IPV4, IPV6, Address, parse_address
from porter.model.bgp import DEFAULT_BGP_PORT, MAX_AS_NUMBER, MAX_HOLD_TIME_S, MAX_NEXT_HOPS, MIN_HOLD_TIME_S
from porter.model.reasons import Problem

MAP_NAME = "bgp-cfg"
MAP_KEY = "config.toml"
PATH = f"{MAP_NAME}[{MAP_KEY}]"
"""How a problem's field names the map: it belongs to no object of the API."""

MAX_NEIGHBORS = 256
_FAMILIES = {"ipv4-unicast": IPV4, "ipv6-unicast": IPV6}


def seeds(text: str, version: str, created_ms: int) -> tuple[ConfObserved, tuple[PeerObserved, ...]]:
    """Convert the map's TOML to the facts of a BgpConf and of BgpPeers.

    The conf is named `default`, so that a BgpConf that appears later takes its place without a gap. The uids are
    empty: there is no object that could have a status.
    """
    problems: list[Problem] = []
    root = Fields(parse_toml(text, PATH, problems), PATH, problems)
    conf = _conf(root, version)
    peers: dict[str, PeerObserved] = {}
    neighbors = root.each("neighbors")
    if len(neighbors) > MAX_NEIGHBORS:
        root.invalid("neighbors", f"holds {len(neighbors)} entries; at most {MAX_NEIGHBORS} are allowed")
    for index, entry in enumerate(neighbors[:MAX_NEIGHBORS]):
        of_peer: list[Problem] = []
        peer = _peer(Fields(entry, f"{PATH}.neighbors[{index}]", of_peer), of_peer, version, created_ms)
        if peer.name in peers or not peer.address:
            # Without an address of its own there is no peer that could carry the problem.
            where = f"neighbors[{index}].config.neighbor-address"
            root.unsupported(where, f"is {quoted(peer.address)}; write the address of a router, each once")
        else:
            peers[peer.name] = peer
    root.finish()
    return conf._replace(problems=closed(problems)), tuple(peers.values())


def _conf(root: Fields, version: str) -> ConfObserved:
    world = root.below("global")
    config = world.below("config")
    fact = ConfObserved(
        name=CONF_NAME,
        uid="",
        resource_version=version,
        generation=0,
        as_number=config.integer("as", 0, 1, MAX_AS_NUMBER),
        router_id=config.parsed("router-id", parse_router_id),
        listen_port=config.integer("port", DEFAULT_BGP_PORT, -1, 65535),
    )
    if not config.has("as"):
        config.invalid("as", f"is not set; write an AS number from 1 to {MAX_AS_NUMBER}")
    multiple = world.below("use-multiple-paths")
    paths = multiple.below("config")
    paths.taken("enabled")  # Every eligible next hop is announced anyway.
    own = root.below("porter-config")
    if own.taken("using-port-forward"):
        own.unsupported("using-port-forward", "has no effect; let routers connect to global.config.port itself")
    for level in (paths, multiple, config, world, own):
        level.finish()
    return fact


def _peer(neighbor: Fields, problems: list[Problem], version: str, created_ms: int) -> PeerObserved:
    config, transport = neighbor.below("config"), neighbor.below("transport")
    tcp = transport.below("config")
    address = Address(config.parsed("neighbor-address", parse_address))
    families, family_paths = _families(neighbor)
    restart_time_s, restart_time_set = _restart_time_s(neighbor)
    fact = PeerObserved(
        name=f"{MAP_NAME}-{address.replace('.', '-').replace(':', '-')}",
        uid="",
        resource_version=version,
        generation=0,
        address=address,
        peer_as=config.integer("peer-as", 0, 1, MAX_AS_NUMBER),
        port=tcp.integer("remote-port", DEFAULT_BGP_PORT, 1, 65535),
        local_as=config.integer("local-as", 0, 0, MAX_AS_NUMBER),
        local_address=tcp.parsed("local-address", parse_address),
        families=families,
        multihop_ttl=_multihop_ttl(neighbor),
        passive=tcp.flag("passive-mode") or False,
        admin_down=config.flag("admin-down") or False,
        max_next_hops=min(_send_max(neighbor) or family_paths, MAX_NEXT_HOPS),
        restart_time_s=restart_time_s,
        description=config.text("description"),
        created_ms=created_ms,
        restart_time_set=restart_time_set,
    )
    if not config.has("peer-as"):
        config.invalid("peer-as", f"is not set; write an AS number from 1 to {MAX_AS_NUMBER}")
    if config.taken("auth-password"):
        config.unsupported("auth-password", "is not read from a ConfigMap; write a BgpPeer with passwordSecret")
    fact = _with_timers(fact, neighbor)
    for level in (tcp, transport, config, neighbor):
        level.finish()
    return fact._replace(problems=closed(problems))


def _multihop_ttl(neighbor: Fields) -> int:
    multihop = neighbor.below("ebgp-multihop")
    config = multihop.below("config")
    enabled, ttl = config.flag("enabled"), config.integer("multihop-ttl", 0, 0, MAX_MULTIHOP_TTL, unit="hops")
    config.needs_enabled()
    config.finish()
    multihop.finish()
    return (ttl or MAX_MULTIHOP_TTL) if enabled else 0


def _send_max(level: Fields) -> int:
    paths = level.below("add-paths")
    config = paths.below("config")
    most = config.integer("send-max", 0, 0, 255)
    config.taken("receive")  # Porter takes no routes, on no path.
    config.finish()
    paths.finish()
    return most


def _restart_time_s(level: Fields) -> tuple[int, bool]:
    """The time, 0 where it is switched off, and whether the file says one."""
    restart = level.below("graceful-restart")
    config = restart.below("config")
    enabled = config.flag("enabled")
    time_s = config.integer("restart-time", DEFAULT_RESTART_TIME_S, 0, MAX_RESTART_TIME_S, unit="seconds")
    said = config.has("restart-time") and time_s > 0
    config.finish()
    restart.finish()
    return (0, True) if enabled is False else (time_s or DEFAULT_RESTART_TIME_S, said)


def _with_timers(fact: PeerObserved, neighbor: Fields) -> PeerObserved:
    timers = neighbor.below("timers")
    config = timers.below("config")
    hold_s = config.integer("hold-time", DEFAULT_HOLD_TIME_S, 0, MAX_HOLD_TIME_S, unit="seconds")
    if 0 < hold_s < MIN_HOLD_TIME_S:
        config.invalid("hold-time", f"is {hold_s} s; write 0 (off) or at least {MIN_HOLD_TIME_S} s (RFC 4271, 4.2)")
        hold_s = DEFAULT_HOLD_TIME_S
    retry_s = config.integer("connect-retry", DEFAULT_CONNECT_RETRY_S, 0, MAX_CONNECT_RETRY_S, unit="seconds")
    config.taken("keepalive-interval")  # A third of the hold time is used, as GoBGP does without it.
    config.finish()
    timers.finish()
    return fact._replace(hold_time_s=hold_s, connect_retry_s=retry_s or DEFAULT_CONNECT_RETRY_S)


def _families(neighbor: Fields) -> tuple[tuple[str, ...], int]:
    """Take `afi-safis`: the families, sorted, and the most paths of a prefix (0: no limit)."""
    entries = neighbor.each("afi-safis")
    families: set[str] = set()
    limits = []
    for index, entry in enumerate(entries[: len(FAMILIES) * 2]):
        family = neighbor.entry("afi-safis", index, entry)
        config = family.below("config")
        name = config.text("afi-safi-name")
        if name in _FAMILIES:
            families.add(_FAMILIES[name])
        else:
            config.unsupported("afi-safi-name", f"is {quoted(name)}; Porter announces {' and '.join(_FAMILIES)}")
        config.taken("enabled")  # GoBGP takes what is listed.
        limits.append(_send_max(family))
        restart = family.below("mp-graceful-restart")
        restart.taken("config")  # Every family of the session takes part.
        for level in (config, restart, family):
            level.finish()
    if entries and not families:
        neighbor.invalid("afi-safis", f"leaves no family; name {' or '.join(_FAMILIES)}")
    return tuple(sorted(families)) or FAMILIES, min(filter(None, limits), default=0)
