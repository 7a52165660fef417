"""Label selectors as plain values (meta/v1 LabelSelector); `porter.policy.selectors` says what they match."""

from __future__ import annotations

from typing import NamedTuple

Pairs = tuple[tuple[str, str], ...]
"""Labels, sorted by key."""

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class Requirement(NamedTuple):
    """One entry of `matchExpressions`; `operator` is one of `OPERATORS`, `values` are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Selector(NamedTuple):
    """All of the labels and all of the requirements must hold; without any it selects everything.

    Facts keep an optional selector as a tuple of none or one, and a list of alternatives as a tuple of several.
    """

    labels: Pairs = ()
    expressions: tuple[Requirement, ...] = ()
