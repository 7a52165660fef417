"""The long-running programs: each reads its options into settings, then imports only what it runs."""

# What a program does not need is not imported by it: the speaker never loads a Kubernetes client, and help is fast.
# ruff: noqa: PLC0415

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from porter.app import settings as defaults
from porter.app.settings import Settings
from porter.cli import options
from porter.cli.groups import spread
from porter.cli.kept_options import KEPT, KeptOptions
from porter.cli.program_options import (
    DECISIONS,
    ENGINE,
    JOURNAL,
    PROCESS,
    DecisionOptions,
    EngineOptions,
    JournalOptions,
    ProcessOptions,
)


@spread
def up(
    *,
    kubeconfig: options.Kubeconfig = None,
    manifests: options.Manifests = None,
    journal: JournalOptions = JOURNAL,
    decisions: DecisionOptions = DECISIONS,
    engine: EngineOptions = ENGINE,
    name: options.Name = "",
    topology: options.UpTopology = options.Topology.CENTRAL,
    node_name: options.NodeName = "",
    kept: KeptOptions = KEPT,
    runs: ProcessOptions = PROCESS,
) -> None:
    """Run controller, speaker and its BGP engine on this machine, and a server for the journal if no URL is given.

    One that dies is started again. DIR/pids.json holds their pids. SIGTERM ends all without withdrawing a route.
    """
    from porter.app.up.parts import run_up
    from porter.app.up.supervisor import DirectoryInUse
    from porter.cli.exits import Finding
    from porter.ports import JournalError

    settings = Settings(
        kubeconfig=kubeconfig,
        manifests=manifests,
        **journal.settings(),
        **decisions.settings(),
        **engine.settings(),
        **kept.settings(),
        name=name or socket.gethostname(),
        topology="node" if topology is options.Topology.NODE else "central",
        node_name=node_name or socket.gethostname(),
    )
    _begin(runs.supervisor, settings)
    try:
        code = run_up(settings, log_level=runs.log_level.value)
    except DirectoryInUse as error:
        raise Finding(str(error)) from error
    except JournalError as error:
        raise defaults.InvalidSettings(str(error)) from error
    raise typer.Exit(code)


@spread
def controller(
    *,
    kubeconfig: options.Kubeconfig = None,
    manifests: options.Manifests = None,
    in_cluster: options.InCluster = False,
    journal: JournalOptions = JOURNAL,
    decisions: DecisionOptions = DECISIONS,
    name: options.Name = "",
    kept: KeptOptions = KEPT,
    runs: ProcessOptions = PROCESS,
) -> None:
    """Watch the cluster, allocate addresses, write the journal and the statuses; one controller of several leads."""
    from porter.app import process
    from porter.app.up import parts as up
    from porter.telemetry.logs import configure_logging

    settings = Settings(
        kubeconfig=kubeconfig,
        manifests=manifests,
        in_cluster=in_cluster,
        **journal.settings(),
        **decisions.settings(),
        **kept.settings(),
        name=name or socket.gethostname(),
    )
    _require_redis(settings)
    up.check_settings(settings)
    _begin(runs.supervisor, settings)
    configure_logging("controller", level=runs.log_level.value)
    from porter.app.controller.process import run_controller

    process.run_until_signalled(run_controller(settings))


@spread
def speaker(
    *,
    journal: JournalOptions = JOURNAL,
    engine: EngineOptions = ENGINE,
    name: options.Name = "",
    runs: ProcessOptions = PROCESS,
    _http: Annotated[str, typer.Option("--http", hidden=True)] = "",
    _kubeconfig: Annotated[Path | None, typer.Option("--kubeconfig", hidden=True)] = None,
    _manifests: Annotated[Path | None, typer.Option("--manifests", hidden=True)] = None,
) -> None:
    """Follow the journal and announce its routes through the BGP engine beside it; needs no access to the cluster.

    The controller's options --http, --kubeconfig and --manifests are taken and left unused, so that both programs
    may be given the same.
    """
    from porter.app.settings_check import check_name

    settings = Settings(**journal.settings(), **engine.settings(), name=name or socket.gethostname())
    _speak("speaker", settings, check_name, runs)


