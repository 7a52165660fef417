"""The pages about migration show what the commands print; run this file (`python -m`, or by its path) to renew them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from porter.cli.main import main

SOURCE = Path(__file__).resolve().parents[3]
PAGES = sorted((SOURCE / "docs/migrate").glob("*.md"))
EXAMPLE = re.compile(r"```console\n\$ porter (?P<command>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)


def printed(command: str) -> str:
    """What a command prints to standard output, as a reader of the page sees it, who stands in the repository."""
    output = io.StringIO()
    arguments, folder = sys.argv, Path.cwd()
    sys.argv = ["porter", *shlex.split(command)]
    os.chdir(SOURCE)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            main()
    except SystemExit as ended:
        assert ended.code in {0, 1}, ended
    finally:
        sys.argv = arguments
        os.chdir(folder)
    return output.getvalue()


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
