"""BgpAdvertisements and ServiceCIDRs."""

import pytest

from porter.kube.facts.advertisement import advertisement_fact
from porter.kube.facts.service_range import service_range_fact
from porter.kube.objects import decode
from porter.model.reasons import Reason
from porter.model.selector import Requirement, Selector
from tests.unit.kube.objects import raw


def fact(spec, **metadata):
    return advertisement_fact(decode("BgpAdvertisement", raw("BgpAdvertisement", "edge", metadata=metadata, spec=spec)))


def test_a_whole_advertisement():
    seen = fact(
        {
            "eips": ["public", "private"],
            "eipSelector": {"matchLabels": {"tier": "public"}},
            "serviceSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
            "peers": ["tor-b", "tor-a"],
            "peerSelector": {},
            "nodeSelectors": [{"matchLabels": {"rack": "2"}}, {"matchLabels": {"rack": "1"}}],
            "communities": ["65000:100", "no-export", "GRACEFUL_SHUTDOWN", "4259840101"],
            "largeCommunities": ["65000:1:2"],
            "localPref": 200,
            "med": 0,
            "asPathPrepend": 3,
            "aggregationLength": 24,
            "aggregationLengthV6": 64,
        },
        creationTimestamp="2026-01-02T03:04:05Z",
        generation=2,
    )
    assert seen.problems == ()
    assert (seen.pools, seen.peers) == (("private", "public"), ("tor-a", "tor-b"))
    assert seen.pool_selector == (Selector((("tier", "public"),)),)
    assert seen.service_selector == (Selector((), (Requirement("app", "Exists"),)),)
    assert seen.peer_selector == (Selector(),)
    assert seen.node_selectors == (Selector((("rack", "2"),)), Selector((("rack", "1"),)))
    assert seen.communities == ("65000:100", "65000:101", "65535:0", "65535:65281")
    assert seen.large_communities == ("65000:1:2",)
    assert (seen.local_pref, seen.med, seen.as_path_prepend) == (200, 0, 3)
    assert (seen.aggregation_length, seen.aggregation_length_v6) == (24, 64)
    assert (seen.created_ms, seen.generation, seen.uid) == (1767323045000, 2, "uid-edge")


def test_an_empty_advertisement_restricts_and_sets_nothing():
    seen = fact({})
    assert (seen.pools, seen.pool_selector, seen.node_selectors, seen.problems) == ((), (), (), ())
    assert (seen.local_pref, seen.med, seen.aggregation_length) == (None, None, 0)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"eips": [5]}, "spec.eips"),
        ({"peers": "tor-a"}, "spec.peers"),
        ({"eipSelector": {"matchExpressions": [{"operator": "Exists"}]}}, "spec.eipSelector.matchExpressions[0].key"),
        ({"nodeSelectors": {"matchLabels": {}}}, "spec.nodeSelectors"),
        ({"nodeSelectors": [{"matchLabels": {"a": 5}}]}, "spec.nodeSelectors[0].matchLabels.a"),
        ({"communities": ["65536:1"]}, "spec.communities[0]"),
        ({"communities": ["no-such-name"]}, "spec.communities[0]"),
        ({"communities": [65000]}, "spec.communities[0]"),
        ({"largeCommunities": ["65000:1"]}, "spec.largeCommunities[0]"),
        ({"largeCommunities": ["1:2:4294967296"]}, "spec.largeCommunities[0]"),
        ({"localPref": -1}, "spec.localPref"),
        ({"med": 2**32}, "spec.med"),
        ({"asPathPrepend": 17}, "spec.asPathPrepend"),
        ({"aggregationLength": 33}, "spec.aggregationLength"),
        ({"aggregationLengthV6": 129}, "spec.aggregationLengthV6"),
    ],
)
def test_what_cannot_be_honoured_is_named(spec, field):
    (problem,) = fact(spec).problems
    assert (problem.reason, problem.field) == (Reason.FIELD_INVALID, field)


def test_an_unknown_field_is_named_and_the_rest_is_used():
    (problem,) = fact({"eips": ["a"], "ipAddressPools": ["b"]}).problems
    assert (problem.reason, problem.field) == (Reason.FIELD_UNSUPPORTED, "spec.ipAddressPools")


def test_one_of_a_cni_or_on_its_way_out_is_left_alone():
    assert fact({}, labels={"openelb.kubesphere.io/cni": "x"}) is None
    assert fact({}, deletionTimestamp="2026-01-01T00:00:00Z") is None


def test_a_service_cidr_becomes_its_canonical_prefixes():
    body = raw("ServiceCIDR", "kubernetes", spec={"cidrs": ["fd96::/112", "10.96.0.1/16", "nonsense"]})
    assert service_range_fact(decode("ServiceCIDR", body)).prefixes == ("10.96.0.0/16", "fd96::/112")
