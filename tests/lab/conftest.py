"""The lab as fixtures. One lab serves all suites of a session; a test that changes anything takes ``clean``."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import programs
from tests.lab.lab import Lab

HERE = Path(__file__).parent

_lab: pytest.StashKey[Lab] = pytest.StashKey()
_missing: pytest.StashKey[str] = pytest.StashKey()
_suite_s: dict[str, float] = defaultdict(float)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look for the programs, and build what is missing, before the first test's time runs."""
    if session.config.option.collectonly or not any(HERE in item.path.parents for item in session.items):
        return
    if os.geteuid() != 0:
        session.config.stash[_missing] = "the lab makes network namespaces and so needs root; run it with sudo"
        return
    began_s = time.monotonic()
    try:
        programs.check_all()
        programs.kubernetes_programs()
    except programs.ProgramMissing as error:
        session.config.stash[_missing] = str(error)
    _suite_s["(programs)"] = time.monotonic() - began_s


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The lab, up: an API server, three nodes with a pod each, FRR and BIRD with a client behind each, Redis."""
    if reason := pytestconfig.stash.get(_missing, ""):
        _unavailable(reason)
    with Lab() as made:
        pytestconfig.stash[_lab] = made
        yield made
        del pytestconfig.stash[_lab]


@pytest.fixture
def clean(lab: Lab) -> Iterator[Lab]:
    """The lab, and after the test whatever it made or broke put back as it was."""
    yield lab
    lab.reset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the ends of the programs' logs to the report of a failed test."""
    report = yield
    made = item.config.stash.get(_lab, None)
    if made is not None and report.failed and HERE in item.path.parents:
        report.sections.append(("Logs of the lab", made.run.tails()))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up each suite's time."""
    path = report.nodeid.partition("::")[0]
    if path.startswith("tests/lab/"):
        _suite_s[path] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long each suite of the lab took, its share of the set-up included."""
    if _suite_s:
        terminalreporter.section("time of the lab's suites")
        for path, took_s in _suite_s.items():
            terminalreporter.write_line(f"{took_s:8.1f} s  {path}")


def _unavailable(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"the lab cannot run here: {reason}", pytrace=False)
    pytest.skip(reason)
