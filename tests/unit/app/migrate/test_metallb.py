"""MetalLB's objects: what each field becomes, and what is said of it."""

from __future__ import annotations

import random
import re

import pytest
import yaml

from porter.app.migrate.simulate import simulate
from porter.kube.facts import FactSettings
from tests.unit.app.migrate.helpers import annotations, custom, metallb, outcomes, pool, read, said, service, specs

NAMESPACES = """
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: lab, labels: {stage: test}}}
"""
BASE = {"address": "192.0.2.0/28", "autoAssign": True}
LAST = 2**31 - 1
BY_NAME = "kubernetes.io/metadata.name"


# ---------------------------------------------------------------------------------------------------------- pools


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, BASE),
        ({"autoAssign": True}, BASE),
        ({"autoAssign": False}, BASE | {"autoAssign": False}),
        ({"avoidBuggyIPs": True}, BASE | {"avoidBuggyIPs": True}),
        ({"avoidBuggyIPs": False}, BASE),
        ({"addresses": ["192.0.2.1 - 192.0.2.9"]}, BASE | {"address": "192.0.2.1-192.0.2.9"}),
        (
            {"addresses": ["192.0.2.0/28", "2001:db8::/124"]},
            BASE | {"addresses": ["2001:db8::/124"]},
        ),
        (
            {"serviceAllocation": {"priority": 5, "namespaces": ["b", "a"]}},
            BASE
            | {
                "priority": 5,
                "namespaceLabelSelector": {
                    "matchExpressions": [{"key": BY_NAME, "operator": "In", "values": ["a", "b"]}]
                },
            },
        ),
        (
            {"serviceAllocation": {"namespaces": ["a"]}},
            BASE | {"priority": LAST, "namespaceLabelSelector": {"matchLabels": {BY_NAME: "a"}}},
        ),
        (
            {"serviceAllocation": {"priority": 1}},
            BASE
            | {
                "priority": 1,
                "namespaceLabelSelector": {"matchExpressions": [{"key": BY_NAME, "operator": "Exists"}]},
            },
        ),
        (
            {"serviceAllocation": {"priority": 1, "serviceSelectors": [{"matchLabels": {"a": "b"}}]}},
            BASE | {"priority": 1, "serviceSelector": {"matchLabels": {"a": "b"}}},
        ),
        (
            {
                "serviceAllocation": {
                    "priority": 1,
                    "serviceSelectors": [{"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "c"}}],
                }
            },
            BASE
            | {
                "priority": 1,
                "serviceSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]},
            },
        ),
        (
            {"serviceAllocation": {"priority": 1, "namespaceSelectors": [{"matchLabels": {"team": "red"}}]}},
            BASE | {"priority": 1, "namespaceLabelSelector": {"matchLabels": {"team": "red"}}},
        ),
    ],
)
def test_a_pool_becomes_an_eip(spec, expected):
    migration = metallb(pool(**spec))
    assert specs(migration, "Eip") == {"p": expected}
    assert not simulate(migration, FactSettings()).state.inventory.pools["p"].problems


def test_namespaces_that_no_single_selector_names_are_listed_as_they_match_today():
    allocation = {"priority": 1, "namespaces": ["lab"], "namespaceSelectors": [{"matchLabels": {"team": "red"}}]}
    migration = metallb(pool(serviceAllocation=allocation) + NAMESPACES)
    chosen = {"matchExpressions": [{"key": BY_NAME, "operator": "In", "values": ["lab", "shop"]}]}
    assert specs(migration, "Eip")["p"]["namespaceLabelSelector"] == chosen
    [(verdict, note)] = said(migration, "spec.serviceAllocation.namespaceSelectors")
    assert verdict == "changed"
    assert "lab, shop" in note
    blind = metallb(pool(serviceAllocation=allocation))
    assert specs(blind, "Eip")["p"]["autoAssign"] is False, "a pool whose bounds are unknown gives nothing by itself"
    assert said(blind, "spec.serviceAllocation.namespaceSelectors")[0][0] == "refused"
    assert said(blind, "spec.serviceAllocation.namespaces")[0][0] == "refused"


SEVERAL = [{"matchLabels": {"team": "a"}}, {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["x"]}]}]
NO_SELECTOR = [{"matchLabel": {"team": "a"}}]


