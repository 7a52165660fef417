"""`porter demo` with every router that this machine has: it must hold what it promises, and clean up behind itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from porter.app.demo.routers import choose_router
from porter.app.settings import InvalidSettings
from tests.integration.programs.supervised import SOURCE

LIMIT_S = 110


@pytest.mark.parametrize("router", ["bird", "gobgp", "exabgp"])
def test_the_demo_holds_and_leaves_nothing_behind(router, tmp_path):
    try:
        name = choose_router(router).name
    except InvalidSettings as missing:
        pytest.skip(str(missing))
    shown = subprocess.run(
        [sys.executable, "-m", "porter", "demo", "--router", router],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=SOURCE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for told in (
        f"router: {name}",
        "Established",
        "kill -9 controller",
        "kill -9 speaker",
        "kill -9 exabgp",
        "All held",
    ):
        assert told in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_cannot_hold_fails_and_shows_the_logs(tmp_path):
    """Without a server for the journal nothing works: the demo has to say so, and to end with 1."""
    shown = subprocess.run(
        [sys.executable, "-m", "porter", "demo", "--router", "exabgp", "--state-dir", str(tmp_path / "demo")],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=SOURCE,
        env={**os.environ, "PORTER_REDIS_SERVER": "/nowhere/redis-server"},
    )
    assert shown.returncode == 1
    assert "The demo FAILED" in shown.stdout
    assert "PORTER_REDIS_SERVER" in shown.stdout
