"""Commands for an incident: a cluster's history as a file, and whether it is whole."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from porter.app.settings import InvalidSettings
from porter.cli import options
from porter.cli.asking import history_of, journal_errors, with_moments
from porter.cli.exits import Finding, Unreachable
from porter.cli.groups import HERE, Where
from porter.cli.options import Output
from porter.cli.render import print_answer, print_table

STANDARD_OUTPUT = "-"


def export(
    *,
    since: Annotated[
        str, typer.Option(metavar="TIME|POSITION", help="Begin with the newest baseline before; with all if unset.")
    ] = "",
    from_position: Annotated[int | None, typer.Option(metavar="N", min=1, help="The same, by position.")] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help="Where to write it; - is standard output.")
    ] = "incident.porter-export",
    redact: Annotated[
        bool, typer.Option("--redact", help="Put pseudonyms for every name, label, address and free text.")
    ] = False,
    where: Where = HERE,
) -> None:
    """Write the journal and every speaker's stream into a file that answers every question without a cluster."""
    from porter.app.history.moments import Moment
    from porter.app.incident.direct import with_streams
    from porter.app.incident.export import export_bytes
    from porter.files import PRIVATE, write_atomically

    if since and from_position is not None:
        raise InvalidSettings("--since and --from-position say the same; give one of them")
    wanted = with_moments({"since": since or str(from_position or "")}, where.source)
    with journal_errors(where):
        moment = Moment.from_query(wanted, "since")
        place = history_of(wanted, where)
        told, raw = with_streams(place, lambda streams, name: export_bytes(streams, name, moment, redact=redact))
    if out == STANDARD_OUTPUT:
        sys.stdout.buffer.write(raw)
        return
    try:
        write_atomically(Path(out), raw, durable=True, mode=PRIVATE)
    except OSError as error:
        raise InvalidSettings(f"--out {out} cannot be written: {error.strerror}") from error
    speakers = f"{told.speakers} {'speaker' if told.speakers == 1 else 'speakers'}"
    typer.echo(f"{out}: #{told.first} to #{told.last} and {speakers}, {len(raw)} bytes, sha256 {told.digest}")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `porter export`.")],
    *,
    redis_url: options.RedisUrl = "",
    cluster: Annotated[str, typer.Option(help="The cluster's name there; the file's own if unset.")] = "",
) -> None:
    """Bring an export into an empty journal at a server, if `porter verify` finds nothing wrong with it."""
    from porter.app.incident.export import import_file
    from porter.journal.restore import NotEmpty
    from porter.ports import Corrupt, JournalMissing

    if not redis_url:
        raise InvalidSettings("--redis-url is missing: the server to import into")
    try:
        with journal_errors(Where(redis_url=redis_url)):
            told = import_file(file, redis_url, cluster)
    except Unreachable as error:
        if isinstance(error.__cause__, Corrupt | JournalMissing):
            raise InvalidSettings(str(error.__cause__)) from error
        if isinstance(error.__cause__, NotEmpty):
            raise Finding(str(error.__cause__)) from error
        raise
    typer.echo(f"#{told.first} to #{told.last} and {told.speakers} speakers' streams are there now")


def verify(
    *,
    public_keys: options.PublicKeys = None,
    where: Where = HERE,
    output: options.OutputForm = Output.TABLE,
) -> None:
    """Check the hash chains, the positions, baselines against a refold, an export's footer, an archive, signatures.

    Exit code 1 if anything was changed, removed, moved or repeated.
    """
    from porter.app.answers.verify import verify as verified
    from porter.app.incident import direct
    from porter.journal.signing import InvalidKey, Verifier
    from porter.ports import Corrupt

    try:
        with journal_errors(where):
            place = history_of({}, where)
            signatures = Verifier(public_keys) if public_keys else None
            answer = direct.with_streams(place, lambda streams, _: verified(streams, signatures))
    except Unreachable as error:
        if isinstance(error.__cause__, InvalidKey):
            raise InvalidSettings(f"--public-key: {error.__cause__}") from error
        raise
    except InvalidSettings as error:
        if isinstance(error.__cause__, Corrupt):
            raise Finding(str(error.__cause__)) from error
        raise
    if not print_answer(answer, output):
        rows = [
            [one["stream"] or "journal", one["commits"], one["events"], f"#{one['first']}", f"#{one['position']}"]
            for one in answer["streams"]
        ]
        print_table(["STREAM", "COMMITS", "EVENTS", "FIRST", "LAST"], rows)
        typer.echo(
            f"\n{answer['baselines']} baselines and {answer['witnessed'] + answer['seen']} witnessed heads were checked"
        )
        if answer["segments"]:
            typer.echo(f"{answer['segments']} segments of the archive were read")
        if answer["signed"]:
            how = "checked by the public key" if answer["signaturesChecked"] else "not checked: give --public-key"
            typer.echo(f"{answer['signed']} heads are signed, the last of them #{answer['signedPosition']}; {how}")
        if answer["digest"]:
            typer.echo(f"the export's digest is {answer['digest']}")
    if answer["problems"]:
        raise Finding("; ".join(answer["problems"]))
