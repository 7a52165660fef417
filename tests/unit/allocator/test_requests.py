"""What a Service asks for: met as a whole or not at all, and moved by the Service's own edit alone."""

from __future__ import annotations

from typing import Any

import pytest

from porter.allocator.decide import decide, unsettled
from porter.events import decided, observed
from porter.model.address import Address
from porter.model.reasons import Reason
from porter.model.selector import Selector
from porter.projections import pool_report
from tests.unit.projections.story import DUAL, Story, pool, service


def settled(*payloads: Any) -> Story:
    """A story in which each fact is decided about before the next one comes."""
    story = Story()
    for payload in payloads:
        story.says(payload)
        story.settles()
    return story


def asks(*addresses: str) -> dict[str, Any]:
    return {"requested_addresses": tuple(Address(one) for one in addresses)}


# ------------------------------------------------------------------------------------ the pool that a Service names


@pytest.mark.parametrize(
    "edits",
    [
        [pool("p", "192.0.2.5-192.0.2.9")],
        [pool("p", "192.0.2.5-192.0.2.9"), pool("q", "192.0.2.0-192.0.2.4")],
        [observed.PoolGone("p", "p"), pool("p", "10.0.0.0-10.0.0.9")],
        [observed.PoolGone("p", "p"), pool("q", default=True)],
        [pool("p", excludes=((Address("192.0.2.0"), Address("192.0.2.0")),))],
        [pool("p", quota_per_namespace=0)],
    ],
    ids=["shrunk", "split", "made again", "renamed", "excluded", "quota"],
)
@pytest.mark.parametrize("request_", [{"requested_pool": "p"}, {"requested_pool": "p", **asks("192.0.2.0")}])
def test_no_edit_of_the_pool_that_it_names_moves_a_service(edits: list[Any], request_: dict[str, Any]) -> None:
    story = settled(pool("p"), service(**request_))
    for edit in edits:
        story.says(edit)
        assert story.settles() == []
    story.says(service(labels=(("tier", "x"),), **request_))
    assert story.settles() == []
    assert story.addresses() == {"192.0.2.0"}


def test_naming_another_pool_moves_a_service_that_was_split_off() -> None:
    story = settled(pool("p"), service(requested_pool="p"), pool("p", "192.0.2.5-192.0.2.9"))
    story.says(pool("q", "10.0.0.0-10.0.0.9"), service(requested_pool="q"))
    story.settles()
    assert story.addresses() == {"10.0.0.0"}


# ----------------------------------------------------------------------------------------- as a whole or not at all

BOTH = pool("p", "192.0.2.0-192.0.2.99", "2001:db8::-2001:db8::9", default=True)


def refused(story: Story, fact: observed.ServiceObserved, reason: Reason) -> None:
    """The change of a Service is refused, and all that it holds stays."""
    before = story.addresses(fact.uid)
    story.says(fact)
    (decision,) = story.settles()
    assert isinstance(decision, decided.AllocationRefused)
    assert decision.reason == reason
    assert story.addresses(fact.uid) == before


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (("192.0.2.7", "192.0.2.1"), Reason.ADDRESS_IN_USE),
        (("192.0.2.1", "192.0.2.7"), Reason.ADDRESS_IN_USE),
        (("192.0.2.7", "2001:db8::1"), Reason.ADDRESS_IN_USE),
        (("192.0.2.7", "203.0.113.1"), Reason.ADDRESS_OUTSIDE_POOLS),
    ],
)
def test_a_request_of_which_one_address_cannot_be_had_changes_nothing(
    addresses: tuple[str, ...], reason: Reason
) -> None:
    story = settled(BOTH, service(**DUAL), service("x", **DUAL))
    refused(story, service(**DUAL, **asks(*addresses)), reason)
    assert story.addresses() == {"192.0.2.0", "2001:db8::"}


def test_a_request_in_a_family_that_a_service_has_not_changes_nothing() -> None:
    refused(settled(BOTH, service()), service(**asks("192.0.2.5", "2001:db8::5")), Reason.FAMILY_UNAVAILABLE)


