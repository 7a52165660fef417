"""Our rule for each statement about how MetalLB allocates: docs/reference/allocation.md has the table of all 51.

A test is named by the statement's number. What concerns watching, statuses or speakers alone is tested there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from porter.allocator.adopt import adopt
from porter.allocator.decide import decide, unsettled
from porter.events import decided, observed
from porter.events.observed import Reservation
from porter.model.address import Address
from porter.model.reasons import Reason
from porter.model.selector import Selector
from porter.policy.pool_choice import assess
from porter.policy.pool_order import automatic_rules
from porter.projections import pool_report
from porter.projections.number_set import NumberSet
from tests.unit.projections.story import DUAL, SYNCED, Story, pool, service

PAGE = Path(__file__).parents[3] / "docs/reference/allocation.md"
DNS: dict[str, Any] = {"ports": (("UDP", 53),)}
PREFERS: dict[str, Any] = {**DUAL, "family_policy": "PreferDualStack"}
BOTH = ("192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9")

STATEMENTS: list[Any] = []


def statement(number: int, rule: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Enter a test under its statement's number."""

    def enter(test: Callable[[], None]) -> Callable[[], None]:
        STATEMENTS.append(pytest.param(test, id=f"s{number:02}-{rule}"))
        return test

    return enter


def settled(*payloads: Any) -> Story:
    story = Story()
    return then(story, *payloads)


def then(story: Story, *payloads: Any) -> Story:
    for payload in payloads:
        story.says(payload)
        story.settles()
    return story


def asks(*addresses: str) -> dict[str, Any]:
    return {"requested_addresses": tuple(Address(one) for one in addresses)}


def gone(name: str, reason: str = Reason.SERVICE_DELETED) -> observed.ServiceGone:
    return observed.ServiceGone(name, "shop", name, reason)


def order_of(*pools: observed.PoolObserved, namespace: str = "shop") -> list[list[str]]:
    rules, _ = automatic_rules(assess(pools), namespace, ())
    return [[one.name for one in rule.pools] for rule in rules]


# ------------------------------------------------------------------------------------------------------------ order


@statement(1, "what is ours no longer is released")
def _() -> None:
    story = then(settled(pool(default=True), service()), gone("web", Reason.SERVICE_NOT_CLAIMED))
    assert story.addresses() == set()


@statement(3, "what Services hold is adopted before anything is decided")
def _() -> None:
    story = Story(
        pool(default=True),
        service("new", created_ms=1),
        service("old", created_ms=2, held=("192.0.2.0",)),
        synced=False,
    )
    story.says(*adopt(story.state, ()), SYNCED)
    story.settles()
    assert (story.addresses("old"), story.addresses("new")) == ({"192.0.2.0"}, {"192.0.2.1"})


@statement(4, "nothing is decided before the inventory is complete")
def _() -> None:
    story = Story(pool(default=True), service(), synced=False)
    assert (unsettled(story.state, 9), decide(story.state, "web")) == ((), ())


@statement(5, "requested, reserved, named, bound, default, automatic; a plain pool on request only")
def _() -> None:
    pools = (
        pool("plain", "10.0.0.0-10.0.0.0"),
        pool("auto", "10.0.1.0-10.0.1.0", auto_assign=True),
        pool("default", "10.0.2.0-10.0.2.0", default=True),
        pool("bound", "10.0.3.0-10.0.3.0", namespaces=("shop",)),
        pool("named", "10.0.4.0-10.0.4.9"),
        pool("kept", "10.0.5.0-10.0.5.9", reservations=(Reservation(Address("10.0.5.5"), "shop", "kept"),)),
    )
    names = ("a", "b", "c", "d")
    story = settled(
        *pools,
        service("kept"),
        service("asks", **asks("10.0.4.7")),
        service("names", requested_pool="named"),
        *(service(name) for name in names),
    )
    assert [story.addresses(name) for name in ("kept", "asks", "names")] == [{"10.0.5.5"}, {"10.0.4.7"}, {"10.0.4.0"}]
    given = [next((one.pool for one in story.state.pools.of(name)), "") for name in names]
    assert given == ["bound", "default", "auto", ""]


