"""`porter console`: the pages in a browser."""

# Only what a command needs is imported, when it runs.
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from porter.app.settings import DEFAULT_CLUSTER, DEFAULT_STATE_DIR
from porter.cli import options

DEFAULT_LISTEN = "127.0.0.1:9180"
EMBEDDED_FOLDER = "redis"


def console(
    *,
    redis_url: options.RedisUrl = "",
    cluster: options.Cluster = DEFAULT_CLUSTER,
    file: options.FromFile = None,
    archive: options.Archive = "",
    state_dir: options.StateDir = DEFAULT_STATE_DIR,
    listen: Annotated[
        str, typer.Option(metavar="ADDR", help="Where the pages are, as HOST:PORT; port 0 takes a free one.")
    ] = DEFAULT_LISTEN,
    health: Annotated[
        str, typer.Option(metavar="ADDR", help="Answer /livez there, too, and nothing else: for a probe.")
    ] = "",
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy authenticates clients: other addresses may be bound.")
    ] = False,
    trace_url: Annotated[
        str, typer.Option(metavar="URL", help="Where traces are shown; {trace} stands for the trace's id.")
    ] = "",
    log_level: options.Level = options.LogLevel.WARNING,
) -> None:
    """Serve pages that show a cluster, now and at any earlier moment: by its journal, or by an exported file.

    They only read. If neither --redis-url nor --from is given, it reads the journal of the `porter up` of --state-dir,
    and its archive.
    """
    from porter.app import process
    from porter.cli.asking import journal_errors, place_of
    from porter.cli.groups import Where
    from porter.console.server import run_console
    from porter.console.settings import ConsoleSettings
    from porter.telemetry.logs import configure_logging

    configure_logging("console", level=log_level.value)
    # A file is asked for expressly; the variable may be set for everything.
    server = "" if file is not None else redis_url
    if file is None and not server:
        server = _embedded(state_dir)
        archive = archive or _own_archive(state_dir)
    where = Where(redis_url=server, cluster=cluster, source=file, archive=archive)
    place = place_of(where)
    settings = ConsoleSettings(
        redis_url=place.redis_url,
        cluster=place.cluster,
        file=place.file,
        archive=place.archive,
        archive_token=place.archive_token,
        listen=listen,
        health=health,
        behind_proxy=behind_proxy,
        trace_url=trace_url,
    )
    with journal_errors(where):
        process.run_until_signalled(run_console(settings, lambda address: typer.echo(f"the console is at {address}")))


def _embedded(state_dir: Path) -> str:
    """The URL of the embedded server of a `porter up`, where one was started there."""
    from porter.app.settings import Settings
    from porter.journal.embedded import socket_path

    path = socket_path(Settings(state_dir=state_dir).directory / EMBEDDED_FOLDER)
    return f"unix://{quote(str(path))}" if path.exists() else ""


def _own_archive(state_dir: Path) -> str:
    """The archive that a `porter up` writes, where it does."""
    from porter.app.settings import Settings

    folder = Settings(state_dir=state_dir).archive_directory
    return str(folder) if folder.is_dir() else ""