@pytest.mark.parametrize(
    ("namespaces", "wheres", "bound"),
    [
        ([], [], None),
        (["shop"], [], True),
        ([], SEVERAL[:1], True),
        (["shop"], SEVERAL[:1], False),
        ([], SEVERAL, False),
        (["shop"], SEVERAL, False),
        ([], NO_SELECTOR, False),
        (["shop"], NO_SELECTOR, True),
    ],
)
@pytest.mark.parametrize(
    ("services", "chosen"), [([], True), (SEVERAL[:1], True), (SEVERAL, False), (NO_SELECTOR, False)]
)
def test_what_is_said_of_a_bound_pool_is_what_is_printed(namespaces, wheres, bound, services, chosen):
    bounds = {"namespaces": namespaces, "namespaceSelectors": wheres, "serviceSelectors": services}
    migration = metallb(pool(serviceAllocation={"priority": 1, **bounds}))
    spec = specs(migration, "Eip")["p"]
    for entry in migration.report.entries:
        if entry.verdict != "refused":
            assert set(re.findall(r"spec\.(\w+)", entry.note)) <= spec.keys(), entry
    assert spec["autoAssign"] == (bound is not False and chosen), "a pool of unknown bounds gives nothing by itself"
    assert ("serviceSelector" in spec) == (services == SEVERAL[:1])
    assert ("namespaceLabelSelector" in spec) == (bound is True or (bound is None and not services))


def test_services_that_no_single_selector_names_are_refused():
    alternatives = [{"matchLabels": {"a": "b"}}, {"matchLabels": {"c": "d"}}]
    migration = metallb(pool(serviceAllocation={"priority": 1, "serviceSelectors": alternatives}))
    assert specs(migration, "Eip")["p"]["autoAssign"] is False
    assert said(migration, "spec.serviceAllocation.serviceSelectors")[0][0] == "refused"


@pytest.mark.parametrize(
    ("spec", "field", "told"),
    [
        ({"addresses": ["192.0.2.9-192.0.2.1", "192.0.2.32/30"]}, "spec.addresses[0]", "ends before it begins"),
        ({"addresses": ["nonsense", "192.0.2.32/30"]}, "spec.addresses[0]", "no IP address"),
        ({"addresses": [5, "192.0.2.32/30"]}, "spec.addresses[0]", "put it in quotes"),
        ({"addresses": "192.0.2.0/24"}, "spec.addresses", "with a dash"),
        ({"addresses": []}, "spec.addresses", "mend it"),
        ({"autoAssign": "yes"}, "spec.autoAssign", "write true or false"),
        ({"autoAsign": True}, "spec.autoAsign", "no field that this command knows"),
        ({"serviceAllocation": 5}, "spec.serviceAllocation", "not an object"),
        ({"serviceAllocation": {"priority": "x"}}, "spec.serviceAllocation.priority", "whole number"),
        (
            {"serviceAllocation": {"namespaceSelectors": [{"matchLabel": {}}]}},
            "spec.serviceAllocation.namespaceSelectors",
            "no label selector",
        ),
    ],
)
def test_a_bad_field_of_a_pool_is_refused(spec, field, told):
    migration = metallb(pool(**spec))
    assert any(verdict == "refused" and told in note for verdict, note in said(migration, field)), migration.report


def test_the_order_of_addresses_is_said_to_change():
    migration = metallb(pool(addresses=["192.0.2.128/28", "192.0.2.0/28"]))
    assert said(migration, "spec.addresses")[0][0] == "changed"


# ---------------------------------------------------------------------------------------------------------- peers

PEER = {"myASN": 64512, "peerASN": 64601, "peerAddress": "10.0.0.1"}
CONF = {"neighborAddress": "10.0.0.1", "peerAs": 64601}