@spread
def agent(
    *,
    node_name: options.NodeName = "",
    journal: JournalOptions = JOURNAL,
    engine: EngineOptions = ENGINE,
    runs: ProcessOptions = PROCESS,
) -> None:
    """Follow the journal and announce one node to the peers of topology node, through the BGP engine beside it.

    One runs on each node. Its stream is named after the node; it needs no access to the cluster.
    """
    from porter.app.settings_check import check_node_name
    from porter.model.bgp import agent_name

    node_name = node_name or socket.gethostname()
    settings = Settings(
        **journal.settings(),
        **engine.settings(),
        name=agent_name(node_name),
        topology="node",
        node_name=node_name,
    )
    _speak("agent", settings, check_node_name, runs)


def exabgp(state_dir: options.StateDir = defaults.DEFAULT_STATE_DIR) -> None:
    """Wait for the configuration that the speaker writes, then become ExaBGP with it."""
    from porter.app.speaker.exabgp import become_exabgp
    from porter.telemetry.logs import configure_logging

    configure_logging("exabgp")
    become_exabgp(Settings(state_dir=state_dir))


def bfd(state_dir: options.StateDir = defaults.DEFAULT_STATE_DIR) -> None:
    """Wait until a peer of the speaker beside it wants BFD, then become BIRD, which runs it."""
    from porter.app.speaker.bfd import become_bird
    from porter.telemetry.logs import configure_logging

    configure_logging("bfd")
    become_bird(Settings(state_dir=state_dir))


def gobgp(*, state_dir: options.StateDir = defaults.DEFAULT_STATE_DIR, supervisor: options.SupervisorPid = 0) -> None:
    """Keep a GoBGP daemon for each session that the speaker beside it wants (--engine gobgp)."""
    from porter.app import process
    from porter.app.speaker.gobgp import check_engine, check_program, run_keeper
    from porter.telemetry.logs import configure_logging

    settings = Settings(state_dir=state_dir, engine="gobgp")
    check_engine(settings)
    check_program()
    _begin(supervisor, settings)
    configure_logging("gobgp")
    process.run_until_signalled(run_keeper(settings))


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running at the end, to play in; Ctrl-C ends it.")
    ] = False,
    router: Annotated[
        str, typer.Option(help="The lab router: bird, gobgp or exabgp; the first that is installed if unset.")
    ] = "",
    state_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put everything; a temporary folder if unset.")
    ] = None,
) -> None:
    """Show Porter at work without root and without a cluster: real parts, a lab router on loopback, and crashes."""
    import asyncio

    from porter.app.demo import run_demo

    raise typer.Exit(asyncio.run(run_demo(keep=keep, router=router, directory=state_dir, say=typer.echo)))


def _require_redis(settings: Settings) -> None:
    if not settings.redis_url:
        raise defaults.InvalidSettings(
            "--redis-url is missing: the journal needs a server; `porter up` brings one of its own"
        )


def _speak(program: str, settings: Settings, check_names: Callable[[Settings], None], runs: ProcessOptions) -> None:
    """Run a speaker of either kind, once its settings are found to be fit for it."""
    from porter.app import process
    from porter.app.settings_check import check_local_address
    from porter.app.speaker.gobgp import check_engine
    from porter.telemetry.logs import configure_logging

    _require_redis(settings)
    check_engine(settings)
    check_local_address(settings)
    check_names(settings)
    _begin(runs.supervisor, settings)
    configure_logging(program, level=runs.log_level.value)
    from porter.app.speaker.process import run_speaker

    process.run_until_signalled(run_speaker(settings))


def _begin(supervisor: int, settings: Settings) -> None:
    """Tie this process to its supervisor, if it has one, and make its directory."""
    from porter.app import process
    from porter.app.upgrade import rehearsal

    rehearsal.rehearse(os.environ)
    if supervisor:
        process.end_with(supervisor)
    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
