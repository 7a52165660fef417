"""Commands that act: each becomes an event of the journal, with who asked for it and why."""

from __future__ import annotations

from typing import Annotated

import typer

from porter.app.settings import DEFAULT_STATE_DIR
from porter.cli import options
from porter.cli.options import Output
from porter.cli.render import print_answer


def drain_speaker(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The speaker, as `porter status` shows it.")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="End the drain: the speaker announces again.")] = False,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the journal.")] = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Have a speaker withdraw everything that it announces, before it is taken away; --undo ends that."""
    from porter.cli.client import Controller  # noqa: PLC0415 -- only what a command needs is imported, when it runs.

    answer = Controller(server, state_dir).post("/v1/drain", {"speaker": name, "why": why, "undo": undo})
    if not print_answer(answer, output):
        done = "announces again" if undo else "withdraws everything"
        typer.echo(f"speaker {name} {done}; journaled as #{answer['position']}")