def peer(name="r", version="v1beta2", **spec):
    return custom("BGPPeer", name, {**PEER, **spec}, version)


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"conf": CONF}),
        ({"peerPort": 179}, {"conf": CONF}),
        ({"peerPort": 1790}, {"conf": CONF, "transport": {"remotePort": 1790}}),
        ({"holdTime": "1m30s"}, {"conf": CONF, "timers": {"config": {"holdTime": "90"}}}),
        ({"holdTime": "30s", "keepaliveTime": "10s"}, {"conf": CONF, "timers": {"config": {"holdTime": "30"}}}),
        ({"ebgpMultiHop": True}, {"conf": CONF, "ebgpMultihop": {"enabled": True}}),
        (
            {"nodeSelectors": [{"matchLabels": {"rack": "a"}}]},
            {"conf": CONF, "nodeSelector": {"matchLabels": {"rack": "a"}}},
        ),
        (
            {"nodeSelectors": [{"matchLabels": {"rack": "a"}}, {"matchLabels": {"rack": "b"}}]},
            {
                "conf": CONF,
                "nodeSelector": {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["a", "b"]}]},
            },
        ),
        ({"password": "s3cret"}, {"conf": CONF, "passwordSecret": {"name": "bgp-password-r"}}),
        ({"connectTime": "10s"}, {"conf": CONF, "timers": {"config": {"connectRetry": "10"}}}),
        ({"enableGracefulRestart": True}, {"conf": CONF, "gracefulRestart": {"enabled": True}}),
        ({"passwordSecret": {"name": "key"}}, {"conf": CONF, "passwordSecret": {"name": "key"}}),
        ({"dynamicASN": "internal", "peerASN": 0}, {"conf": CONF | {"peerAs": 64512}}),
        (
            {"disableMP": True},
            {
                "conf": CONF,
                "afiSafis": [{"config": {"enabled": True, "family": {"afi": "AFI_IP", "safi": "SAFI_UNICAST"}}}],
            },
        ),
        ({"dualStackAddressFamily": True}, {"conf": CONF}),
        ({"localASN": 65000}, {"conf": CONF | {"localAs": 65000}}),
    ],
)
def test_a_peer_becomes_a_bgp_peer(spec, expected, version):
    migration = metallb(peer(version=version, **spec))
    assert specs(migration, "BgpPeer") == {"r": expected}
    assert specs(migration, "BgpConf") == {"default": {"as": 64512}}
    assert not simulate(migration, FactSettings()).state.inventory.peers["r"].problems


def test_zero_hold_time_is_unset_in_v1beta1_and_off_in_v1beta2():
    assert specs(metallb(peer(version="v1beta1", holdTime="0s")), "BgpPeer")["r"] == {"conf": CONF}
    later = specs(metallb(peer(version="v1beta2", holdTime="0s")), "BgpPeer")["r"]
    assert later["timers"] == {"config": {"holdTime": "0"}}


def test_the_commonest_as_number_is_the_clusters_and_the_others_are_their_peers_own():
    migration = metallb(peer("a") + peer("b", myASN=64999) + peer("c"))
    assert specs(migration, "BgpConf") == {"default": {"as": 64512}}
    peers = specs(migration, "BgpPeer")
    assert [peers[name]["conf"].get("localAs") for name in "abc"] == [None, 64999, None]
    assert [verdict for verdict, _ in said(migration, "spec.myASN")] == ["kept", "changed", "kept"]


def test_router_ids_that_agree_are_the_confs():
    assert specs(metallb(peer(routerID="10.0.0.9")), "BgpConf")["default"] == {"as": 64512, "routerId": "10.0.0.9"}
    migration = metallb(peer("a", routerID="10.0.0.9") + peer("b", routerID="10.0.0.8"))
    assert specs(migration, "BgpConf")["default"] == {"as": 64512}
    assert {verdict for verdict, _ in said(migration, "spec.routerID")} == {"refused"}


def test_a_password_moves_into_a_secret_and_never_into_the_report():
    migration = metallb(peer(password="s3cret"), namespace="lb")
    [secret] = [one for one in migration.manifests if one["kind"] == "Secret"]
    assert secret["metadata"] == {"name": "bgp-password-r", "namespace": "lb"}
    assert secret["stringData"] == {"password": "s3cret"}
    assert "s3cret" not in repr(migration.report)
    number = metallb(peer(password=123456789))
    assert said(number, "spec.password")[0][0] == "refused"
    assert "123456789" not in repr(number.report)


def test_what_a_central_speaker_changes_is_said_of_every_peer():
    [(verdict, note)] = said(metallb(peer()), "spec")
    assert verdict == "changed"
    assert "ADD-PATH" in note


