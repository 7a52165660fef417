"""Eips: what OpenELB's users wrote, and what cannot be honoured."""

import pytest

from porter.kube.facts.pool import pool_fact
from porter.kube.objects import decode
from porter.model.reasons import Reason
from porter.model.selector import Requirement, Selector
from porter.policy.pool_choice import assess
from tests.unit.kube.objects import raw


def fact(spec, **metadata):
    return pool_fact(decode("Eip", raw("Eip", "public", metadata=metadata, spec=spec)))


@pytest.mark.parametrize(
    ("spec", "ranges"),
    [
        ({"address": "192.0.2.1"}, (("192.0.2.1", "192.0.2.1"),)),
        ({"address": "192.0.2.77/24"}, (("192.0.2.0", "192.0.2.255"),)),
        ({"address": "192.0.2.0/255.255.255.0"}, (("192.0.2.0", "192.0.2.255"),)),
        ({"address": "192.0.2.3-192.0.2.9"}, (("192.0.2.3", "192.0.2.9"),)),
        ({"address": "2001:DB8::/64"}, (("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),)),
        (
            {"address": "192.0.2.1", "addresses": ["2001:db8::1", "192.0.2.2-192.0.2.3", "198.51.100.1"]},
            (("192.0.2.1", "192.0.2.3"), ("198.51.100.1", "198.51.100.1"), ("2001:db8::1", "2001:db8::1")),
        ),
        ({"addresses": ["192.0.2.0/25", "192.0.2.64/26"]}, (("192.0.2.0", "192.0.2.127"),)),
    ],
)
def test_addresses_of_every_form_become_canonical_ranges(spec, ranges):
    seen = fact(spec)
    assert seen.ranges == ranges
    assert seen.problems == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.address"),
        ({"address": "192.0.2.0/33"}, "spec.address"),
        ({"address": "192.0.2.9-192.0.2.3"}, "spec.address"),
        ({"address": "192.0.2.1-2001:db8::1"}, "spec.address"),
        ({"address": 7}, "spec.address"),
        ({"address": "1" * 3_000_000}, "spec.address"),
        ({"address": "192.0.2.1", "addresses": ["192.0.2.2", "x"]}, "spec.addresses[1]"),
        ({"address": "192.0.2.1", "addresses": "192.0.2.2"}, "spec.addresses"),
        ({"address": "192.0.2.1", "addresses": ["192.0.2.2"] * 2000}, "spec.addresses"),
        ({"address": "192.0.2.1", "protocol": "ospf"}, "spec.protocol"),
        ({"address": "192.0.2.1", "protocol": "layer2"}, "spec.interface"),
        ({"address": "192.0.2.1", "priority": "first"}, "spec.priority"),
        ({"address": "192.0.2.1", "disable": "yes"}, "spec.disable"),
        ({"address": "192.0.2.1", "namespaces": ["a", 5]}, "spec.namespaces"),
        ({"address": "192.0.2.1", "namespaceSelector": ["a"]}, "spec.namespaceSelector"),
        # A restriction that is not understood: the pool must not give addresses as if it were not there.
        ({"address": "192.0.2.1", "namespaceSelector": {"k" * 400: "v"}}, f"spec.namespaceSelector[{'k' * 64}]"),
        ({"address": "192.0.2.1", "serviceSelector": {"matchLabels": ["a"]}}, "spec.serviceSelector.matchLabels"),
        (
            {"address": "192.0.2.1", "serviceSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
            "spec.serviceSelector.matchExpressions[0].operator",
        ),
        (
            {"address": "192.0.2.1", "namespaceLabelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "spec.namespaceLabelSelector.matchExpressions[0].values",
        ),
        ({"address": "192.0.2.1", "excludes": ["192.0.2.1/40"]}, "spec.excludes[0]"),
        ({"address": "192.0.2.1", "avoidBuggyIPs": "yes"}, "spec.avoidBuggyIPs"),
        ({"address": "192.0.2.1", "quota": {"perNamespace": -1}}, "spec.quota.perNamespace"),
        ({"address": "192.0.2.1", "quota": {"overrides": {"shop": "many"}}}, "spec.quota.overrides.shop"),
        ({"address": "192.0.2.1", "quota": {"overrides": [1]}}, "spec.quota.overrides"),
        ({"address": "192.0.2.1", "reservations": [{"address": "192.0.2.1"}]}, "spec.reservations[0].namespace"),
        (
            {"address": "192.0.2.1", "reservations": [{"address": "192.0.2.0/31", "namespace": "a", "name": "b"}]},
            "spec.reservations[0].address",
        ),
        (
            {"address": "192.0.2.1", "reservations": [{"address": "192.0.2.1", "namespace": "a", "name": ""}]},
            "spec.reservations[0].name",
        ),
        ({"address": "192.0.2.1", "releaseDelay": 600}, "spec.releaseDelay"),
        ({"address": "192.0.2.1", "releaseDelay": "10 minutes"}, "spec.releaseDelay"),
        ({"address": "192.0.2.1", "releaseDelay": "721h"}, "spec.releaseDelay"),
        ({"address": "192.0.2.1", "sharing": {"namespaces": "*"}}, "spec.sharing.namespaces"),
        ([1, 2], "spec"),
    ],
)
def test_a_pool_that_cannot_be_honoured_gives_no_address_and_names_the_field(spec, field):
    seen = fact(spec)
    (judged,) = assess((seen,)).by_name.values()
    assert judged.problem is not None
    assert field in {problem.field for problem in seen.problems}
    assert len(repr(seen)) < 4_000


def test_an_unknown_field_is_named_and_the_pool_works_as_if_it_were_pruned():
    seen = fact({"address": "192.0.2.1", "adress": "192.0.2.2", "excludes": []})
    assert seen.ranges == (("192.0.2.1", "192.0.2.1"),)
    assert [(p.reason, p.field) for p in seen.problems] == [(Reason.FIELD_UNSUPPORTED, "spec.adress")]


def test_a_bad_range_says_how_to_write_it():
    (problem,) = fact({"address": "192.0.2.9-192.0.2.3"}).problems
    assert problem.reason == Reason.ADDRESS_INVALID
    assert "write the lower address first" in problem.message


@pytest.mark.parametrize(
    ("annotations", "default"),
    [
        ({"eip.openelb.kubesphere.io/is-default-eip": "true"}, True),
        ({"eip.openelb.kubesphere.io/is-default-eip": "True"}, True),
        ({"eip.porter.kubesphere.io/is-default-eip": "true"}, True),
        (
            {"eip.openelb.kubesphere.io/is-default-eip": "false", "eip.porter.kubesphere.io/is-default-eip": "true"},
            False,
        ),
        ({}, False),
    ],
)
def test_the_default_pool_is_marked_by_an_annotation_of_either_generation(annotations, default):
    assert fact({"address": "192.0.2.1"}, annotations=annotations).default is default


def test_every_old_field_has_its_meaning():
    spec = {
        "address": "192.0.2.0/30",
        "protocol": "layer2",
        "interface": "can_reach:192.0.2.254",
        "disable": True,
        "usingKnownIPs": True,
        "priority": 5,
        "namespaces": ["b", "a"],
        "namespaceSelector": {"team": "x"},
    }
    seen = fact(spec, generation=3)
    assert (seen.protocol, seen.interface, seen.disabled, seen.priority) == ("layer2", "can_reach:192.0.2.254", True, 5)
    assert (seen.namespaces, seen.namespace_selector) == (("a", "b"), (("team", "x"),))
    assert (seen.auto_assign, seen.generation) == (None, 3)
    assert [problem.field for problem in seen.problems] == ["spec.protocol"]
    assert fact(spec | {"autoAssign": False}).auto_assign is False


def test_every_added_field_becomes_a_fact():
    spec = {
        "address": "192.0.2.0/24",
        "addresses": ["2001:db8::/120"],
        "excludes": ["192.0.2.1", "192.0.2.8/30"],
        "avoidBuggyIPs": True,
        "serviceSelector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]},
        "namespaceLabelSelector": {
            "matchExpressions": [
                {"key": "team", "operator": "NotIn", "values": ["b", "a"]},
                {"key": "old", "operator": "DoesNotExist"},
            ]
        },
        "quota": {"perNamespace": 4, "overrides": {"shop": 10, "none": 0}},
        "reservations": [
            {"address": "2001:DB8::7", "namespace": "shop", "name": "web"},
            {"address": "192.0.2.7", "namespace": "shop", "name": "web"},
        ],
        "releaseDelay": "1h30m",
        "sharing": {"namespaces": ["shop", "blog"]},
    }
    seen = fact(spec, labels={"tier": "public"})
    assert seen.problems == ()
    assert seen.excludes == (("192.0.2.1", "192.0.2.1"), ("192.0.2.8", "192.0.2.11"))
    assert seen.avoid_buggy is True
    assert seen.service_selector == (Selector((("app", "web"),), (Requirement("tier", "Exists"),)),)
    assert seen.namespace_label_selector == (
        Selector((), (Requirement("old", "DoesNotExist"), Requirement("team", "NotIn", ("a", "b")))),
    )
    assert (seen.quota_per_namespace, seen.quota_overrides) == (4, (("none", 0), ("shop", 10)))
    assert seen.reservations == (("192.0.2.7", "shop", "web"), ("2001:db8::7", "shop", "web"))
    assert (seen.release_delay_ms, seen.sharing_namespaces) == (5_400_000, ("blog", "shop"))
    assert seen.labels == (("tier", "public"),)


def test_an_added_field_that_is_not_set_restricts_nothing():
    seen = fact({"address": "192.0.2.1"})
    assert (seen.service_selector, seen.namespace_label_selector, seen.quota_per_namespace) == ((), (), -1)
    assert fact({"address": "192.0.2.1", "serviceSelector": {}}).service_selector == (Selector(),)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90_000),
        ("10m", 600_000),
        ("1.5h", 5_400_000),
        ("1m500ms", 60_500),
        ("720h", 2592000000),
    ],
)
def test_durations_as_go_writes_them(text, milliseconds):
    assert fact({"address": "192.0.2.1", "releaseDelay": text}).release_delay_ms == milliseconds


