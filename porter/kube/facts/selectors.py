"""Label selectors (meta/v1 LabelSelector) of our objects.

A selector that is not understood becomes a problem and never a wider one: what restricts must not be dropped.
"""

from __future__ import annotations

from porter.kube.facts.fields import (
    MAX_LABEL_KEY_CHARACTERS,
    MAX_LABEL_VALUE_CHARACTERS,
    MAX_QUOTED_CHARACTERS,
    Fields,
    pairs,
    quoted,
)
from porter.model.selector import OPERATORS, Pairs, Requirement, Selector

MAX_LABELS = 64
MAX_EXPRESSIONS = 64
MAX_VALUES = 256
MAX_SELECTORS = 64
_WITH_VALUES = ("In", "NotIn")


def optional_selector(fields: Fields, name: str) -> tuple[Selector, ...]:
    """Take an optional selector: none or one; one that is set and empty selects everything."""
    if not fields.has(name):
        fields.taken(name)
        return ()
    return (read_selector(fields.below(name)),)


def several_selectors(fields: Fields, name: str) -> tuple[Selector, ...]:
    """Take a list of selectors that are alternatives."""
    entries = fields.each(name)
    if len(entries) > MAX_SELECTORS:
        fields.invalid(name, f"holds {len(entries)} selectors; at most {MAX_SELECTORS} are allowed")
        return ()
    return tuple(read_selector(fields.entry(name, index, entry)) for index, entry in enumerate(entries))


def read_selector(level: Fields) -> Selector:
    """Read `matchLabels` and `matchExpressions` of a level, and finish it."""
    labels = equalities(level, "matchLabels")
    entries = level.each("matchExpressions")
    if len(entries) > MAX_EXPRESSIONS:
        level.invalid("matchExpressions", f"holds {len(entries)} entries; at most {MAX_EXPRESSIONS} are allowed")
        entries = []
    expressions = [_requirement(level.entry("matchExpressions", index, entry)) for index, entry in enumerate(entries)]
    level.finish()
    return Selector(labels, tuple(sorted({one for one in expressions if one is not None})))


def equalities(level: Fields, name: str) -> Pairs:
    """Take a map of labels that must all be there."""
    labels = level.string_map(name)
    long = [key for key in labels if not 0 < len(key) <= MAX_LABEL_KEY_CHARACTERS]
    if long:
        level.invalid(
            f"{name}[{long[0][:MAX_QUOTED_CHARACTERS]}]", "is no label's key; write one like example.com/team"
        )
    if len(labels) > MAX_LABELS:
        level.invalid(name, f"holds {len(labels)} labels; at most {MAX_LABELS} are allowed")
    return pairs(labels)


def _requirement(entry: Fields) -> Requirement | None:
    key, operator = entry.text("key", limit=MAX_LABEL_KEY_CHARACTERS), entry.text("operator")
    values = entry.each("values")
    entry.finish()
    if not key:
        entry.invalid("key", "is not set; write the label's key")
        return None
    if operator not in OPERATORS:
        entry.invalid("operator", f"is {quoted(operator)}; write one of {', '.join(OPERATORS)}")
        return None
    if operator in _WITH_VALUES and not values:
        entry.invalid("values", f"is not set, but {operator} compares with values; write at least one")
        return None
    if operator not in _WITH_VALUES and values:
        entry.invalid("values", f"is set, but {operator} takes none; remove it")
        return None
    if len(values) > MAX_VALUES or not all(_is_value(value) for value in values):
        entry.invalid("values", f"holds what is no label's value; write at most {MAX_VALUES} texts in quotes")
        return None
    return Requirement(key, operator, tuple(sorted(set(values))))


def _is_value(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LABEL_VALUE_CHARACTERS