@pytest.mark.parametrize(
    ("spec", "field", "told", "made"),
    [
        ({"bfdProfile": "fast"}, "bfdProfile", "BFD", True),
        ({"vrf": "red"}, "vrf", "VRF", True),
        ({"sourceAddress": "10.0.0.7"}, "sourceAddress", "localAddress", True),
        ({"keepaliveTime": "5s"}, "keepaliveTime", "a third of the hold time", True),
        ({"holdTime": "2s"}, "holdTime", "3s", True),
        ({"holdTime": "soon"}, "holdTime", "such as 90s", True),
        ({"connectTime": "0s"}, "connectTime", "1s", True),
        ({"routerID": "fd00::1"}, "routerID", "IPv4", True),
        ({"peerPort": 70000}, "peerPort", "65535", True),
        ({"colour": "red"}, "colour", "no field", True),
        ({"nodeSelectors": [{"matchLabels": {"a": "b"}}, {"matchLabels": {"c": "d"}}]}, "nodeSelectors", "label", True),
        ({"password": "a", "passwordSecret": {"name": "b"}}, "password", "contradicts", True),
        ({"interface": "eth1", "peerAddress": ""}, "interface", "peerAddress", False),
        ({"dynamicASN": "external", "peerASN": 0}, "dynamicASN", "peerASN", False),
        ({"peerAddress": "10.0.0"}, "peerAddress", "no IP address", False),
        ({"peerAddress": ""}, "peerAddress", "is not set", False),
        ({"peerASN": 0}, "peerASN", "is not set", False),
        ({"myASN": 0}, "myASN", "is not set", False),
    ],
)
def test_what_a_session_cannot_have_is_refused(spec, field, told, made):
    migration = metallb(peer(**spec))
    assert any(verdict == "refused" and told in note for verdict, note in said(migration, f"spec.{field}"))
    assert bool(specs(migration, "BgpPeer")) is made


def test_a_bfd_profile_goes_into_the_peers_that_name_it():
    profile = {"receiveInterval": 50, "detectMultiplier": 5, "passiveMode": True, "echoMode": True}
    migration = metallb(custom("BFDProfile", "fast", profile) + peer(bfdProfile="fast"))
    [spec] = specs(migration, "BgpPeer").values()
    assert spec["bfd"] == {"enabled": True, "receiveInterval": 50, "detectMultiplier": 5, "passiveMode": True}
    assert said(migration, "spec.bfdProfile") == [("kept", "fast: spec.bfd")]
    assert said(migration, "spec.echoMode")[0][0] == "refused"


# ------------------------------------------------------------------------------------------------- advertisements

COMMUNITIES = custom(
    "Community",
    "c",
    {"communities": [{"name": "keep", "value": "65000:70"}, {"name": "big", "value": "large:65000:1:2"}]},
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, [{}]),
        ({"ipAddressPools": ["p"], "peers": ["r"]}, [{"eips": ["p"], "peers": ["r"]}]),
        ({"localPref": 200}, [{"localPref": 200}]),
        ({"aggregationLength": 32, "aggregationLengthV6": 128}, [{}]),
        ({"aggregationLength": 24, "aggregationLengthV6": 64}, [{"aggregationLength": 24, "aggregationLengthV6": 64}]),
        ({"communities": ["65000:1", "keep"]}, [{"communities": ["65000:1", "65000:70"]}]),
        ({"communities": ["big", "large:1:2:3"]}, [{"largeCommunities": ["65000:1:2", "1:2:3"]}]),
        ({"nodeSelectors": [{"matchLabels": {"a": "b"}}]}, [{"nodeSelectors": [{"matchLabels": {"a": "b"}}]}]),
        ({"serviceSelectors": [{"matchLabels": {"a": "b"}}]}, [{"serviceSelector": {"matchLabels": {"a": "b"}}}]),
        (
            {"ipAddressPools": ["p"], "ipAddressPoolSelectors": [{"matchLabels": {"a": "b"}}]},
            [{"eips": ["p"], "eipSelector": {"matchLabels": {"a": "b"}}}],
        ),
        (
            {
                "ipAddressPools": ["p"],
                "ipAddressPoolSelectors": [{"matchLabels": {"a": "b"}}, {"matchLabels": {"c": "d"}}],
            },
            [{"eips": ["p"], "eipSelector": {"matchLabels": {"a": "b"}}}, {"eipSelector": {"matchLabels": {"c": "d"}}}],
        ),
    ],
)
def test_an_advertisement_becomes_one_or_more(spec, expected):
    migration = metallb(COMMUNITIES + custom("BGPAdvertisement", "adv", spec))
    made = specs(migration, "BgpAdvertisement")
    assert list(made) == ["adv", *(f"adv-{number}" for number in range(2, len(expected) + 1))]
    assert list(made.values()) == expected
    known = simulate(migration, FactSettings()).state.inventory.advertisements
    assert not [problem for one in known.values() for problem in one.problems]


