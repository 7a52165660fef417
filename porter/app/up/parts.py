"""`porter up`: controller, speaker, BGP engine and, without `--redis-url`, a server for the journal, in one directory.

Turns at the end: the controller first, so that nothing new is decided; with it the speaker, which leaves sessions and
routes as they are; then the engine, which closes its sessions silently, as graceful restart wants it (RFC 4724); the
journal's server last, when all that was written is on disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from porter.app.settings import Settings
from porter.app.settings_check import (
    check_archive_peers,
    check_http,
    check_local_address,
    check_name,
    check_node_name,
    check_sources,
)
from porter.app.speaker.gobgp import check_engine, check_program
from porter.app.up.part_logs import Console
from porter.app.up.supervisor import Part, Supervisor
from porter.journal.embedded import EmbeddedServer
from porter.policy.topology import NODE

SUPERVISOR_OPTION = "--supervisor"
"""Tells a child whose child it is, so that it ends with it (`porter.app.process.end_with`)."""
CONNECT_POLL_S = 0.02
REDIS_URL_VARIABLE = "PORTER_REDIS_URL"
"""A URL may hold a password: it is handed on in the environment, which other users cannot read, not as an argument."""


def check_settings(settings: Settings) -> None:
    """Refuse settings that no part could work with.

    Raises:
        InvalidSettings: the message names the option and the mend.
    """
    check_engine(settings)
    check_sources(settings)
    check_http(settings)
    check_archive_peers(settings)
    check_local_address(settings)
    check_name(settings)
    if settings.topology == NODE:
        check_node_name(settings)


def parts_of(settings: Settings, *, log_level: str = "info") -> list[Part]:
    """The table of parts for these settings, in the order of their start."""
    parts = []
    url = settings.redis_url
    if not url:
        server = _embedded(settings)
        server.prepare()
        url = server.url
        ready = partial(_until_connectable, server.socket)
        parts.append(Part("redis", server.command(), stop_turn=3, ready=ready))
    environment = {REDIS_URL_VARIABLE: url, "PYTHONUNBUFFERED": "1"}
    program = (sys.executable, "-m", "porter")
    tail = ("--log-level", log_level, SUPERVISOR_OPTION, str(os.getpid()))
    parts += [
        Part("controller", (*program, "controller", *_controller_options(settings), *tail), 1, environment=environment),
        # An agent is listed as the speaker that it is.
        Part("speaker", (*program, *_speaker_command(settings), *tail), 1, environment=environment),
        _engine_part(settings, program),
        Part("bfd", (*program, "bfd", "--state-dir", str(settings.directory)), 2, wanted=settings.bfd_configuration),
    ]
    return parts


def _embedded(settings: Settings) -> EmbeddedServer:
    return EmbeddedServer(settings.directory / "redis")


def _engine_part(settings: Settings, program: Sequence[str]) -> Part:
    if settings.engine == "gobgp":
        # Its daemons live in process groups of their own, and outlive it; told to end, it ends them.
        return Part("gobgp", (*program, "gobgp", "--state-dir", str(settings.directory)), 2)
    return Part("exabgp", (*program, "exabgp", "--state-dir", str(settings.directory)), 2, helper="relay")


async def supervise(directory_parts: Supervisor) -> int:
    """Run a supervisor until SIGTERM or SIGINT; a second signal kills the parts. Return the exit code."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, directory_parts.stop)
    return await directory_parts.run()


def run_up(settings: Settings, *, log_level: str = "info", parts: Sequence[Part] | None = None) -> int:
    """Run `porter up` to its end; return the exit code.

    Raises:
        InvalidSettings: settings that contradict each other.
        JournalError: no server's program was found.
        DirectoryInUse: another `porter up` runs on the state directory.
    """
    if parts is None:
        check_settings(settings)
        if settings.engine == "gobgp":
            check_program()
        parts = parts_of(settings, log_level=log_level)
    console = Console()
    try:
        return asyncio.run(supervise(Supervisor(settings.directory, parts, console)))
    finally:
        console.close()
        if not settings.redis_url:
            _embedded(settings).leave()


async def _until_connectable(socket: Path) -> None:
    """Wait until the server listens. The others wait by themselves until it has loaded its data."""
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(str(socket))
        except OSError:
            await asyncio.sleep(CONNECT_POLL_S)
        else:
            writer.close()
            return


def _common_options(settings: Settings) -> list[str]:
    options = ["--state-dir", str(settings.directory), "--cluster", settings.cluster]
    options += ["--namespace", settings.namespace]
    if settings.local_address:
        options += ["--local-address", settings.local_address]
    return options


def _speaker_command(settings: Settings) -> list[str]:
    secrets_dir = [] if settings.secrets_dir is None else ["--secrets-dir", str(settings.secrets_dir.absolute())]
    who = ["agent", "--node-name", settings.node_name]
    if settings.topology != NODE:
        who = ["speaker", "--name", settings.name]
    return [*who, *_common_options(settings), *secrets_dir, "--engine", settings.engine]


def _controller_options(settings: Settings) -> list[str]:
    options = ["--name", settings.name, *_common_options(settings), "--http", settings.http]
    if settings.kubeconfig is not None:
        options += ["--kubeconfig", str(settings.kubeconfig.absolute())]
    if settings.manifests is not None:
        options += ["--manifests", str(settings.manifests.absolute())]
    options += ["--load-balancer-class", settings.load_balancer_class]
    if settings.claim_unclassified:
        options.append("--claim-unclassified")
    if settings.drain_cordoned:
        options.append("--drain-cordoned")
    options += ["--hold-share", str(settings.hold_share_percent), "--hold-minimum", str(settings.hold_minimum)]
    options += ["--hold-bound", str(settings.hold_bound_s)]
    after_s = settings.activate_after_s
    options += ["--activate-schema-after", "never" if after_s is None else f"{round(after_s * 1000)}ms"]
    options += ["--baseline-events", str(settings.baseline_events)]
    options += ["--journal-trim", str(settings.journal_trim_bytes), "--journal-max", str(settings.journal_max_bytes)]
    options += ["--archive-dir", str(settings.archive_directory), "--archive-max", str(settings.archive_max_bytes)]
    for option, seconds in (("--journal-keep", settings.journal_keep_s), ("--archive-keep", settings.archive_keep_s)):
        options += [option, f"{seconds}s" if seconds else "0"]
    for peer in settings.archive_peers:
        options += ["--archive-peer", peer]
    if settings.token_file is not None:
        options += ["--token-file", str(settings.token_file.absolute())]
    if settings.signing_key is not None:
        options += ["--signing-key", str(settings.signing_key.absolute())]
    for name in sorted(settings.unsafe):
        options += ["--unsafe", name]
    return options
