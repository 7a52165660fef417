"""BgpConf and BgpPeer: OpenELB took GoBGP's own messages as their spec, so that many fields have no counterpart here.

A field that has no effect is reported as `FieldUnsupported`, never silently dropped.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from porter.events.observed import ConfObserved, PeerObserved
from porter.kube.facts.fields import MAX_NAME_CHARACTERS, Fields, closed, malformed_problem, milliseconds, pairs, quoted
from porter.kube.facts.pool import CNI_LABEL
from porter.kube.facts.selectors import read_selector
from porter.kube.objects import Custom, Malformed, Metadata
from porter.model.address import FAMILIES, IPV4, IPV6, Address, parse_address
from porter.model.bgp import (
    DEFAULT_BFD_INTERVAL_MS,
    DEFAULT_BFD_MULTIPLIER,
    DEFAULT_BGP_PORT,
    MAX_AS_NUMBER,
    MAX_BFD_INTERVAL_MS,
    MAX_BFD_MULTIPLIER,
    MAX_HOLD_TIME_S,
    MAX_NEXT_HOPS,
    MIN_BFD_INTERVAL_MS,
    MIN_BFD_MULTIPLIER,
    MIN_HOLD_TIME_S,
    PASSWORD_INLINE,
    PASSWORD_SECRET_PREFIX,
)
from porter.model.reasons import Problem

CONF_NAME = "default"
"""The only BgpConf that is acted on, as with OpenELB."""

DEFAULT_HOLD_TIME_S = 90
DEFAULT_CONNECT_RETRY_S = 5
DEFAULT_RESTART_TIME_S = 120
MAX_RESTART_TIME_S = 4095
"""The restart time has 12 bits (RFC 4724, section 3)."""

MAX_CONNECT_RETRY_S = 65535
MAX_MULTIHOP_TTL = 255
MAX_RACKS = 1024
MAX_DESCRIPTION_CHARACTERS = 256
TOPOLOGIES = ("central", "node")
_AFI_FAMILIES = {"AFI_IP": IPV4, "AFI_IP6": IPV6}


def conf_fact(conf: Custom) -> ConfObserved | None:
    """Convert a BgpConf; None where it is not the one named default, is being deleted, or belongs to a CNI."""
    metadata = conf.metadata
    if metadata.name != CONF_NAME or _left_alone(metadata):
        return None
    problems: list[Problem] = []
    spec = Fields(conf.spec, "spec", problems)
    fact = ConfObserved(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        as_number=_as_number(spec, "as", required=True),
        router_id=_router_id(spec),
        # GoBGP's -1: do not listen.
        listen_port=spec.integer("listenPort", DEFAULT_BGP_PORT, -1, 65535),
        topology=_topology(spec) or "central",
        restart_time_s=_restart_time_s(spec)[0],
        as_per_rack=_as_per_rack(spec),
    )
    spec.taken("useMultiplePaths")  # Every eligible next hop is announced anyway.
    spec.text("policy")  # The ConfigMap that it names makes facts of its own (`porter.kube.old_configuration`).
    spec.finish()
    return fact._replace(problems=closed(problems))


def policy_name(conf: Custom) -> str:
    """Return the name of the ConfigMap with an old policy that a BgpConf names, or ""."""
    name = conf.spec.get("policy") if isinstance(conf.spec, dict) else None
    return name.strip() if isinstance(name, str) and len(name) <= MAX_NAME_CHARACTERS else ""


def peer_fact(peer: Custom) -> PeerObserved | None:
    """Convert a BgpPeer; None where it is being deleted or belongs to a CNI."""
    metadata = peer.metadata
    if _left_alone(metadata):
        return None
    problems: list[Problem] = []
    spec = Fields(peer.spec, "spec", problems)
    conf, transport, timers = spec.below("conf"), spec.below("transport"), spec.below("timers")
    if not conf.has("neighborAddress"):
        conf.invalid("neighborAddress", "is not set; write the router's address")
    families, max_paths = _families(spec)
    nodes = read_selector(spec.below("nodeSelector"))
    restart_time_s, restart_time_set = _restart_time_s(spec)
    fact = PeerObserved(
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        address=Address(conf.parsed("neighborAddress", parse_address)),
        peer_as=_as_number(conf, "peerAs", required=True),
        port=transport.integer("remotePort", DEFAULT_BGP_PORT, 0, 65535) or DEFAULT_BGP_PORT,
        local_as=_as_number(conf, "localAs", required=False),
        local_address=transport.parsed("localAddress", parse_address),
        families=families,
        multihop_ttl=_multihop_ttl(spec),
        ttl_security=spec.flag("ttlSecurity") or False,
        passive=transport.flag("passiveMode") or False,
        admin_down=conf.flag("adminDown") or False,
        max_next_hops=spec.integer("maxNextHops", 0, 0, MAX_NEXT_HOPS) or min(max_paths, MAX_NEXT_HOPS),
        topology=_topology(spec),
        node_selector=nodes.labels,
        restart_time_s=restart_time_s,
        password_source=_password_source(spec, conf),
        description=conf.text("description", limit=MAX_DESCRIPTION_CHARACTERS),
        created_ms=milliseconds(metadata.creation_timestamp),
        labels=pairs(metadata.labels),
        node_expressions=nodes.expressions,
        extended_next_hop=_extended_next_hop(spec, families),
        restart_time_set=restart_time_set,
    )
    fact = _with_timers(_with_bfd(fact, spec.below("bfd")), timers.below("config"))
    if fact.multihop_ttl and fact.ttl_security:
        spec.invalid("ttlSecurity", "contradicts ebgpMultihop; keep one of the two (RFC 5082)")
    for level in (conf, transport, timers, spec):
        level.finish()
    return fact._replace(problems=closed(problems))


def malformed_conf_fact(error: Malformed) -> ConfObserved | None:
    """Convert a BgpConf that does not decode: no AS number, and the fault as its problem."""
    metadata = error.metadata
    if metadata is None or metadata.name != CONF_NAME or _left_alone(metadata):
        return None
    version, generation = metadata.resource_version, metadata.generation
    problems = (malformed_problem(error),)
    return ConfObserved(metadata.name, metadata.uid, version, generation, as_number=0, problems=problems)


def malformed_peer_fact(error: Malformed) -> PeerObserved | None:
    """Convert a BgpPeer that does not decode: no address, and the fault as its problem."""
    metadata = error.metadata
    if metadata is None or _left_alone(metadata):
        return None
    version, generation = metadata.resource_version, metadata.generation
    problems = (malformed_problem(error),)
    return PeerObserved(
        metadata.name,
        metadata.uid,
        version,
        generation,
        Address(""),
        peer_as=0,
        problems=problems,
        created_ms=milliseconds(metadata.creation_timestamp),
        labels=pairs(metadata.labels),
    )


def _left_alone(metadata: Metadata) -> bool:
    return bool(metadata.deletion_timestamp) or CNI_LABEL in (metadata.labels or {})


def _as_number(fields: Fields, name: str, *, required: bool) -> int:
    """Take an AS number; 0 is reserved (RFC 7607) and stands for one that is not set or wrong."""
    if not fields.has(name):
        fields.taken(name)
        if required:
            fields.invalid(name, f"is not set; write an AS number from 1 to {MAX_AS_NUMBER}")
        return 0
    return fields.integer(name, 0, 1 if required else 0, MAX_AS_NUMBER)


def parse_router_id(text: str) -> str:
    """Return the canonical form of a BGP identifier.

    Raises:
        ValueError: it is not written like an IPv4 address.
    """
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is no router id; write it like an IPv4 address, 192.0.2.1") from error


def _router_id(spec: Fields) -> str:
    router_id = spec.parsed("routerId", parse_router_id)
    if router_id == "0.0.0.0":  # noqa: S104 - A router id, not an address to listen on (RFC 6286).
        spec.invalid("routerId", "is 0.0.0.0; write another IPv4 address, or leave it out for the speaker's own")
        return ""
    return router_id


def _topology(spec: Fields) -> str:
    topology = spec.text("topology")
    if topology and topology not in TOPOLOGIES:
        spec.invalid("topology", f"is {quoted(topology)}; write central or node")
        return ""
    return topology


def _restart_time_s(spec: Fields) -> tuple[int, bool]:
    """Take `gracefulRestart`: the time, where 0 means that it is switched off, and whether the object says one."""
    restart = spec.below("gracefulRestart")
    enabled = restart.flag("enabled")
    time_s = restart.integer("restartTime", DEFAULT_RESTART_TIME_S, 0, MAX_RESTART_TIME_S, unit="seconds")
    said = restart.has("restartTime") and time_s > 0
    restart.finish()
    return (0, True) if enabled is False else (time_s or DEFAULT_RESTART_TIME_S, said)


def _as_per_rack(spec: Fields) -> tuple[tuple[str, int], ...]:
    racks = spec.taken("asPerRack")
    if racks is None:
        return ()
    if not isinstance(racks, dict) or len(racks) > MAX_RACKS:
        spec.invalid("asPerRack", f"is no map of at most {MAX_RACKS} racks to AS numbers")
        return ()
    below = Fields(racks, "spec.asPerRack", spec.problems)
    return tuple(sorted((str(rack), _as_number(below, str(rack), required=True)) for rack in racks))


def _with_timers(fact: PeerObserved, config: Fields) -> PeerObserved:
    hold_s = config.integer("holdTime", DEFAULT_HOLD_TIME_S, 0, MAX_HOLD_TIME_S, unit="seconds")
    if 0 < hold_s < MIN_HOLD_TIME_S:
        config.invalid("holdTime", f"is {hold_s} s; write 0 (off) or at least {MIN_HOLD_TIME_S} s (RFC 4271, 4.2)")
        hold_s = DEFAULT_HOLD_TIME_S
    retry_s = config.integer("connectRetry", DEFAULT_CONNECT_RETRY_S, 0, MAX_CONNECT_RETRY_S, unit="seconds")
    config.finish()
    return fact._replace(hold_time_s=hold_s, connect_retry_s=retry_s or DEFAULT_CONNECT_RETRY_S)


def _extended_next_hop(spec: Fields, families: tuple[str, ...]) -> bool:
    """Take `extendedNextHop`; a session without IPv6 offers no IPv6 next hops."""
    wanted = spec.flag("extendedNextHop") or False
    if wanted and set(families) != set(FAMILIES):
        spec.unsupported("extendedNextHop", "has no effect unless afiSafis names both families, or none; add the other")
        return False
    return wanted


def _with_bfd(fact: PeerObserved, bfd: Fields) -> PeerObserved:
    enabled = bfd.flag("enabled")
    bounds = MIN_BFD_INTERVAL_MS, MAX_BFD_INTERVAL_MS
    wanted = fact._replace(
        bfd_receive_ms=bfd.integer("receiveInterval", DEFAULT_BFD_INTERVAL_MS, *bounds, unit="milliseconds"),
        bfd_transmit_ms=bfd.integer("transmitInterval", DEFAULT_BFD_INTERVAL_MS, *bounds, unit="milliseconds"),
        bfd_multiplier=bfd.integer("detectMultiplier", DEFAULT_BFD_MULTIPLIER, MIN_BFD_MULTIPLIER, MAX_BFD_MULTIPLIER),
        bfd_passive=bfd.flag("passiveMode") or False,
    )
    bfd.needs_enabled()
    bfd.finish()
    return wanted if enabled else fact


def _multihop_ttl(spec: Fields) -> int:
    """Take `ebgpMultihop`; enabled without a TTL means the largest, as with GoBGP."""
    multihop = spec.below("ebgpMultihop")
    enabled = multihop.flag("enabled")
    ttl = multihop.integer("multihopTtl", 0, 0, MAX_MULTIHOP_TTL, unit="hops")
    multihop.needs_enabled()
    multihop.finish()
    return (ttl or MAX_MULTIHOP_TTL) if enabled else 0


def _families(spec: Fields) -> tuple[tuple[str, ...], int]:
    """Take `afiSafis`: the families, sorted, and the most paths of a prefix (0: no limit).

    Without any, both families are offered and the session agrees on what the router speaks.
    """
    entries = spec.each("afiSafis")
    if not entries:
        return FAMILIES, 0
    families: set[str] = set()
    limits: list[int] = []
    for index, entry in enumerate(entries[: len(FAMILIES) * 2]):
        fields = Fields(entry, f"spec.afiSafis[{index}]", spec.problems)
        config = fields.below("config")
        if config.flag("enabled") is not False:
            families |= _family(config)
        add_paths = fields.below("addPaths").below("config")
        limits.append(add_paths.integer("sendMax", 0, 0, MAX_AS_NUMBER))
        add_paths.taken("receive")  # Porter takes no routes, on no path.
        fields.taken("mpGracefulRestart")  # Every family of the session takes part.
        for level in (config, add_paths, fields):
            level.finish()
    if not families:
        spec.invalid("afiSafis", "leaves no family; enable AFI_IP or AFI_IP6 with SAFI_UNICAST")
    return tuple(sorted(families)), min(filter(None, limits), default=0)


def _family(config: Fields) -> set[str]:
    family = config.below("family")
    afi, safi = family.text("afi"), family.text("safi") or "SAFI_UNICAST"
    family.finish()
    if not afi:
        return set(FAMILIES)
    if afi not in _AFI_FAMILIES or safi != "SAFI_UNICAST":
        config.unsupported("family", f"is {quoted(afi)} {quoted(safi)}; Porter announces unicast IPv4 and IPv6")
        return set()
    return {_AFI_FAMILIES[afi]}


def _password_source(spec: Fields, conf: Fields) -> str:
    """Say where the password is found; a Secret wins over one written into the object. The value goes nowhere."""
    inline = conf.taken("authPassword")
    secret = spec.below("passwordSecret")
    name = secret.text("name")
    secret.finish()
    if name:
        return PASSWORD_SECRET_PREFIX + name
    if inline is not None and not isinstance(inline, str):
        conf.invalid("authPassword", "is no text; put it in quotes")
        return ""
    return PASSWORD_INLINE if inline else ""


def inline_password(peer: Custom, before: str | None) -> str | None:
    """The password that is written into a BgpPeer, which goes beside the journal; `before` where it is no text."""
    conf = peer.spec.get("conf") if isinstance(peer.spec, dict) else None
    password = conf.get("authPassword") if isinstance(conf, dict) else None
    if _left_alone(peer.metadata) or not password:
        return None
    return password if isinstance(password, str) else before