@pytest.mark.parametrize(
    ("first", "second", "made"),
    [
        ({"aggregationLength": 24}, {"aggregationLength": 26}, ({"aggregationLength": 24}, {})),
        ({"aggregationLength": 24}, {"aggregationLength": 32}, ({"aggregationLength": 24}, {})),
        ({"aggregationLength": 24}, {}, ({"aggregationLength": 24}, {})),
        ({}, {"aggregationLength": 24}, ({}, {})),
    ],
)
def test_one_pool_with_two_aggregation_lengths_is_refused(first, second, made):
    text = pool(addresses=["192.0.2.0/24"])
    migration = metallb(text + custom("BGPAdvertisement", "a", first) + custom("BGPAdvertisement", "b", second))
    assert tuple(specs(migration, "BgpAdvertisement").values()) == made
    [(_, note)] = [one for one in said(migration, "spec.aggregationLength") if one[0] == "refused"]
    assert "BGPAdvertisement" in note
    assert "the pool p too" in note
    assert not [one for one in said(migration, "spec.aggregationLengthV6") if one[0] == "refused"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ipAddressPools": ["p"]}, {"ipAddressPools": ["q"]}),
        ({"peers": ["r"]}, {"peers": ["s"]}),
        ({}, {"aggregationLength": 24}),
    ],
)
def test_lengths_that_do_not_meet_are_kept(first, second):
    first, second = {"aggregationLength": 24, **first}, {"aggregationLength": 26, **second}
    text = pool(addresses=["192.0.2.0/24"]) + pool("q", addresses=["198.51.100.0/24"])
    migration = metallb(text + custom("BGPAdvertisement", "a", first) + custom("BGPAdvertisement", "b", second))
    assert [one["aggregationLength"] for one in specs(migration, "BgpAdvertisement").values()] == [
        first["aggregationLength"],
        second["aggregationLength"],
    ]
    assert {one[0] for one in said(migration, "spec.aggregationLength")} == {"kept"}


@pytest.mark.parametrize("community", ["nobody", "65536:1", "1:2:3", "large:1:2", "large:1:2:4294967296"])
def test_a_community_that_is_none_is_refused(community):
    migration = metallb(custom("BGPAdvertisement", "adv", {"communities": [community]}))
    assert said(migration, "spec.communities")[0][0] == "refused"


def test_a_bad_alias_is_refused_where_it_is_defined():
    migration = metallb(custom("Community", "c", {"communities": [{"name": "bad", "value": "1:2:3"}]}))
    assert said(migration, "spec.communities[0].value")[0][0] == "refused"


def test_layer_2_is_refused_and_its_pools_are_named():
    migration = metallb(
        pool("p") + pool("q", addresses=["198.51.100.0/28"])
        + custom("L2Advertisement", "l2", {"ipAddressPools": ["p"]})
        + custom("BGPAdvertisement", "adv", {"ipAddressPools": ["q"]})
    )  # fmt: skip
    told = {entry.object: entry for entry in migration.report.entries if entry.field == "spec"}
    assert told["L2Advertisement metallb-system/l2"].verdict == "refused"
    assert "layer 2 is not there yet" in told["L2Advertisement metallb-system/l2"].note
    assert "only by layer 2" in told["IPAddressPool metallb-system/p"].note
    assert "IPAddressPool metallb-system/q" not in told
    assert set(specs(migration, "Eip")) == {"p", "q"}


# ------------------------------------------------------------------------------------------------------- Services

