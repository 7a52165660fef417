"""Where a speaker and the keeper of its GoBGP daemons meet: files in one folder, a few for each session.

    <session>.wanted   written by the speaker: there is to be a daemon
    <session>.sock     the daemon's gRPC interface
    <session>.pid      written by the keeper: the daemon's process
    <session>.end      written by the speaker: the process that is to end, without a word to its peer

A session's name follows from its settings: one of them changes, and it is another session, with a daemon of its own.
Those by which a session is no other one, as the peer's name and the description, count for nothing.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from porter.bgp.configuration import write_private
from porter.model.bgp import PeerKey, SessionSettings

UNTOLD: Mapping[str, Any] = MappingProxyType(
    {"peer": PeerKey("")}
    | {
        name: SessionSettings._field_defaults[name]
        for name in (
            "description",
            # It counts for the next attempt to connect.
            "connect_retry_s",
            "bfd_receive_ms",
            "bfd_transmit_ms",
            "bfd_multiplier",
            "bfd_passive",
        )
    }
)
"""Settings by which no session is another one."""
NAME_CHARACTERS = 12
"""A unix socket's path is short (108 bytes on Linux)."""


class Place(NamedTuple):
    """The files of one session."""

    directory: Path
    name: str

    @property
    def wanted(self) -> Path:
        """There is to be a daemon."""
        return self.directory / f"{self.name}.wanted"

    @property
    def socket(self) -> Path:
        """The daemon's gRPC interface."""
        return self.directory / f"{self.name}.sock"

    @property
    def pid(self) -> Path:
        """The daemon's process."""
        return self.directory / f"{self.name}.pid"

    @property
    def end(self) -> Path:
        """The daemon of this process is to end; another one takes its place."""
        return self.directory / f"{self.name}.end"

    def break_off(self) -> None:
        """Ask the keeper to end the present daemon; nothing happens where none runs."""
        with contextlib.suppress(OSError):
            write_private(self.end, self.pid.read_text())

    @property
    def log(self) -> Path:
        """What the daemon has to say."""
        return self.directory / f"{self.name}.log"


def place_of(directory: Path, settings: SessionSettings, password: str | None) -> Place:
    """The place of a session; a digest stands for its key.

    Names are logged, and a key may be weak: the folder's own salt keeps it from being guessed by them.
    """
    salt = directory / "salt"
    if not salt.exists():
        write_private(salt, secrets.token_hex(16))
    told = settings._replace(**UNTOLD)
    named = repr((salt.read_text(), told, password))
    return Place(directory, sha256(named.encode()).hexdigest()[:NAME_CHARACTERS])


def agreement_file(directory: Path, peer: PeerKey) -> Path:
    """Where a peer's last agreement is kept, whatever becomes of its session's settings."""
    return directory / f"{sha256(peer.encode()).hexdigest()[:NAME_CHARACTERS]}.agreed"