@statement(6, "the lower priority number first, and 0 is a number like the others")
def _() -> None:
    pools = [pool(f"p{n}", f"10.0.{n}.0-10.0.{n}.0", namespaces=("shop",), priority=n) for n in (2, 0, 1)]
    assert order_of(*pools) == [["p0", "p1", "p2"]]


@statement(7, "pools of one priority go by name, whatever their order")
def _() -> None:
    pools = [pool(name, f"10.0.{n}.0-10.0.{n}.0", auto_assign=True) for n, name in enumerate("cab")]
    assert order_of(*pools) == order_of(*pools[::-1]) == [["a", "b", "c"]]


@statement(8, "the lowest free address of all ranges, .0 included")
def _() -> None:
    story = settled(pool("p", "10.0.9.1-10.0.9.1", "10.0.1.0-10.0.1.0", default=True), service("a"), service("b"))
    assert (story.addresses("a"), story.addresses("b")) == ({"10.0.1.0"}, {"10.0.9.1"})


@statement(9, "finding the lowest free address does not walk over those in use")
def _() -> None:
    numbers = NumberSet()
    for number in range(100_000):
        numbers.add(number)
    assert numbers.intervals() == ((0, 99_999),)
    assert numbers.lowest_free(0, 1 << 20) == 100_000


@statement(10, "network and broadcast addresses of a range are usable")
def _() -> None:
    story = settled(pool("p", "192.0.2.0-192.0.2.3", default=True), *(service(f"s{n}") for n in range(4)))
    assert {min(story.addresses(f"s{n}")) for n in range(4)} == {f"192.0.2.{n}" for n in range(4)}


@statement(11, "buggy addresses are those that end in .0 or .255, of IPv4 alone, and the size leaves them out")
def _() -> None:
    fact = pool("p", "192.0.2.254-192.0.3.1", "2001:db8::-2001:db8::1", default=True, avoid_buggy=True)
    story = settled(fact, service("a"), service("b"), service("six", families=("IPv6",)))
    assert [min(story.addresses(name)) for name in ("a", "b", "six")] == ["192.0.2.254", "192.0.3.1", "2001:db8::"]
    assert pool_report.capacity(story.state, "p").size == 4  # type: ignore[union-attr]


@statement(12, "sizes are exact, also beyond 64 bits")
def _() -> None:
    story = settled(pool("p", "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"))
    assert pool_report.capacity(story.state, "p").size == 1 << 64  # type: ignore[union-attr]


# --------------------------------------------------------------------------------------------------------- matching


@statement(13, "a namespace by name or labels, and the Service's labels, following label edits")
def _() -> None:
    fact = pool(namespace_label_selector=(Selector((("team", "x"),)),), service_selector=(Selector((("app", "y"),)),))
    story = settled(fact, service(labels=(("app", "y"),)))
    assert not story.addresses()
    then(story, observed.NamespaceObserved("shop", (("team", "x"),)))
    assert story.addresses()


@statement(14, "a priority alone binds a pool to nobody")
def _() -> None:
    assert order_of(pool(priority=3)) == []


@statement(15, "the new selectors refuse requests too, the old bindings only steer")
def _() -> None:
    fenced = pool(service_selector=(Selector((("app", "y"),)),))
    story = settled(fenced, service(requested_pool="p"), service("asks", **asks("192.0.2.4")))
    assert story.refusal().reason == story.refusal("asks").reason == Reason.NOT_SELECTED
    assert settled(pool(namespaces=("bank",)), service(requested_pool="p")).addresses()


@statement(16, "autoAssign false serves requests")
def _() -> None:
    story = settled(pool(auto_assign=False), service(requested_pool="p"), service("asks", **asks("192.0.2.4")))
    assert (story.addresses(), story.addresses("asks")) == ({"192.0.2.0"}, {"192.0.2.4"})


@statement(17, "where bound pools are full the next rule is used")
def _() -> None:
    story = settled(
        pool("bound", "10.0.0.0-10.0.0.0", namespaces=("shop",)), pool(default=True), service("a"), service("b")
    )
    assert story.addresses("b") == {"192.0.2.0"}


# --------------------------------------------------------------------------------------------------------- families