OPT_IN = "lb.kubesphere.io/v1alpha1"
POOL = "eip.openelb.kubesphere.io/v1alpha2"
ADDRESS = "eip.openelb.kubesphere.io/v1alpha1"
KEY = "porter.io/sharing-key"


@pytest.mark.parametrize("prefix", ["metallb.io", "metallb.universe.tf"])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("address-pool", "p", {POOL: "p"}),
        ("loadBalancerIPs", "192.0.2.3", {ADDRESS: "192.0.2.3"}),
        ("loadBalancerIPs", "192.0.2.3, 2001:DB8::3", {ADDRESS: "192.0.2.3,2001:db8::3"}),
        ("allow-shared-ip", "k", {KEY: "k"}),
        ("allow-shared-ip", " ", {}),
        ("ip-allocated-from-pool", "p", {}),
    ],
)
def test_each_annotation_has_a_counterpart(prefix, name, value, expected):
    migration = metallb(pool() + service("web", annotations={f"{prefix}/{name}": value}))
    kept = {f"{prefix}/{name}": value}
    assert annotations(migration, "web") == {**kept, OPT_IN: "porter", **expected}


def test_the_newer_prefix_wins():
    both = {"metallb.universe.tf/address-pool": "old", "metallb.io/address-pool": "new"}
    migration = metallb(pool() + service("web", annotations=both))
    assert annotations(migration, "web")[POOL] == "new"
    assert "wins" in said(migration, "metadata.annotations[metallb.universe.tf/address-pool]")[0][1]


@pytest.mark.parametrize(
    ("held", "options", "expected"),
    [
        (["192.0.2.7"], {}, "192.0.2.7"),
        (["192.0.2.7"], {"pin": False}, None),
        (["203.0.113.7"], {}, None),
        ([], {}, None),
    ],
)
def test_a_service_is_pinned_to_what_it_holds_in_a_pool(held, options, expected):
    migration = metallb(pool() + service("web", *held), **options)
    assert annotations(migration, "web").get(ADDRESS) == expected


def test_a_manifest_holds_the_whole_service_and_nothing_of_the_server():
    text = service("web", "192.0.2.7", creationTimestamp="2024-01-01T00:00:00Z", loadBalancerIP="192.0.2.7")
    migration = metallb(pool() + text)
    [made] = [one for one in migration.manifests if one["kind"] == "Service"]
    assert "status" not in made
    assert "creationTimestamp" not in made["metadata"]
    assert made["spec"] == yaml.safe_load(text)["spec"]
    assert said(migration, "spec.loadBalancerIP")[0][0] == "kept"


def test_a_bad_address_is_refused():
    migration = metallb(pool() + service("web", annotations={"metallb.io/loadBalancerIPs": "192.0.2"}))
    assert said(migration, "metadata.annotations[metallb.io/loadBalancerIPs]")[1][0] == "refused"


def test_only_metallbs_services_are_taken():
    text = service("theirs", "192.0.2.7", loadBalancerClass="example.com/lb") + service("plain")
    assert [one["metadata"]["name"] for one in metallb(text).services] == ["plain"]
    by_class = metallb(text, service_class="example.com/lb")
    assert [one["metadata"]["name"] for one in by_class.services] == ["theirs"]
    assert OPT_IN not in annotations(by_class, "theirs")
    assert "--load-balancer-class example.com/lb" in said(by_class, "spec.loadBalancerClass")[0][1]


def test_sharing_across_namespaces_is_allowed_to_those_that_do_it():
    shared = {"metallb.io/allow-shared-ip": "dns", "metallb.io/loadBalancerIPs": "192.0.2.5"}
    migration = metallb(
        pool()
        + service("tcp", "192.0.2.5", namespace="a", port=53, annotations=shared)
        + service("udp", "192.0.2.5", namespace="b", port=54, annotations=shared)
    )
    assert specs(migration, "Eip")["p"]["sharing"] == {"namespaces": ["a", "b"]}
    assert outcomes(migration) == {"a/tcp": ("same", ("192.0.2.5",)), "b/udp": ("same", ("192.0.2.5",))}


# ------------------------------------------------------------------------------------------------------ addresses


