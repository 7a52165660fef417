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
        "metadata": {"name": "host-bits"},
        # OpenELB masked host bits off, and so do we.
        "spec": {"address": "192.0.2.165/27"},
    },
    {
        "apiVersion": GROUP,
        "kind": "Eip",
        "metadata": {"name": "one-address"},
        "spec": {"address": "2001:db8::5"},
    },
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
    assert {line.split()[1] for line in table.splitlines()} == {"eip", "bgpc", "bgpp", "bgpa"}
    pool = {"apiVersion": GROUP, "kind": "Eip", "metadata": {"name": "shown"}, "spec": {"address": "192.0.2.0/30"}}
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(pool))
    try:
        assert control_plane.kubectl("get", "eip", "shown").split()[:6] == [
            "NAME", "CIDR", "USAGE", "TOTAL", "READY", "AGE",
        ]  # fmt: skip
    finally:
        control_plane.kubectl("delete", "eip", "shown")


def test_all_four_kinds_are_got_by_their_short_names(control_plane):
    peer = {"conf": {"neighborAddress": "192.0.2.254", "peerAs": 64512}}
    manifests = [
        ("Eip", "got-pool", {"address": "192.0.2.0/30"}),
        ("BgpConf", "default", {"as": 64500}),
        ("BgpPeer", "got-peer", peer),
        ("BgpAdvertisement", "got-advertisement", {"eips": ["got-pool"], "peers": ["got-peer"]}),
    ]
    items = [{"apiVersion": GROUP, "kind": k, "metadata": {"name": n}, "spec": s} for k, n, s in manifests]
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    control_plane.kubectl("apply", "-f", "-", stdin=everything)
    try:
        table = control_plane.kubectl("get", "eip,bgpc,bgpp,bgpa")
        lines = [line.split() for line in table.splitlines() if line]
        shown = {line[0]: line[1:] for line in lines}
        assert shown["eip.network.kubesphere.io/got-pool"][0] == "192.0.2.0/30"
        assert shown["bgpconf.network.kubesphere.io/default"][0] == "64500"
        assert shown["bgppeer.network.kubesphere.io/got-peer"][:2] == ["192.0.2.254", "64512"]
        assert shown["bgpadvertisement.network.kubesphere.io/got-advertisement"][:2] == [
            '["got-pool"]',
            '["got-peer"]',
        ]
    finally:
        control_plane.kubectl("delete", "-f", "-", stdin=everything)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("eip.spec.reservations", ["Addresses that are kept for one Service each", "-required-", "At most 4096"]),
        ("eip.spec.releaseDelay", ["at most 720h", "Default 0"]),
        ("eip.spec.quota.perNamespace", ["Unset means no limit"]),
        ("bgpa.spec.communities", ["no-export", "RFC 1997"]),
        ("bgpp.spec.timers.config.holdTime", ["seconds", "Default 90"]),
        ("bgpc.spec.policy", ["gobgp.conf"]),
    ],
)
def test_explain_reads_like_documentation(control_plane, field, words):
    text = " ".join(control_plane.kubectl("explain", field).split())
    for word in words:
        assert word in text


def test_the_documentation_shows_what_explain_says(control_plane):
    page = (Path(__file__).parents[3] / "docs" / "reference" / "objects.md").read_text()
    command = "eip.spec.reservations"
    shown = page.partition(f"$ kubectl explain {command}\n")[2].partition("```")[0]
    assert shown.split() == control_plane.kubectl("explain", command).split()


LAYER2 = {"address": "192.0.2.0/30", "protocol": "layer2"}


def test_a_layer2_pool_of_v1alpha1_needs_no_interface(control_plane):
    older = {"apiVersion": "network.kubesphere.io/v1alpha1", "kind": "Eip", "metadata": {"name": "older"}}
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(older | {"spec": LAYER2}))
    control_plane.kubectl("delete", "eip", "older")


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        ("eips", LAYER2),
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
