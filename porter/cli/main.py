"""The command line `porter`, also as the kubectl plugin `kubectl porter`.

Every command imports what it needs when it runs: `porter --help` answers at once, and no program carries another's
libraries. Exit codes: 0 fine, 1 a finding, 2 wrong usage, 3 what should be asked does not answer;
130 after Ctrl-C, 141 where the reader of the output has gone.
"""

from __future__ import annotations

import os
import sys

import typer

from porter.app.settings import InvalidSettings
from porter.cli import (
    actions,
    collect,
    console,
    doctor,
    exits,
    explain,
    history,
    incident,
    migrate,
    plan,
    programs,
    questions,
    readers,
    replay,
)
from porter.cli.groups import spread

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
migration = typer.Typer(
    help="Move to Porter: print the manifests, what becomes of each field, and which addresses follow.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

for program in (
    programs.up,
    programs.controller,
    programs.speaker,
    programs.agent,
    programs.exabgp,
    programs.bfd,
    programs.gobgp,
    programs.demo,
    console.console,
):
    app.command()(program)
for question in (
    questions.status,
    questions.routes,
    questions.pools,
    questions.services,
    questions.peers,
    explain.explain,
    history.timeline,
    history.diff,
    doctor.doctor,
    collect.collect,
    plan.plan,
    replay.replay,
    replay.bisect,
    questions.crds,
    questions.version,
):
    app.command()(spread(question))
app.command()(spread(incident.export))
app.command("import")(incident.import_)
app.command()(spread(incident.verify))
drain.command("speaker")(spread(actions.drain_speaker))
drain.command("node")(spread(actions.drain_node))
drain.command("service")(spread(actions.drain_service))
for name in ("uncordon", "undrain"):
    ended = typer.Typer(help="Bring something into service again.", no_args_is_help=True, rich_markup_mode=None)
    ended.command("node")(spread(actions.uncordon_node))
    ended.command("service")(spread(actions.uncordon_service))
    ended.command("speaker")(spread(actions.uncordon_speaker))
    app.add_typer(ended, name=name, hidden=name == "undrain")
app.command()(spread(actions.approve))
app.command()(readers.readers)
journal.command("tail")(spread(questions.journal_tail))
journal.command("show")(spread(replay.journal_show))
journal.command("cat")(spread(replay.journal_cat))
for origin in (migrate.metallb, migrate.openelb):
    migration.command()(origin)
app.add_typer(drain, name="drain")
app.add_typer(journal, name="journal")
app.add_typer(migration, name="migrate")


CODES: dict[type[Exception], int] = {
    exits.Finding: exits.FINDING,
    InvalidSettings: exits.USAGE,
    exits.Unreachable: exits.UNREACHABLE,
}
"""The exit code of each failure that is told in one sentence; any other is a defect, and shows where it happened."""

TOLD: tuple[type[Exception], ...] = (*CODES, ExceptionGroup)
"""Failures of a program of several tasks come as groups."""


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except TOLD as error:
        known = _known(error)
        if known is None:
            raise
        typer.echo(f"porter: {known}", err=True)
        sys.exit(next(code for kind, code in CODES.items() if isinstance(known, kind)))
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError) or not _flushed():
            sys.exit(exits.PIPE_CLOSED)
        raise
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)


def _flushed() -> bool:
    """Whether everything reached standard output; if not, Python does not try again at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _known(error: Exception) -> Exception | None:
    """The failure that a person is told; the programs' task groups wrap what one of their parts raised."""
    if isinstance(error, ExceptionGroup):
        return next((known for each in error.exceptions if (known := _known(each)) is not None), None)
    return error if isinstance(error, tuple(CODES)) else None
