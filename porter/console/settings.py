"""What the console is told at its start, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from porter.app.incident.direct import Place
from porter.app.settings import DEFAULT_CLUSTER, InvalidSettings
from porter.app.settings_check import is_loopback

DEFAULT_LISTEN = "127.0.0.1:9180"
TRACE = "{trace}"
"""Stands for the trace id in `trace_url`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """Where the history is, and where the pages are served.

    `archive` is where what was trimmed is read from, as `porter.app.incident.direct.Place` takes it. `listen` serves
    the pages; `health`, if given, serves `/livez` alone. `behind_proxy` says that somebody else authenticates clients:
    only then may `listen` be reached from other machines.
    """

    redis_url: str = ""
    cluster: str = DEFAULT_CLUSTER
    file: Path | None = None
    archive: str = ""
    archive_token: Callable[[], str] = str
    listen: str = DEFAULT_LISTEN
    health: str = ""
    behind_proxy: bool = False
    trace_url: str = ""

    @property
    def place(self) -> Place:
        """Where the history is."""
        return Place(self.redis_url, self.cluster, self.file, archive=self.archive, archive_token=self.archive_token)

    def check(self) -> None:
        """Refuse what contradicts itself, and to show a cluster to everybody.

        Raises:
            InvalidSettings: the message names the option and the mend.
        """
        if bool(self.redis_url) == (self.file is not None):
            raise InvalidSettings(
                "give one of --redis-url URL (a cluster's journal; PORTER_REDIS_URL will do) and --from FILE (a file "
                "of `porter export`): what the console shows"
            )
        host, _ = host_and_port(self.listen, "--listen")
        if not self.behind_proxy and not is_loopback(host):
            raise InvalidSettings(
                f"--listen {self.listen} is open to other machines, and the console authenticates nobody; bind a "
                f"loopback address such as {DEFAULT_LISTEN}, or say --behind-proxy if a proxy does"
            )
        if self.health:
            host_and_port(self.health, "--health")
        if self.trace_url and (urlsplit(self.trace_url).scheme not in ("http", "https") or TRACE not in self.trace_url):
            raise InvalidSettings(
                f"--trace-url {self.trace_url!r} is no URL of traces; write one like "
                "https://traces.example/trace/{trace}"
            )


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Raises:
        InvalidSettings: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidSettings(f"{option} {text!r} is no HOST:PORT; write one like {DEFAULT_LISTEN}")
    return host.strip("[]"), int(port)
