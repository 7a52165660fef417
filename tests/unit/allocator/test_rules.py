"""The rules that pools add: excludes, fences, quotas, reservations, cool-downs, sharing; and that none takes away."""

from __future__ import annotations

from typing import Any

import pytest

from porter.allocator.decide import cause, decide, unsettled
from porter.allocator.timers import due, next_due_ms
from porter.events import decided, observed
from porter.events.observed import Reservation
from porter.model.address import Address
from porter.model.reasons import Reason
from porter.model.selector import Requirement, Selector
from porter.projections import pool_report
from tests.unit.projections.story import DUAL, Story, pool, service

WEB = Selector((("app", "web"),))
MINUTE_MS = 60_000


def settled(*payloads: Any) -> Story:
    """A story in which each fact is decided about before the next one comes."""
    story = Story()
    for payload in payloads:
        story.says(payload)
        story.settles()
    return story


def kept(address: str, name: str = "web", namespace: str = "shop") -> Reservation:
    return Reservation(Address(address), namespace, name)


def asks(*addresses: str) -> dict[str, Any]:
    return {"requested_addresses": tuple(Address(one) for one in addresses)}


def gone(name: str, namespace: str = "shop") -> observed.ServiceGone:
    return observed.ServiceGone(name, namespace, name, "ServiceDeleted")


def reason_of(story: Story, uid: str = "web") -> str:
    (allocation,) = story.state.pools.of(uid)
    return allocation.reason


# ------------------------------------------------------------------------------------------------ ranges and excludes


def test_several_ranges_are_used_lowest_first() -> None:
    story = Story(pool("p", "192.0.2.9-192.0.2.9", "10.0.0.1-10.0.0.1", "2001:db8::-2001:db8::1", default=True))
    story.says(*(service(f"s{number}", created_ms=number) for number in range(3)))
    story.settles()
    assert [story.addresses(f"s{number}") for number in range(3)] == [{"10.0.0.1"}, {"192.0.2.9"}, set()]


def test_excluded_and_buggy_addresses_are_passed_over() -> None:
    excludes = (("192.0.2.1", "192.0.2.2"), ("192.0.2.254", "192.0.2.254"))
    fact = pool("p", "192.0.2.0-192.0.3.1", default=True, excludes=excludes, avoid_buggy=True)
    story = Story(fact, *(service(f"s{number:03}", created_ms=number) for number in range(254)))
    story.settles()
    given = [min(story.addresses(f"s{number:03}"), default="") for number in range(254)]
    assert given[:2] == ["192.0.2.3", "192.0.2.4"]
    assert given[249:] == ["192.0.2.252", "192.0.2.253", "192.0.3.1", "", ""]
    numbers = pool_report.capacity(story.state, "p")
    assert numbers == pool_report.Capacity(size=252, used=252, reserved=0, cooling=0, available=0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"excludes": (("192.0.2.0", "192.0.2.4"),)}, "192.0.2.0 is excluded from Eip p by spec.excludes"),
        ({"avoid_buggy": True}, "192.0.2.0 is avoided by spec.avoidBuggyIPs of Eip p"),
    ],
)
def test_an_excluded_address_is_not_given_on_request_either(fields: dict[str, Any], words: str) -> None:
    story = settled(pool(default=True, **fields), service(**asks("192.0.2.0")))
    assert story.addresses() == set()
    refusal = story.refusal()
    assert refusal.reason == Reason.ADDRESS_OUTSIDE_POOLS
    assert words in refusal.message
    assert [one.pool for one in refusal.candidates] == ["p"]


def test_an_address_that_is_excluded_later_is_kept_and_told() -> None:
    story = settled(pool(default=True), service())
    story.says(pool(default=True, excludes=(("192.0.2.0", "192.0.2.0"),)))
    assert story.settles() == []
    assert story.addresses() == {"192.0.2.0"}
    assert [one.address for one in pool_report.excluded(story.state, "p")] == ["192.0.2.0"]
    assert [one.address for one in pool_report.service_report(story.state, "web").excluded] == ["192.0.2.0"]
    story.says(gone("web"), service("next"))
    story.settles()
    assert story.addresses("next") == {"192.0.2.1"}


