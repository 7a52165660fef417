"""The ConfigMap `bgp-cfg` of the first Porter: GoBGP's TOML becomes a BgpConf and BgpPeers.

Porter reads this ConfigMap itself if it lies in its namespace; as objects it can be seen, edited and checked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.openelb.objects import PORT_FORWARD, unicast
from porter.app.migrate.reading import Document, Fault
from porter.app.migrate.report import Report, manifest
from porter.kube.facts.gobgp_config import MAP_KEY, MAP_NAME

_FAMILIES = {"ipv4-unicast": "AFI_IP", "ipv6-unicast": "AFI_IP6"}


def convert(document: Document, report: Report, *, conf_exists: bool) -> Iterator[dict[str, Any]]:
    """Yield the BgpConf and the BgpPeers that the ConfigMap stands for; an object of the API wins over it."""
    data = document.tree.get("data")
    where = f"data[{MAP_KEY}]"
    if not isinstance(data, dict) or MAP_KEY not in data:
        report.faults.append(Fault(document.where, where, f"{where} is not set; write GoBGP's TOML there"))
        return
    try:
        tree = tomllib.loads(str(data[MAP_KEY]))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        report.faults.append(Fault(document.where, where, f"{where} is no TOML: {error}; mend it"))
        return
    fields = Fields(document, report, tree, "")
    conf = _global(fields.below("global"), conf_exists=conf_exists)
    if conf:
        yield manifest("BgpConf", "default", conf)
    for index, neighbor in enumerate(fields.objects("neighbors")):
        peer = _neighbor(Fields(document, report, neighbor, f"neighbors[{index}]"))
        if peer is not None:
            yield peer
    forward = fields.below("porter-config")
    if forward.flag("using-port-forward"):
        forward.refused("using-port-forward", PORT_FORWARD)
    forward.finish()
    fields.finish()


def _global(fields: Fields, *, conf_exists: bool) -> dict[str, Any]:
    config = fields.below("config")
    spec: dict[str, Any] = {}
    for old, new in (("as", "as"), ("router-id", "routerId"), ("port", "listenPort")):
        value = config.raw(old)
        if value is None:
            continue
        spec[new] = value
        if conf_exists:
            config.changed(old, f"{shown(value)} is not used: the BgpConf default wins")
        else:
            config.changed(old, f"{shown(value)}: spec.{new} of BgpConf default")
    paths = fields.below("use-multiple-paths").below("config")
    if paths.flag("enabled") is not None:
        paths.kept("enabled", "every eligible next hop is announced in any case")
    for level in (config, paths):
        level.finish()
    fields.finish()
    return {} if conf_exists else spec


def _neighbor(fields: Fields) -> dict[str, Any] | None:
    config = fields.below("config")
    address, peer_as = config.text("neighbor-address"), config.raw("peer-as")
    if not address:
        config.refused("neighbor-address", "is not set, so that no BgpPeer is made; write the router's address")
        return None
    name = f"{MAP_NAME}-{address.replace('.', '-').replace(':', '-')}"
    conf: dict[str, Any] = {"neighborAddress": address}
    config.changed("neighbor-address", f"{address}: spec.conf.neighborAddress of BgpPeer {name}")
    if peer_as is not None:
        conf["peerAs"] = peer_as
        config.changed("peer-as", f"{shown(peer_as)}: spec.conf.peerAs")
    for old, new in (("local-as", "localAs"), ("auth-password", "authPassword"), ("description", "description")):
        value = config.raw(old)
        if value is not None:
            conf[new] = value
            config.changed(old, f"spec.conf.{new}")
    spec: dict[str, Any] = {"conf": conf}
    _families(fields, spec, address)
    multihop = fields.below("ebgp-multihop").below("config")
    if multihop.flag("enabled"):
        spec["ebgpMultihop"] = {"enabled": True}
        multihop.changed("enabled", "true: spec.ebgpMultihop.enabled")
        ttl = multihop.integer("multihop-ttl", 1, 255)
        if ttl is not None:
            spec["ebgpMultihop"]["multihopTtl"] = ttl
            multihop.changed("multihop-ttl", f"{ttl}: spec.ebgpMultihop.multihopTtl")
    restart = fields.below("graceful-restart").below("config")
    _moved(restart, spec, "gracefulRestart", {"enabled": "enabled", "restart-time": "restartTime"})
    transport = fields.below("transport").below("config")
    _moved(transport, spec, "transport", {"passive-mode": "passiveMode", "remote-port": "remotePort"})
    timers = fields.below("timers").below("config")
    below: dict[str, Any] = {}
    _moved(timers, below, "config", {"hold-time": "holdTime", "connect-retry": "connectRetry"}, "timers.")
    if below:
        spec["timers"] = {"config": {name: str(int(value)) for name, value in below["config"].items()}}
    for level in (config, multihop, restart, transport, timers, fields):
        level.finish()
    return manifest("BgpPeer", name, spec)


def _moved(fields: Fields, spec: dict[str, Any], target: str, names: dict[str, str], above: str = "") -> None:
    for old, new in names.items():
        value = fields.raw(old)
        if isinstance(value, bool | int | float):
            spec.setdefault(target, {})[new] = value
            fields.changed(old, f"{shown(value)}: spec.{above}{target}.{new}")
        elif value is not None:
            fields.refused(old, f"is {shown(value)}; write true, false or a number")


def _families(fields: Fields, spec: dict[str, Any], address: str) -> None:
    paths = fields.below("add-paths").below("config")
    send_max = paths.integer("send-max", 0, 255)
    paths.finish()
    entries = []
    for index, tree in enumerate(fields.objects("afi-safis")):
        entry = Fields(fields.document, fields.report, tree, fields.path(f"afi-safis[{index}]"))
        config = entry.below("config")
        name = config.text("afi-safi-name")
        restart = entry.below("mp-graceful-restart").below("config")
        if restart.flag("enabled") is not None:
            restart.kept("enabled", "every family of the session takes part in graceful restart")
        if name in _FAMILIES:
            made = unicast(address, send_max or 0)
            made["config"]["family"]["afi"] = _FAMILIES[name]
            entries.append(made)
            config.changed("afi-safi-name", f"{name}: spec.afiSafis")
        else:
            config.refused("afi-safi-name", f"{shown(name)}: Porter announces ipv4-unicast and ipv6-unicast alone")
        for level in (config, restart, entry):
            level.finish()
    if send_max is not None:
        entries = entries or [unicast(address, send_max)]
        paths.changed("send-max", f"{send_max}: spec.afiSafis[].addPaths.config.sendMax")
    if entries:
        spec["afiSafis"] = entries
