"""Pools among each other: overlaps, second defaults, and the order in which they are asked."""

from __future__ import annotations

from porter.model.reasons import Problem, Reason
from porter.policy.pool_choice import assess
from porter.policy.pool_order import automatic_rules
from tests.unit.projections.story import pool


def test_of_two_overlapping_pools_the_older_wins() -> None:
    older = pool("older", "192.0.2.0-192.0.2.9", created_ms=1)
    newer = pool("newer", "192.0.2.9-192.0.2.20", created_ms=2)
    for facts in ((older, newer), (newer, older)):
        pools = assess(facts)
        assert pools.by_name["older"].problem is None
        problem = pools.by_name["newer"].problem
        assert problem is not None
        assert "overlap those of the older Eip older" in problem.message
        assert pools.holding("192.0.2.9").name == "older"  # type: ignore[union-attr]
        assert pools.holding("192.0.2.20") is None


def test_a_pool_between_the_ranges_of_another_does_not_overlap() -> None:
    outer = pool("outer", "10.0.0.0-10.0.0.9", "10.0.0.20-10.0.0.29")
    inner = pool("inner", "10.0.0.10-10.0.0.19", created_ms=2)
    around = pool("around", "9.0.0.0-11.0.0.0", created_ms=3)
    pools = assess((outer, inner, around))
    assert [name for name, one in pools.by_name.items() if one.problem] == ["around"]
    assert pools.holding("10.0.0.15").name == "inner"  # type: ignore[union-attr]


def test_there_is_one_default_for_each_family() -> None:
    pools = assess(
        (
            pool("first", "10.0.0.0-10.0.0.9", default=True, created_ms=1),
            pool("second", "10.1.0.0-10.1.0.9", default=True, created_ms=2),
            pool("six", "fd00::-fd00::9", default=True, created_ms=3),
        )
    )
    assert pools.by_name["first"].default_for == ("IPv4",)
    assert pools.by_name["second"].default_for == ()
    assert "Eip first is the default for IPv4 already" in pools.by_name["second"].second_default.message  # type: ignore[union-attr]
    assert pools.by_name["six"].default_for == ("IPv6",)


def test_the_order_is_bound_default_automatic_each_by_priority_then_name() -> None:
    facts = [
        pool("auto-b", "10.0.0.0-10.0.0.0", auto_assign=True),
        pool("auto-a", "10.0.1.0-10.0.1.0", auto_assign=True),
        pool("default", "10.0.2.0-10.0.2.0", default=True),
        pool("bound-late", "10.0.3.0-10.0.3.0", namespaces=("shop",), priority=2),
        pool("bound-label", "10.0.4.0-10.0.4.0", namespace_selector=(("team", "x"),), priority=1),
        pool("other", "10.0.5.0-10.0.5.0", namespaces=("bank",)),
        pool("plain", "10.0.6.0-10.0.6.0"),
        pool("asked", "10.0.7.0-10.0.7.0", namespaces=("shop",), auto_assign=False),
        pool("off", "10.0.8.0-10.0.8.0", disabled=True, auto_assign=True),
    ]
    rules, passed = automatic_rules(assess(facts), "shop", (("team", "x"), ("z", "z")))
    assert [(rule.reason, [one.name for one in rule.pools]) for rule in rules] == [
        (Reason.BOUND_POOL, ["bound-label", "bound-late"]),
        (Reason.DEFAULT_POOL, ["default"]),
        (Reason.AUTO_ASSIGNED, ["auto-a", "auto-b"]),
    ]
    assert {one.pool: one.reason for one in passed} == {
        "other": Reason.NOT_SELECTED,
        "plain": Reason.ON_REQUEST_ONLY,
        "asked": Reason.ON_REQUEST_ONLY,
        "off": Reason.POOL_DISABLED,
    }


def test_a_pool_with_problems_gives_nothing_and_an_unsupported_field_changes_nothing() -> None:
    wrong = pool("wrong", problems=(Problem(Reason.ADDRESS_INVALID, "spec.address", "no address"),))
    odd = pool("odd", "10.0.0.0-10.0.0.0", problems=(Problem(Reason.FIELD_UNSUPPORTED, "spec.x", "x"),))
    pools = assess((wrong, odd))
    assert pools.by_name["wrong"].problem is not None
    assert pools.by_name["odd"].problem is None
    assert assess((pool("empty")._replace(ranges=()),)).by_name["empty"].problem is not None


def test_malformed_ranges_in_a_fact_are_the_pools_problem_alone() -> None:
    broken = pool("broken")._replace(ranges=(("nonsense", "192.0.2.1"),))  # type: ignore[arg-type]
    pools = assess((broken, pool("fine", "10.0.0.0-10.0.0.0")))
    assert "nonsense" in pools.by_name["broken"].problem.message  # type: ignore[union-attr]
    assert pools.by_name["fine"].problem is None
