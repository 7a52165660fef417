"""The CRDs at a real API server: what old manifests hold is accepted unchanged, and what is read is described."""

import json
from pathlib import Path

import pytest
import yaml

from porter.kube.client import ApiError

CRDS = sorted((Path(__file__).parents[3] / "deploy" / "crds").glob("*.yaml"))
GROUP = "network.kubesphere.io/v1alpha2"

OLD_MANIFESTS = [
    {
        "apiVersion": GROUP,
        "kind": "Eip",
        "metadata": {"name": "old-pool", "annotations": {"eip.openelb.kubesphere.io/is-default-eip": "true"}},
        "spec": {
            "address": "192.0.2.91-192.0.2.100",
            "priority": 100,
            "namespaces": ["test", "default"],
            "namespaceSelector": {"kubesphere.io/workspace": "workspace"},
            "disable": False,
            "protocol": "layer2",
            "interface": "can_reach:192.0.2.1",
            "usingKnownIPs": True,
        },
    },
    {
        "apiVersion": "network.kubesphere.io/v1alpha1",
        "kind": "Eip",
        "metadata": {"name": "older-pool"},
        "spec": {"address": "192.0.2.0/24", "protocol": "bgp", "disable": True, "usingKnownIPs": False},
    },
    {
        "apiVersion": GROUP,
        "kind": "BgpConf",
        "metadata": {"name": "default"},
        "spec": {
            "as": 4200000000,
            "listenPort": 17900,
            "routerId": "192.0.2.2",
            "listenAddresses": ["192.0.2.2"],
            "families": [65537],
            "useMultiplePaths": True,
            "policy": "bgp-policy",
            "asPerRack": {"rack1": 65001},
            "gracefulRestart": {"enabled": True, "restartTime": 60, "helperOnly": False, "mode": ""},
        },
    },
    {
        "apiVersion": GROUP,
        "kind": "BgpPeer",
        "metadata": {"name": "old-peer"},
        "spec": {
            "conf": {
                "neighborAddress": "192.0.2.3",
                "peerAs": 50001,
                "localAs": 50000,
                "authPassword": "secret",
                "removePrivateAs": "REMOVE_ALL",
                "sendCommunity": 1,
            },
            "ebgpMultihop": {"enabled": True, "multihopTtl": 2},
            "timers": {"config": {"connectRetry": "10", "holdTime": "90", "keepaliveInterval": "30"}},
            "transport": {"mtuDiscovery": True, "passiveMode": True, "remotePort": 17900, "tcpMss": 1400},
            "gracefulRestart": {"enabled": True},
            "afiSafis": [
                {
                    "config": {"family": {"afi": "AFI_IP", "safi": "SAFI_UNICAST"}, "enabled": True},
                    "addPaths": {"config": {"sendMax": 10, "receive": True}},
                    "mpGracefulRestart": {"config": {"enabled": True}},
                }
            ],
            "nodeSelector": {
                "matchLabels": {"openelb.kubesphere.io/rack": "leaf1"},
                "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b", "c"]}],
            },
        },
    },
]


@pytest.mark.parametrize("manifest", OLD_MANIFESTS, ids=lambda manifest: manifest["metadata"]["name"])
def test_old_manifests_are_stored_unchanged(control_plane, manifest):
    """kubectl validates strictly: a field that the schema does not know is an error."""
    plural, name = manifest["kind"].lower() + "s", manifest["metadata"]["name"]
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    try:
        stored = json.loads(
            control_plane.kubectl("get", f"{plural}.v1alpha2.network.kubesphere.io", name, "-o", "json")
        )
        assert stored["spec"] == manifest["spec"]
    finally:
        control_plane.kubectl("delete", plural, name)


def test_short_names_categories_and_columns(control_plane):
    table = control_plane.kubectl("api-resources", "--categories=porter", "--no-headers")
    assert {line.split()[1] for line in table.splitlines()} == {"eip", "bgpc", "bgpp"}
    pool = {"apiVersion": GROUP, "kind": "Eip", "metadata": {"name": "shown"}, "spec": {"address": "192.0.2.0/30"}}
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(pool))
    try:
        assert control_plane.kubectl("get", "eip", "shown").split()[:6] == [
            "NAME", "CIDR", "USAGE", "TOTAL", "READY", "AGE",
        ]  # fmt: skip
    finally:
        control_plane.kubectl("delete", "eip", "shown")


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        ("eips", {"address": "192.0.2.1", "protocol": "ospf"}),
        ("eips", {"address": 5}),
        ("bgpconfs", {"as": 2**32}),
        ("bgppeers", {"conf": {"neighborAddress": "192.0.2.1", "peerAs": -1}}),
    ],
)
async def test_what_no_old_version_took_is_refused_at_the_server(api, plural, spec):
    kind = {"eips": "Eip", "bgpconfs": "BgpConf", "bgppeers": "BgpPeer"}[plural]
    body = {"apiVersion": GROUP, "kind": kind, "metadata": {"name": "refused"}, "spec": spec}
    with pytest.raises(ApiError) as refused:
        await api.create(plural, body)
    assert refused.value.status == 422


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.stem)
def test_every_field_has_a_description(path):
    definition = yaml.safe_load(path.read_text())
    missing = []

    def walk(schema, where):
        assert None not in schema.values(), f"{where} has an empty value: quote the description's commas"
        for name, below in schema.get("properties", {}).items():
            if "description" not in below and name not in {"metadata", "config", "family"}:
                missing.append(f"{where}.{name}")
            walk(below, f"{where}.{name}")
        for inner in ("items", "additionalProperties"):
            if isinstance(schema.get(inner), dict):
                walk(schema[inner], f"{where}[]")

    for version in definition["spec"]["versions"]:
        walk(version["schema"]["openAPIV3Schema"], version["name"])
    assert missing == []