@statement(18, "SingleStack takes the family of the cluster address")
def _() -> None:
    story = settled(pool("p", *BOTH, default=True), service(families=("IPv6",)))
    assert story.addresses() == {"2001:db8::"}


@statement(19, "RequireDualStack gets both or none, of one pool if it can, else of two")
def _() -> None:
    story = settled(pool("four", default=True), service(**DUAL))
    assert story.addresses() == set()
    then(story, pool("six", "2001:db8::-2001:db8::9", default=True))
    assert story.addresses() == {"192.0.2.0", "2001:db8::"}


@statement(20, "PreferDualStack takes a pool with both first, and one family is enough meanwhile")
def _() -> None:
    story = settled(
        pool("four", "10.0.0.0-10.0.0.9", namespaces=("shop",)),
        pool("two", *BOTH, namespaces=("shop",)),
        service(**PREFERS),
    )
    assert story.addresses() == {"192.0.2.0", "2001:db8::"}
    assert settled(pool("four", default=True), service(**PREFERS)).addresses() == {"192.0.2.0"}


@statement(21, "the second family comes from the same pool if it can, else from another")
def _() -> None:
    story = settled(pool("four", default=True), service(**PREFERS))
    then(story, pool("six", "2001:db8::-2001:db8::9", default=True))
    assert story.addresses() == {"192.0.2.0", "2001:db8::"}


@statement(22, "a pool that loses a family takes neither address")
def _() -> None:
    story = settled(pool("p", *BOTH, default=True), service(**DUAL))
    then(story, pool("p", BOTH[0], default=True))
    assert story.addresses() == {"192.0.2.0", "2001:db8::"}


@statement(23, "one address per family, or all that are requested")
def _() -> None:
    asked = asks("192.0.2.1", "192.0.2.2", "2001:db8::1")
    story = settled(pool("p", *BOTH, default=True), service(**DUAL), service("asks", **DUAL, **asked))
    assert len(story.addresses()) == 2
    assert story.addresses("asks") == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}


@statement(24, "a dual-stack policy with one cluster address gets one")
def _() -> None:
    story = settled(pool("p", *BOTH, default=True), service(family_policy="RequireDualStack"))
    assert story.addresses() == {"192.0.2.0"}


@statement(25, "an address of another family goes when one of the wanted family is there")
def _() -> None:
    story = then(settled(pool("four", default=True), service()), service(families=("IPv6",)))
    assert story.addresses() == {"192.0.2.0"}
    then(story, pool("six", "2001:db8::-2001:db8::9", default=True))
    assert story.addresses() == {"2001:db8::"}


# --------------------------------------------------------------------------------------------------------- requests


@statement(27, "a requested family must be the Service's")
def _() -> None:
    story = settled(pool("p", *BOTH, default=True), service(**asks("2001:db8::1")))
    assert story.refusal().reason == Reason.FAMILY_UNAVAILABLE


@statement(28, "an address outside of the named pool is refused, and nothing changes")
def _() -> None:
    story = settled(pool(default=True), pool("q", "10.0.0.0-10.0.0.9"), service())
    then(story, service(requested_pool="q", **asks("192.0.2.5")))
    assert story.refusal().reason == Reason.ADDRESS_OUTSIDE_POOLS
    assert story.addresses() == {"192.0.2.0"}


@statement(29, "whoever asks for a taken address waits, and gets it when it is released")
def _() -> None:
    story = settled(pool(default=True), service("first"), service(**asks("192.0.2.0")))
    assert story.refusal().reason == Reason.ADDRESS_IN_USE
    assert then(story, gone("first")).addresses() == {"192.0.2.0"}


@statement(30, "a change of request gives before it takes")
def _() -> None:
    story = settled(pool(default=True), service())
    story.says(service(**asks("192.0.2.5")))
    assert [type(one) for one in story.settles()] == [decided.AddressAllocated, decided.AddressReleased]


@statement(31, "a request that is refused never costs the address that is held")
def _() -> None:
    story = settled(pool(default=True), service("other"), service())
    then(story, service(**asks("192.0.2.0")))
    assert story.refusal().reason == Reason.ADDRESS_IN_USE
    assert story.addresses() == {"192.0.2.1"}


