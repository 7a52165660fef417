"""`porter plan`: what a change would do, before anybody applies it."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

from typing import Annotated, Any

import typer

from porter.app import settings as defaults
from porter.cli import options
from porter.cli.asking import history_of, journal_errors, present_of, with_moments
from porter.cli.exits import Finding
from porter.cli.groups import HERE, Where
from porter.cli.history import print_changes
from porter.cli.options import Output
from porter.cli.redecided import decide_again
from porter.cli.render import print_answer


def plan(
    *,
    file: Annotated[
        list[str] | None, typer.Option("-f", metavar="FILE|DIR|-", help="Manifests that would be applied.")
    ] = None,
    delete: Annotated[
        list[str] | None, typer.Option(metavar="KIND/NAME", help="What would be deleted: eip/public, service/shop/web.")
    ] = None,
    node_down: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A Node that would fail.")] = None,
    peer_down: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A BgpPeer that would fail.")] = None,
    with_version: Annotated[
        bool,
        typer.Option(
            "--with-version", help="Decide the cluster's own history again with this build, before an upgrade."
        ),
    ] = False,
    since: Annotated[
        str, typer.Option(metavar="TIME|POSITION", help="With --with-version: only what was decided behind this.")
    ] = "",
    at: options.At = "",
    where: Where = HERE,
    load_balancer_class: options.LoadBalancerClass = defaults.DEFAULT_LOAD_BALANCER_CLASS,
    claim_unclassified: options.ClaimUnclassified = False,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Decide a change on a copy of the present, and show which addresses, routes and next hops would change, and why.

    Nothing is written. Exit code 1 if a Service would lose an address, or all routes of one, or if an object of
    the manifests could not be used.

    With --with-version no change is planned: the journal is replayed, and this build says at each decision what it
    would have decided. Exit code 1 if any decision would differ.
    """
    if with_version:
        if file or delete or node_down or peer_down or at:
            raise defaults.InvalidSettings("--with-version replays history as it was; it takes --since, and no change")
        decide_again(since, where, output)
        return
    if since:
        raise defaults.InvalidSettings("--since goes with --with-version; a change is planned upon a moment with --at")
    from porter.app.history.moments import Moment
    from porter.app.incident import direct
    from porter.app.migrate.reading import Unreadable
    from porter.app.plan import NotPlannable, plan_at, read_changes
    from porter.kube.facts import FactSettings

    if not (file or delete or node_down or peer_down):
        raise defaults.InvalidSettings("say what would change: -f FILE, --delete, --node-down or --peer-down")
    settings = FactSettings(load_balancer_class, claim_unclassified=claim_unclassified)
    try:
        changes = read_changes(file or (), delete or (), node_down or (), peer_down or ())
        with journal_errors(where):
            wanted = with_moments({"at": at}, where.source)
            moment = Moment.from_query(wanted, "at")
            place = history_of({"since": wanted["at"]}, where) if wanted else present_of(where)
            answer = direct.with_streams(place, lambda streams, _: plan_at(streams, moment, changes, settings))
    except Unreadable as error:
        raise defaults.InvalidSettings(f"-f: {error}") from error
    except NotPlannable as error:
        raise defaults.InvalidSettings(str(error)) from error
    if not print_answer(answer, output):
        _print_plan(answer)
    if answer["problems"]:
        raise Finding("; ".join(answer["problems"]))


def _print_plan(answer: dict[str, Any]) -> None:
    for note in answer["notes"]:
        typer.echo(f"note: {note}")
    typer.echo(f"behind #{answer['position']} would come:")
    for one in answer["changes"]:
        cause = f"  cause #{one['cause']}" if one["cause"] else ""
        typer.echo(
            f"  #{one['position']:<6} {one['lane']:<9} {one['type']:<20} {one['aggregate']}  {one['summary']}{cause}"
        )
    print_changes(answer)
