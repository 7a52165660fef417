"""`kubectl_complete-porter`: what kubectl asks when somebody presses Tab behind `kubectl porter`.

kubectl calls it with the words so far, the last one unfinished, and reads one candidate per line and then a directive,
as Cobra's completions tell them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys

import typer

from porter.cli.main import app

NO_FILES = ":4"
"""Cobra's ShellCompDirectiveNoFileComp: files are no candidates."""
PROGRAM = "porter"


def main() -> None:
    """Print the candidates for the last of the words, and the directive."""
    words = [PROGRAM, *sys.argv[1:]]
    os.environ |= {
        "_PORTER_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    with contextlib.suppress(SystemExit):
        app(prog_name=PROGRAM)
    typer.echo(NO_FILES)


if __name__ == "__main__":
    main()
