"""Commands that act: each becomes an event of the journal, with who asked for it and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from porter.app.settings import DEFAULT_STATE_DIR, InvalidSettings
from porter.cli import options
from porter.cli.durations import duration_ms
from porter.cli.options import Output
from porter.cli.render import print_answer

Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the journal.")]
Undo = Annotated[bool, typer.Option("--undo", help="End the drain, as `porter uncordon` does.")]
Delay = Annotated[
    str, typer.Option(metavar="DURATION", help="How long GRACEFUL_SHUTDOWN is announced before the withdrawal; 10s.")
]
NodeName = Annotated[str, typer.Argument(metavar="NAME", help="The Node.")]
ServiceName = Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The Service.")]
SpeakerName = Annotated[str, typer.Argument(metavar="NAME", help="The speaker, as `porter status` shows it.")]


def drain_speaker(
    name: SpeakerName,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Withdraw also the routes that no other speaker announces.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="End the drain: the speaker announces again.")] = False,
    why: Why = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Have a speaker withdraw everything that it announces, before it is taken away; --undo ends that.

    It is refused where no other speaker announces the same routes; --force withdraws them all the same.
    """
    done = "announces again" if undo else "withdraws everything"
    body = {"speaker": name, "why": why, "undo": undo, "force": force}
    _act("drain", body, f"speaker {name} {done}", server, state_dir, output)


def drain_node(
    name: NodeName,
    *,
    delay: Delay = "",
    force: Annotated[
        bool, typer.Option("--force", help="Withdraw its paths also where no other next hop is left.")
    ] = False,
    undo: Undo = False,
    why: Why = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Take a node out of service without losing a connection attempt, before its maintenance.

    Its paths carry GRACEFUL_SHUTDOWN (RFC 8326) at once, and are withdrawn after the delay. Where it is the last next
    hop of a route, the path stays, and `porter status` says so; --force withdraws it all the same.
    """
    body = {"node": name, "why": why, "undo": undo, "force": force, **_delay(delay)}
    done = "is in service again" if undo else "leaves service"
    _act("drain", body, f"node {name} {done}", server, state_dir, output)


def drain_service(
    name: ServiceName,
    *,
    delay: Delay = "",
    undo: Undo = False,
    why: Why = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Withdraw a Service's routes gracefully: GRACEFUL_SHUTDOWN first; it keeps its addresses."""
    body = {"service": name, "why": why, "undo": undo, **_delay(delay)}
    done = "is announced again" if undo else "is about to be withdrawn"
    _act("drain", body, f"Service {name} {done}", server, state_dir, output)


def uncordon_node(
    name: NodeName,
    *,
    why: Why = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Bring a drained node into service again."""
    drain_node(name, undo=True, why=why, server=server, state_dir=state_dir, output=output)


def uncordon_service(
    name: ServiceName,
    *,
    why: Why = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Announce a drained Service again."""
    drain_service(name, undo=True, why=why, server=server, state_dir=state_dir, output=output)


def uncordon_speaker(
    name: SpeakerName,
    *,
    why: Why = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Let a drained speaker announce again."""
    drain_speaker(name, undo=True, why=why, server=server, state_dir=state_dir, output=output)


def approve(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="The hold's number, as `porter status` shows it.")],
    *,
    why: Why = "",
    server: options.Server = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Let the withdrawals go that the blast-radius guard holds back."""
    number = hold.removeprefix("#")
    if not number.isdecimal():
        raise InvalidSettings(f"{hold!r} is no hold; `porter status` names them by numbers")
    _act("approve", {"hold": int(number), "why": why}, f"hold {number} is approved", server, state_dir, output)


def _delay(delay: str) -> dict[str, int]:
    return {"delayMs": duration_ms(delay, "--delay")} if delay else {}


def _act(action: str, body: dict[str, Any], done: str, server: str, state_dir: Path, output: Output) -> None:  # noqa: PLR0917 -- what every action has.
    from porter.cli.client import Controller  # noqa: PLC0415 -- only what a command needs is imported, when it runs.

    answer = Controller(server, state_dir).post(f"/v1/{action}", body)
    if not print_answer(answer, output):
        typer.echo(f"{done}; journaled as #{answer['position']}")