@statement(32, "a refusal names the holder, since when, and the position")
def _() -> None:
    story = settled(pool(default=True), service("other"), service(**asks("192.0.2.0")))
    assert story.refusal().message.startswith("192.0.2.0 is held by shop/other since 12:00 UTC (#5); ")


# ---------------------------------------------------------------------------------------------------------- sharing


@statement(33, "sharing needs one key, or two requests of one namespace, and disjoint ports")
def _() -> None:
    asked = asks("192.0.2.0")
    for fields in ({"sharing_key": "k"}, asked):
        story = settled(
            pool(default=True), service(**fields), service("dns", **fields, **DNS), service("clash", **fields)
        )
        assert story.addresses() == story.addresses("dns") == {"192.0.2.0"} != story.addresses("clash")


@statement(34, "Local shares with Local and the same pods alone")
def _() -> None:
    local: dict[str, Any] = {"sharing_key": "k", "traffic_policy": "Local", "selector": (("app", "x"),)}
    story = settled(
        pool(default=True),
        service(**local),
        service("same", ports=(("UDP", 1),), **local),
        service("cluster", sharing_key="k", ports=(("UDP", 2),)),
        service("pods", ports=(("UDP", 3),), **{**local, "selector": (("app", "y"),)}),
    )
    assert story.addresses() == story.addresses("same")
    assert not story.addresses() & (story.addresses("cluster") | story.addresses("pods"))


@statement(35, "a key may be changed in place, also while the address is shared")
def _() -> None:
    story = settled(pool(default=True), service(sharing_key="k"))
    then(story, service(sharing_key="l"), service("dns", sharing_key="l", **DNS))
    assert story.addresses() == story.addresses("dns") == {"192.0.2.0"}
    then(story, service(sharing_key="m"))
    assert story.addresses() == story.addresses("dns") == {"192.0.2.0"}


@statement(36, "TCP and UDP ports of one number do not clash")
def _() -> None:
    shared: dict[str, Any] = {"sharing_key": "k"}
    story = settled(pool(default=True), service(**shared), service("udp", ports=(("UDP", 80),), **shared))
    assert story.addresses() == story.addresses("udp")


@statement(37, "one key does not force one address, but one that can be shared is preferred")
def _() -> None:
    shared: dict[str, Any] = {"sharing_key": "k"}
    story = settled(pool(default=True), service(**shared), service("b", **shared), service("c", **shared, **DNS))
    assert [min(story.addresses(name)) for name in ("web", "b", "c")] == ["192.0.2.0", "192.0.2.1", "192.0.2.0"]


@statement(38, "an edit that breaks sharing evicts nobody, and one that mends it lets others in")
def _() -> None:
    shared: dict[str, Any] = {"sharing_key": "k"}
    story = settled(pool(default=True), service(**shared), service("dns", **shared, **DNS))
    then(story, service("dns", **shared))
    assert story.addresses() == story.addresses("dns") == {"192.0.2.0"}
    assert pool_report.service_report(story.state, "dns").broken_sharing
    then(story, service("late", **shared, **asks("192.0.2.0")))
    assert story.refusal("late").reason == Reason.SHARING_REFUSED
    then(story, service("dns", **shared, **DNS), service(**shared, ports=(("TCP", 443),)))
    assert story.addresses("late") == {"192.0.2.0"}


@statement(39, "an address counts once however many share it")
def _() -> None:
    shared: dict[str, Any] = {"sharing_key": "k"}
    story = settled(pool(default=True, quota_per_namespace=1), service(**shared), service("dns", **shared, **DNS))
    assert pool_report.capacity(story.state, "p").used == story.state.pools.usage("p") == 1  # type: ignore[union-attr]


@statement(40, "another namespace shares only where the pool's list names both")
def _() -> None:
    shared: dict[str, Any] = {"sharing_key": "k"}
    stranger = service("dns", namespace="bank", **shared, **DNS)
    assert settled(pool(default=True), service(**shared), stranger).addresses("dns") == {"192.0.2.1"}
    listed = pool(default=True, sharing_namespaces=("bank", "shop"))
    assert settled(listed, service(**shared), stranger).addresses("dns") == {"192.0.2.0"}


