"""The ConfigMap of MetalLB before 0.13: each of its entries becomes the object that MetalLB itself would make of it.

Only names differ (`my-asn` for `myASN`), so that an entry is handed on with a table of the names in which the report
speaks of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.reading import Document, Fault, loaded
from porter.app.migrate.report import Report

KEY = "config"
PEER_NAMES = {
    "myASN": "my-asn",
    "peerASN": "peer-asn",
    "peerAddress": "peer-address",
    "peerPort": "peer-port",
    "sourceAddress": "source-address",
    "holdTime": "hold-time",
    "keepaliveTime": "keepalive-time",
    "routerID": "router-id",
    "nodeSelectors": "node-selectors",
    "password": "password",
    "bfdProfile": "bfd-profile",
    "ebgpMultiHop": "ebgp-multihop",
}
PROFILE_NAMES = {
    "receiveInterval": "receive-interval",
    "transmitInterval": "transmit-interval",
    "detectMultiplier": "detect-multiplier",
    "passiveMode": "passive-mode",
    "echoMode": "echo-mode",
    "echoInterval": "echo-interval",
    "minimumTtl": "minimum-ttl",
}
POOL_NAMES = {"addresses": "addresses", "autoAssign": "auto-assign", "avoidBuggyIPs": "avoid-buggy-ips"}
ADVERTISEMENT_NAMES = {
    "aggregationLength": "aggregation-length",
    "aggregationLengthV6": "aggregation-length-v6",
    "localPref": "localpref",
    "communities": "communities",
    "peers": "peers",
}
SELECTOR_NAMES = {"match-labels": "matchLabels", "match-expressions": "matchExpressions"}


class Part(NamedTuple):
    """An entry of the ConfigMap as the object that it stands for, with its path there and the names of its fields."""

    document: Document
    path: str
    names: dict[str, str]


def is_config(document: Document) -> bool:
    """Whether a document is that ConfigMap."""
    data = document.tree.get("data")
    return document.kind == "ConfigMap" and isinstance(data, dict) and KEY in data and document.name == "config"


def parts(document: Document, report: Report) -> Iterator[Part]:
    """Yield the objects that the ConfigMap stands for; what is none of its fields is refused."""
    where = f"data.{KEY}"
    try:
        tree = loaded(str(document.tree["data"][KEY]))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        told = " ".join(str(error).split())[:300]
        report.faults.append(Fault(document.where, where, f"{where} is no YAML: {told}; mend it"))
        return
    fields = Fields(document, report, tree, "")
    names = iter(range(1, 1 + len(tree.get("peers") or ()) if isinstance(tree, dict) else 1))
    for index, peer in enumerate(fields.objects("peers")):
        spec = _renamed(peer, PEER_NAMES)
        spec["nodeSelectors"] = [_renamed(one, {v: k for k, v in SELECTOR_NAMES.items()}) for one in _list(spec)]
        if not spec["nodeSelectors"]:
            del spec["nodeSelectors"]
        yield _part(document, ("BGPPeer", f"peer{next(names)}"), spec, f"peers[{index}]", PEER_NAMES)
    yield from _pools(document, fields)
    communities = fields.raw("bgp-communities")
    if isinstance(communities, dict):
        entries = [{"name": str(name), "value": str(value)} for name, value in communities.items()]
        yield _part(document, ("Community", "bgp-communities"), {"communities": entries}, "bgp-communities", {})
    elif communities is not None:
        fields.refused("bgp-communities", f"is {shown(communities)}, and not a map of names to communities")
    for index, profile in enumerate(fields.objects("bfd-profiles")):
        name = str(profile.get("name") or f"bfd{index}")
        spec = _renamed({key: value for key, value in profile.items() if key != "name"}, PROFILE_NAMES)
        yield _part(document, ("BFDProfile", name), spec, f"bfd-profiles[{index}]", PROFILE_NAMES)
    fields.finish()


def _pools(document: Document, fields: Fields) -> Iterator[Part]:
    for index, pool in enumerate(fields.objects("address-pools")):
        path = f"address-pools[{index}]"
        name, protocol = str(pool.get("name") or ""), pool.get("protocol")
        if not name:
            fields.refused(f"{path}.name", "is not set; give the pool a name")
            continue
        spec = {key: value for key, value in pool.items() if key not in {"name", "protocol", "bgp-advertisements"}}
        yield _part(document, ("IPAddressPool", name), _renamed(spec, POOL_NAMES), path, POOL_NAMES)
        if protocol == "layer2":
            spec = {"ipAddressPools": [name]}
            yield _part(document, ("L2Advertisement", name), spec, f"{path}.protocol", {})
            continue
        if protocol != "bgp":
            fields.refused(f"{path}.protocol", f"is {shown(protocol)}; write bgp or layer2")
            continue
        advertisements = pool.get("bgp-advertisements") or [{}]
        for number, one in enumerate(advertisements if isinstance(advertisements, list) else [{}]):
            below = f"{path}.bgp-advertisements[{number}]"
            spec = {"ipAddressPools": [name], **_renamed(one, ADVERTISEMENT_NAMES)}
            names = {**ADVERTISEMENT_NAMES, "ipAddressPools": "name"}
            suffix = f"-{number + 1}" if number else ""
            yield _part(document, ("BGPAdvertisement", f"{name}{suffix}"), spec, below, names)


def _part(document: Document, named: tuple[str, str], spec: dict[str, Any], path: str, names: dict[str, str]) -> Part:
    kind, name = named
    version = "metallb.io/v1beta2" if kind == "BGPPeer" else "metallb.io/v1beta1"
    metadata = {"name": name, "namespace": document.namespace or "metallb-system"}
    tree = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    return Part(Document(f"{document.where}, {path}", tree), path, names)


def _renamed(tree: object, names: dict[str, str]) -> dict[str, Any]:
    """The entry with the names of the API; a name that is none of the ConfigMap's stays, and is refused later."""
    back = {old: new for new, old in names.items()}
    return {back.get(str(key), str(key)): value for key, value in tree.items()} if isinstance(tree, dict) else {}


def _list(spec: dict[str, Any]) -> list[Any]:
    selectors = spec.get("nodeSelectors")
    return selectors if isinstance(selectors, list) else []
