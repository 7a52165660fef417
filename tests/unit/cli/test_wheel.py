"""What an installed Porter carries."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]


def test_the_crds_are_printed_from_an_installed_wheel(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=SOURCE,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    printed = subprocess.run(
        # The wheel's own package, before the work tree's: -P keeps the current folder out.
        [sys.executable, "-P", "-m", "porter", "crds"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
    )
    sources = sorted((SOURCE / "deploy" / "crds").glob("*.yaml"))
    assert sources
    assert all(source.read_text().removeprefix("---\n") in printed.stdout for source in sources)
    assert all((installed / "porter" / "crds" / source.name).is_file() for source in sources)
    pages = {path.name for path in (SOURCE / "porter/console/static").iterdir()}
    assert {path.name for path in (installed / "porter/console/static").iterdir()} == pages
    assert "index.html" in pages
