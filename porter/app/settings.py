"""The settings of a Porter process, as its command line gives them (the flags of `porter up`, one by one)."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Engine = Literal["exabgp", "gobgp"]

DEFAULT_STATE_DIR = Path("~/.local/state/porter")
DEFAULT_CLUSTER = "porter"
DEFAULT_NAMESPACE = "porter-system"
DEFAULT_HTTP = "127.0.0.1:9179"
DEFAULT_LOAD_BALANCER_CLASS = "porter.io/porter"
DEFAULT_HOLD_SHARE_PERCENT = 25
DEFAULT_HOLD_MINIMUM = 20
DEFAULT_HOLD_BOUND_S = 600
DEFAULT_ACTIVATE_AFTER_S = 60.0
DEFAULT_BASELINE_EVENTS = 20_000
DEFAULT_JOURNAL_TRIM_BYTES = 512 * 1024 * 1024
DEFAULT_JOURNAL_MAX_BYTES = 1024 * 1024 * 1024
DEFAULT_ARCHIVE_MAX_BYTES = 8 * 1024 * 1024 * 1024
DRAIN_DELAY_MS = 10_000
"""How long a drain announces GRACEFUL_SHUTDOWN before it withdraws, where nobody says otherwise."""


class InvalidSettings(ValueError):
    """Settings that contradict each other or do not parse; the message names the option and the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a controller or a speaker is told at its start.

    Exactly one of `kubeconfig`, `in_cluster` and `manifests` is set for a controller; a speaker needs none of them.
    """

    redis_url: str = ""
    state_dir: Path = DEFAULT_STATE_DIR
    cluster: str = DEFAULT_CLUSTER
    namespace: str = DEFAULT_NAMESPACE
    http: str = DEFAULT_HTTP
    kubeconfig: Path | None = None
    in_cluster: bool = False
    manifests: Path | None = None
    local_address: str = ""
    secrets_dir: Path | None = None
    """The folder of mounted Secrets, for peers with a `passwordSecret`: DIR/<name>/password."""
    name: str = field(default_factory=socket.gethostname)
    topology: Literal["central", "node"] = "central"
    """Whether `porter up` runs a speaker or an agent."""
    node_name: str = ""
    """The node that an agent announces."""
    load_balancer_class: str = DEFAULT_LOAD_BALANCER_CLASS
    claim_unclassified: bool = False
    engine: Engine = "exabgp"
    """The BGP engine behind the speaker."""
    unsafe: frozenset[str] = frozenset()
    """Refusals of the start-up gate that the operator overrides by name."""
    drain_cordoned: bool = False
    """Whether a node that is cordoned counts as drained."""
    hold_share_percent: int = DEFAULT_HOLD_SHARE_PERCENT
    """The blast-radius guard: withdrawals beyond this share of all prefixes, and"""
    hold_minimum: int = DEFAULT_HOLD_MINIMUM
    """of at least so many of them, are held"""
    hold_bound_s: int = DEFAULT_HOLD_BOUND_S
    """for so long."""
    activate_after_s: float | None = DEFAULT_ACTIVATE_AFTER_S
    """How long every live reader must have read a newer event before it is written; None: it never is."""
    baseline_events: int = DEFAULT_BASELINE_EVENTS
    """After so many events at most the leader records a baseline."""
    journal_trim_bytes: int = DEFAULT_JOURNAL_TRIM_BYTES
    """Above this size the journal is trimmed,"""
    journal_keep_s: int = 0
    """and what is older than this (0: no bound by time)."""
    journal_max_bytes: int = DEFAULT_JOURNAL_MAX_BYTES
    """Above this size nothing but baselines is appended."""
    archive_dir: Path | None = None
    archive_max_bytes: int = DEFAULT_ARCHIVE_MAX_BYTES
    """The oldest segments go when the archive takes more (0: no bound),"""
    archive_keep_s: int = 0
    """or are older than this (0: no bound)."""
    archive_peers: tuple[str, ...] = ()
    """HOST:PORT of other controllers, from whose archives this one takes what its own lacks,"""
    token_file: Path | None = None
    """with the bearer token in this file."""
    signing_key: Path | None = None
    """The private key that heads of the journal are signed with."""

    def http_address(self) -> tuple[str, int]:
        """Split `--http` into host and port.

        Raises:
            InvalidSettings: no `HOST:PORT`.
        """
        host, colon, port = self.http.rpartition(":")
        if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise InvalidSettings(f"--http {self.http!r} is no HOST:PORT; write one like 127.0.0.1:9179")
        return host.strip("[]"), int(port)

    @property
    def directory(self) -> Path:
        """The state directory, absolute, with `~` resolved."""
        return self.state_dir.expanduser().absolute()

    @property
    def relay_socket(self) -> Path:
        """Where the speaker listens for ExaBGP's relay."""
        return self.directory / "relay.sock"

    @property
    def engine_configuration(self) -> Path:
        """The configuration that the speaker writes for ExaBGP."""
        return self.directory / "exabgp.conf"

    @property
    def bfd_configuration(self) -> Path:
        """The configuration that the speaker writes for BIRD, while a peer wants BFD."""
        return self.directory / "bfd.conf"

    @property
    def bfd_socket(self) -> Path:
        """Where BIRD is asked for its sessions of BFD."""
        return self.directory / "bfd.sock"

    @property
    def gobgp_directory(self) -> Path:
        """Where the speaker and the keeper of its GoBGP daemons meet."""
        return self.directory / "gobgp"

    @property
    def engine_rib_file(self) -> Path:
        """Where a speaker that gets SIGUSR1 writes what its engine holds."""
        return self.directory / "engine-rib.json"

    @property
    def passwords_file(self) -> Path:
        """The passwords that are written into BgpPeers: kept by the controller, read by the speaker."""
        return self.directory / "passwords.json"

    @property
    def ready_file(self) -> Path:
        """Is there once the speaker announces everything; what the chart's probe looks for."""
        return self.directory / "ready"

    @property
    def archive_directory(self) -> Path:
        """Where this controller archives the journal."""
        return (self.archive_dir or self.directory / "archive").expanduser().absolute()

    def token(self) -> str:
        """The bearer token for other controllers, as it is now: those of Pods are replaced every hour; "" for none.

        Raises:
            OSError: its file cannot be read.
        """
        return self.token_file.read_text(errors="replace").strip() if self.token_file is not None else ""

    @property
    def own_signing_key(self) -> Path:
        """The signing key that `porter up` makes where none is given."""
        return self.directory / "signing-key.pem"

    @property
    def last_good_file(self) -> Path:
        """The speaker's last-good Loc-RIB and checkpoint."""
        return self.directory / "last-good"
