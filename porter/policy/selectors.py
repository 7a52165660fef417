"""What a label selector matches (Kubernetes API conventions, "Label selectors")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from porter.model.selector import Pairs, Requirement, Selector


def matches(selector: Selector, labels: Pairs) -> bool:
    """Whether labels meet every pair and every requirement of a selector; an empty selector matches all."""
    if not set(selector.labels).issubset(labels):
        return False
    if not selector.expressions:
        return True
    by_key = dict(labels)
    return all(_holds(requirement, by_key) for requirement in selector.expressions)


def matches_any(selectors: Iterable[Selector], labels: Pairs) -> bool:
    """Whether labels meet one of several selectors; none of them matches nothing."""
    return any(matches(selector, labels) for selector in selectors)


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    key, operator, values = requirement
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            # A label that is not there is not among the values either (labels.Requirement.Matches).
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False
