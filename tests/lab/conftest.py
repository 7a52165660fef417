"""The lab as fixtures. One lab serves all suites of a session; a test that changes anything takes ``clean``."""

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.lab import programs, scenario
from tests.lab.lab import Lab
from tests.lab.porter import Porter

HERE = Path(__file__).parent

LAST = ("test_dropped_routes.py", "test_faults.py")
"""They run last: for half a minute after hundreds of Services went, the cluster's own controllers are behind."""

_lab: pytest.StashKey[Lab] = pytest.StashKey()
_missing: pytest.StashKey[str] = pytest.StashKey()
_set_up_s: dict[str, float] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the suites of many Services behind the others; the sort keeps the order of everything else."""
    items.sort(key=lambda item: item.path.parent == HERE and item.path.name in LAST)


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
    _set_up_s["its programs"] = time.monotonic() - began_s


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The lab, up: an API server, three nodes with a pod each, FRR and BIRD with a client behind each, Redis."""
    if reason := pytestconfig.stash.get(_missing, ""):
        pytest.skip(reason)
    with Lab() as made:
        pytestconfig.stash[_lab] = made
        _set_up_s["coming up"] = made.set_up_s
        yield made
        del pytestconfig.stash[_lab]


@pytest.fixture(scope="module")
def porter(lab: Lab) -> Iterator[Porter]:
    """Porter with a session to both routers and a default pool of both families; suites may have their own."""
    scenario.configure(lab)
    started = lab.porter().start()
    scenario.wait_sessions(lab, started)
    yield started
    lab.reset()


@pytest.fixture
def clean(lab: Lab) -> Iterator[Lab]:
    """The lab, and after the test whatever it made or broke put back as it was."""
    yield lab
    lab.reset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the ends of the programs' logs to the report of a failed test."""
    report = yield
    made = item.config.stash.get(_lab, None)
    if made is not None and report.failed and HERE in item.path.parents:
        report.sections.append(("Logs of the lab", made.run.tails()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long the lab took to come up."""
    for what, took_s in _set_up_s.items():
        terminalreporter.write_line(f"lab: {took_s:.1f} s for {what}")
