"""`porter timeline` and `porter diff`: what happened, and what is different since."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from porter.app.settings import InvalidSettings
from porter.cli.asking import ask, journal_errors, place_of, with_moments
from porter.cli.exits import Finding
from porter.cli.groups import HERE, PLAIN, Shown, Where
from porter.cli.options import Output
from porter.cli.render import coloured, print_answer, print_table, time_text

LANE_COLOURS = {"kube": "cyan", "allocator": "magenta", "bgp": "blue", "leader": "yellow", "operator": "red"}
SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def timeline(
    *,
    since: Annotated[str, typer.Option(metavar="TIME|POSITION", help="From then on; -15m is how long ago.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME|POSITION", help="Up to then.")] = "",
    service: Annotated[str, typer.Option(metavar="NS/NAME", help="Only what concerns this Service.")] = "",
    ip: Annotated[str, typer.Option(metavar="ADDRESS", help="Only what concerns this address and its holders.")] = "",
    peer: Annotated[str, typer.Option(metavar="NAME", help="Only what concerns this BgpPeer.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="At most so many events, the newest.")
    ] = 1000,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show one history: what the API said, what was decided, what reached the routers, and who led."""
    if follow and (where.source is not None or until):
        raise InvalidSettings("--follow waits for what comes: neither --from FILE nor --until goes with it")
    query = {"service": service, "ip": ip, "peer": peer, "limit": str(limit), "since": since, "until": until}
    if follow:
        _print_coming(_coming(query, where), shown)
        return
    answer = ask("timeline", query, where)
    if print_answer(answer, shown.output):
        _find(answer["problems"])
        return
    if answer["first"] > 1 and not since:
        typer.echo(f"(from #{answer['first']} on; --since goes further back)")
    if answer["left"]:
        typer.echo(f"({answer['left']} older events are left out; see --since and --limit)")
    for entry in answer["entries"]:
        print_entry(entry, wide=shown.wide, utc=shown.utc)
    _find(answer["problems"])


def _find(problems: list[str]) -> None:
    if problems:
        raise Finding("; ".join(problems))


def _print_coming(entries: Iterator[dict[str, Any]], shown: Shown) -> None:
    for entry in entries:
        print_entry_as(entry, shown)
        sys.stdout.flush()


