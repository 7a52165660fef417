"""The summary of `make test` is honest: it names what failed and what was skipped, and fails when it should."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OUTCOMES = """
import pytest

def test_good(): pass
def test_bad(): assert False
def test_without_etcd(): pytest.skip("etcd is not installed")
def test_without_vrf(): pytest.skip("impossible here: this kernel has no VRF")
"""
SKIPS_ITSELF = """
import pytest
pytest.skip("no server was found", allow_module_level=True)
"""
GOOD = "def test_good(): pass"
SLOW = "def test_slow(): __import__('time').sleep(600)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tree with the real runner and rules, and a suite of its own."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/test", tmp_path / "scripts/test")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\n")
    (tmp_path / "tests/unit").mkdir(parents=True)
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests/conftest.py")
    return tmp_path


def run_suites(project: Path, *suites: str, ci: bool = False) -> tuple[int, list[str]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CI", "PYTEST"))}
    ran = subprocess.run(
        [ROOT / ".venv/bin/python", project / "scripts/test", *suites],
        env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "true" if ci else ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout.splitlines()


def test_a_good_suite_passes(project: Path):
    (project / "tests/unit/test_good.py").write_text(GOOD)
    code, lines = run_suites(project, "unit")
    assert (code, lines[-1]) == (0, "1 passed, 0 failed, 0 skipped")


def test_failures_and_skips_are_named(project: Path):
    (project / "tests/unit/test_outcomes.py").write_text(OUTCOMES)
    (project / "tests/unit/test_skips_itself.py").write_text(SKIPS_ITSELF)
    code, lines = run_suites(project, "unit", "property")
    assert (code, lines[-1]) == (1, "1 passed, 1 failed, 4 skipped")
    summary = lines[lines.index("== summary") :]
    assert "unit: failed: tests.unit.test_outcomes::test_bad" in summary
    assert "unit: skipped: etcd is not installed" in summary
    assert "unit: skipped: no server was found" in summary
    assert "property: skipped: there are no tests in tests/property" in summary


def test_in_ci_only_the_impossible_is_skipped(project: Path):
    (project / "tests/unit/test_outcomes.py").write_text(OUTCOMES)
    (project / "tests/unit/test_skips_itself.py").write_text(SKIPS_ITSELF)
    code, lines = run_suites(project, "unit", "property", ci=True)
    assert (code, lines[-1]) == (1, "1 passed, 4 failed, 1 skipped")
    assert "unit: skipped: impossible here: this kernel has no VRF" in lines


def test_a_suite_over_its_time_fails(project: Path):
    (project / "tests/unit/test_slow.py").write_text(SLOW)
    runner = project / "scripts/test"
    runner.write_text(runner.read_text().replace('"unit": 300', '"unit": 3'))
    code, lines = run_suites(project, "unit")
    assert (code, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")
    assert "unit: failed: the suite was not done after 3 s" in lines


def test_an_unknown_suite_is_refused(project: Path):
    code, _ = run_suites(project, "unti")
    assert code == 2
