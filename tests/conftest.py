"""For every suite: the time of each, and no skip where CI=true."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
IMPOSSIBLE_HERE = "impossible here: "
"""How the reason of a skip begins that no set-up can mend, such as a feature that the machine's kernel lacks."""

_seconds: defaultdict[str, float] = defaultdict(float)


def pytest_configure() -> None:
    # A shell without job control has what it runs in the background ignore interrupts, and its children with it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    suite = Path(report.nodeid.partition("::")[0]).parts[1:2]
    _seconds[suite[0] if suite else "."] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for suite, seconds in _seconds.items():
        terminalreporter.write_line(f"suite {suite}: {seconds:.1f} s in its tests")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Where CI=true, a part that is missing fails what needs it: a suite that quietly skips itself proves nothing."""
    outcome = yield
    fail_a_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    outcome = yield
    fail_a_skip(outcome.get_result())


def fail_a_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI", "").lower() != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(IMPOSSIBLE_HERE):
        report.outcome = "failed"
        report.longrepr = (
            f"skipped, and CI=true allows no skip: {reason}\n"
            f"Mend what is missing (scripts/setup, scripts/setup-lab); a reason that no set-up can mend begins with "
            f"{IMPOSSIBLE_HERE!r}."
        )
