"""Spans of time, and sizes, as people write them on a command line."""

from __future__ import annotations

import re

from porter.app.settings import InvalidSettings

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str, option: str) -> int:
    """Milliseconds of a duration like 10s, 2m, 500ms, 1h30m or 30d.

    Raises:
        InvalidSettings: it is none; the message names the option.
    """
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidSettings(f"{option} {text!r} is no duration; write one like 10s, 2m or 1h30m")
    return sum(int(number) * _UNITS_MS[unit] for number, unit in parts)


_SIZES = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def size_bytes(text: str, option: str) -> int:
    """Bytes of a size like 512Mi or 8Gi; a bare number is bytes.

    Raises:
        InvalidSettings: it is none; the message names the option.
    """
    found = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti|)", text)
    if found is None:
        raise InvalidSettings(f"{option} {text!r} is no size; write one like 512Mi or 8Gi")
    return int(found[1]) * _SIZES[found[2]]


def keep_s(text: str, option: str) -> int:
    """Seconds of a duration; "" or 0 for no bound.

    Raises:
        InvalidSettings: it is none, or less than a second.
    """
    if text in {"", "0"}:
        return 0
    seconds = duration_ms(text, option) // 1000
    if not seconds:
        raise InvalidSettings(f"{option} {text!r} is less than a second; write 0 for no bound")
    return seconds
