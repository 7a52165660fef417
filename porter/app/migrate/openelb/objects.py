"""Eip, BgpConf and BgpPeer: Porter's own conversions judge them, and `v1alpha1` of the latter two is rewritten.

Porter takes `v1alpha2` as it stands, and `v1alpha1` of Eip too, so that most objects need no manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import msgspec

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report, Verdict, manifest
from porter.events.observed import PoolObserved
from porter.kube.burdens import is_old
from porter.kube.facts.bgp import CONF_NAME, conf_fact, malformed_conf_fact, malformed_peer_fact, peer_fact
from porter.kube.facts.pool import CNI_LABEL, malformed_pool_fact, pool_fact
from porter.kube.objects import Custom, Kind, Malformed, decode
from porter.model.address import IPV6, Address, InvalidAddress, family_of, parse_address, parse_range
from porter.model.reasons import Problem, Reason

MISSPELT = {"addAaths": "addPaths"}
"""A wrong sample that OpenELB's documentation had for long."""

LAYER2 = "layer 2 is not there yet in Porter: its Services keep their addresses, but nobody answers for them"
PORT_FORWARD = "Porter forwards no port by iptables; set spec.transport.remotePort, or spec.listenPort of the BgpConf"
OLD_CONF = {"as": "as", "routerID": "routerId", "port": "listenPort"}


class Checked(NamedTuple):
    """An object as Porter is to have it, and whether that is another manifest than today's."""

    tree: dict[str, Any]
    differs: bool
    fact: Any = None


def check(document: Document, report: Report) -> Checked:
    """Check an Eip, BgpConf or BgpPeer field by field, and convert it where it must be."""
    tree = deepcopy(document.tree)
    repaired = _respelt(tree, document, report)
    report_finalizers(document, report)
    if document.metadata.get("deletionTimestamp"):
        note = "is being deleted, and goes as soon as its finalizers are off: Porter does not use it"
        report.add(document, "metadata.deletionTimestamp", Verdict.CHANGED, note)
    if CNI_LABEL in (document.metadata.get("labels") or {}):
        note = f"the label {CNI_LABEL}: the object is a CNI's, and left alone as before"
        report.add(document, "metadata.labels", Verdict.KEPT, note)
        return Checked(tree, False)
    if document.kind == "BgpConf" and document.api_version.endswith("v1alpha1"):
        return _judged(_old_conf(document, report), document, report, differs=True)
    if document.kind == "BgpPeer" and (document.api_version.endswith("v1alpha1") or "config" in tree.get("spec", {})):
        return _judged(_old_peer(document, report, tree), document, report, differs=True)
    if document.kind == "Eip":
        _eip(document, report)
    if document.kind == "BgpConf" and document.name != CONF_NAME:
        note = "only the BgpConf named default is acted on, as before; rename it if it should be"
        report.add(document, "metadata.name", Verdict.REFUSED, note)
        return Checked(tree, False)
    return _judged(tree, document, report, differs=repaired, leaves=True)


def report_finalizers(document: Document, report: Report) -> None:
    """Say which finalizers Porter takes off, so that no deletion hangs."""
    finalizers = document.metadata.get("finalizers")
    for name in finalizers if isinstance(finalizers, list) else ():
        if is_old(str(name)):
            note = f"{shown(name)} is taken off when Porter takes over, so that a deletion does not hang"
            report.add(document, "metadata.finalizers", Verdict.CHANGED, note)


def _respelt(tree: Any, document: Document, report: Report, path: str = "spec") -> bool:
    """Mend names that are known to be misspelt, in place; whether there was one."""
    below = tree.get("spec") if path == "spec" and isinstance(tree, dict) and "spec" in tree else tree
    found = False
    if isinstance(below, dict):
        for wrong, right in MISSPELT.items():
            if wrong in below:
                note = f"is misspelt, and had no effect: {right}"
                if right in below:
                    note += " is there too, and counts; this one is left out"
                value = below.pop(wrong)
                below.setdefault(right, value)
                report.add(document, f"{path}.{wrong}", Verdict.CHANGED, note)
                found = True
        entries: list[tuple[str, Any]] = [(f"{path}.{name}", value) for name, value in below.items()]
    else:
        entries = [(f"{path}[{index}]", value) for index, value in enumerate(below)] if isinstance(below, list) else []
    for inner, value in entries:
        found = _respelt(value, document, report, inner) or found
    return found


def _judged(
    tree: dict[str, Any], document: Document, report: Report, *, differs: bool, leaves: bool = False
) -> Checked:
    """Let Porter's own conversion judge an object; `leaves` reports every field that it took as kept."""
    fact = fact_of(tree)
    problems: tuple[Problem, ...] = fact.problems if fact is not None else ()
    if leaves:
        for path, value in _leaves(tree.get("spec"), "spec"):
            if not any(path == one.field or path.startswith((f"{one.field}.", f"{one.field}[")) for one in problems):
                note = "a password, which shows in no status" if "assword" in path else shown(value)
                report.add(document, path, Verdict.KEPT, note)
    for one in problems:
        use = "" if one.reason == Reason.FIELD_UNSUPPORTED else "; until that is mended, it is not used"
        report.add(document, one.field, Verdict.REFUSED, f"{one.message}{use}")
    return Checked(tree, differs, fact)


