"""Commands that act: each becomes an event of the journal, with who asked for it and why."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Order:
    """Why something is to be done, whom to tell, and how the answer is printed."""

    why: Why = ""
    server: options.Server = ""
    state_dir: options.StateDir = DEFAULT_STATE_DIR
    output: options.OutputForm = Output.TABLE

    def give(self, action: str, body: dict[str, Any], done: str) -> None:
        """Have the leader journal an action, and say what was done.

        Raises:
            Unreachable, Finding, InvalidSettings: as `porter.cli.client.Controller.post`.
        """
        from porter.cli.client import Controller  # noqa: PLC0415 -- only what a command needs is imported, when it runs.

        answer = Controller(self.server, self.state_dir).post(f"/v1/{action}", {**body, "why": self.why})
        if not print_answer(answer, self.output):
            typer.echo(f"{done}; journaled as #{answer['position']}")


ORDER = Order()


def drain_speaker(
    name: SpeakerName,
    *,
    delay: Delay = "",
    force: Annotated[
        bool, typer.Option("--force", help="Withdraw also the routes that no other speaker announces.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="End the drain: the speaker announces again.")] = False,
    order: Order = ORDER,
) -> None:
    """Take a speaker out of service without losing a packet, before its maintenance; --undo ends that.

    All its paths carry GRACEFUL_SHUTDOWN (RFC 8326) at once, and are withdrawn after the delay. It is refused where no
    other speaker announces the same routes; --force withdraws them all the same.
    """
    done = "is in service again" if undo else "leaves service"
    body = {"speaker": name, "undo": undo, "force": force, **_delay(delay)}
    order.give("drain", body, f"speaker {name} {done}")


def drain_node(
    name: NodeName,
    *,
    delay: Delay = "",
    force: Annotated[
        bool, typer.Option("--force", help="Withdraw its paths also where no other next hop is left.")
    ] = False,
    undo: Undo = False,
    order: Order = ORDER,
) -> None:
    """Take a node out of service without losing a connection attempt, before its maintenance.

    Its paths carry GRACEFUL_SHUTDOWN (RFC 8326) at once, and are withdrawn after the delay. Where it is the last next
    hop of a route, the path stays, and `porter status` says so; --force withdraws it all the same.
    """
    body = {"node": name, "undo": undo, "force": force, **_delay(delay)}
    done = "is in service again" if undo else "leaves service"
    order.give("drain", body, f"node {name} {done}")


def drain_service(
    name: ServiceName,
    *,
    delay: Delay = "",
    undo: Undo = False,
    order: Order = ORDER,
) -> None:
    """Withdraw a Service's routes gracefully: GRACEFUL_SHUTDOWN first; it keeps its addresses."""
    body = {"service": name, "undo": undo, **_delay(delay)}
    done = "is announced again" if undo else "is about to be withdrawn"
    order.give("drain", body, f"Service {name} {done}")


def uncordon_node(name: NodeName, *, order: Order = ORDER) -> None:
    """Bring a drained node into service again."""
    drain_node(name, undo=True, order=order)


def uncordon_service(name: ServiceName, *, order: Order = ORDER) -> None:
    """Announce a drained Service again."""
    drain_service(name, undo=True, order=order)


def uncordon_speaker(name: SpeakerName, *, order: Order = ORDER) -> None:
    """Let a drained speaker announce again."""
    drain_speaker(name, undo=True, order=order)


def approve(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="The hold's number, as `porter status` shows it.")],
    *,
    order: Order = ORDER,
) -> None:
    """Let the withdrawals go that the blast-radius guard holds back."""
    number = hold.removeprefix("#")
    if not number.isdecimal():
        raise InvalidSettings(f"{hold!r} is no hold; `porter status` names them by numbers")
    order.give("approve", {"hold": int(number)}, f"hold {number} is approved")


def _delay(delay: str) -> dict[str, int]:
    return {"delayMs": duration_ms(delay, "--delay")} if delay else {}
