"""What a server says of itself, for a person who looks for what is wrong."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from porter.journal.gate import inspect_server
from porter.journal.link import Link
from porter.journal.redis_head import info_field

MICROSECONDS = 1_000_000


class ServerFacts(NamedTuple):
    """Sizes in bytes, 0 for no limit; its clock in seconds since the Unix epoch; findings as (code, problem, mend)."""

    version: str
    used_bytes: int
    limit_bytes: int
    time_s: float
    with_password: bool
    findings: tuple[tuple[str, str, str], ...]


async def examine(link: Link) -> ServerFacts:
    """Ask the server at the other end of a link.

    Raises:
        JournalError: it does not answer, or refuses the question.
    """
    findings = await inspect_server(link)
    server, memory = await link.ask_all(("INFO", "server"), ("INFO", "memory"))
    return ServerFacts(
        version=info_field(server, "valkey_version") or info_field(server, "redis_version"),
        used_bytes=int(info_field(memory, "used_memory") or 0),
        limit_bytes=int(info_field(memory, "maxmemory") or 0),
        time_s=int(info_field(server, "server_time_usec") or 0) / MICROSECONDS,
        # A socket's file has permissions of its own.
        with_password=bool(urlsplit(link.url).password) or link.url.startswith("unix:"),
        findings=tuple((one.code, one.problem, one.mend) for one in findings),
    )
