"""`porter explain`: why a Service, an address, a prefix, a node or a peer is as it is."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any

import typer

from porter.cli import options
from porter.cli.asking import ask
from porter.cli.exits import FINDING, Finding
from porter.cli.explained import print_causes, print_meanings, print_next_hops, print_node, print_peer, print_prefix
from porter.cli.groups import HERE, PLAIN, Shown, Where
from porter.cli.render import print_answer, print_table, time_text

DEFAULT_NAMESPACE = "default"
KINDS = {
    **dict.fromkeys(("service", "services", "svc"), "service"),
    **dict.fromkeys(("node", "nodes", "no"), "node"),
    **dict.fromkeys(("peer", "peers", "bgppeer", "bgppeers"), "peer"),
}
"""What may stand before a name, as in kubectl, and the question that it makes."""


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE|IP|PREFIX|NODE|PEER",
            help="NAMESPACE/NAME, an address, a prefix like 192.0.2.0/24, node/NAME, peer/NAME, or a bare name.",
        ),
    ],
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NS", help="The namespace of the Service that a name is of.")
    ] = "",
    at: options.At = "",
    where: Where = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Explain why a Service has its addresses, a prefix its routes, a node its traffic, and a peer its session.

    A Service of a namespace called node or peer is written service/NAMESPACE/NAME. Exit code 1 if what is asked about
    lacks something.
    """
    answer = ask("explain", {**_query(what, namespace), **({"at": at} if at else {})}, where)
    printed = print_answer(answer, shown.output)
    if not printed:
        _print(answer, wide=shown.wide, utc=shown.utc)
    if answer["problems"] and not printed:
        # The sentences above say it already.
        raise typer.Exit(FINDING)
    if answer["problems"]:
        raise Finding("; ".join(answer["problems"]))


def _query(what: str, namespace: str) -> dict[str, str]:
    """The question that a word stands for, by its form alone."""
    if _is_address(what):
        return {"ip": what}
    head, slash, rest = what.partition("/")
    if not slash:
        # With a namespace it can only be a Service; without one, whoever answers knows what there is.
        return {"service": f"{namespace}/{what}"} if namespace else {"name": what, "namespace": DEFAULT_NAMESPACE}
    if _is_address(head):
        return {"prefix": what}
    kind = KINDS.get(head.lower(), "")
    if kind == "service":
        return {"service": rest if "/" in rest else f"{namespace or DEFAULT_NAMESPACE}/{rest}"}
    return {kind: rest} if kind and "/" not in rest else {"service": what}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _print(answer: dict[str, Any], *, wide: bool, utc: bool) -> None:
    for sentence in answer["summary"]:
        typer.echo(sentence)
    for kind, printer in PRINTERS.items():
        if answer[kind] is not None:
            printer(answer[kind], wide=wide, utc=utc)


def _print_service(service: dict[str, Any], *, wide: bool, utc: bool) -> None:
    _print_requested(service)
    for holding in service["holdings"]:
        _print_holding(holding, utc=utc)
    refusal = service["refusal"]
    if refusal is not None:
        typer.echo(f"\nRefused at #{refusal['position']}: {refusal['reason']}")
        _print_candidates("Passed over:", refusal["candidates"])
        print_causes(refusal["causes"], utc=utc)
    if wide:
        typer.echo("\nIts last change:")
        print_causes(service["causes"], utc=utc)
        _print_meanings(service)


def _print_address(address: dict[str, Any], *, wide: bool, utc: bool) -> None:
    for holding in address["holdings"]:
        _print_holding(holding, utc=utc)
    if wide:
        _print_meanings(address)


def _print_requested(service: dict[str, Any]) -> None:
    asks = service["requested"]
    wishes = {
        "addresses": ", ".join(asks["addresses"]),
        "Eip": asks["pool"],
        "sharing key": asks["sharingKey"],
        "families": f"{' and '.join(asks['families'])} ({asks['familyPolicy']})" if asks["families"] else "",
    }
    told = [f"{name} {wish}" for name, wish in wishes.items() if wish]
    ports = ", ".join(f"{one['port']}/{one['protocol']}" for one in service["ports"])
    typer.echo(
        f"It asks for {'; '.join(told) or 'any address'}; ports {ports or '-'}; "
        f"externalTrafficPolicy {service['trafficPolicy']}."
    )


def _print_holding(holding: dict[str, Any], *, utc: bool) -> None:
    one, route = holding["allocation"], holding["route"]
    typer.echo("")
    row = [one["address"], one["pool"], one["service"]["namespace"] + "/" + one["service"]["name"], one["reason"]]
    columns = ["ADDRESS", "POOL", "SERVICE", "REASON", "SINCE", "POSITION"]
    print_table(columns, [[*row, time_text(one["since"], utc=utc), f"#{one['position']}"]])
    if holding["candidates"] is None:
        typer.echo(f"The journal does not hold #{one['position']} any more: what was passed over is not known.")
    else:
        _print_candidates("Passed over:", holding["candidates"])
    print_causes(holding["causes"], utc=utc)
    if route["nextHops"]:
        typer.echo("")
        print_next_hops(route["nextHops"], utc=utc)
    if route["sessions"]:
        typer.echo("")
        names = ("peer", "speaker", "prefix", "paths", "confirmed")
        rows = [[one[name] for name in names] for one in route["sessions"]]
        print_table([name.upper() for name in names], rows)


def _print_candidates(heading: str, candidates: list[dict[str, Any]]) -> None:
    if candidates:
        typer.echo(f"\n{heading}")
        print_table(["EIP", "REASON", "WHY"], [[one["pool"], one["reason"], one["message"]] for one in candidates])


def _print_meanings(told: dict[str, Any]) -> None:
    """What the reason codes that were shown mean."""
    codes = [holding["allocation"]["reason"] for holding in told["holdings"]]
    codes += [holding["route"]["reason"] for holding in told["holdings"]]
    passed = [one for holding in told["holdings"] for one in holding["candidates"] or ()]
    refusal = told.get("refusal")
    if refusal is not None:
        codes.append(refusal["reason"])
        passed += refusal["candidates"]
    codes += [one["reason"] for one in passed]
    print_meanings(codes)


PRINTERS = {
    "service": _print_service,
    "address": _print_address,
    "prefix": print_prefix,
    "node": print_node,
    "peer": print_peer,
}
