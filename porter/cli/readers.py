"""`porter readers`: who follows the journal, and what is not written yet because of whom."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from porter.app.settings import DEFAULT_STATE_DIR
from porter.cli import options
from porter.cli.options import Output
from porter.cli.render import print_answer, print_table


def readers(
    *,
    forget: Annotated[
        str, typer.Option(metavar="NAME", help="Count this reader as gone for good, until it is heard again.")
    ] = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Show who reads the journal, in which release, and which newer events are held back until all of them read it.

    A reader that is gone for good is forgotten an hour after it was heard last; --forget does it at once.
    """
    from porter.cli.client import Controller  # noqa: PLC0415 -- only what a command needs is imported, when it runs.

    controller = Controller(server, state_dir)
    if forget:
        answer = controller.post("/v1/forget", {"reader": forget})
        if not print_answer(answer, output):
            typer.echo(f"{forget} is forgotten until it is heard again")
        return
    answer = controller.get("/v1/readers")
    if not print_answer(answer, output):
        _print(answer)


def _print(answer: dict[str, Any]) -> None:
    if not answer["known"]:
        typer.echo("note: the journal's server did not say who reads it; this is what was known before")
    print_table(
        ["READER", "RELEASE", "POSITION", "HEARD", "DOES NOT READ"],
        [
            [
                one["name"],
                one["release"],
                f"#{one['position']}" if one["declared"] else "-",
                f"{one['silentSeconds']} s ago" if one["declared"] else "never",
                one["problem"] or _few(one["doesNotRead"]),
            ]
            for one in answer["readers"]
        ],
    )
    for one in answer["heldBack"]:
        typer.echo(one["message"])


def _few(names: list[str]) -> str:
    return "-" if not names else ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
