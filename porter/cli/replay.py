"""Commands that go through the journal: replay, bisect, one event, all events."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import sys
import time
from typing import Annotated, Any

import typer

from porter.app.settings import InvalidSettings
from porter.cli import options
from porter.cli.asking import ask, events_behind, history_of, journal_errors, with_moments
from porter.cli.exits import Finding, Unreachable
from porter.cli.groups import HERE, PLAIN, Shown, Where
from porter.cli.history import print_entry, print_entry_as
from porter.cli.options import Output
from porter.cli.render import print_answer

PAUSE_S_MAX = 5.0
"""The longest pause of a replay: nobody wants to watch an idle night, however fast."""
CAUSES_MAX = 8


def replay(
    *,
    since: Annotated[str, typer.Option(metavar="TIME|POSITION", help="From then on.")] = "",
    to: Annotated[str, typer.Option(metavar="TIME|POSITION", help="Up to then; the head if unset.")] = "",
    step: Annotated[bool, typer.Option("--step", help="Wait for Enter after each event.")] = False,
    speed: Annotated[str, typer.Option(metavar="10x", help="Keep the pauses, so many times shorter.")] = "",
    into: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Announce the history to this router of yours, by an own ExaBGP.")
    ] = "",
    peer: Annotated[
        str, typer.Option(metavar="NAME", help="With --into: the BgpPeer whose routes are announced.")
    ] = "",
    speaker: Annotated[
        str, typer.Option(metavar="NAME", help="With --into: the speaker whose routes are announced, as an agent's.")
    ] = "",
    local_as: Annotated[
        int, typer.Option("--local-as", metavar="AS", help="With --into: our AS number; the cluster's if unset.")
    ] = 0,
    peer_as: Annotated[
        int, typer.Option("--peer-as", metavar="AS", help="With --into: the router's; the BgpPeer's if unset.")
    ] = 0,
    local_address: options.LocalAddress = "",
    stay: Annotated[
        str, typer.Option(metavar="DURATION", help="With --into: end the session so long after the last event.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="With --into: also where the router is a peer of the cluster's own.")
    ] = False,
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Go through the history event by event, and tell the state at its end; with -o json one event a line, and no more.

    Nothing is published; with --into a router of yours is told what the BgpPeer was given, beginning with all that
    stood at --since. The cluster's journal and sessions are not touched, and its own peers are refused.
    """
    factor = _speed(speed)
    if into:
        from porter.cli.replay_into import Pacing, Router, replay_into

        router = Router(into, peer, speaker, local_as, peer_as, local_address, stay, force)
        replay_into(router, since, to, Pacing(factor, step, PAUSE_S_MAX), where, utc=shown.utc)
        return
    if peer or speaker or local_as or peer_as or local_address or stay or force:
        raise InvalidSettings(
            "--peer, --speaker, --local-as, --peer-as, --local-address, --stay and --force need --into"
        )
    query = {"since": since, "until": to, "limit": "10000"}
    answer = ask("timeline", query, where)
    before: dt.datetime | None = None
    last, reached = answer["first"] - 1, answer["position"]
    for entry in answer["entries"]:
        now = dt.datetime.fromisoformat(entry["time"])
        if factor and before is not None:
            time.sleep(min(PAUSE_S_MAX, max(0.0, (now - before).total_seconds() / factor)))
        before = now
        print_entry_as(entry, shown)
        # A speaker's event stands behind the one of the journal that was shown before it.
        last = last if entry["stream"] else entry["position"]
        if step and sys.stdin.readline() == "":
            reached = max(1, last)
            break
    if shown.output in (Output.JSON, Output.YAML):
        return
    told = ask("status", {"at": str(reached)}, where)
    services, counted = told["services"], told["routes"]
    typer.echo(
        f"at #{told['position']}: {services['served']} of {services['total']} Services served, "
        f"{counted['confirmed']} of {counted['total']} routes confirmed"
    )


