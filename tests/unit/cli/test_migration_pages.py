"""The pages about migration show what the commands print; `python tests/unit/cli/test_migration_pages.py` renews them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3]
PAGES = sorted((SOURCE / "docs/migrate").glob("*.md"))
EXAMPLE = re.compile(r"```console\n\$ porter (?P<command>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)


def printed(command: str) -> str:
    """What a command prints to standard output, as a reader of the page sees it."""
    done = subprocess.run(
        [sys.executable, "-m", "porter", *shlex.split(command)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=SOURCE,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def examples() -> list[tuple[str, str, str]]:
    return [(page.name, one["command"], one["output"]) for page in PAGES for one in EXAMPLE.finditer(page.read_text())]


@pytest.mark.parametrize(("page", "command", "output"), examples(), ids=lambda value: value[:60].splitlines()[0])
def test_a_page_shows_what_the_command_prints(page, command, output):
    assert output == printed(command)


def test_every_sample_is_shown():
    shown = " ".join(command for _, command, _ in examples())
    for folder in (SOURCE / "docs/migrate/samples").iterdir():
        assert folder.name in shown


def renew() -> None:
    for page in PAGES:
        text = page.read_text()
        page.write_text(
            EXAMPLE.sub(lambda one: f"```console\n$ porter {one['command']}\n{printed(one['command'])}```", text)
        )


if __name__ == "__main__":
    renew()