def test_a_slash_8_avoids_buggy_addresses_without_counting_them() -> None:
    story = settled(pool("p", "10.0.0.0-10.255.255.255", default=True, avoid_buggy=True), service())
    assert story.addresses() == {"10.0.0.1"}
    assert pool_report.capacity(story.state, "p").size == 2**24 - 2**17  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------------ binding


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"service_selector": (WEB,)}, True),
        ({"service_selector": (Selector((("app", "db"),)),)}, False),
        ({"namespace_label_selector": (Selector((), (Requirement("team", "In", ("x", "y")),)),)}, True),
        ({"namespace_label_selector": (Selector((("team", "z"),)),)}, False),
        ({"namespace_label_selector": (Selector((("team", "z"),)),), "namespaces": ("shop",)}, True),
        ({"namespace_selector": (("team", "x"),), "service_selector": (WEB,)}, True),
        ({"namespace_selector": (("team", "z"),), "service_selector": (WEB,)}, False),
        ({"namespaces": ("shop",), "service_selector": (Selector((("app", "db"),)),)}, False),
        ({"service_selector": (Selector(),)}, True),
    ],
)
def test_bound_is_a_namespace_or_its_labels_and_the_services_labels(fields: dict[str, Any], bound: bool) -> None:
    labels = observed.NamespaceObserved("shop", (("team", "x"),))
    story = settled(labels, pool(**fields), service(labels=(("app", "web"),)))
    assert bool(story.addresses()) == bound
    if bound:
        assert reason_of(story) == Reason.BOUND_POOL


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"namespaces": ("bank",)}, False),
        ({"namespace_selector": (("team", "z"),)}, False),
        ({"service_selector": (Selector((("app", "db"),)),)}, True),
        ({"namespace_label_selector": (Selector((("team", "z"),)),)}, True),
    ],
)
@pytest.mark.parametrize("request_", [{"requested_pool": "p"}, asks("192.0.2.3")])
def test_the_old_bindings_steer_and_the_new_ones_fence(
    fields: dict[str, Any], refused: bool, request_: dict[str, Any]
) -> None:
    story = settled(pool(**fields), service(**request_))
    assert bool(story.addresses()) != refused
    if refused:
        assert story.refusal().reason == Reason.NOT_SELECTED


def test_selectors_follow_labels_and_nobody_loses_an_address_to_them() -> None:
    fact = pool(namespace_label_selector=(Selector((("team", "x"),)),), service_selector=(WEB,))
    story = settled(fact, service())
    assert story.refusal().reason == Reason.NO_POOL
    story.says(service(labels=(("app", "web"),)))
    story.settles()
    assert story.addresses() == set()
    story.says(observed.NamespaceObserved("shop", (("team", "x"),)))
    story.settles()
    assert story.addresses() == {"192.0.2.0"}
    story.says(observed.NamespaceObserved("shop"), service())
    assert story.settles() == []
    assert story.addresses() == {"192.0.2.0"}


def test_auto_assign_false_means_on_request_only_even_if_bound_or_default() -> None:
    story = settled(
        pool(default=True, namespaces=("shop",), auto_assign=False), service(), service("b", **asks("192.0.2.4"))
    )
    assert story.addresses() == set()
    assert story.addresses("b") == {"192.0.2.4"}


def test_a_full_bound_pool_falls_through_to_the_next() -> None:
    story = settled(
        pool("first", "10.0.0.1-10.0.0.1", namespaces=("shop",), priority=1),
        pool("second", "10.0.1.1-10.0.1.1", namespaces=("shop",), priority=2),
        pool("last", "10.0.2.1-10.0.2.1", default=True),
        *(service(f"s{number}", created_ms=number) for number in range(3)),
    )
    assert [story.state.pools.of(f"s{number}")[0].pool for number in range(3)] == ["first", "second", "last"]


# ------------------------------------------------------------------------------------------------------- quotas


def test_a_quota_limits_each_namespace_and_an_override_wins() -> None:
    fact = pool(default=True, quota_per_namespace=1, quota_overrides=(("bank", 2), ("free", -1)))
    names = [("shop", 2), ("bank", 3), ("free", 4)]
    story = settled(
        fact, *(service(f"{space}{n}", namespace=space, created_ms=n) for space, count in names for n in range(count))
    )
    held = {space: sum(bool(story.addresses(f"{space}{n}")) for n in range(count)) for space, count in names}
    assert held == {"shop": 1, "bank": 2, "free": 4}
    refusal = story.refusal("shop1")
    assert refusal.reason == Reason.QUOTA_EXCEEDED
    assert refusal.message == (
        "namespace shop holds 1 of the 1 addresses that the quota of Eip p allows it; release one or raise spec.quota"
    )
    story.says(gone("shop0"))
    story.settles()
    assert story.addresses("shop1")


