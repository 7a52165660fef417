"""Prometheus' own judge of metrics and rules."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool, or skip where it is not installed."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; scripts/setup-lab installs it (Debian package prometheus)")
    return subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True, check=False)
