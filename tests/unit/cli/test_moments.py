"""Moments as people write them."""

from __future__ import annotations

import time

import pytest

from porter.app.settings import InvalidSettings
from porter.cli.moments import moment_text

NOW_MS = 1_795_629_600_000  # 2026-11-25T18:00:00Z


@pytest.fixture(autouse=True)
def zone(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("41877", "41877"),
        ("#41877", "41877"),
        ("-15m", "2026-11-25T17:45:00.000Z"),
        ("-1h30m", "2026-11-25T16:30:00.000Z"),
        ("18:30", "2026-11-25T17:30:00.000Z"),
        ("18:30:05.25", "2026-11-25T17:30:05.250Z"),
        ("19:00", "2026-11-25T18:00:00.000Z"),
        ("19:01", "2026-11-24T18:01:00.000Z"),
        ("2026-07-01T12:00:00", "2026-07-01T10:00:00.000Z"),
        ("2026-11-25 12:00", "2026-11-25T11:00:00.000Z"),
        ("2026-11-25T12:00:00Z", "2026-11-25T12:00:00.000Z"),
        ("2026-11-25T12:00:00-05:00", "2026-11-25T17:00:00.000Z"),
        ("", ""),
    ],
)
def test_a_moment_is_a_position_or_a_time_of_the_readers_zone(text, told):
    assert moment_text(text, "--at", lambda: NOW_MS) == told


@pytest.mark.parametrize("text", ["-999999d", "-99999999999d", f"-{'9' * 30}d"])
def test_what_is_longer_ago_than_time_goes_back_is_refused(text):
    with pytest.raises(InvalidSettings, match="--at"):
        moment_text(text, "--at", lambda: NOW_MS)


@pytest.mark.parametrize(
    "text", ["noon", "-15", "25:00", "12:60", "-", "1.5", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_none_is_refused_with_an_example(text):
    with pytest.raises(InvalidSettings, match="--at"):
        moment_text(text, "--at", lambda: NOW_MS)
