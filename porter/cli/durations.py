"""Spans of time as people write them on a command line."""

from __future__ import annotations

import re

from porter.app.settings import InvalidSettings

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def duration_ms(text: str, option: str) -> int:
    """Milliseconds of a duration like 10s, 2m, 500ms or 1h30m.

    Raises:
        InvalidSettings: it is none; the message names the option.
    """
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidSettings(f"{option} {text!r} is no duration; write one like 10s, 2m or 1h30m")
    return sum(int(number) * _UNITS_MS[unit] for number, unit in parts)