@pytest.mark.parametrize("policy", ["RequireDualStack", "PreferDualStack"])
@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (pool("q", "10.0.0.0-10.0.0.9"), Reason.FAMILY_UNAVAILABLE),
        (pool("q", "10.0.0.0-10.0.0.9", "fd00::-fd00::9", quota_per_namespace=1), Reason.QUOTA_EXCEEDED),
    ],
    ids=["no family", "quota"],
)
def test_a_pool_that_cannot_replace_both_families_replaces_none(policy: str, other: Any, reason: Reason) -> None:
    dual = {**DUAL, "family_policy": policy}
    refused(settled(BOTH, other, service(**dual)), service(requested_pool="q", **dual), reason)


def test_requests_that_are_refused_in_part_hoard_nothing() -> None:
    story = settled(BOTH, service(), service("x"))
    for number in range(2, 32):
        story.says(service(**asks(f"192.0.2.{number}", "192.0.2.1")))
        story.settles()
        assert story.addresses() == {"192.0.2.0"}
    story.says(service())
    assert story.settles() == []


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        (("192.0.2.6", "192.0.2.5"), (), {"192.0.2.6"}),
        (("192.0.2.0", "192.0.2.5"), (), {"192.0.2.0"}),
        (("192.0.2.5", "192.0.2.6"), ("192.0.2.6",), {"192.0.2.6"}),
        (("192.0.2.5", "192.0.2.6"), ("192.0.2.6", "192.0.2.7"), {"192.0.2.6", "192.0.2.7"}),
    ],
)
def test_what_was_held_by_request_only_goes_with_the_request(
    before: tuple[str, ...], wanted: tuple[str, ...], after: set[str]
) -> None:
    story = settled(BOTH, service(), service(**asks(*before)))
    assert story.addresses() == set(before)
    story.says(service(**asks(*wanted)))
    released = [one for one in story.settles() if isinstance(one, decided.AddressReleased)]
    assert {one.reason for one in released} == {Reason.REQUEST_CHANGED}
    assert story.addresses() == after
    story.says(service(labels=(("tier", "x"),), **asks(*wanted)))
    assert story.settles() == []


def test_extra_addresses_go_in_one_family_while_the_other_one_is_requested() -> None:
    story = settled(BOTH, service(**DUAL, **asks("192.0.2.5", "192.0.2.6", "2001:db8::1", "2001:db8::2")))
    story.says(service(**DUAL, **asks("2001:db8::1", "2001:db8::2")))
    story.settles()
    assert story.addresses() == {"192.0.2.5", "2001:db8::1", "2001:db8::2"}


# ---------------------------------------------------------------------------------------------- what a quota refuses


@pytest.mark.parametrize(
    ("before", "asked", "limit", "words"),
    [
        ([], DUAL, 1, "allows namespace shop 1, and the pair that it asks for needs 2; raise spec.quota"),
        ([service()], DUAL, 1, "allows namespace shop 1, and the pair that it asks for needs 2; raise spec.quota"),
        (
            [service("b"), service("c")],
            DUAL,
            3,
            "needs 2 of the 3 addresses that the quota of Eip p allows namespace shop, whose other",
        ),
        ([service("b")], {}, 1, "namespace shop holds 1 of the 1 addresses that the quota of Eip p allows it; release"),
        ([], {}, 0, "allows namespace shop 0, and the Service needs 1; raise spec.quota"),
    ],
    ids=["pair", "second of a pair", "too few left", "used up", "none"],
)
def test_a_quota_says_what_is_needed_and_the_mend(
    before: list[Any], asked: dict[str, Any], limit: int, words: str
) -> None:
    story = settled(BOTH._replace(quota_per_namespace=limit), *before, service(**asked))
    assert story.refusal().reason == Reason.QUOTA_EXCEEDED
    assert words in story.refusal().message


def test_a_refusal_reads_the_same_to_a_new_leader() -> None:
    full = pool("p", "192.0.2.0-192.0.2.2", "2001:db8::-2001:db8::9", default=True, quota_per_namespace=2)
    story = settled(full, service("b"), service(**DUAL), service("c"), service("d", namespace="bank"))
    story.settles()
    story.state.pools.ask_again()
    assert story.settles() == []


