"""Durations as Go writes them, such as 90s, 10m or 1h30m."""

from __future__ import annotations

import re
from decimal import Decimal

from porter.kube.facts.fields import Fields, quoted

MAX_DURATION_CHARACTERS = 32
_UNITS_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|h|m|s)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


class InvalidDuration(ValueError):
    """Text that is no duration; the message says what was expected."""


def parse_duration_ms(text: str) -> int:
    """Return a duration in milliseconds, a fraction of one cut off; 0 needs no unit.

    Raises:
        InvalidDuration: the text is no duration in hours, minutes, seconds and milliseconds.
    """
    if text == "0":
        return 0
    if len(text) > MAX_DURATION_CHARACTERS or not _WHOLE.fullmatch(text):
        raise InvalidDuration(f"{quoted(text)} is no duration; write one like 90s, 10m or 1h30m")
    return int(sum(Decimal(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text)))


def duration_ms(fields: Fields, name: str, longest: str) -> int:
    """Take a duration of at most `longest`, itself written as one; 0 where it is not set or wrong."""
    value = fields.taken(name)
    if value is None:
        return 0
    if not isinstance(value, str):
        fields.invalid(name, f"is {quoted(value)}; write a duration with its unit, like 90s, 10m or 1h30m")
        return 0
    try:
        taken_ms = parse_duration_ms(value.strip())
    except InvalidDuration as error:
        fields.invalid(name, f"is wrong: {error}")
        return 0
    if taken_ms > parse_duration_ms(longest):
        fields.invalid(name, f"is {quoted(value)}; write a duration of at most {longest}")
        return 0
    return taken_ms