def test_a_pool_of_a_cni_or_on_its_way_out_is_left_alone():
    assert fact({"address": "192.0.2.1"}, labels={"openelb.kubesphere.io/cni": "calico"}) is None
    assert fact({"address": "192.0.2.1"}, deletionTimestamp="2026-01-01T00:00:00Z") is None


@pytest.mark.parametrize("protocol", ["layer2", "vip"])
def test_a_protocol_that_is_not_there_yet_is_named_with_the_mend(protocol):
    (problem,) = fact({"address": "192.0.2.1", "protocol": protocol, "interface": "eth0"}).problems
    assert (problem.reason, problem.field) == (Reason.FIELD_UNSUPPORTED, "spec.protocol")
    assert "not announced" in problem.message
    assert "write bgp" in problem.message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("0.0.0.0/0", "0.0.0.0/8"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("223.255.255.0-224.0.0.3", "224.0.0.0/4"),
        ("255.255.255.255", "240.0.0.0/4"),
        ("::", "::/128"),
        ("::1-::9", "::1/128"),
        ("fe80::1", "fe80::/10"),
        ("ff02::/16", "ff00::/8"),
    ],
)
def test_addresses_that_no_service_can_have_are_refused(text, named):
    seen = fact({"address": "192.0.2.1", "addresses": [text], "excludes": ["224.0.0.0/4"]})
    (problem,) = seen.problems
    assert (problem.reason, problem.field) == (Reason.ADDRESS_INVALID, "spec.addresses[0]")
    assert named in problem.message
    assert "write other addresses" in problem.message
    assert seen.ranges == (("192.0.2.1", "192.0.2.1"),), "it stands in no other pool's way"


def test_a_spec_that_is_none_is_told_as_that():
    (problem,) = fact([1]).problems
    assert problem.field == "spec"
    assert "an object with fields is expected" in problem.message