def test_a_refusal_goes_when_nothing_is_refused_any_more() -> None:
    story = settled(pool(default=True), service(), service(**DUAL))
    assert story.refusal().reason == Reason.FAMILY_UNAVAILABLE
    story.says(service(**{**DUAL, "family_policy": "PreferDualStack"}))
    assert story.settles() == []
    assert story.state.pools.refusal("web") is None
    assert pool_report.service_report(story.state, "web").unmet is None


# ------------------------------------------------------------------------------------ whom a release asks again

PREFERS: dict[str, Any] = {**DUAL, "family_policy": "PreferDualStack"}
FOUR = pool("p", "192.0.2.0-192.0.2.3", default=True)
DNS: dict[str, Any] = {"ports": (("UDP", 53),)}


def asked_after_a_release(story: Story, uid: str = "h1") -> list[str]:
    story.says(observed.ServiceGone(uid, "shop", uid, "ServiceDeleted"))
    asked: list[str] = []
    while uids := unsettled(story.state, 1):
        story.says(*decide(story.state, uids[0]))
        asked += uids
    return asked[1:]


@pytest.mark.parametrize(
    ("waiting", "asked"),
    [
        ([service(f"s{n}", created_ms=n + 9) for n in range(20)], ["s0", "s1"]),
        ([service(f"s{n}", created_ms=n + 9, namespace=f"ns{n}") for n in range(20)], ["s0", "s1"]),
        ([service(f"s{n:02}", created_ms=9, sharing_key=f"k{n % 2}") for n in range(20)], ["s00", "s01", "s02"]),
        ([service(f"s{n}", created_ms=9, **asks("192.0.2.0")) for n in range(20)], []),
        ([service(f"s{n}", created_ms=9, **DNS, **asks("192.0.2.1")) for n in range(2)], ["s0", "s1"]),
    ],
    ids=["one namespace", "a namespace each", "keys", "another address", "that address"],
)
def test_a_release_asks_only_those_whose_answer_may_change(waiting: list[Any], asked: list[str]) -> None:
    story = Story(FOUR, *(service(f"h{n}", created_ms=n) for n in range(4)))
    story.settles()
    story.says(*waiting)
    story.settles()
    assert asked_after_a_release(story) == asked


def test_a_release_asks_nobody_who_prefers_the_other_family_too() -> None:
    story = settled(pool("p", "192.0.2.0-192.0.2.99", default=True), service("h1"))
    story.says(*(service(f"s{n}", created_ms=n + 9, **PREFERS) for n in range(20)))
    story.settles()
    assert asked_after_a_release(story) == []


def test_a_release_of_the_other_family_asks_those_who_prefer_it_until_it_is_gone() -> None:
    six = pool("p", "192.0.2.0-192.0.2.99", "2001:db8::-2001:db8::2", default=True)
    story = settled(six, *(service(f"h{n}", families=("IPv6",)) for n in range(3)))
    story.says(*(service(f"s{n}", created_ms=n + 9, **PREFERS) for n in range(20)))
    story.settles()
    assert len(asked_after_a_release(story)) == 20, "once each, after it was given the first family"
    assert story.addresses("s0") == {"192.0.2.0", "2001:db8::1"}
    assert asked_after_a_release(story, "h2") == ["s1", "s2"]
    assert story.addresses("s1") == {"192.0.2.1", "2001:db8::2"}


def test_labels_of_a_namespace_let_in_whom_others_were_refused_alike_with() -> None:
    fenced = FOUR._replace(namespace_label_selector=(Selector((("team", "x"),)),))
    story = settled(fenced, service("s1", namespace="a", requested_pool="p"), service("s2", requested_pool="p"))
    story.says(observed.NamespaceObserved("shop", (("team", "x"),)))
    story.settles()
    assert (story.addresses("s1"), story.addresses("s2")) == (set(), {"192.0.2.0"})
