"""OpenELB's rules of allocation and release as a table, less its defects: what its users' manifests mean here.

A rule's id is its number among the rules of its lifecycle. Where theirs is a defect, ours is tested instead.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from porter.events import observed
from porter.model.address import Address
from porter.model.reasons import Reason
from tests.unit.projections.story import DUAL, Story, pool, service

WIDE = "172.22.0.2-172.22.0.10"


class Row(NamedTuple):
    """Facts one after the other, each settled; then each Service's addresses, and why one has none or has its own."""

    rule: str
    facts: tuple[Any, ...]
    held: dict[str, set[str]]
    reasons: dict[str, str] = {}


def asks(*addresses: str) -> dict[str, Any]:
    return {"requested_addresses": tuple(Address(one) for one in addresses)}


def gone(name: str, reason: str = Reason.SERVICE_DELETED) -> observed.ServiceGone:
    return observed.ServiceGone(name, "shop", name, reason)


WEB = service()
DEFAULT = pool("main", WIDE, default=True)
OTHER = pool("other", "10.0.0.1-10.0.0.9")
PLAIN = pool("main", WIDE)

ROWS = [
    Row(
        "1 what is ours no longer gives its address back",
        (DEFAULT, WEB, gone("web", Reason.SERVICE_NOT_CLAIMED)),
        {"web": set()},
    ),
    Row(
        "2a the named pool, unchecked against its namespaces",
        (pool("main", WIDE, namespaces=("bank",)), service(requested_pool="main")),
        {"web": {"172.22.0.2"}},
        {"web": Reason.REQUESTED_POOL},
    ),
    Row(
        "2a not while it is disabled",
        (pool("main", WIDE, disabled=True), service(requested_pool="main")),
        {"web": set()},
        {"web": Reason.POOL_DISABLED},
    ),
    Row(
        "2b the pool that holds the wanted address",
        (DEFAULT, OTHER, service(**asks("10.0.0.5"))),
        {"web": {"10.0.0.5"}},
        {"web": Reason.REQUESTED_ADDRESS},
    ),
    Row(
        "2c a bound pool before the default one",
        (DEFAULT, OTHER._replace(namespaces=("shop",)), WEB),
        {"web": {"10.0.0.1"}},
        {"web": Reason.BOUND_POOL},
    ),
    Row(
        "2c bound by the namespace's labels",
        (
            observed.NamespaceObserved("shop", (("team", "x"),)),
            DEFAULT,
            OTHER._replace(namespace_selector=(("team", "x"),)),
            WEB,
        ),
        {"web": {"10.0.0.1"}},
        {"web": Reason.BOUND_POOL},
    ),
    Row(
        "2c skipping the disabled one",
        (DEFAULT, OTHER._replace(namespaces=("shop",), disabled=True), WEB),
        {"web": {"172.22.0.2"}},
        {"web": Reason.DEFAULT_POOL},
    ),
    Row(
        "2c the full one last, then by priority",
        (
            pool("a", "10.0.1.1-10.0.1.1", namespaces=("shop",), priority=1),
            pool("b", "10.0.2.1-10.0.2.9", namespaces=("shop",), priority=2),
            service("first"),
            WEB,
        ),
        {"first": {"10.0.1.1"}, "web": {"10.0.2.1"}},
    ),
    Row(
        "2c ties by name, where theirs were unstable",
        (
            pool("b", "10.0.2.1-10.0.2.9", namespaces=("shop",)),
            pool("a", "10.0.1.1-10.0.1.9", namespaces=("shop",)),
            WEB,
        ),
        {"web": {"10.0.1.1"}},
    ),
    Row(
        "2c a second bound pool where the first lacks the family",
        (
            pool("a", "10.0.1.1-10.0.1.9", namespaces=("shop",)),
            pool("b", "fd00::1-fd00::9", namespaces=("shop",)),
            service(families=("IPv6",)),
        ),
        {"web": {"fd00::1"}},
    ),
    Row("2d the default pool", (DEFAULT, OTHER, WEB), {"web": {"172.22.0.2"}}, {"web": Reason.DEFAULT_POOL}),
    Row("2e none is refused with a reason", (PLAIN, WEB), {"web": set()}, {"web": Reason.NO_POOL}),
    Row(
        "2e and asked again when any pool changes, not only on a new one",
        (PLAIN, WEB, DEFAULT),
        {"web": {"172.22.0.2"}},
    ),
    Row(
        "3 the lowest free address",
        (DEFAULT, service("a"), service("b"), gone("a"), WEB),
        {"b": {"172.22.0.3"}, "web": {"172.22.0.2"}},
    ),
    Row(
        "3 of a family of the Service",
        (DEFAULT, service(families=("IPv6",))),
        {"web": set()},
        {"web": Reason.FAMILY_UNAVAILABLE},
    ),
    Row(
        "3 a wanted address that is used is refused without sharing",
        (DEFAULT, service("a"), service(**asks("172.22.0.2"))),
        {"web": set()},
        {"web": Reason.ADDRESS_IN_USE},
    ),
    Row(
        "5 sharing by request with disjoint ports",
        (PLAIN, service("a", **asks("172.22.0.2")), service(ports=(("TCP", 443),), **asks("172.22.0.2"))),
        {"a": {"172.22.0.2"}, "web": {"172.22.0.2"}},
    ),
    Row(
        "5 and not with one port twice",
        (PLAIN, service("a", **asks("172.22.0.2")), service(**asks("172.22.0.2"))),
        {"web": set()},
        {"web": Reason.SHARING_REFUSED},
    ),
    Row(
        "5 nor by another namespace",
        (
            PLAIN,
            service("a", **asks("172.22.0.2")),
            service(namespace="bank", ports=(("TCP", 443),), **asks("172.22.0.2")),
        ),
        {"web": set()},
        {"web": Reason.ADDRESS_IN_USE},
    ),
    Row(
        "5 automatic allocation never shares without a key",
        (DEFAULT, service("a"), service(ports=(("TCP", 443),))),
        {"a": {"172.22.0.2"}, "web": {"172.22.0.3"}},
    ),
    Row("6 a changed request moves", (DEFAULT, WEB, service(**asks("172.22.0.9"))), {"web": {"172.22.0.9"}}),
    Row(
        "6 and one that cannot be met does not",
        (DEFAULT, WEB, service(**asks("203.0.113.1"))),
        {"web": {"172.22.0.2"}},
        {"web": Reason.DEFAULT_POOL},
    ),
    Row("7 a deletion releases", (DEFAULT, WEB, gone("web"), service("next")), {"next": {"172.22.0.2"}}),
    Row(
        "7 annotations that vanish keep the address or release it, and never leak it",
        (DEFAULT, service(**asks("172.22.0.5")), WEB),
        {"web": {"172.22.0.5"}},
    ),
    Row(
        "8 a deleted pool takes nothing away",
        (DEFAULT, WEB, observed.PoolGone("main", "main")),
        {"web": {"172.22.0.2"}},
    ),
    Row(
        "8 and moves nobody to another one",
        (DEFAULT, OTHER._replace(auto_assign=True), WEB, observed.PoolGone("main", "main")),
        {"web": {"172.22.0.2"}},
    ),
    Row(
        "9 the address of a pool can be edited",
        (pool("main", "172.22.0.2-172.22.0.2", default=True), service("a"), WEB, DEFAULT),
        {"a": {"172.22.0.2"}, "web": {"172.22.0.3"}},
    ),
    Row(
        "9 a disabled pool keeps what it gave, whatever touches the Service",
        (DEFAULT, WEB, pool("main", WIDE, default=True, disabled=True), service(labels=(("x", "y"),))),
        {"web": {"172.22.0.2"}},
    ),
    Row(
        "10 a pool that is created again knows what it gave",
        (DEFAULT, WEB, observed.PoolGone("main", "main"), DEFAULT._replace(uid="again"), service("b")),
        {"web": {"172.22.0.2"}, "b": {"172.22.0.3"}},
    ),
    Row(
        "15 dual stack holds both families",
        (pool("main", WIDE, "fd00::1-fd00::9", default=True), service(**DUAL)),
        {"web": {"172.22.0.2", "fd00::1"}},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.rule for row in ROWS])
def test_rule(row: Row) -> None:
    story = Story()
    for fact in row.facts:
        story.says(fact)
        story.settles()
    assert {name: story.addresses(name) for name in row.held} == row.held
    for name, reason in row.reasons.items():
        allocations = story.state.pools.of(name)
        assert (allocations[0].reason if allocations else story.refusal(name).reason) == reason
