"""Moments as people write them: a position, a time of their own zone, or how long ago."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable

from porter.app.settings import InvalidSettings
from porter.cli.durations import duration_ms

_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?")


def now_ms() -> int:
    """The present, which relative moments count back from."""
    return int(time.time() * 1000)


def moment_text(text: str, option: str, reference_ms: Callable[[], int] = now_ms) -> str:
    """What the HTTP API takes: a position as it is, and any time as RFC 3339 in UTC.

    `reference_ms` is the present, or for an exported file its last event: -15m counts back from there, and 14:02 is
    the last time that it was 14:02.

    Raises:
        InvalidSettings: it is no moment; the message names the option.
    """
    text = text.strip()
    if not text or text.removeprefix("#").isdecimal():
        return text.removeprefix("#")
    if text.startswith("-"):
        ago_ms = duration_ms(text.removeprefix("-"), option)
        try:
            return _rfc3339(reference_ms() - ago_ms)
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidSettings(f"{option} {text!r} is longer ago than any journal; write one like -15m") from error
    clock = _CLOCK.fullmatch(text)
    try:
        if clock is not None:
            return _rfc3339(_last(clock, reference_ms()))
        # Without a zone it is the reader's own.
        return _rfc3339(int(dt.datetime.fromisoformat(text).astimezone().timestamp() * 1000))
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidSettings(
            f"{option} {text!r} is no moment; write a position like 41877, a time like 14:02, 14:02:11 or "
            "2026-11-25T14:02:11Z, or how long ago, like -15m"
        ) from error


def _last(clock: re.Match[str], reference_ms: int) -> int:
    hour, minute, second, fraction = clock.groups()
    reference = dt.datetime.fromtimestamp(reference_ms / 1000, tz=dt.UTC).astimezone()
    wanted = dt.time(int(hour), int(minute), int(second or 0), int((fraction or "0").ljust(3, "0")) * 1000)
    for days in (0, 1):
        # Combined without a zone, so that the day's own offset holds, also across a change of the clocks.
        moment = dt.datetime.combine(reference.date() - dt.timedelta(days=days), wanted).astimezone()
        if moment <= reference or days:
            return int(moment.timestamp() * 1000)
    raise AssertionError("one of the two days lies before the reference")


def _rfc3339(time_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