def test_a_quota_holds_for_requests_and_reservations_too() -> None:
    fact = pool(default=True, quota_per_namespace=1, reservations=(kept("192.0.2.5", "late"),))
    story = settled(fact, service(), service("asks", **asks("192.0.2.7")), service("late"))
    assert story.refusal("asks").reason == story.refusal("late").reason == Reason.QUOTA_EXCEEDED


def test_a_shared_address_counts_once() -> None:
    fact = pool(default=True, quota_per_namespace=1)
    story = settled(fact, service(sharing_key="k"), service("dns", ports=(("UDP", 53),), sharing_key="k"))
    assert story.addresses() == story.addresses("dns") == {"192.0.2.0"}
    assert reason_of(story, "dns") == Reason.SHARED_ADDRESS


def test_lowering_a_quota_takes_nothing_and_names_the_namespace() -> None:
    story = settled(pool(default=True), service(), service("b"))
    story.says(pool(default=True, quota_per_namespace=1))
    assert story.settles() == []
    assert pool_report.over_quota(story.state, "p") == (pool_report.OverQuota("shop", 2, 1),)


def test_a_namespace_at_its_quota_can_still_move() -> None:
    story = settled(pool(default=True, quota_per_namespace=1), service())
    story.says(service(**asks("192.0.2.7")))
    story.settles()
    assert story.addresses() == {"192.0.2.7"}
    story.says(service(**asks("192.0.2.8", "192.0.2.9")))
    story.settles()
    assert story.addresses() == {"192.0.2.7"}, "two would be one too many, and the old one is kept"
    assert story.refusal().reason == Reason.QUOTA_EXCEEDED


# ------------------------------------------------------------------------------------------------- reservations


def test_a_reserved_address_waits_for_its_service() -> None:
    fact = pool("p", "192.0.2.0-192.0.2.1", default=True, reservations=(kept("192.0.2.0", "web"),))
    story = settled(fact, service("a"), service("b"), service("c", **asks("192.0.2.0")))
    assert story.addresses("a") == {"192.0.2.1"}
    assert story.refusal("b").reason == Reason.POOL_EXHAUSTED
    refusal = story.refusal("c")
    assert refusal.reason == Reason.RESERVED
    assert refusal.message.startswith("192.0.2.0 is reserved for shop/web in Eip p; ")
    story.says(service())
    story.settles()
    assert story.addresses() == {"192.0.2.0"}
    assert reason_of(story) == Reason.RESERVED_ADDRESS


def test_a_reservation_survives_deletion_and_a_new_uid() -> None:
    fact = pool(default=True, reservations=(kept("192.0.2.5"),), release_delay_ms=MINUTE_MS)
    story = settled(fact, service())
    story.says(gone("web"))
    story.settles()
    story.says(service("thief", **asks("192.0.2.5")), service()._replace(uid="again"))
    story.settles()
    assert story.addresses("again") == {"192.0.2.5"}


def test_a_reservation_in_a_plain_or_on_request_pool_is_a_request() -> None:
    story = settled(
        pool(auto_assign=False, reservations=(kept("192.0.2.5"),)),
        pool("d", "10.0.0.0-10.0.0.9", default=True),
        service(),
    )
    assert story.addresses() == {"192.0.2.5"}


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"requested_pool": "d"}, "10.0.0.0"),
        ({"requested_pool": "p"}, "192.0.2.5"),
        (asks("192.0.2.7"), "192.0.2.7"),
    ],
)
def test_a_request_goes_before_a_reservation(fields: dict[str, Any], address: str) -> None:
    story = settled(
        pool(reservations=(kept("192.0.2.5"),)), pool("d", "10.0.0.0-10.0.0.9", default=True), service(**fields)
    )
    assert story.addresses() == {address}


