"""MetalLB takes lists of selectors of which one must match; most fields of Porter take a single selector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from porter.app.migrate.fields import Fields
from porter.model.selector import OPERATORS, Requirement, Selector
from porter.policy.selectors import matches

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""The API server labels every Namespace with its name (KEP-2161)."""

Labels = dict[str, str]


def taken(fields: Fields, name: str) -> list[Selector]:
    """Take a list of selectors; one that is none is refused with its place."""
    return [selector for selector in (_selector(fields, name, tree) for tree in fields.objects(name)) if selector]


def _selector(fields: Fields, name: str, tree: dict[str, Any]) -> Selector | None:
    labels = tree.get("matchLabels", {})
    good = isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    requirements = []
    expressions = tree.get("matchExpressions", [])
    for expression in expressions if isinstance(expressions, list) else ():
        requirement = _requirement(expression)
        good = good and requirement is not None
        if requirement is not None:
            requirements.append(requirement)
    if not good or not isinstance(expressions, list) or tree.keys() - {"matchLabels", "matchExpressions"}:
        fields.refused(name, "holds an entry that is no label selector; write matchLabels or matchExpressions below it")
        return None
    return Selector(tuple(sorted(labels.items())), tuple(sorted(set(requirements))))


def _requirement(tree: object) -> Requirement | None:
    if not isinstance(tree, dict) or not isinstance(tree.get("key"), str) or tree.get("operator") not in OPERATORS:
        return None
    values = tree.get("values", [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return None
    if bool(values) != (tree["operator"] in {"In", "NotIn"}):
        return None
    return Requirement(tree["key"], tree["operator"], tuple(sorted(set(values))))


def named(names: Iterable[str]) -> Selector:
    """The Namespaces of these names, as a selector."""
    return Selector((), (Requirement(NAMESPACE_NAME_LABEL, "In", tuple(sorted(set(names)))),))


def united(selectors: Sequence[Selector]) -> Selector | None:
    """One selector that matches what any of several matches; None where there is none.

    There is one if they differ in a single requirement, by the values that one label may have.
    """
    requirements = [_requirements(selector) for selector in selectors]
    if not all(requirements):
        return Selector()
    if len(set(requirements)) == 1:
        return _of(requirements[0])
    common = frozenset.intersection(*requirements)
    rest = [each - common for each in requirements]
    if any(len(each) != 1 for each in rest):
        return None
    differing = [next(iter(each)) for each in rest]
    if len({one.key for one in differing}) > 1 or any(one.operator != "In" for one in differing):
        return None
    values = tuple(sorted({value for one in differing for value in one.values}))
    return _of(common | {Requirement(differing[0].key, "In", values)})


def _requirements(selector: Selector) -> frozenset[Requirement]:
    pairs = (Requirement(key, "In", (value,)) for key, value in selector.labels)
    return frozenset(pairs) | frozenset(selector.expressions)


def _of(requirements: Iterable[Requirement]) -> Selector:
    labels, expressions = [], []
    for one in sorted(requirements):
        if one.operator == "In" and len(one.values) == 1:
            labels.append((one.key, one.values[0]))
        else:
            expressions.append(one)
    return Selector(tuple(labels), tuple(expressions))


def tree_of(selector: Selector) -> dict[str, Any]:
    """A selector as a manifest has it."""
    tree: dict[str, Any] = {}
    if selector.labels:
        tree["matchLabels"] = dict(selector.labels)
    if selector.expressions:
        tree["matchExpressions"] = [
            {"key": one.key, "operator": one.operator, **({"values": list(one.values)} if one.values else {})}
            for one in selector.expressions
        ]
    return tree


def matching(selectors: Iterable[Selector], labelled: dict[str, Labels]) -> list[str]:
    """The names of the objects that one of several selectors matches."""
    every = list(selectors)
    return sorted(
        name
        for name, labels in labelled.items()
        if any(matches(selector, tuple(sorted(labels.items()))) for selector in every)
    )
