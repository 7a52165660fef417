"""The options that several commands share, each declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from porter.journal.names import check_name

StateDir = Annotated[
    Path, typer.Option(metavar="DIR", help="Where Porter keeps its files on this machine (mode 0700).")
]


def _cluster_name(name: str) -> str:
    try:
        return check_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Cluster = Annotated[str, typer.Option(help="The cluster's name: one journal each.", callback=_cluster_name)]
Namespace = Annotated[str, typer.Option(metavar="NS", help="Porter's own namespace: its Lease and its Secrets.")]
Http = Annotated[str, typer.Option(metavar="ADDR", help="Where the controller answers HTTP, as HOST:PORT.")]
RedisUrl = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar="PORTER_REDIS_URL",
        show_envvar=True,
        help="The journal's server: redis://, rediss://, redis+sentinel:// or unix://. "
        "A password belongs into the environment.",
    ),
]
Kubeconfig = Annotated[Path | None, typer.Option(metavar="FILE", help="The cluster to serve.")]
Manifests = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A folder of manifests in place of a cluster; watched for changes.")
]
InCluster = Annotated[bool, typer.Option("--in-cluster", help="Use the Pod's own service account.")]
LocalAddress = Annotated[
    str, typer.Option(metavar="IP", help="The speaker's own address for BGP; found by the route to the peer if unset.")
]
SecretsDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where Secrets are mounted, for peers with a passwordSecret: DIR/NAME/password."),
]
Name = Annotated[str, typer.Option(help="This process's name, stable over restarts; the machine's name if unset.")]
NodeName = Annotated[
    str,
    typer.Option(
        metavar="NODE",
        envvar="NODE_NAME",
        show_envvar=True,
        help="The node that an agent announces, as Kubernetes calls it; the machine's name if unset.",
    ),
]


class EngineName(StrEnum):
    """The BGP engines that a speaker can drive."""

    EXABGP = "exabgp"
    GOBGP = "gobgp"


Engine = Annotated[
    EngineName, typer.Option("--engine", help="The BGP engine; gobgp needs gobgpd and the extra porter[gobgp].")
]
LoadBalancerClass = Annotated[str, typer.Option(metavar="CLASS", help="Services of this class are Porter's.")]
ClaimUnclassified = Annotated[
    bool, typer.Option("--claim-unclassified", help="Also serve LoadBalancer Services without a class.")
]
Unsafe = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Override this refusal of the start-up gate; may be repeated.")
]
DrainCordoned = Annotated[
    bool, typer.Option("--drain-cordoned", help="Let a node that is cordoned (unschedulable) count as drained.")
]
HoldShare = Annotated[
    int,
    typer.Option(
        metavar="PERCENT",
        min=1,
        max=100,
        help="Hold withdrawals if more than this share of all prefixes loses its last next hop at once; 100: never.",
    ),
]
HoldMinimum = Annotated[int, typer.Option(metavar="N", min=1, help="Never hold fewer withdrawals than this.")]
HoldBound = Annotated[int, typer.Option(metavar="SECONDS", min=1, max=86400, help="Hold them for so long at most.")]
ActivateSchemaAfter = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Write newer events once all readers have known them for so long, which ends the way back; or `never`.",
    ),
]


BaselineEvents = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Record the whole state, from which readers may start, after N events at most."
    ),
]
JournalTrim = Annotated[
    str, typer.Option(metavar="SIZE", help="Trim the journal above this size, behind its newest baseline; 0: never.")
]
JournalKeep = Annotated[
    str, typer.Option(metavar="DURATION", help="Trim what is older than this, such as 30d; 0: no bound by time.")
]
JournalMax = Annotated[
    str, typer.Option(metavar="SIZE", help="Append nothing but baselines above this size, until it was trimmed.")
]
ArchiveDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="PORTER_ARCHIVE_DIR",
        show_envvar=True,
        help="Where the journal is archived; DIR/archive of the state directory if unset.",
    ),
]
ArchiveMax = Annotated[str, typer.Option(metavar="SIZE", help="Delete the oldest segments above this size; 0: never.")]
ArchiveKeep = Annotated[
    str, typer.Option(metavar="DURATION", help="Delete segments older than this, such as 365d; 0: no bound by time.")
]
ArchivePeer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST:PORT",
        envvar="PORTER_ARCHIVE_PEER",
        show_envvar=True,
        help="Other controllers, from whose archives this one takes what its own lacks; repeat it for several.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="PORTER_TOKEN_FILE",
        show_envvar=True,
        help="The bearer token that other controllers are asked with.",
    ),
]
SigningKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="PORTER_SIGNING_KEY",
        show_envvar=True,
        help="The private key (Ed25519, PEM) that heads of the journal are signed with; outside of a cluster one is "
        "made in the state directory if unset.",
    ),
]


class Topology(StrEnum):
    """Which kind of speaker `porter up` runs."""

    CENTRAL = "central"
    NODE = "node"


UpTopology = Annotated[
    Topology, typer.Option("--topology", help="Run a central speaker, or the agent of one node in its place.")
]


class LogLevel(StrEnum):
    """From chatty to quiet."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Level = Annotated[LogLevel, typer.Option("--log-level", help="The least severe lines that are written.")]
SupervisorPid = Annotated[int, typer.Option("--supervisor", hidden=True, help="End when this parent process ends.")]


class Output(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


def _not_empty(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """An empty moment is a variable that is not set: the present would be a wrong answer that looks right."""
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "COMMANDLINE" and not value.strip():
        raise typer.BadParameter("it is empty; write a moment, or leave it out for the present")
    return value


At = Annotated[
    str,
    typer.Option(
        callback=_not_empty,
        metavar="TIME|POSITION",
        help="Answer as of then: 41877, 14:02:11 (local), 2026-11-25T14:02:11Z, or -15m for how long ago.",
    ),
]
FromFile = Annotated[
    Path | None, typer.Option("--from", metavar="FILE", help="Ask a file of `porter export`; no cluster is needed.")
]
Archive = Annotated[
    str,
    typer.Option(
        "--archive",
        metavar="DIR|URL",
        help="Read what was trimmed from an archive: its folder, or a controller as http://HOST:PORT; beside "
        "--redis-url or --from, or alone.",
    ),
]
PublicKeys = Annotated[
    list[Path] | None,
    typer.Option("--public-key", metavar="FILE", help="Check the signed heads by this key (PEM); may be repeated."),
]
OutputForm = Annotated[Output, typer.Option("--output", "-o", help="How the answer is printed.")]
Utc = Annotated[bool, typer.Option("--utc", help="Show times in UTC instead of local time.")]
Server = Annotated[
    str,
    typer.Option(
        metavar="ADDR",
        envvar="PORTER_SERVER",
        show_envvar=True,
        help="The controller to ask, as HOST:PORT; if unset, the one of the state directory, else 127.0.0.1:9179.",
    ),
]