def test_reservations_of_both_families() -> None:
    fact = pool(
        "p", "192.0.2.0-192.0.2.9", "2001:db8::-2001:db8::9", reservations=(kept("192.0.2.5"), kept("2001:db8::5"))
    )
    story = settled(fact, service(**DUAL))
    assert story.addresses() == {"192.0.2.5", "2001:db8::5"}


def test_a_reservation_of_a_held_address_takes_nothing_and_counts_from_its_release_on() -> None:
    story = settled(pool(default=True), service("holder"))
    story.says(pool(default=True, reservations=(kept("192.0.2.0"),)), service())
    story.settles()
    assert (story.addresses("holder"), story.addresses()) == ({"192.0.2.0"}, {"192.0.2.1"})
    (contested,) = pool_report.contested(story.state, "p")
    assert (contested.reservation.name, contested.holder.service) == ("web", "shop/holder")
    story.says(gone("holder"), service("next"))
    story.settles()
    assert story.addresses() == {"192.0.2.1"}, "a reservation moves nobody"
    assert story.addresses("next") == {"192.0.2.2"}
    assert pool_report.contested(story.state, "p") == ()


# -------------------------------------------------------------------------------------------------- cool-downs


def test_a_freed_address_stays_unused_until_its_time_is_over() -> None:
    fact = pool("p", "192.0.2.0-192.0.2.0", default=True, release_delay_ms=MINUTE_MS)
    story = settled(fact, service("old"))
    story.says(gone("old"))
    story.settles()
    released = story.position
    story.says(service(), service("asks", **asks("192.0.2.0")))
    story.settles()
    assert story.refusal().reason == Reason.POOL_EXHAUSTED
    assert story.refusal("asks").reason == Reason.COOLING_DOWN
    assert story.refusal("asks").message == (
        f"192.0.2.0 stays unused until 12:01 UTC, because shop/old released it at 12:00 UTC (#{released}); "
        "wait or request another address"
    )
    end_ms = story.time_ms + MINUTE_MS
    assert next_due_ms(story.state) == end_ms
    assert due(story.state, end_ms - 1, 9) == ()
    (told,) = pool_report.cooling(story.state, "p")
    assert (told.address, told.until_ms, told.released.name) == ("192.0.2.0", end_ms, "old")
    elapsed = due(story.state, end_ms, 9)
    assert elapsed == (decided.CoolDownElapsed(Address("192.0.2.0"), "p"),)
    story.says(*elapsed)
    assert (due(story.state, end_ms, 9), next_due_ms(story.state)) == ((), None)
    story.settles()
    assert story.addresses("asks") == {"192.0.2.0"}


def test_a_service_takes_its_own_address_back_at_once() -> None:
    story = settled(pool(default=True, release_delay_ms=MINUTE_MS), service())
    story.says(service(**asks("192.0.2.7")))
    story.settles()
    assert set(story.state.pools.cooling) == {"192.0.2.0"}
    story.says(service(**asks("192.0.2.0")))
    story.settles()
    assert story.addresses() == {"192.0.2.0"}
    assert set(story.state.pools.cooling) == {"192.0.2.7"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (pool(default=True, release_delay_ms=2 * MINUTE_MS), False),
        (pool(default=True, release_delay_ms=1), True),
        (pool(default=True), True),
        (observed.PoolGone("p", "p"), True),
    ],
)
def test_a_cool_down_follows_the_pools_present_delay(change: Any, expected: bool) -> None:
    story = settled(pool(default=True, release_delay_ms=MINUTE_MS), service())
    story.says(gone("web"))
    story.settles()
    story.says(change)
    assert bool(due(story.state, story.time_ms + 1, 9)) == expected
    assert due(story.state, story.time_ms + 1, 0) == ()


def test_nothing_is_due_while_the_journal_recovers() -> None:
    story = settled(pool(default=True, release_delay_ms=1), service())
    story.says(gone("web"))
    story.settles()
    story.says(decided.EpochStarted("g", "two", story.position, "", recovering=True))
    assert (due(story.state, story.time_ms + 9, 9), next_due_ms(story.state)) == ((), None)


# --------------------------------------------------------------------------------------------------- sharing


DNS: dict[str, Any] = {"ports": (("UDP", 53),)}


