"""Durations on a command line."""

from __future__ import annotations

import pytest

from porter.app.settings import InvalidSettings
from porter.cli.durations import duration_ms


@pytest.mark.parametrize(("text", "ms"), [("10s", 10_000), ("500ms", 500), ("1h30m", 5_400_000), ("0s", 0)])
def test_a_duration_is_read(text: str, ms: int) -> None:
    assert duration_ms(text, "--delay") == ms


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-1s", "1.5s", "10sec"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match="--delay"):
        duration_ms(text, "--delay")
