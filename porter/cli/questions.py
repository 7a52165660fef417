"""Commands that ask: status, routes, the journal's tail, the CRDs, the version."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from porter.cli import options
from porter.cli.asking import ask, events_behind
from porter.cli.exits import Finding
from porter.cli.groups import HERE, PLAIN, Shown, Where
from porter.cli.options import Output
from porter.cli.render import attributes_text, print_answer, print_table, time_text

TAIL_LINES = 20


def status(
    *,
    at: options.At = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show the journal, pools, peers and Services at a glance; exit code 1 if something is not as it should be."""
    answer = ask("status", {"at": at}, where)
    if not print_answer(answer, shown.output):
        _print_status(answer, utc=shown.utc)
    problems = answer["problems"]
    if problems:
        raise Finding("; ".join(problems))


def routes(
    *,
    peer: Annotated[str, typer.Option(help="Only routes to this BgpPeer.")] = "",
    prefix: Annotated[str, typer.Option(help="Only routes inside of this prefix.")] = "",
    speaker: Annotated[str, typer.Option(help="Only routes of this speaker.")] = "",
    at: options.At = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show every route of every session: wanted, sent, or confirmed; when its prefix was touched last, and by which
    event. That one may have changed another next hop of the prefix.
    """
    wanted = {"peer": peer, "prefix": prefix, "speaker": speaker, "at": at}
    answer = ask("routes", wanted, where)
    if not print_answer(answer, shown.output):
        _print_routes(answer, wide=shown.wide, utc=shown.utc)
    if answer["problems"]:
        raise Finding("; ".join(answer["problems"]))


def pools(
    *,
    at: options.At = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show every pool with what is used of it; exit code 1 if one cannot be used."""
    answer = ask("pools", {"at": at}, where)
    if not print_answer(answer, shown.output):
        more = ("reserved", "cooling", "protocol", "priority", "default") if shown.wide else ()
        names = ("name", "ranges", "size", "used", "available", *more)
        rows = [[_available(pool) if name == "available" else pool[name] for name in names] for pool in answer["pools"]]
        print_table(["POOL", *(name.upper() for name in names[1:])], rows)
    broken = [
        f"Eip {pool['name']} cannot be used: {pool['unusable']}" for pool in answer["pools"] if pool.get("unusable")
    ]
    if broken:
        raise Finding("; ".join(broken))


def services(
    *,
    at: options.At = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show every Service of Porter's with its addresses, or the reason why it has none."""
    answer = ask("services", {"at": at}, where)
    if print_answer(answer, shown.output):
        return
    rows = []
    for each in answer["services"]:
        name = f"{each['service']['namespace']}/{each['service']['name']}"
        for one in each["allocations"]:
            since = time_text(one["since"], utc=shown.utc)
            rows.append([name, one["address"], one["pool"], one["reason"], since, f"#{one['position']}"])
        if each["refusal"] is not None:
            rows.append([name, "-", "-", each["refusal"]["reason"], "-", "-"])
        elif not each["allocations"]:
            rows.append([name, "-", "-", "undecided", "-", "-"])
    print_table(["SERVICE", "ADDRESS", "POOL", "REASON", "SINCE", "POSITION"], rows)


def peers(
    *,
    at: options.At = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show every session of every peer."""
    answer = ask("peers", {"at": at}, where)
    if not print_answer(answer, shown.output):
        _print_peers(answer["peers"], utc=shown.utc)


def journal_tail(
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10000, help="How many events to begin with.")] = (
        TAIL_LINES
    ),
    after: Annotated[int | None, typer.Option(metavar="POSITION", help="Show what lies behind this position.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended.")] = False,
    kind: Annotated[str, typer.Option("--type", help="Only events of types like this, such as 'Address*'.")] = "",
    about: Annotated[str, typer.Option(help="Only events about this, such as service/shop/web.")] = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show the newest events of the journal."""
    query = {
        "after": "" if after is None else str(after),
        "limit": str(lines) if after is None else "",
        "type": kind,
        "aggregate": about,
    }
    events = events_behind(query, where, follow=follow)
    for event in events:
        if shown.output is Output.JSON:
            # One event per line, so that programs can follow.
            typer.echo(json.dumps(event, ensure_ascii=False))
        elif not print_answer([event], shown.output):
            _print_event(event, wide=shown.wide, utc=shown.utc)
        sys.stdout.flush()


def crds() -> None:
    """Print the CustomResourceDefinitions, for `kubectl apply --server-side -f -`."""
    import porter

    package = Path(porter.__file__).parent
    # A wheel carries them inside the package, a work tree beside it.
    for folder in (package / "crds", package.parent / "deploy" / "crds"):
        files = sorted(folder.glob("*.yaml"))
        if files:
            typer.echo("---\n".join(file.read_text().removeprefix("---\n") for file in files), nl=False)
            return
    raise Finding(f"the CRDs are missing in {package}; this installation is incomplete: install Porter again")


def version() -> None:
    """Print Porter's version."""
    from porter import __version__

    typer.echo(f"porter {__version__}")


def _print_event(event: dict[str, Any], *, wide: bool, utc: bool) -> None:
    cause = f"  cause #{event['cause']}" if event["cause"] else ""
    payload = " ".join(
        f"{name}={value}"
        for name, value in event["payload"].items()
        if value not in ("", 0, None, [], {}, False) and (wide or name not in {"resourceVersion", "uid", "state"})
    )
    trace = f"  trace {event['trace']}" if wide and event["trace"] else ""
    typer.echo(
        f"{time_text(event['time'], utc=utc)}  #{event['position']:<6} {event['type']:<22} "
        f"{event['aggregate']}  {payload if wide else payload[:120]}{cause}{trace}"
    )


def _print_routes(answer: dict[str, Any], *, wide: bool, utc: bool) -> None:
    columns = ["PREFIX", "NEXT HOP", "PEER", "SPEAKER", "STATE", "TOUCHED"]
    rows = [
        [
            *(route[name] for name in ("prefix", "nextHop", "peer", "speaker", "state")),
            time_text(route["since"], utc=utc),
            *([route["pathId"], f"#{route['cause']}", attributes_text(route["attributes"])] if wide else []),
        ]
        for route in answer["routes"]
    ]
    print_table(columns + (["PATH ID", "TOUCHED BY", "ATTRIBUTES"] if wide else []), rows)


def _print_status(answer: dict[str, Any], *, utc: bool) -> None:
    leader, services, counted = answer["leader"], answer["services"], answer["routes"]
    state = "recovering" if answer["recovering"] else "synced" if answer["synced"] else "not synced yet"
    typer.echo(f"journal   {answer['cluster']}   head #{answer['position']}   {state}")
    typer.echo(f"leader    {leader['holder'] or '-'}   epoch {leader['epoch']}   since #{leader['since']}")
    typer.echo(f"services  {services['total']} in all, {services['served']} served, {services['waiting']} waiting")
    typer.echo(f"routes    {counted['confirmed']} of {counted['total']} confirmed")
    _print_operated(answer, utc=utc)
    typer.echo("")
    print_table(["POOL", "RANGES", "SIZE", "USED", "AVAILABLE"], [_pool_row(pool) for pool in answer["pools"]])
    typer.echo("")
    _print_peers(answer["peers"], utc=utc)
    if answer["problems"]:
        typer.echo("")
        for problem in answer["problems"]:
            typer.echo(f"problem   {problem}")


def _print_peers(peers: list[dict[str, Any]], *, utc: bool) -> None:
    rows = []
    for peer in peers:
        none = {"speaker": "-", "state": "-", "since": "", "confirmed": 0, "reason": peer["refused"]}
        for session in peer["sessions"] or [none]:
            since = time_text(session["since"], utc=utc)
            told = (session[name] for name in ("speaker", "state"))
            rows.append([peer["peer"], peer["address"], *told, since, session["confirmed"], session["reason"]])
    print_table(["PEER", "ADDRESS", "SPEAKER", "STATE", "SINCE", "ROUTES", "REASON"], rows)


def _pool_row(pool: dict[str, Any]) -> list[Any]:
    """A pool in a line; what is in use and no part of its size is told apart."""
    inside = pool["size"] - pool["available"] - pool["reserved"] - pool["cooling"]
    outside = max(0, pool["used"] - inside)
    used = f"{inside} +{outside} outside" if outside else inside
    return [pool["name"], pool["ranges"], pool["size"], used, _available(pool)]


def _available(pool: dict[str, Any]) -> Any:
    """How many addresses a pool gives: none where it is not in use, however many are free."""
    if pool.get("unusable"):
        return "0 (cannot be used)"
    return "0 (disabled)" if pool.get("disabled") else pool["available"]


def _print_operated(answer: dict[str, Any], *, utc: bool) -> None:
    """What is drained and what is held, each in a line; nothing where there is neither."""
    for kind, key in (("speaker", "drained"), ("node", "drainedNodes"), ("service", "drainedServices")):
        for each in answer[key]:
            why = f": {each['why']}" if each["why"] else ""
            step = "" if each.get("elapsed", True) else ", still leaving"
            typer.echo(f"drained   {kind} {each[kind]} by {each['by']} since #{each['position']}{step}{why}")
    for each in answer["holds"]:
        until = time_text(each["until"], utc=utc)
        typer.echo(f"held      {each['held']} prefixes by hold {each['hold']} ({each['cause']}), until {until}")