def test_addresses_stay_whatever_pool_is_listed_first():
    text = pool(avoidBuggyIPs=True) + pool("q", addresses=["198.51.100.0/30"], autoAssign=False)
    text += service("one", "192.0.2.9") + service("two", "198.51.100.3") + service("new")
    found = outcomes(metallb(text))
    assert found["shop/one"] == ("same", ("192.0.2.9",))
    assert found["shop/two"] == ("same", ("198.51.100.3",))
    assert found["shop/new"] == ("new", ("192.0.2.1",))


def test_an_address_outside_of_the_pools_is_kept_where_porter_runs_already_too():
    assert outcomes(metallb(pool() + service("out", "203.0.113.1"))) == {"shop/out": ("same", ("203.0.113.1",))}


def test_an_address_that_a_newcomer_may_be_given_first_is_at_risk_where_porter_runs_already():
    simulation = simulate(metallb(pool() + service("a") + service("b", "192.0.2.0")), FactSettings())
    outcome = simulation.outcomes[1]
    assert outcome.verdict == "changes"
    assert outcome.reason.startswith("if Porter runs before the manifests are applied: ")


def test_two_services_that_cannot_share_do_not_both_keep_an_address():
    found = outcomes(metallb(pool() + service("a", "192.0.2.9") + service("b", "192.0.2.9")))
    assert sorted(verdict for verdict, _ in found.values()) == ["changes", "same"]


# ------------------------------------------------------------------------------------------- the old ConfigMap

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config, namespace: metallb-system}
data:
  config: |
    peers:
    - my-asn: 64512
      peer-asn: 64601
      peer-address: 10.0.0.1
      peer-port: 1790
      hold-time: 30s
      keepalive-time: 10s
      router-id: 10.0.0.9
      password: s3cret
      ebgp-multihop: true
      node-selectors:
      - match-labels: {rack: a}
        match-expressions:
        - {key: zone, operator: In, values: [x]}
    - {my-asn: 64512, peer-asn: 64602, peer-address: 10.0.0.2, source-address: 10.0.0.7, bfd-profile: fast}
    address-pools:
    - name: public
      protocol: bgp
      addresses: [203.0.113.0/28]
      avoid-buggy-ips: true
      auto-assign: false
      bgp-advertisements:
      - {aggregation-length: 32, localpref: 100, communities: [keep]}
      - {aggregation-length: 24, aggregation-length-v6: 64}
    - {name: plain, protocol: bgp, addresses: [203.0.113.32/28]}
    - {name: flat, protocol: layer2, addresses: [203.0.113.64/28]}
    bgp-communities: {keep: 64512:70}
    bfd-profiles:
    - {name: fast, receive-interval: 300}