@pytest.mark.parametrize(
    ("allowed", "shares"), [((), False), (("shop",), False), (("shop", "bank"), True), (("*",), True)]
)
def test_two_namespaces_share_only_where_the_pool_lists_both(allowed: tuple[str, ...], shares: bool) -> None:
    fact = pool(default=True, sharing_namespaces=allowed)
    story = settled(fact, service(sharing_key="k"), service("dns", namespace="bank", sharing_key="k", **DNS))
    assert (story.addresses() == story.addresses("dns")) == shares
    asked = settled(
        fact, service(sharing_key="k"), service("dns", namespace="bank", sharing_key="k", **DNS, **asks("192.0.2.0"))
    )
    assert bool(asked.addresses("dns")) == shares
    if not shares:
        assert asked.refusal("dns").reason == Reason.SHARING_REFUSED
        assert "spec.sharing.namespaces" in asked.refusal("dns").message


def test_a_request_without_the_key_is_told_which_key_it_needs() -> None:
    story = settled(pool(default=True), service(sharing_key="edge"), service("dns", **DNS, **asks("192.0.2.0")))
    assert (
        story.refusal("dns").message
        == "192.0.2.0 is held by shop/web since 12:00 UTC (#5); sharing needs the key 'edge'"
    )


def test_one_key_does_not_force_one_address() -> None:
    story = settled(
        pool(default=True),
        service(sharing_key="k"),
        service("b", sharing_key="k"),
        service("c", sharing_key="k", **DNS),
    )
    assert (story.addresses(), story.addresses("b"), story.addresses("c")) == (
        {"192.0.2.0"},
        {"192.0.2.1"},
        {"192.0.2.0"},
    )


def test_an_address_is_shared_only_in_a_pool_that_may_serve_the_newcomer() -> None:
    story = settled(
        pool("far", "10.0.0.0-10.0.0.9", namespaces=("bank",)),
        pool(default=True),
        service(sharing_key="k", requested_pool="far"),
        service("dns", sharing_key="k", **DNS),
    )
    assert story.addresses("dns") == {"192.0.2.0"}


@pytest.mark.parametrize(
    "edit",
    [{"sharing_key": "other", **DNS}, {"sharing_key": "k"}, {"sharing_key": "k", "traffic_policy": "Local", **DNS}],
)
def test_an_edit_that_breaks_sharing_evicts_nobody_and_is_told_at_the_edited_one(edit: dict[str, Any]) -> None:
    story = settled(pool(default=True), service(sharing_key="k"), service("dns", sharing_key="k", **DNS))
    assert story.addresses("dns") == {"192.0.2.0"}
    story.says(service("dns", **edit))
    assert story.settles() == []
    assert story.addresses() == story.addresses("dns") == {"192.0.2.0"}
    (broken,) = pool_report.service_report(story.state, "dns").broken_sharing
    assert (broken.other.service, bool(broken.clause)) == ("shop/web", True)
    assert pool_report.service_report(story.state, "web").broken_sharing == ()


def test_whoever_was_refused_shares_as_soon_as_the_holder_allows_it() -> None:
    story = settled(pool(default=True), service(sharing_key="k"), service("b", sharing_key="k", **asks("192.0.2.0")))
    assert story.refusal("b").reason == Reason.SHARING_REFUSED
    story.says(service(sharing_key="k", ports=(("TCP", 443),)))
    assert cause(story.state, "b") == story.position, "the holder's edit is the cause"
    story.settles()
    assert story.addresses("b") == {"192.0.2.0"}


def test_a_release_asks_one_of_many_that_wait_for_the_same() -> None:
    waiting = [service(f"s{number}", created_ms=number) for number in range(9)]
    story = settled(pool("p", "192.0.2.0-192.0.2.1", default=True), service("holder", created_ms=0), *waiting)
    story.says(gone("holder"))
    story.says(*decide(story.state, "holder"))
    assert len(unsettled(story.state, 99)) == 8
    (given,) = decide(story.state, "s1")
    story.says(given)
    assert decide(story.state, "s2") == ()
    assert unsettled(story.state, 99) == (), "one answer stands for all"
    story.says(pool("p", "192.0.2.0-192.0.2.3", default=True))
    story.settles()
    assert [bool(story.addresses(f"s{number}")) for number in range(5)] == [True, True, True, True, False]


# ------------------------------------------------------------------------------------- several requested addresses


