"""`porter plan --with-version`: an upgrade test on the cluster's own past."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

from typing import Any

import typer

from porter.cli.asking import history_of, journal_errors, with_moments
from porter.cli.exits import Finding
from porter.cli.groups import Where
from porter.cli.options import Output
from porter.cli.render import print_answer

NOTHING = {"answer": "nothing", "missing": "nothing", "order": "later"}
"""What was decided then where no sentence is."""


def decide_again(since: str, where: Where, output: Output) -> None:
    """Print which decisions of a history this build would make otherwise.

    Raises:
        Finding: there are some.
    """
    from porter.app.history.moments import Moment
    from porter.app.incident import direct
    from porter.app.plan import redecided

    with journal_errors(where):
        wanted = with_moments({"since": since}, where.source)
        moment = Moment.from_query(wanted, "since")
        place = history_of(wanted, where)
        answer = direct.with_streams(place, lambda streams, _: redecided(streams, moment))
    if not print_answer(answer, output):
        _print(answer)
    if answer["differing"]:
        raise Finding(f"{answer['differing']} of {answer['decisions']} decisions would differ")


def _print(answer: dict[str, Any]) -> None:
    before = f", made by {', '.join(answer['releases'])}" if answer["releases"] else ""
    typer.echo(
        f"#{answer['first']} to #{answer['last']}: {answer['decisions']} decisions{before}, "
        f"decided again by {answer['release']}"
    )
    for one in answer["differences"]:
        typer.echo(f"  #{one['position']} {one['service']}")
        typer.echo(f"    then  {one['then'] or NOTHING[one['kind']]}")
        typer.echo(f"    now   {one['now'] or 'nothing'}")
    more = answer["differing"] - len(answer["differences"])
    if more > 0:
        typer.echo(f"  and {more} more")
    if answer["reworded"]:
        typer.echo(f"{answer['reworded']} would be told in other words")
    if answer["skipped"]:
        typer.echo(f"{answer['skipped']} adoptions of a first start or a recovery rest on more than the journal")
    typer.echo(f"{answer['differing'] or 'none'} would differ")
