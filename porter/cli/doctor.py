"""`porter doctor`: what is wrong, where, and the mend."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from porter.app.settings import DEFAULT_NAMESPACE
from porter.cli import options
from porter.cli.asking import ask
from porter.cli.exits import FINDING, Finding, Unreachable
from porter.cli.groups import HERE, Where
from porter.cli.options import Output
from porter.cli.render import print_answer, print_table

ORDER = ("problem", "warning", "unknown", "ok")
"""What has to be read first."""

Kubeconfig = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Look at this cluster, too: versions, CRDs, the Lease, kube-proxy.")
]


def doctor(
    *,
    kubeconfig: Kubeconfig = None,
    in_cluster: options.InCluster = False,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    where: Where = HERE,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Check the journal's server, the leader, speakers, sessions, pools and Services; with a cluster also around them.

    Exit code 1 if there is a problem; warnings may be meant so, and are none. Exit code 3 if neither a controller nor
    the journal answers; the cluster is looked at all the same.
    """
    unreachable = ""
    try:
        answer = ask("doctor", {}, where)
    except Unreachable as error:
        unreachable = str(error)
        answer = _not_reached(unreachable)
    if kubeconfig is not None or in_cluster:
        _look_around(answer, kubeconfig, namespace)
    if not print_answer(answer, output):
        _print(answer, wide=output is Output.WIDE)
    if unreachable:
        raise Unreachable(unreachable)
    if answer["problems"]:
        # A table says it already.
        raise Finding("; ".join(answer["problems"])) if output in (Output.JSON, Output.YAML) else typer.Exit(FINDING)


def _not_reached(why: str) -> dict[str, Any]:
    from porter.app.doctor import problem
    from porter.app.doctor.answer import answer

    mend = "see that it runs; name it with --server, or the journal with --redis-url"
    told: dict[str, Any] = answer("", 0, "", [problem("reached", "controller or journal", why, mend)])
    return told


def _look_around(answer: dict[str, Any], kubeconfig: Path | None, namespace: str) -> None:
    """Add the checks of the Kubernetes cluster to an answer."""
    import asyncio

    from porter.app.doctor import checks_json, problems_of
    from porter.app.doctor.cluster import cluster_checks

    found = asyncio.run(cluster_checks(kubeconfig, namespace, answer["genesis"], answer["position"]))
    answer["checks"] += checks_json(found)
    answer["problems"] += problems_of(found)


def _print(answer: dict[str, Any], *, wide: bool) -> None:
    checks = sorted(answer["checks"], key=lambda one: ORDER.index(one["verdict"]))
    bad = [one for one in checks if one["verdict"] != "ok"]
    rows = [[one["verdict"], one["name"], one["where"], one["message"]] for one in (checks if wide or not bad else bad)]
    print_table(["VERDICT", "CHECK", "WHERE", "WHAT"], rows)
    mends = [one for one in bad if one["mend"]]
    if mends:
        typer.echo("\nMends:")
        for one in mends:
            typer.echo(f"  {one['name']}, {one['where']}: {one['mend']}")
    counted = {verdict: sum(1 for one in checks if one["verdict"] == verdict) for verdict in ORDER}
    typer.echo("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counted.items() if count))
