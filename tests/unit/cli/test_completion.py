"""Tab, in a shell and behind `kubectl porter`; and the program under the name of a kubectl plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from porter import __version__

BINARIES = Path(sys.executable).parent
PROGRAMS = ("porter", "kubectl-porter")


def run(*command: str, **environment: str) -> str:
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
    )
    return ended.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_plugin_is_the_program(program):
    assert run(str(BINARIES / program), "version") == f"porter {__version__}\n"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("words", "candidate"),
    [("expl", "explain"), ("journal sh", "show"), ("explain --na", "--namespace"), ("doctor -o ", "yaml")],
)
def test_a_shell_completes_commands_options_and_values(program, words, candidate):
    environment = {
        f"_{program.upper().replace('-', '_')}_COMPLETE": "complete_bash",
        "COMP_WORDS": f"{program} {words}",
        "COMP_CWORD": str(len(f"{program} {words}".split(" ")) - 1),
    }
    assert candidate in run(str(BINARIES / program), **environment).splitlines()


@pytest.mark.parametrize(("words", "candidate"), [(["ti"], "timeline"), (["journal", ""], "cat"), ([""], "doctor")])
def test_kubectl_is_told_the_candidates_and_that_they_are_no_files(words, candidate):
    *candidates, directive = run(sys.executable, "-m", "porter.cli.kubectl_completion", *words).splitlines()
    assert (candidate in candidates, directive) == (True, ":4")