def test_several_requested_addresses_of_one_family_are_all_held() -> None:
    story = settled(pool(default=True), service(**asks("192.0.2.3", "192.0.2.5")))
    assert story.addresses() == {"192.0.2.3", "192.0.2.5"}
    story.says(service(**asks("192.0.2.5", "192.0.2.7")))
    story.settles()
    assert story.addresses() == {"192.0.2.5", "192.0.2.7"}


def test_of_several_requests_one_that_is_refused_costs_nothing_that_is_held() -> None:
    story = settled(
        pool(default=True), service(**asks("192.0.2.3", "192.0.2.5")), service("other", **asks("192.0.2.9"))
    )
    story.says(service(**asks("192.0.2.5", "192.0.2.9")))
    story.settles()
    assert story.addresses() == {"192.0.2.3", "192.0.2.5"}
    assert story.refusal().reason == Reason.SHARING_REFUSED, "both ask for it, and their ports clash"
    assert pool_report.service_report(story.state, "web").unmet == story.refusal()
    story.says(gone("other"))
    story.settles()
    assert story.addresses() == {"192.0.2.5", "192.0.2.9"}


def test_a_held_address_outside_of_the_pool_that_is_named_now_is_kept_and_told() -> None:
    story = settled(pool(default=True), pool("q", "10.0.0.0-10.0.0.9"), service(**asks("192.0.2.3")))
    story.says(service(requested_pool="q", **asks("192.0.2.3")))
    story.settles()
    assert story.addresses() == {"192.0.2.3"}
    assert story.refusal().reason == Reason.ADDRESS_OUTSIDE_POOLS


# ------------------------------------------------------------------------------------------------------ reports


def test_what_lies_outside_of_its_pool_or_has_none() -> None:
    story = settled(pool(default=True), service(), service("b"))
    story.says(pool("p", "192.0.2.1-192.0.2.9", default=True))
    assert [one.name for one in pool_report.outside(story.state, "p")] == ["web"]
    assert [one.name for one in pool_report.service_report(story.state, "web").outside] == ["web"]
    story.says(observed.PoolGone("p", "p"))
    assert [one.name for one in pool_report.service_report(story.state, "b").pool_gone] == ["b"]
    assert pool_report.service_report(story.state, "nobody") == pool_report.ServiceReport()
    for query in (pool_report.outside, pool_report.excluded, pool_report.over_quota, pool_report.contested):
        assert query(story.state, "p") == ()
    assert pool_report.capacity(story.state, "p") is None
    assert (pool_report.cooling(story.state, "p"), pool_report.warnings(story.state, "p")) == ((), ())


def test_a_pool_is_warned_of_nodes_service_ranges_and_useless_reservations() -> None:
    story = settled(
        observed.NodeObserved("n1", "n1", "1", (Address("192.0.2.3"),), True),
        observed.ServiceRangeObserved("kubernetes", ("192.0.2.8/29",)),  # type: ignore[arg-type]
        pool(default=True, reservations=(kept("192.0.2.5"), kept("192.0.2.5", "b"), kept("203.0.113.1"))),
        service(),
    )
    warned = pool_report.warnings(story.state, "p")
    assert [one.reason for one in warned] == [
        Reason.POOL_OVERLAPS_NODES,
        Reason.POOL_OVERLAPS_SERVICE_RANGE,
        Reason.RESERVED,
        Reason.ADDRESS_OUTSIDE_POOLS,
    ]
    assert "192.0.2.3, the address of node n1" in warned[0].message
    assert "192.0.2.8/29 of ServiceCIDR kubernetes" in warned[1].message
    assert story.addresses() == {"192.0.2.5"}, "warnings keep a pool from nothing"
    story.says(pool(default=True, excludes=(("192.0.2.3", "192.0.2.3"), ("192.0.2.8", "192.0.2.15"))))
    assert pool_report.warnings(story.state, "p") == ()


def test_a_capacity_adds_up() -> None:
    fact = pool(default=True, reservations=(kept("192.0.2.5", "later"),), release_delay_ms=MINUTE_MS)
    story = settled(fact, service(), service("b"))
    story.says(gone("b"))
    story.settles()
    assert pool_report.capacity(story.state, "p") == pool_report.Capacity(10, 1, 1, 1, 7)


def test_decisions_are_made_again_alike() -> None:
    story = Story(pool(default=True, quota_per_namespace=1), service(), service("b"))
    assert decide(story.state, "web") == decide(story.state, "web")