@statement(41, "a newcomer is compared with every holder as it is now")
def _() -> None:
    shared: dict[str, Any] = {"sharing_key": "k"}
    story = settled(pool(default=True), service(**shared), service("dns", **shared, **DNS))
    then(story, service("clash", **shared, ports=(("UDP", 53), ("TCP", 443))))
    assert story.addresses("clash") == {"192.0.2.1"}


# ------------------------------------------------------------------------------------------- change and stickiness


@statement(42, "an address counts for the pool that holds it now, and is kept")
def _() -> None:
    story = settled(pool("old", default=True), service())
    then(story, observed.PoolGone("old", "old"), pool("new", "192.0.2.0-192.0.2.99", default=True))
    assert story.addresses() == {"192.0.2.0"}
    assert story.state.pools.counted_for("new") == ("192.0.2.0",)


@statement(43, "a new pool moves nobody")
def _() -> None:
    story = settled(pool(default=True), service())
    story.says(pool("better", "10.0.0.0-10.0.0.9", namespaces=("shop",)))
    assert story.settles() == []


@statement(44, "a shrink, a deletion or avoiding buggy addresses takes nothing away and is told")
def _() -> None:
    for change, tells in (
        (pool("p", "192.0.2.5-192.0.2.9", default=True), pool_report.outside),
        (pool(default=True, avoid_buggy=True), pool_report.excluded),
        (observed.PoolGone("p", "p"), None),
    ):
        story = then(settled(pool(default=True), service()), change)
        assert story.addresses() == {"192.0.2.0"}
        if tells is not None:
            assert [one.service for one in tells(story.state, "p")] == ["shop/web"]
        else:
            assert pool_report.service_report(story.state, "web").pool_gone


@statement(45, "growing again moves nobody")
def _() -> None:
    story = settled(pool(default=True), service())
    then(story, pool("p", "192.0.2.5-192.0.2.9", default=True), service("b"), pool(default=True))
    assert (story.addresses(), story.addresses("b")) == ({"192.0.2.0"}, {"192.0.2.5"})
    assert pool_report.outside(story.state, "p") == ()


@statement(46, "with every pool gone every address is kept, and nobody gets a new one")
def _() -> None:
    story = settled(pool(default=True), service())
    then(story, observed.PoolGone("p", "p"), service("new"))
    assert (story.addresses(), story.addresses("new")) == ({"192.0.2.0"}, set())


@statement(47, "an address is free after its pool's releaseDelay, and a reserved one for its Service alone")
def _() -> None:
    cooled = pool("p", "192.0.2.0-192.0.2.0", default=True, release_delay_ms=60_000)
    story = then(settled(cooled, service()), gone("web"), service("next"))
    assert story.addresses("next") == set()
    then(story, decided.CoolDownElapsed(Address("192.0.2.0"), "p"))
    assert story.addresses("next") == {"192.0.2.0"}
    kept = pool(
        "p", "192.0.2.0-192.0.2.0", default=True, reservations=(Reservation(Address("192.0.2.0"), "shop", "web"),)
    )
    story = then(settled(kept, service()), gone("web"), service("next"), service()._replace(uid="again"))
    assert (story.addresses("next"), story.addresses("again")) == (set(), {"192.0.2.0"})


@statement(49, "a deletion asks only those again that lack something")
def _() -> None:
    story = settled(pool("p", "192.0.2.0-192.0.2.1", default=True), service("a"), service("b"), service("waits"))
    story.says(gone("a"))
    story.says(*decide(story.state, "a"))
    assert unsettled(story.state, 9) == ("waits",)


@statement(51, "every decision is an event with its reason")
def _() -> None:
    story = Story(pool("full", "10.0.0.0-10.0.0.0", default=True), service("a"))
    (given,) = story.settles()
    story.says(service("b"))
    (refused,) = story.settles()
    assert isinstance(given, decided.AddressAllocated)
    assert given.reason == Reason.DEFAULT_POOL
    assert isinstance(refused, decided.AllocationRefused)
    assert [one.pool for one in refused.candidates] == ["full"]


@pytest.mark.parametrize("holds", STATEMENTS)
def test_statement(holds: Callable[[], None]) -> None:
    holds()


def test_the_page_has_a_row_for_each_statement() -> None:
    rows = re.findall(r"^\| (\d+) \| (same|differs) \| .{20,} \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 52))
