"""Which Services are ours, and what they ask for."""

import pytest

from porter.kube.facts import FactSettings
from porter.kube.facts.service import service_fact
from porter.kube.objects import decode
from porter.model.reasons import Reason
from tests.unit.kube.objects import OPT_IN, service


def fact(raw, **settings):
    return service_fact(decode("Service", raw), FactSettings(**settings))


@pytest.mark.parametrize(
    ("why", "raw", "settings", "ours"),
    [
        ("OpenELB's annotation", service(), {}, True),
        ("Porter's annotation", service(annotations={"lb.kubesphere.io/v1alpha1": "porter"}), {}, True),
        ("another value", service(annotations={"lb.kubesphere.io/v1alpha1": "metallb"}), {}, False),
        ("no annotation", service(annotations={}), {}, False),
        ("unclassified, and those are claimed", service(annotations={}), {"claim_unclassified": True}, True),
        ("our class", service(annotations={}, spec={"loadBalancerClass": "porter.io/porter"}), {}, True),
        ("a class set as ours", service(spec={"loadBalancerClass": "x/y"}), {"load_balancer_class": "x/y"}, True),
        ("another class, with the annotation", service(spec={"loadBalancerClass": "other.io/x"}), {}, False),
        (
            "another class, unclassified ones claimed",
            service(spec={"loadBalancerClass": "other.io/x"}),
            {"claim_unclassified": True},
            False,
        ),
        ("another type", service(spec={"type": "ClusterIP"}), {"claim_unclassified": True}, False),
        ("held by a foreign finalizer", service(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), {}, False),
    ],
)
def test_which_services_are_ours(why, raw, settings, ours):
    assert (fact(raw, **settings) is not None) is ours, why


def test_a_service_becomes_a_fact_with_all_that_decisions_depend_on():
    raw = service(
        metadata={
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"b": "2", "a": "1", "eip.openelb.kubesphere.io/v1alpha2": "public"},
            "annotations": OPT_IN | {"porter.io/sharing-key": " front ", "porter.io/decision": "41877 3f9c"},
        },
        spec={
            "ports": [{"port": 443, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}, {"port": 80}],
            "selector": {"app": "web"},
            "externalTrafficPolicy": "Local",
            "ipFamilies": ["IPv6", "IPv4"],
            "ipFamilyPolicy": "RequireDualStack",
            "unknownField": {"deep": [1, 2]},
        },
        status={"loadBalancer": {"ingress": [{"ip": "2001:DB8::1", "ipMode": "VIP"}, {"hostname": "x"}]}},
    )
    seen = fact(raw)
    assert seen.ports == (("TCP", 80), ("TCP", 443), ("UDP", 53))
    assert seen.created_ms == 1767323045000
    assert (seen.traffic_policy, seen.families, seen.family_policy) == ("Local", ("IPv6", "IPv4"), "RequireDualStack")
    assert seen.selector == (("app", "web"),)
    # The label that Porter writes itself makes no other fact.
    assert seen.labels == (("a", "1"), ("b", "2"))
    assert seen.sharing_key == "front"
    assert seen.held == ("2001:db8::1",)
    assert seen.held_decision == 41877
    assert seen.problems == ()


def test_what_an_api_server_would_fill_in_is_assumed_for_a_bare_manifest():
    assert fact(service()).families == ("IPv4",)
    assert fact(service()).traffic_policy == "Cluster"
    assert fact(service(spec={"ipFamilyPolicy": "PreferDualStack"})).families == ("IPv4", "IPv6")


NEW, OLD = "eip.openelb.kubesphere.io/", "eip.porter.kubesphere.io/"


@pytest.mark.parametrize(
    ("annotations", "spec", "pool", "addresses"),
    [
        ({NEW + "v1alpha2": "public"}, {}, "public", ()),
        ({OLD + "v1alpha2": "old"}, {}, "old", ()),
        ({NEW + "v1alpha2": "new", OLD + "v1alpha2": "old"}, {}, "new", ()),
        ({NEW + "v1alpha1": "192.0.2.7"}, {}, "", ("192.0.2.7",)),
        ({OLD + "v1alpha1": "192.0.2.8"}, {}, "", ("192.0.2.8",)),
        ({NEW + "v1alpha1": "192.0.2.7", OLD + "v1alpha1": "192.0.2.8"}, {}, "", ("192.0.2.7",)),
        ({NEW + "v1alpha1": "192.0.2.7, 2001:DB8::7"}, {}, "", ("192.0.2.7", "2001:db8::7")),
        ({NEW + "v1alpha1": "192.0.2.9,192.0.2.7,192.0.2.9"}, {}, "", ("192.0.2.9", "192.0.2.7")),
        ({}, {"loadBalancerIP": "192.0.2.9"}, "", ("192.0.2.9",)),
        ({NEW + "v1alpha1": "192.0.2.7"}, {"loadBalancerIP": "192.0.2.9"}, "", ("192.0.2.7",)),
    ],
)
def test_requests_of_every_generation_the_newer_key_winning(annotations, spec, pool, addresses):
    seen = fact(service(annotations=OPT_IN | annotations, spec=spec))
    assert (seen.requested_pool, seen.requested_addresses, seen.problems) == (pool, addresses, ())


@pytest.mark.parametrize(
    ("annotations", "spec", "reason", "field"),
    [
        ({NEW + "v1alpha1": "192.0.2.300"}, {}, Reason.ADDRESS_INVALID, f"metadata.annotations[{NEW}v1alpha1]"),
        ({}, {"loadBalancerIP": "nonsense"}, Reason.ADDRESS_INVALID, "spec.loadBalancerIP"),
        (
            {OLD + "v1alpha1": ",".join(f"192.0.2.{last}" for last in range(17))},
            {},
            Reason.ADDRESS_INVALID,
            f"metadata.annotations[{OLD}v1alpha1]",
        ),
        (
            {"node-proxy.openelb.kubesphere.io/type": "daemonset"},
            {},
            Reason.FIELD_INVALID,
            "metadata.annotations[node-proxy.openelb.kubesphere.io/type]",
        ),
        ({NEW + "v1alpha1": "9" * 3_000_000}, {}, Reason.ADDRESS_INVALID, f"metadata.annotations[{NEW}v1alpha1]"),
        ({NEW + "v1alpha2": "p" * 3_000_000}, {}, Reason.POOL_NOT_FOUND, f"metadata.annotations[{NEW}v1alpha2]"),
        (
            {"porter.io/sharing-key": "k" * 300},
            {},
            Reason.SHARING_REFUSED,
            "metadata.annotations[porter.io/sharing-key]",
        ),
    ],
)
def test_a_malformed_request_is_a_problem_with_its_field_and_of_bounded_size(annotations, spec, reason, field):
    seen = fact(service(annotations=OPT_IN | annotations, spec=spec))
    (problem,) = seen.problems
    assert (problem.reason, problem.field) == (reason, field)
    assert len(repr(seen)) < 2_000


def test_a_decision_annotation_that_a_tenant_edited_is_no_hint():
    assert fact(service(annotations=OPT_IN | {"porter.io/decision": "DROP TABLE"})).held_decision == 0