def fact_of(tree: dict[str, Any]) -> Any:
    """An object's fact, as the controller makes it; None where it is left alone."""
    kind: Kind = tree["kind"]
    try:
        item = decode(kind, msgspec.json.encode(tree))
    except Malformed as error:
        malformed = {"Eip": malformed_pool_fact, "BgpConf": malformed_conf_fact, "BgpPeer": malformed_peer_fact}
        return malformed[kind](error)
    assert isinstance(item, Custom)
    return {"Eip": pool_fact, "BgpConf": conf_fact, "BgpPeer": peer_fact}[kind](item)


def holds(fact: PoolObserved, address: str) -> bool:
    """Whether one of a pool's ranges holds an address."""
    return any(Address(address) in parse_range(f"{first}-{last}") for first, last in fact.ranges)


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The fields of a tree that hold values; a list of plain values is one."""
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from _leaves(value, f"{path}.{name}")
    elif isinstance(tree, list) and any(isinstance(each, dict) for each in tree):
        for index, value in enumerate(tree):
            yield from _leaves(value, f"{path}[{index}]")
    elif tree not in (None, {}, []):
        yield path, tree


def _eip(document: Document, report: Report) -> None:
    fields = Fields(document, report, document.tree.get("spec"), "spec")
    protocol = fields.raw("protocol")
    if protocol in {"layer2", "vip"}:
        fields.refused("protocol", f"{protocol}: {LAYER2}; set it to bgp, or leave this pool with OpenELB")
    if document.api_version.endswith("v1alpha1"):
        report.add(document, "apiVersion", Verdict.KEPT, "v1alpha1 of Eip is served, and means the same")
    for key, value in (document.metadata.get("annotations") or {}).items():
        if not key.endswith("/is-default-eip"):
            continue
        if value.lower() == "true" and value != "true":
            note = f"{key}: {shown(value)} counts, where OpenELB allocated for the exact text true alone"
            report.add(document, "metadata.annotations", Verdict.CHANGED, note)
        else:
            report.add(document, "metadata.annotations", Verdict.KEPT, f"{key}: {shown(value)}")


def _old_conf(document: Document, report: Report) -> dict[str, Any]:
    fields = Fields(document, report, document.tree.get("spec"), "spec")
    spec: dict[str, Any] = {}
    for old, new in OLD_CONF.items():
        value = fields.raw(old)
        if value is not None:
            spec[new] = value
            (fields.kept if old == new else fields.changed)(old, f"{shown(value)}: spec.{new} of v1alpha2")
    fields.finish()
    if document.name != CONF_NAME:
        note = f"{document.name}: becomes default, the only BgpConf that v1alpha2 acts on"
        report.add(document, "metadata.name", Verdict.CHANGED, note)
    return manifest("BgpConf", CONF_NAME, spec)


def _old_peer(document: Document, report: Report, tree: dict[str, Any]) -> dict[str, Any]:
    fields = Fields(document, report, tree.get("spec"), "spec")
    config, paths, transport = fields.below("config"), fields.below("addPaths"), fields.below("transport")
    conf: dict[str, Any] = {}
    for below, name, target in ((config, "peerAs", "spec.conf"), (config, "neighborAddress", "spec.conf")):
        value = below.raw(name)
        if value is not None:
            conf[name] = value
            below.changed(name, f"{shown(value)}: {target}.{name} of v1alpha2")
    spec: dict[str, Any] = {"conf": conf}
    send_max = paths.integer("sendMax", 0, 255)
    if send_max is not None:
        spec["afiSafis"] = [unicast(str(conf.get("neighborAddress", "")), send_max)]
        paths.changed("sendMax", f"{send_max}: spec.afiSafis[0].addPaths.config.sendMax of v1alpha2")
    for name in ("passiveMode", "remotePort"):
        value = transport.raw(name)
        if value is not None:
            spec.setdefault("transport", {})[name] = value
            transport.kept(name, f"{shown(value)}: spec.transport.{name}")
    if fields.flag("usingPortForward"):
        fields.refused("usingPortForward", PORT_FORWARD)
    for level in (config, paths, transport, fields):
        level.finish()
    return manifest("BgpPeer", document.name, spec, document.metadata.get("labels"))


def unicast(neighbor: str, send_max: int) -> dict[str, Any]:
    """An entry of afiSafis for the family of a neighbour, as OpenELB's default is."""
    try:
        family = family_of(parse_address(neighbor))
    except InvalidAddress:
        family = "IPv4"
    afi = "AFI_IP6" if family == IPV6 else "AFI_IP"
    config = {"enabled": True, "family": {"afi": afi, "safi": "SAFI_UNICAST"}}
    return {"config": config, "addPaths": {"config": {"sendMax": send_max}}}
