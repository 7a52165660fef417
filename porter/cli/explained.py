"""How explanations of prefixes, nodes and peers are printed; the sentences before them are the same for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

from porter.cli.render import print_table, time_text
from porter.model.meanings import meaning_of

SERVICES_SHOWN = 20
"""Most Services of a node that a plain table shows; the wide one shows all that the answer names."""


def print_prefix(prefix: dict[str, Any], *, wide: bool, utc: bool) -> None:
    """What becomes of a prefix: its next hops, and each peer with what it is given."""
    if prefix["holders"]:
        services = [one["service"] for one in prefix["holders"]]
        names = ", ".join(f"{one['namespace']}/{one['name']}" for one in services)
        typer.echo(f"It is of {names}, from Eip {prefix['pool'] or '-'}.")
    if prefix["memberCount"]:
        _print_members(prefix, wide=wide)
    print_causes(prefix["causes"], utc=utc)
    for holder in prefix["holders"]:
        if holder["position"] != (prefix["causes"] or [{"position": 0}])[0]["position"]:
            print_causes(holder["causes"], utc=utc)
    if prefix["nextHops"]:
        typer.echo("")
        print_next_hops(prefix["nextHops"], utc=utc)
    if prefix["kind"] == "unused":
        return
    if prefix["peers"]:
        typer.echo("")
        print_table(
            ["PEER", "STATE", "AS", "ADVERTISEMENTS", "NEXT HOPS", "REASON"],
            [_peer_cells(one) for one in prefix["peers"]],
        )
    for peer in prefix["peers"]:
        if peer["state"] == "withheld" and peer["causes"] and (wide or peer["causes"] != prefix["causes"]):
            typer.echo(f"\n{peer['peer']} is not given it because of")
            print_causes(peer["causes"], utc=utc, apart=False)
    left = [
        [peer["peer"], one["node"], one["reason"], one["message"]]
        for peer in prefix["peers"]
        for one in peer["leftOut"]
    ]
    if left:
        typer.echo("\nNext hops that a peer is not given:")
        print_table(["PEER", "NODE", "REASON", "WHY"], left)
    if wide:
        print_meanings([prefix["reason"], *(peer["reason"] for peer in prefix["peers"]), *(one[2] for one in left)])


def print_next_hops(hops: list[dict[str, Any]], *, utc: bool) -> None:
    """The next hops of a route, each with since when it is one without a break, and by which event."""
    rows = [
        [
            hop["address"],
            hop["node"],
            hop["pathId"],
            time_text(hop["since"], utc=utc) or "-",
            f"#{hop['cause']} {hop['causeType']}" if hop["cause"] else "-",
        ]
        for hop in hops
    ]
    print_table(["NEXT HOP", "NODE", "PATH ID", "SINCE", "CAUSE"], rows)


def _peer_cells(peer: dict[str, Any]) -> list[Any]:
    return [
        peer["peer"],
        peer["state"],
        peer["announced"],
        peer["advertisements"],
        len(peer["nextHops"]),
        peer["reason"],
    ]


def _print_members(prefix: dict[str, Any], *, wide: bool) -> None:
    shown = prefix["members"] if wide else prefix["members"][:SERVICES_SHOWN]
    more = prefix["memberCount"] - len(shown)
    rest = f" and {more} more" if more > 0 else ""
    typer.echo(f"Announced addresses inside of it: {', '.join(shown)}{rest}.")


def print_node(node: dict[str, Any], *, wide: bool, utc: bool) -> None:
    """What a node is: by family, by rule, and to Services."""
    typer.echo("")
    rows = [
        [
            one["family"],
            "yes" if one["eligible"] else "no",
            one["address"],
            one["pathId"] or "-",
            one["standing"] or one["reason"],
            time_text(one["since"], utc=utc),
            f"#{one['cause']}",
        ]
        for one in node["families"]
    ]
    print_table(["FAMILY", "ELIGIBLE", "ADDRESS", "PATH ID", "STANDING", "SINCE", "CAUSE"], rows)
    print_causes(node["causes"], utc=utc)
    if node["rules"]:
        typer.echo("")
        rules = [
            [one["services"], "yes" if one["nextHop"] else "no", one["rule"] or one["reason"]] for one in node["rules"]
        ]
        print_table(["ADDRESSES", "NEXT HOP", "BY"], rules)
    _print_services(node, wide=wide, utc=utc)
    if node["peers"]:
        typer.echo("")
        print_table(
            ["PEER", "SELECTS IT"], [[one["peer"], "yes" if one["selected"] else "no"] for one in node["peers"]]
        )
    if wide:
        print_meanings([*(one["reason"] for one in node["families"]), *(one["reason"] for one in node["rules"])])


def _print_services(node: dict[str, Any], *, wide: bool, utc: bool) -> None:
    shown = node["services"] if wide else node["services"][:SERVICES_SHOWN]
    if not shown:
        return
    typer.echo("")
    rows = [
        [
            one["service"],
            one["address"],
            "yes" if one["nextHop"] else "no",
            one["reason"] or one["rule"].partition(":")[0],
            time_text(one["since"], utc=utc),
            f"#{one['cause']}",
        ]
        for one in shown
    ]
    print_table(["SERVICE", "ADDRESS", "NEXT HOP", "BY", "SINCE", "CAUSE"], rows)
    more = len(node["services"]) - len(shown) + node["left"]
    if more:
        typer.echo(f"({more} more; {'-o json' if wide else '-o wide'} shows up to {len(node['services'])})")


def print_peer(peer: dict[str, Any], *, wide: bool, utc: bool) -> None:
    """What a peer is: its sessions, what it is given, and what says so."""
    if peer["sessions"]:
        typer.echo("")
        print_table(
            ["SPEAKER", "STATE", "SINCE", "TOLD BY", "PATHS", "CONFIRMED", "FLAPS", "REASON"], _sessions(peer, utc=utc)
        )
    if peer["nextHops"]:
        typer.echo("")
        print_table(["NEXT HOP", "PATHS"], [[one["nextHop"], one["paths"]] for one in peer["nextHops"]])
    if peer["advertisements"]:
        typer.echo("")
        rows = [
            [one["advertisement"], "yes" if one["about"] else "no", f"#{one['position']}", one["message"]]
            for one in peer["advertisements"]
        ]
        print_table(["ADVERTISEMENT", "ABOUT IT", "SINCE", "WHY"], rows)
    if peer["withheld"]:
        typer.echo("\nAnnounced addresses that do not go there:")
        shown = peer["withheld"] if wide else peer["withheld"][:SERVICES_SHOWN]
        print_table(["PREFIX", "REASON"], [[one["prefix"], one["reason"]] for one in shown])
        if peer["withheldCount"] > len(shown):
            typer.echo(f"({peer['withheldCount'] - len(shown)} more)")
    typer.echo("\nIts last change:")
    print_causes(peer["causes"], utc=utc, apart=False)
    if wide:
        print_meanings(one["reason"] for one in peer["withheld"])


def _is_up(session: dict[str, Any]) -> bool:
    return bool(session["state"] == "Established")


def _sessions(peer: dict[str, Any], *, utc: bool) -> list[list[Any]]:
    return [
        [
            one["speaker"],
            one["state"],
            time_text(one["since"], utc=utc),
            "-" if one["cause"] is None else f"{one['cause']['stream']}/{one['cause']['position']}",
            one["paths"],
            one["confirmed"],
            one["flaps"],
            # What brought it down before is no reason for a session that is up.
            one["reason"] or _drained(one) or ("" if _is_up(one) else one["lastError"]),
        ]
        for one in peer["sessions"]
    ]


def _drained(session: dict[str, Any]) -> str:
    if session.get("leaving"):
        return "leaving"
    return "drained" if session["drained"] else ""


def print_causes(causes: list[dict[str, Any]], *, utc: bool, apart: bool = True) -> None:
    """An event and what led to it, the newest first, down to the object and its version."""
    if not causes:
        return
    if apart:
        typer.echo("")
    rows = [
        [f"#{one['position']}", time_text(one["time"], utc=utc), one["type"], one["aggregate"], one["resourceVersion"]]
        for one in causes
    ]
    print_table(["POSITION", "TIME", "EVENT", "ABOUT", "RESOURCE VERSION"], rows)


def print_meanings(codes: Iterable[str]) -> None:
    """What reason codes that were shown mean, each once."""
    known = [(code, meaning) for code in dict.fromkeys(codes) if (meaning := meaning_of(code)) is not None]
    if known:
        typer.echo("")
        print_table(["CODE", "MEANING", "MEND"], [[code, meaning.sentence, meaning.mend] for code, meaning in known])