def print_entry_as(entry: dict[str, Any], shown: Shown) -> None:
    """Print one event of the timeline in the wanted form."""
    if shown.output is Output.JSON:
        # One event per line, so that programs can follow.
        typer.echo(json.dumps(entry, ensure_ascii=False))
    elif not print_answer([entry], shown.output):
        print_entry(entry, wide=shown.wide, utc=shown.utc)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The earlier TIME or POSITION.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The later one; the present if left out.")] = "",
    *,
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Show what is different at B from what was at A: addresses, pools, routes and sessions, each with its cause."""
    answer = ask("diff", {"a": a, "b": b}, where)
    if not print_answer(answer, shown.output):
        _print_diff(answer, utc=shown.utc)


def _coming(query: dict[str, str], where: Where) -> Iterator[dict[str, Any]]:
    wanted = with_moments(query, None)
    if where.redis_url:
        from porter.app.answers import timeline
        from porter.app.incident import direct

        with journal_errors(where):
            question = timeline.TimelineQuestion.from_query(wanted)
            place = place_of(where)
            yield from direct.stream(place, lambda streams: timeline.follow(streams, question))
        return
    from porter.cli.client import Controller

    yield from Controller(where.server, where.state_dir).lines("/v1/timeline", {**wanted, "follow": "1"})


def print_entry(entry: dict[str, Any], *, wide: bool, utc: bool) -> None:
    """Print one event of the timeline as a line."""
    when = time_text(entry["time"], utc=utc)
    when = when if wide else when[11:]
    place = f"#{entry['position']}" if not entry["stream"] else f"{entry['stream']}/{entry['position']}"
    lane = entry["lane"].ljust(9)
    if coloured():
        lane = typer.style(lane, fg=LANE_COLOURS[entry["lane"]])
    # An outcome's sentence names its peer already.
    about = "" if entry["stream"] and entry["aggregate"].startswith("peer/") else f"{entry['aggregate']}  "
    cause = _because(entry)
    trace = f"  trace {entry['trace']}" if entry["trace"] and wide else ""
    typer.echo(f"{when} {place:<14} {lane} {entry['type']:<20} {about}{entry['summary']}{cause}{trace}")


def _because(entry: dict[str, Any]) -> str:
    """What led to an event, and how long that took; of a speaker's, where no event is known to have done so alone, up
    to which position its routes are those of the journal."""
    if not entry["cause"] and not entry["realises"]:
        return ""
    late = f", {entry['afterMs']} ms" if entry["afterMs"] is not None else ""
    if not entry["cause"]:
        return f"  realises #{entry['realises']}{late}"
    kind = f" {entry['causeType']}" if entry["causeType"] else ""
    return f"  cause #{entry['cause']}{kind}{late}"


def _print_diff(answer: dict[str, Any], *, utc: bool) -> None:
    begin, end = answer["from"], answer["to"]
    typer.echo(
        f"from #{begin['position']} ({time_text(begin['time'], utc=utc)}) "
        f"to #{end['position']} ({time_text(end['time'], utc=utc)})"
    )
    print_changes(answer)


def print_changes(answer: dict[str, Any]) -> None:
    """Print what is different, a table for each kind."""
    sections = (
        ("addresses", _address_cells),
        ("refusals", _refusal_cells),
        ("pools", _pool_cells),
        ("routes", _route_cells),
        ("sessions", _session_cells),
    )
    changed = False
    for name, cells in sections:
        if answer[name]:
            changed = True
            typer.echo("")
            rows = [[SIGNS[one["change"]], *cells(one), _cause_text(one["cause"])] for one in answer[name]]
            print_table(["", *cells(None), "CAUSE"], rows)
    if not changed:
        typer.echo("nothing is different")


def _cause_text(cause: dict[str, Any] | None) -> str:
    if cause is None:
        return "-"
    place = f"{cause['stream']}/{cause['position']}" if cause["stream"] else f"#{cause['position']}"
    return f"{place} {cause['type']}: {cause['summary']}"


def _address_cells(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["ADDRESS", "SERVICE", "POOL"]
    told = one["after"] or one["before"]
    return [one["address"], f"{told['service']['namespace']}/{told['service']['name']}", told["pool"]]


def _refusal_cells(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["SERVICE", "REFUSED"]
    was, now = ("-" if each is None else each["reason"] for each in (one["before"], one["after"]))
    return [f"{one['service']['namespace']}/{one['service']['name']}", f"{was} → {now}"]


def _pool_cells(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["POOL", "USED", "AVAILABLE", "SIZE", "STATE"]
    was, now = one["before"] or {}, one["after"] or {}
    numbers = (f"{was.get(name, '-')} → {now.get(name, '-')}" for name in ("used", "available", "size"))
    states = _pool_state(was), _pool_state(now)
    return [one["pool"], *numbers, states[0] if states[0] == states[1] else " → ".join(states)]


def _pool_state(pool: dict[str, Any]) -> str:
    if not pool:
        return "-"
    state = "broken" if pool.get("unusable") else "disabled" if pool.get("disabled") else "usable"
    return f"{state}, default" if pool.get("default") else state


def _route_cells(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["PREFIX", "NEXT HOP", "PEER", "SPEAKER", "STATE"]
    told = one["after"] or one["before"]
    was, now = ("-" if each is None else each["state"] for each in (one["before"], one["after"]))
    return [one["prefix"], told["nextHop"], one["peer"], one["speaker"], f"{was} → {now}"]


def _session_cells(one: dict[str, Any] | None) -> list[str]:
    if one is None:
        return ["PEER", "SPEAKER", "STATE", "FLAPS"]
    was, now = one["before"] or {}, one["after"] or {}
    states = f"{was.get('state', '-')} → {now.get('state', '-')}"
    return [one["peer"], one["speaker"], states, str(now.get("flaps", was.get("flaps", 0)))]