"""


def test_the_config_map_of_before_0_13():
    migration = metallb(CONFIG)
    assert specs(migration, "Eip") == {
        "public": {"address": "203.0.113.0/28", "avoidBuggyIPs": True, "autoAssign": False},
        "plain": {"address": "203.0.113.32/28", "autoAssign": True},
        "flat": {"address": "203.0.113.64/28", "autoAssign": True},
    }
    assert specs(migration, "BgpAdvertisement") == {
        "public": {"eips": ["public"], "localPref": 100, "communities": ["64512:70"]},
        "public-2": {"eips": ["public"], "aggregationLengthV6": 64},
        "plain": {"eips": ["plain"]},
    }
    peers = specs(migration, "BgpPeer")
    assert peers["peer1"] == {
        "conf": CONF,
        "transport": {"remotePort": 1790},
        "timers": {"config": {"holdTime": "30"}},
        "ebgpMultihop": {"enabled": True},
        "nodeSelector": {"matchLabels": {"rack": "a", "zone": "x"}},
        "passwordSecret": {"name": "bgp-password-peer1"},
    }
    assert peers["peer2"] == {
        "conf": {"neighborAddress": "10.0.0.2", "peerAs": 64602},
        "bfd": {"enabled": True, "receiveInterval": 300},
    }
    refused = {entry.field for entry in migration.report.entries if entry.verdict == "refused"}
    assert refused == {
        "address-pools[0].bgp-advertisements[1].aggregation-length",
        "address-pools[2]",
        "address-pools[2].protocol",
        "peers[0].router-id",
        "peers[1].source-address",
    }
    assert "s3cret" not in repr(migration.report)


@pytest.mark.parametrize(
    ("config", "field", "told"),
    [
        ("peers: [{my-asn: 1, peer-asn: 2, peer-address: 10.0.0.1, colour: red}]", "peers[0].colour", "no field"),
        ("peers: {}", "peers", "with a dash"),
        ("address-pools: [{protocol: bgp}]", "address-pools[0].name", "give the pool a name"),
        ("address-pools: [{name: a, protocol: x}]", "address-pools[0].protocol", "bgp or layer2"),
        ("address-pools: [{name: a, protocol: bgp, addresses: [x]}]", "address-pools[0].addresses[0]", "no IP address"),
        ("bgp-communities: [1]", "bgp-communities", "map"),
        ("bgp-communities: {a: x}", "spec.communities[0].value", "no community"),
        ("pools: []", "pools", "no field"),
    ],
)
def test_a_bad_field_of_the_config_map_is_refused_by_its_own_name(config, field, told):
    text = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config": config}}
    )
    migration = metallb(text)
    assert any(verdict == "refused" and told in note for verdict, note in said(migration, field)), migration.report


def test_a_config_map_that_is_no_yaml_is_a_fault():
    text = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config": "a: ["}}
    )
    [fault] = metallb(text).report.faults
    assert fault.field == "data.config"
    assert "mend it" in fault.message


# --------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (custom("IPAddressPool", "p", {}, "v1beta9"), "this command reads v1beta1"),
        (custom("AddressPool", "p", {}), "convert it to that first"),
        (custom("Surprise", "p", {}), "this command reads IPAddressPool"),
        (pool() + pool(), "was read from in, document 1 already"),
    ],
)
def test_an_object_that_is_not_read_is_a_fault(text, told):
    migration = metallb(text + service("web"))
    assert told in migration.report.faults[0].message
    assert len(migration.services) == 1, "one bad document does not stop the others"


def test_statuses_and_strangers_are_passed_over():
    text = custom("ServiceBGPStatus", "x", {}) + "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}\n"
    migration = metallb(text)
    assert not migration.report.faults
    assert not migration.manifests


ODD = (None, 7, -1, 2.5, True, "", "x" * 400, [], [7], [None], {}, {"a": 7}, "203.0.113.0/99", float("nan"))


@pytest.mark.parametrize("seed", range(6))
def test_no_value_of_any_field_breaks_the_command(seed):
    chance = random.Random(seed)
    text = CONFIG + COMMUNITIES + pool(serviceAllocation={"priority": 1, "namespaces": ["a"]}) + NAMESPACES
    text += peer(password="a", nodeSelectors=[{"matchLabels": {"a": "b"}}], holdTime="3s") + service("web", "192.0.2.3")
    text += custom("BGPAdvertisement", "adv", {"communities": ["keep"], "ipAddressPoolSelectors": [{}], "peers": ["r"]})
    documents, _ = read(text)
    for _ in range(20):
        tree = yaml.safe_load(yaml.safe_dump([one.tree for one in documents]))
        for _ in range(chance.randint(1, 3)):
            disturb(chance, tree)
        migration = metallb("\n---\n".join(yaml.safe_dump(one) for one in tree))
        simulate(migration, FactSettings())


def disturb(chance, tree):
    """Put an odd value somewhere into a tree."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(tree[key], dict | list) and tree[key] and chance.random() < 0.8:
            tree = tree[key]
            continue
        tree[key] = chance.choice(ODD)
        return


def test_a_class_that_metallb_gave_an_address_in_is_porters_afterwards():
    given = {"metallb.io/ip-allocated-from-pool": "p"}
    migration = metallb(pool() + service("web", "192.0.2.3", annotations=given, loadBalancerClass="metallb.io/lb"))
    assert migration.service_class == "metallb.io/lb"
    assert outcomes(migration, FactSettings(migration.service_class)) == {"shop/web": ("same", ("192.0.2.3",))}


def test_a_service_that_prefers_two_families_may_get_the_second():
    both = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}
    text = pool() + pool("six", addresses=["2001:db8::/124"]) + service("web", "192.0.2.7", **both)
    assert outcomes(metallb(text)) == {"shop/web": ("more", ("192.0.2.7", "2001:db8::"))}
