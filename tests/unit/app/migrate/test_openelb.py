"""OpenELB and every older Porter: what stays, what is converted, and the defects that are told."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

from porter.app.migrate.simulate import simulate
from porter.kube.facts import FactSettings
from tests.unit.app.migrate.helpers import annotations, openelb, outcomes, read, said, service, specs
from tests.unit.app.migrate.test_metallb import disturb

SAMPLES = Path(__file__).parents[4] / "docs/migrate/samples/openelb"
OPT_IN = "lb.kubesphere.io/v1alpha1"
LABEL = "eip.openelb.kubesphere.io/v1alpha2"
KEY = "porter.io/sharing-key"
OURS = {OPT_IN: "openelb"}


def custom(kind, name, spec, version="v1alpha2", **more):
    metadata = {"name": name, **more.pop("metadata", {})}
    tree = {"apiVersion": f"network.kubesphere.io/{version}", "kind": kind, "metadata": metadata, "spec": spec}
    return f"---\n{json.dumps(tree | more)}\n"


def eip(name="floor", address="172.22.0.2-172.22.0.10", **more):
    return custom("Eip", name, {"address": address, **more.pop("spec", {})}, **more)


def asking(address):
    return OURS | {"eip.openelb.kubesphere.io/v1alpha1": address}


# ------------------------------------------------------------------------------------------------------ what stays


def test_the_documented_manifests_need_no_change():
    text = eip() + custom("BgpConf", "default", {"as": 50000, "listenPort": 17900, "routerId": "192.168.0.2"})
    text += custom(
        "BgpPeer",
        "leaf",
        {
            "conf": {"neighborAddress": "192.168.0.5", "peerAs": 50001},
            "afiSafis": [
                {
                    "config": {"family": {"afi": "AFI_IP", "safi": "SAFI_UNICAST"}, "enabled": True},
                    "addPaths": {"config": {"sendMax": 10}},
                }
            ],
        },
    )
    text += service(
        "web",
        "172.22.0.2",
        annotations=asking("172.22.0.2")
        | {"protocol.openelb.kubesphere.io/v1alpha1": "bgp", "eip.openelb.kubesphere.io/v1alpha2": "floor"},
    )
    migration = openelb(text)
    assert migration.manifests == []
    assert not [entry for entry in migration.report.entries if entry.verdict == "refused"]
    assert outcomes(migration) == {"shop/web": ("same", ("172.22.0.2",))}


def test_every_field_of_an_object_is_reported():
    migration = openelb(custom("BgpConf", "default", {"as": 50000, "listenPort": 17900, "colour": "red"}))
    assert said(migration, "spec.as") == [("kept", "50000")]
    [(verdict, note)] = said(migration, "spec.colour")
    assert verdict == "refused"
    assert "has no effect" in note


@pytest.mark.parametrize(
    ("annotations", "field", "verdict"),
    [
        ({"eip.porter.kubesphere.io/v1alpha1": "172.22.0.3"}, "eip.porter.kubesphere.io/v1alpha1", "kept"),
        ({"eip.porter.kubesphere.io/v1alpha2": "floor"}, "eip.porter.kubesphere.io/v1alpha2", "kept"),
        ({"eip.openelb.kubesphere.io/v1alpha1": "172.22.0.3"}, "eip.openelb.kubesphere.io/v1alpha1", "kept"),
        ({"eip.openelb.kubesphere.io/v1alpha2": "floor"}, "eip.openelb.kubesphere.io/v1alpha2", "kept"),
        (
            {"eip.openelb.kubesphere.io/v1alpha2": "floor", "eip.porter.kubesphere.io/v1alpha2": "old"},
            "eip.porter.kubesphere.io/v1alpha2",
            "changed",
        ),
        ({"protocol.porter.kubesphere.io/v1alpha1": "bgp"}, "protocol.porter.kubesphere.io/v1alpha1", "changed"),
        ({"layer2.openelb.kubesphere.io/v1alpha1": "n1"}, "layer2.openelb.kubesphere.io/v1alpha1", "changed"),
        ({"node-proxy.openelb.kubesphere.io/type": "daemonset"}, "node-proxy.openelb.kubesphere.io/type", "refused"),
        (
            {"node-proxy.openelb.kubesphere.io/external-ip": "x"},
            "node-proxy.openelb.kubesphere.io/external-ip",
            "changed",
        ),
    ],
)
@pytest.mark.parametrize("generation", ["porter", "openelb"])
def test_each_annotation_of_every_generation(annotations, field, verdict, generation):
    migration = openelb(eip() + service("web", annotations={OPT_IN: generation, **annotations}))
    assert said(migration, f"metadata.annotations[{OPT_IN}]")[0][0] == "kept"
    assert said(migration, f"metadata.annotations[{field}]")[0][0] == verdict


def test_the_field_and_the_annotation_change_places():
    migration = openelb(eip() + service("web", annotations=asking("172.22.0.3"), loadBalancerIP="172.22.0.4"))
    assert said(migration, "spec.loadBalancerIP")[0][0] == "changed"
    migration = openelb(eip() + service("web", annotations=OURS, loadBalancerIP="172.22.0.4"))
    assert said(migration, "spec.loadBalancerIP")[0][0] == "kept"


@pytest.mark.parametrize(
    ("kind", "finalizer"),
    [
        ("Eip", "finalizer.ipam.kubesphere.io/v1alpha1"),
        ("Eip", "finalizer.lb.kubesphere.io/node-1"),
        ("BgpConf", "finalizer.lb.kubesphere.io/v1alpha1"),
        ("BgpPeer", "finalizer.lb.kubesphere.io/v1alpha1"),
    ],
)
def test_finalizers_are_announced(kind, finalizer):
    migration = openelb(custom(kind, "default", {}, metadata={"finalizers": [finalizer]}))
    [(verdict, note)] = said(migration, "metadata.finalizers")
    assert verdict == "changed"
    assert finalizer in note


def test_what_is_applied_does_not_put_finalizers_back():
    leaf = {"conf": {"neighborAddress": "10.0.0.1", "peerAs": 1}, "afiSafis": [{"addAaths": {}}]}
    left = {"finalizers": ["finalizer.lb.kubesphere.io/v1alpha1", "example.com/other"], "uid": "u"}
    [made] = openelb(custom("BgpPeer", "leaf", leaf, metadata=left)).manifests
    assert made["metadata"] == {"name": "leaf", "finalizers": ["example.com/other"]}


# --------------------------------------------------------------------------------------------- what is converted


def test_v1alpha1_of_conf_and_peer_becomes_v1alpha2():
    migration = openelb((SAMPLES / "v1alpha1.yaml").read_text())
    assert specs(migration, "BgpConf") == {"default": {"as": 50000, "routerId": "172.22.0.1", "listenPort": 17900}}
    assert specs(migration, "BgpPeer") == {
        "leaf": {
            "conf": {"neighborAddress": "172.22.0.254", "peerAs": 50001},
            "afiSafis": [
                {
                    "config": {"enabled": True, "family": {"afi": "AFI_IP", "safi": "SAFI_UNICAST"}},
                    "addPaths": {"config": {"sendMax": 10}},
                }
            ],
        }
    }
    assert all(one["apiVersion"].endswith("v1alpha2") for one in migration.manifests)
    assert said(migration, "spec.usingPortForward")[0][0] == "refused"
    assert not specs(migration, "Eip"), "Eip of v1alpha1 is served as it is"


def test_the_transport_of_v1alpha1_is_kept():
    spec = {"config": {"neighborAddress": "fd00::1", "peerAs": 1}, "transport": {"passiveMode": True, "remotePort": 1}}
    migration = openelb(custom("BgpPeer", "leaf", spec | {"addPaths": {"sendMax": 4}}, "v1alpha1"))
    made = specs(migration, "BgpPeer")["leaf"]
    assert made["transport"] == {"passiveMode": True, "remotePort": 1}
    assert made["afiSafis"][0]["config"]["family"]["afi"] == "AFI_IP6"


def test_the_documented_misspelling_is_mended():
    spec = {
        "conf": {"neighborAddress": "10.0.0.1", "peerAs": 1},
        "afiSafis": [{"addAaths": {"config": {"sendMax": 8}}}],
    }
    migration = openelb(custom("BgpPeer", "leaf", spec))
    assert specs(migration, "BgpPeer")["leaf"]["afiSafis"] == [{"addPaths": {"config": {"sendMax": 8}}}]
    assert said(migration, "spec.afiSafis[0].addAaths")[0][0] == "changed"


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
@pytest.mark.parametrize("order", [1, -1])
def test_beside_the_right_name_the_misspelt_one_counts_for_nothing(version, order):
    wrong, right = ({"sendMax": 9}, {"sendMax": 10})
    if version == "v1alpha2":
        wrong, right = {"config": wrong}, {"config": right}
    paths = dict([("addAaths", wrong), ("addPaths", right)][::order])
    leaf = {"neighborAddress": "10.0.0.1", "peerAs": 1}
    spec = {"config": leaf, **paths} if version == "v1alpha1" else {"conf": leaf, "afiSafis": [paths]}
    migration = openelb(custom("BgpPeer", "leaf", spec, version))
    [entry] = specs(migration, "BgpPeer")["leaf"]["afiSafis"]
    assert entry["addPaths"] == {"config": {"sendMax": 10}}
    [(verdict, note)] = said(migration, "spec.addAaths" if version == "v1alpha1" else "spec.afiSafis[0].addAaths")
    assert verdict == "changed"
    assert "left out" in note


BGP_CFG = """
[global.config]
as = 50000
router-id = "172.22.0.1"
port = 17900
[porter-config]
using-port-forward = true
[[neighbors]]
[neighbors.config]
neighbor-address = "172.22.0.254"
peer-as = 50001
[neighbors.add-paths.config]
send-max = 8
[neighbors.ebgp-multihop.config]
enabled = true
multihop-ttl = 5
[neighbors.graceful-restart.config]
enabled = true
restart-time = 60
[neighbors.timers.config]
hold-time = 30
[neighbors.transport.config]
passive-mode = true
remote-port = 1790
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv6-unicast"
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
"""


def config_map(name, key, text, namespace="porter-system"):
    metadata = {"name": name, "namespace": namespace}
    return "---\n" + json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: text}})


def test_gobgps_own_configuration_becomes_objects():
    migration = openelb(config_map("bgp-cfg", "config.toml", BGP_CFG))
    assert specs(migration, "BgpConf") == {"default": {"as": 50000, "routerId": "172.22.0.1", "listenPort": 17900}}
    assert specs(migration, "BgpPeer") == {
        "bgp-cfg-172-22-0-254": {
            "conf": {"neighborAddress": "172.22.0.254", "peerAs": 50001},
            "ebgpMultihop": {"enabled": True, "multihopTtl": 5},
            "gracefulRestart": {"enabled": True, "restartTime": 60},
            "timers": {"config": {"holdTime": "30"}},
            "transport": {"passiveMode": True, "remotePort": 1790},
            "afiSafis": [
                {
                    "config": {"enabled": True, "family": {"afi": "AFI_IP6", "safi": "SAFI_UNICAST"}},
                    "addPaths": {"config": {"sendMax": 8}},
                }
            ],
        }
    }
    assert said(migration, "porter-config.using-port-forward")[0][0] == "refused"
    assert not simulate(migration, FactSettings()).state.inventory.peers["bgp-cfg-172-22-0-254"].problems


def test_an_object_wins_over_the_config_map():
    migration = openelb(custom("BgpConf", "default", {"as": 64512}) + config_map("bgp-cfg", "config.toml", BGP_CFG))
    assert not specs(migration, "BgpConf")
    assert "the BgpConf default wins" in said(migration, "global.config.as")[0][1]


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("[global.config]\ncolour = 1", "global.config.colour", "no field"),
        ("[zebra.config]\nenabled = true", "zebra", "no field"),
        ("[[neighbors]]\n[neighbors.config]\npeer-as = 1", "neighbors[0].config.neighbor-address", "is not set"),
    ],
)
def test_an_unknown_key_of_the_config_map_is_named(text, field, told):
    migration = openelb(config_map("bgp-cfg", "config.toml", text))
    assert told in said(migration, field)[0][1]


@pytest.mark.parametrize(("key", "text"), [("config.toml", "a = ["), ("other", "")])
def test_a_config_map_that_cannot_be_read_is_a_fault(key, text):
    [fault] = openelb(config_map("bgp-cfg", key, text)).report.faults
    assert fault.field == "data[config.toml]"


POLICY = """
[[defined-sets.prefix-sets]]
prefix-set-name = "all"
[[defined-sets.prefix-sets.prefix-list]]
ip-prefix = "172.22.0.0/16"
masklength-range = "32..32"
[[policy-definitions]]
name = "out"
[[policy-definitions.statements]]
name = "prefer"
[policy-definitions.statements.conditions.match-prefix-set]
prefix-set = "all"
[policy-definitions.statements.actions.bgp-actions]
set-med = "100"
[global.apply-policy.config]
export-policy-list = ["out"]
"""


@pytest.mark.parametrize(("namespace", "verdict"), [("porter-system", "kept"), ("openelb-system", "changed")])
def test_a_policy_is_read_in_porters_namespace(namespace, verdict):
    text = custom("BgpConf", "default", {"as": 1, "policy": "rules"})
    migration = openelb(text + config_map("rules", "gobgp.conf", POLICY, namespace))
    [(found, note)] = said(migration, "data[gobgp.conf]")
    assert found == verdict
    assert "policy-prefer" in note


# --------------------------------------------------------------------------------------------------------- defects


def test_overlaps_and_a_second_default_are_told_of_the_younger():
    default = {"annotations": {"eip.openelb.kubesphere.io/is-default-eip": "true"}}
    old = {"creationTimestamp": "2023-01-01T00:00:00Z"}
    young = {"creationTimestamp": "2024-01-01T00:00:00Z"}
    text = eip("old", metadata=old | default) + eip("over", "172.22.0.8/29", metadata=young)
    text += eip("second", "172.23.0.0/29", metadata=young | default)
    refused = [entry for entry in openelb(text).report.entries if entry.verdict == "refused"]
    assert {entry.object for entry in refused} == {"Eip over", "Eip second"}
    assert "overlap those of the older Eip old" in refused[0].note


def test_one_address_and_port_twice_is_told_of_the_younger_service():
    text = eip() + service("old", "172.22.0.2", annotations=OURS, creationTimestamp="2023-01-01T00:00:00Z")
    text += service("young", "172.22.0.2", annotations=OURS, creationTimestamp="2024-01-01T00:00:00Z")
    migration = openelb(text)
    [refused] = [entry for entry in migration.report.entries if entry.verdict == "refused"]
    assert refused.object == "Service shop/young"
    assert "also held by shop/old" in refused.note
    found = outcomes(migration)
    assert found["shop/old"] == ("same", ("172.22.0.2",))
    assert found["shop/young"][0] == "changes"


def test_sharing_across_namespaces_goes_on_with_a_key():
    text = eip() + service("a", "172.22.0.5", namespace="net", port=53, annotations=asking("172.22.0.5"))
    text += service("b", "172.22.0.5", namespace="tools", port=80, annotations=asking("172.22.0.5"))
    migration = openelb(text)
    assert specs(migration, "Eip")["floor"]["sharing"] == {"namespaces": ["net", "tools"]}
    assert annotations(migration, "a")[KEY] == annotations(migration, "b")[KEY] == "openelb-172.22.0.5"
    assert {verdict for verdict, _ in outcomes(migration).values()} == {"same"}
    assert not [entry for entry in migration.report.entries if entry.verdict == "refused"]


def test_sharing_in_one_namespace_needs_nothing():
    text = eip() + service("a", "172.22.0.5", port=53, annotations=asking("172.22.0.5"))
    text += service("b", "172.22.0.5", port=80, annotations=asking("172.22.0.5"))
    migration = openelb(text)
    assert not migration.manifests
    assert {verdict for verdict, _ in outcomes(migration).values()} == {"same"}


def test_a_ledger_that_disagrees_with_the_services_is_told():
    status = {"used": {"172.22.0.2": "shop/gone", "172.22.0.3": "shop/a"}}
    text = (
        eip(status=status) + service("a", "172.22.0.3", annotations=OURS) + service("b", "172.22.0.2", annotations=OURS)
    )
    notes = [note for _, note in said(openelb(text), "status.used")]
    assert len(notes) == 2
    assert "172.22.0.2 counts as used by shop/gone" in notes[0]
    assert "172.22.0.2 is held by shop/b" in notes[1]
    assert not said(openelb(eip(status=status)), "status.used"), "without Services nothing can be said"


def test_a_service_that_only_a_label_claims_is_marked():
    migration = openelb(eip() + service("web", "172.22.0.2", labels={LABEL: "floor"}))
    assert annotations(migration, "web") == {OPT_IN: "openelb"}
    assert outcomes(migration) == {"shop/web": ("same", ("172.22.0.2",))}


def test_a_service_of_another_class_is_not_touched():
    migration = openelb(eip() + service("web", "172.22.0.2", annotations=OURS, loadBalancerClass="other.io/x"))
    assert said(migration, "spec.loadBalancerClass")[0][0] == "refused"
    assert outcomes(migration)["shop/web"][0] == "changes"


@pytest.mark.parametrize("protocol", ["layer2", "vip"])
def test_layer_2_is_refused(protocol):
    migration = openelb(eip(spec={"protocol": protocol, "interface": "eth0"}))
    assert "layer 2 is not there yet" in said(migration, "spec.protocol")[0][1]


def test_webhooks_of_openelb_are_named():
    tree = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    migration = openelb(json.dumps(tree | {"metadata": {"name": "openelb-admission"}}))
    assert "delete it" in said(migration, "webhooks")[0][1]


def test_an_object_on_its_way_out_is_not_used():
    gone = {"deletionTimestamp": "2024-01-01T00:00:00Z", "finalizers": ["finalizer.ipam.kubesphere.io/v1alpha1"]}
    migration = openelb(eip(metadata=gone))
    assert said(migration, "metadata.deletionTimestamp")[0][0] == "changed"


@pytest.mark.parametrize("kind", ["Service", "Eip"])
def test_one_bad_object_does_not_stop_the_others(kind):
    bad = {"apiVersion": "v1" if kind == "Service" else "network.kubesphere.io/v1alpha2", "kind": kind}
    bad |= {"metadata": {"name": "bad", "generation": "x"}, "spec": {"type": "LoadBalancer", "ports": "x"}}
    migration = openelb("---\n" + json.dumps(bad) + "\n" + eip() + service("web", "172.22.0.2", annotations=OURS))
    [fault] = migration.report.faults
    assert f"{kind} bad" in fault.message
    assert outcomes(migration) == {"shop/web": ("same", ("172.22.0.2",))}


@pytest.mark.parametrize("seed", range(6))
def test_no_value_of_any_field_breaks_the_command(seed):
    chance = random.Random(seed)
    text = "\n---\n".join(file.read_text() for file in sorted(SAMPLES.glob("*.yaml")))
    documents, _ = read(text + "\n" + config_map("rules", "gobgp.conf", POLICY))
    for _ in range(20):
        tree = yaml.safe_load(yaml.safe_dump([one.tree for one in documents]))
        for _ in range(chance.randint(1, 3)):
            disturb(chance, tree)
        simulate(openelb("\n---\n".join(yaml.safe_dump(one) for one in tree)), FactSettings())
