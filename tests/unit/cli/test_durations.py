"""Durations on a command line."""

from __future__ import annotations

import pytest

from porter.app.settings import InvalidSettings
from porter.cli.durations import duration_ms
from porter.cli.kept_options import KeptOptions


@pytest.mark.parametrize(("text", "ms"), [("10s", 10_000), ("500ms", 500), ("1h30m", 5_400_000), ("0s", 0)])
def test_a_duration_is_read(text: str, ms: int) -> None:
    assert duration_ms(text, "--delay") == ms


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-1s", "1.5s", "10sec"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match="--delay"):
        duration_ms(text, "--delay")


@pytest.mark.parametrize(("trim", "full"), [("2Gi", "1Gi"), ("1Gi", "1024Mi"), ("1025Mi", "1Gi")])
def test_a_journal_that_would_be_full_before_it_is_trimmed_is_refused(trim: str, full: str) -> None:
    """It would take nothing more, and never be trimmed."""
    with pytest.raises(InvalidSettings, match=f"--journal-trim {trim} is not below --journal-max {full}"):
        KeptOptions(journal_trim=trim, journal_max=full).settings()


@pytest.mark.parametrize(("trim", "full"), [("0", "1Gi"), ("512Mi", "1Gi"), ("24Ki", "1Gi")])
def test_a_journal_that_is_trimmed_in_time_or_not_by_size_is_allowed(trim: str, full: str) -> None:
    assert KeptOptions(journal_trim=trim, journal_max=full).settings()["journal_max_bytes"] == 1 << 30
