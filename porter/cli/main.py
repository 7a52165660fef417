"""The command line `porter`, also as the kubectl plugin `kubectl porter`.

Every command imports what it needs when it runs: `porter --help` answers at once, and no program carries another's
libraries. Exit codes: 0 fine, 1 a finding, 2 wrong usage, 3 what should be asked does not answer.
"""

from __future__ import annotations

import sys

import typer

from porter.app.settings import InvalidSettings
from porter.cli import actions, exits, programs, questions

app = typer.Typer(
    name="porter",
    help="An event-sourced load balancer for bare-metal Kubernetes.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
drain = typer.Typer(help="Take something out of service gracefully.", no_args_is_help=True, rich_markup_mode=None)
journal = typer.Typer(help="Read the journal.", no_args_is_help=True, rich_markup_mode=None)

for program in (programs.up, programs.controller, programs.speaker, programs.exabgp, programs.demo):
    app.command()(program)
for question in (questions.status, questions.routes, questions.crds, questions.version):
    app.command()(question)
drain.command("speaker")(actions.drain_speaker)
journal.command("tail")(questions.journal_tail)
app.add_typer(drain, name="drain")
app.add_typer(journal, name="journal")


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except exits.Finding as finding:
        _end(str(finding), exits.FINDING)
    except InvalidSettings as error:
        _end(str(error), exits.USAGE)
    except exits.Unreachable as error:
        _end(str(error), exits.UNREACHABLE)
    except KeyboardInterrupt:
        _end("interrupted", exits.FINDING)


def _end(sentence: str, code: int) -> None:
    typer.echo(f"porter: {sentence}", err=True)
    sys.exit(code)
