"""`porter replay --into`: history announced to a router of the user's, at the pace that was asked for."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, NamedTuple

import typer

from porter.app.settings import InvalidSettings
from porter.cli.asking import history_of, journal_errors, with_moments
from porter.cli.durations import duration_ms
from porter.cli.exits import Unreachable
from porter.cli.groups import Where
from porter.cli.render import time_text

if TYPE_CHECKING:
    from porter.app.incident.replay_into import Pace, Step
    from porter.events.envelope import Envelope

DEFAULT_PORT = 179
MAX_PORT = 65535


class Router(NamedTuple):
    """The router as the command line names it, and how long to stay once everything is announced."""

    into: str
    peer: str = ""
    speaker: str = ""
    local_as: int = 0
    peer_as: int = 0
    local_address: str = ""
    stay: str = ""
    force: bool = False


class Pacing(NamedTuple):
    """How fast: a factor that the pauses of history are divided by (0: no pauses), or Enter after each event."""

    factor: float
    step: bool
    pause_s_max: float


def replay_into(router: Router, since: str, to: str, pacing: Pacing, where: Where, *, utc: bool) -> None:
    """Announce history to a router and say what was announced.

    Raises:
        InvalidSettings: an option is wrong, or the target is a peer of the cluster's.
        Unreachable: the router takes no session, or the history cannot be read.
    """
    from porter.app.history.moments import Moment
    from porter.app.incident import direct
    from porter.app.incident.lab_session import NoSession
    from porter.app.incident.replay_into import Stage, Target
    from porter.app.incident.replay_into import replay_into as announced
    from porter.model.address import InvalidAddress, parse_address
    from porter.telemetry.logs import configure_logging

    # What matters of the engine is told where the session does not come up.
    configure_logging("replay", level="error")
    host, port = _host_and_port(router.into)
    stay_s = duration_ms(router.stay, "--stay") / 1000 if router.stay else None
    try:
        address = parse_address(host)
        if router.local_address:
            parse_address(router.local_address)
    except InvalidAddress as error:
        raise InvalidSettings(f"--into and --local-address take addresses: {error}") from error
    target = Target(
        address,
        port,
        router.local_as,
        router.peer_as,
        router.local_address,
        router.peer,
        router.speaker,
        router.force,
    )
    wanted = with_moments({"since": since, "until": to}, where.source)

    async def job(streams: direct.OpenStreams, _cluster: str) -> None:
        stretch = Moment.from_query(wanted, "since"), Moment.from_query(wanted, "until")
        stage = Stage(_pace(pacing), lambda step: _tell(step, utc=utc), staying)
        told = await announced(streams, target, stretch, stage)
        typer.echo(f"replayed up to #{told.position}: the router had {told.routes} paths; the session is over")

    async def staying() -> None:
        if stay_s is None:
            typer.echo("everything is announced; the session stays until you interrupt it (Ctrl-C)")
            await asyncio.Event().wait()
        await asyncio.sleep(stay_s or 0)

    with journal_errors(where):
        place = history_of({"since": wanted.get("since", "")}, where)
        try:
            direct.with_streams(place, job)
        except (NoSession, ExceptionGroup) as error:
            raise Unreachable(_cause(error)) from error
        except KeyboardInterrupt:
            # This is how staying ends; the session went with it.
            typer.echo("the session is over")


def _cause(error: Exception) -> str:
    """What a task group wraps."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        # An IPv6 address with a port stands in brackets.
        host, port = text, str(DEFAULT_PORT)
    if not port.isdecimal() or not 1 <= int(port) <= MAX_PORT:
        raise InvalidSettings(f"--into {text!r} is no HOST:PORT; write one like 192.0.2.1:179 or [2001:db8::1]:179")
    return host.strip("[]"), int(port)


def _pace(pacing: Pacing) -> Pace:
    before: list[int] = []

    async def pace(envelope: Envelope) -> bool:
        if pacing.step:
            line: str = await asyncio.to_thread(sys.stdin.readline)
            return line != ""
        if pacing.factor and before:
            elapsed_s = max(0, envelope.time_ms - before[0]) / 1000
            await asyncio.sleep(min(pacing.pause_s_max, elapsed_s / pacing.factor))
        before[:] = [envelope.time_ms]
        return True

    return pace


def _tell(step: Step | str, *, utc: bool) -> None:
    if isinstance(step, str):
        typer.echo(step)
        return
    from porter.app.answer_json import time_json

    envelope = step.envelope
    routes = (
        f"  +{step.announced} -{step.withdrawn} paths, {step.routes} in all" if step.announced or step.withdrawn else ""
    )
    when = time_text(time_json(envelope.time_ms), utc=utc)[11:]
    about = envelope.payload.aggregate
    typer.echo(f"{when} #{envelope.position:<8} {envelope.type:<20} {about}  {step.summary}{routes}")
    sys.stdout.flush()
