"""`porter collect`: a support bundle."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from porter.app.settings import InvalidSettings
from porter.cli.asking import ask, history_of, journal_errors, with_moments
from porter.cli.exits import Finding, Unreachable
from porter.cli.groups import HERE, Where

if TYPE_CHECKING:
    from porter.app.incident.collect import Wanted
    from porter.app.incident.direct import Place


def collect(
    *,
    since: Annotated[str, typer.Option(metavar="TIME|POSITION", help="How far back the history goes.")] = "-1h",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write it.")] = Path(
        "porter-support.tar.gz"
    ),
    redact: Annotated[
        bool, typer.Option("--redact/--no-redact", help="Put pseudonyms for every name, label, address and free text.")
    ] = True,
    where: Where = HERE,
) -> None:
    """Write a support bundle: answers, the last hour's history, the doctor's findings, metrics, versions and logs.

    No password or token is ever in it. What it holds stands in its manifest.json.
    """
    from porter.app.incident import direct
    from porter.app.incident.collect import collect as collected
    from porter.files import PRIVATE, write_atomically

    wanted = _wanted(since, where, redact=redact)
    with journal_errors(where):
        place = _history(wanted, where)
        raw, manifest = direct.with_streams(place, lambda streams, cluster: collected(streams, cluster, wanted))
    try:
        write_atomically(out, raw, durable=True, mode=PRIVATE)
    except OSError as error:
        raise InvalidSettings(f"--out {out} cannot be written: {error.strerror}") from error
    how = "redacted" if redact else "with the cluster's own names"
    typer.echo(
        f"{out}: #{manifest['first']} to #{manifest['last']}, {len(manifest['files'])} files, {len(raw)} bytes, {how}"
    )
    for one in manifest["omitted"]:
        typer.echo(f"left out: {one['name']} ({one['bytes']} bytes; {one['why']})")


def _wanted(since: str, where: Where, *, redact: bool) -> Wanted:
    from porter.app.history.moments import Moment
    from porter.app.incident.collect import Wanted

    folder = where.state_dir.expanduser()
    moment = Moment.from_query(with_moments({"since": since}, where.source), "since")
    if moment is None:
        raise InvalidSettings("--since is empty; write how long ago, like -1h")
    live = where.source is None
    return Wanted(
        moment,
        redact,
        folder if live and folder.is_dir() else None,
        _metrics(where) if live and not where.redis_url else "",
        _doctor(where) if live else None,
    )


def _history(wanted: Wanted, where: Where) -> Place:
    """The history since then, or all that there is where it does not go back so far."""
    from porter.app.answer_json import time_json

    since = str(wanted.since.position) if wanted.since.position else time_json(wanted.since.time_ms)
    try:
        return history_of({"since": since}, where)
    except Finding:
        return history_of({}, where)


def _metrics(where: Where) -> str:
    from porter.cli.client import Controller

    try:
        return Controller(where.server, where.state_dir).content("/metrics").decode()
    except (Finding, Unreachable):
        return ""


def _doctor(where: Where) -> dict[str, Any] | None:
    try:
        return ask("doctor", {}, where)
    except (Finding, Unreachable):
        return None
