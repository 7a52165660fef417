"""Label selectors match as the API server's do."""

from __future__ import annotations

import pytest

from porter.model.selector import Requirement, Selector
from porter.policy.selectors import matches, matches_any

LABELS = (("team", "x"), ("tier", "web"))


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (Selector(), True),
        (Selector((("team", "x"),)), True),
        (Selector((("team", "x"), ("tier", "db"))), False),
        (Selector((), (Requirement("team", "In", ("x", "y")),)), True),
        (Selector((), (Requirement("team", "In", ("y",)),)), False),
        (Selector((), (Requirement("zone", "In", ("y",)),)), False),
        (Selector((), (Requirement("team", "NotIn", ("x",)),)), False),
        (Selector((), (Requirement("zone", "NotIn", ("x",)),)), True),
        (Selector((), (Requirement("team", "Exists"),)), True),
        (Selector((), (Requirement("zone", "Exists"),)), False),
        (Selector((), (Requirement("zone", "DoesNotExist"),)), True),
        (Selector((), (Requirement("team", "DoesNotExist"),)), False),
        (Selector((("tier", "web"),), (Requirement("team", "NotIn", ("x",)),)), False),
    ],
)
def test_a_selector_matches_what_kubernetes_says(selector: Selector, expected: bool) -> None:
    assert matches(selector, LABELS) is expected


def test_of_alternatives_one_is_enough_and_none_matches_nothing() -> None:
    assert matches_any((Selector((("team", "y"),)), Selector((("team", "x"),))), LABELS)
    assert not matches_any((), LABELS)