def bisect(
    *,
    expression: Annotated[
        str, typer.Option("--assert", metavar="EXPR", help="What should hold, in CEL over the JSON answers.")
    ],
    since: Annotated[str, typer.Option(metavar="TIME|POSITION", help="A moment when it held.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME|POSITION", help="A moment when it did not.")] = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Find the first position at which an assertion fails, such as 'size(routes) >= 2'; exit code 1 if it does."""
    from porter.app.history.moments import Moment
    from porter.app.incident import direct
    from porter.app.incident.assertions import Assertion, ExpressionsMissing
    from porter.app.incident.bisect import bisect as bisected

    wanted = with_moments({"since": since, "until": until}, where.source)
    try:
        with journal_errors(where):
            assertion = Assertion(expression)
            begin, end = Moment.from_query(wanted, "since"), Moment.from_query(wanted, "until")
            # Without a beginning all of it is looked through.
            place = history_of({"since": wanted.get("since", "")}, where)
            answer = direct.with_streams(place, lambda streams, name: bisected(streams, name, assertion, begin, end))
            if begin is not None and answer["position"] and not where.directly:
                # What led to it may lie before what was fetched, and before what is kept.
                with contextlib.suppress(Finding, Unreachable):
                    answer["causes"] = _chain(answer["position"], CAUSES_MAX, where)[1:]
    except ExpressionsMissing as error:
        raise InvalidSettings(str(error)) from error
    if not print_answer(answer, shown.output):
        for entry in answer["entries"]:
            print_entry(entry, wide=shown.wide, utc=shown.utc)
        for cause in answer["causes"]:
            typer.echo(f"  because of #{cause['position']} {cause['type']} {cause['aggregate']}")
        typer.echo(f"#{answer['first']} to #{answer['last']}, {answer['probes']} probes")
    if not answer["position"]:
        return
    if not answer["holdsBefore"]:
        raise Finding(f"it fails at #{answer['position']} already; begin earlier with --since")
    raise Finding(f"it fails from #{answer['position']} on")


def journal_show(
    position: Annotated[str, typer.Argument(metavar="POSITION", help="The event, as #41877 or 41877.")],
    *,
    cause_chain: Annotated[bool, typer.Option("--cause-chain", help="Also what led to it.")] = False,
    where: Where = HERE,
    output: options.OutputForm = Output.YAML,
) -> None:
    """Show one event of the journal whole."""
    number = position.removeprefix("#")
    if not number.isdecimal() or int(number) < 1:
        raise InvalidSettings(f"{position!r} is no position; write one like 41877")
    found = _chain(int(number), CAUSES_MAX if cause_chain else 1, where)
    if not found:
        raise Finding(f"the journal does not hold #{number}")
    chosen: Any = found if cause_chain else found[0]
    print_answer(chosen, Output.JSON if output is Output.JSON else Output.YAML)


def _chain(position: int, most: int, where: Where) -> list[dict[str, Any]]:
    """The event at a position and what led to it, the newest first, as far as the journal holds it."""
    found: list[dict[str, Any]] = []
    while position and len(found) < most:
        event = next(iter(events_behind({"after": str(position - 1), "limit": "1"}, where)), None)
        if event is None or event["position"] != position:
            break
        found.append(event)
        position = event["cause"]
    return found


def journal_cat(
    *,
    where: Where = HERE,
    output: options.OutputForm = Output.JSON,
) -> None:
    """Print every event of the journal that is kept, one JSON object per line."""
    if output is not Output.JSON:
        raise InvalidSettings("it prints JSON lines only; `porter journal tail` prints tables, and YAML with -o yaml")
    from porter.app.history.reading import every_event
    from porter.app.incident import direct

    with journal_errors(where):
        place = history_of({}, where)
        for event in direct.stream(place, lambda streams: every_event(streams.journal())):
            typer.echo(json.dumps(event, ensure_ascii=False))


def _speed(text: str) -> float:
    """The factor of `10x`; 0 for no pauses at all."""
    if not text:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text)
    if found is None or not float(found[1]):
        raise InvalidSettings(f"--speed {text!r} is no factor; write one like 10x")
    return float(found[1])
