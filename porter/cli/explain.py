"""`porter explain`: why a Service has what it has, or what an address is."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any

import typer

from porter.app.settings import DEFAULT_CLUSTER, DEFAULT_STATE_DIR
from porter.cli import options
from porter.cli.asking import ask
from porter.cli.exits import FINDING, Finding
from porter.cli.options import Output
from porter.cli.render import print_answer, print_table, time_text
from porter.model.meanings import meaning_of

DEFAULT_NAMESPACE = "default"


def explain(
    what: Annotated[
        str, typer.Argument(metavar="SERVICE|IP", help="A Service (NAMESPACE/NAME or NAME) or an address.")
    ],
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NS", help="The Service's namespace, if its name has none.")
    ] = DEFAULT_NAMESPACE,
    at: options.At = "",
    server: options.Server = "",
    redis_url: options.RedisUrl = "",
    cluster: options.Cluster = DEFAULT_CLUSTER,
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    file: options.FromFile = None,
    output: options.OutputForm = Output.TABLE,
    utc: options.Utc = False,
) -> None:
    """Explain why a Service has its addresses and routes, or has none, and whose an address is.

    Exit code 1 if the Service lacks something.
    """
    answer = ask(
        "explain",
        {**_query(what, namespace), **({"at": at} if at else {})},
        server=server,
        redis_url=redis_url,
        cluster=cluster,
        state_dir=state_dir,
        file=file,
    )
    printed = print_answer(answer, output)
    if not printed:
        _print(answer, wide=output is Output.WIDE, utc=utc)
    if answer["problems"] and not printed:
        # The sentences above say it already.
        raise typer.Exit(FINDING)
    if answer["problems"]:
        raise Finding("; ".join(answer["problems"]))


def _query(what: str, namespace: str) -> dict[str, str]:
    try:
        ip_address(what)
    except ValueError:
        return {"service": what if "/" in what else f"{namespace}/{what}"}
    return {"ip": what}


def _print(answer: dict[str, Any], *, wide: bool, utc: bool) -> None:
    for sentence in answer["summary"]:
        typer.echo(sentence)
    service = answer["service"]
    if service is not None:
        _print_requested(service)
    told = service or answer["address"]
    for holding in told["holdings"]:
        _print_holding(holding, utc=utc)
    refusal = service["refusal"] if service is not None else None
    if refusal is not None:
        typer.echo(f"\nRefused at #{refusal['position']}: {refusal['reason']}")
        _print_candidates("Passed over:", refusal["candidates"])
        _print_causes(refusal["causes"], utc=utc)
    if wide and service is not None:
        typer.echo("\nIts last change:")
        _print_causes(service["causes"], utc=utc)
    if wide:
        _print_meanings(told)


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
    _print_causes(holding["causes"], utc=utc)
    if route["nextHops"]:
        typer.echo("")
        since = time_text(route["since"], utc=utc)
        rows = [[hop["address"], hop["node"], hop["pathId"], since, f"#{route['cause']}"] for hop in route["nextHops"]]
        print_table(["NEXT HOP", "NODE", "PATH ID", "SINCE", "CAUSE"], rows)
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
    known = [(code, meaning) for code in dict.fromkeys(codes) if (meaning := meaning_of(code)) is not None]
    if known:
        typer.echo("")
        print_table(["CODE", "MEANING", "MEND"], [[code, meaning.sentence, meaning.mend] for code, meaning in known])


def _print_causes(causes: list[dict[str, Any]], *, utc: bool) -> None:
    if causes:
        typer.echo("")
        rows = [
            [
                f"#{one['position']}",
                time_text(one["time"], utc=utc),
                one["type"],
                one["aggregate"],
                one["resourceVersion"],
            ]
            for one in causes
        ]
        print_table(["POSITION", "TIME", "EVENT", "ABOUT", "RESOURCE VERSION"], rows)
