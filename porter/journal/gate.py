"""The start-up gate: a server that would lose or refuse what it acknowledged is not written to.

Each finding has a code, which `--unsafe` takes to accept it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from porter.journal.link import Link, is_sentinel, redact
from porter.journal.redis_head import info_field
from porter.ports import JournalError, JournalUnavailable, UnsafeServer

SETTINGS = ("appendonly", "maxmemory-policy", "appendfsync")
REPLICAS = "min-replicas-to-write"


class Finding(NamedTuple):
    """One unsafe setting: its code, what is wrong, and the mend."""

    code: str
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"{self.code}: {self.problem}; {self.mend}"


async def inspect_server(link: Link) -> list[Finding]:
    """Return what is unsafe about a server.

    Raises:
        JournalUnavailable: the server did not answer.
    """
    replication, persistence = await link.ask_all(("INFO", "replication"), ("INFO", "persistence"))
    findings = []
    role = info_field(replication, "role")
    if role != "master":
        findings.append(
            Finding(
                "replica", f"its role is {role or 'unknown'}", "give the URL of the master; a replica lags, or lies"
            )
        )
    status = info_field(persistence, "aof_last_write_status")
    if status not in {"ok", ""}:
        findings.append(
            Finding("aof-write", f"its last write to the append-only file was {status}", "free disk space, see its log")
        )
    try:
        settings = await _settings(link, (*SETTINGS, REPLICAS) if is_sentinel(link.url) else SETTINGS)
    except JournalUnavailable:
        raise
    except JournalError as error:
        mend = "allow the user CONFIG GET (ACL: +config|get)"
        return [*findings, Finding("unreadable", f"its durability settings cannot be read ({error})", mend)]
    return [*findings, *judge_settings(settings)]


async def _settings(link: Link, names: Sequence[str]) -> dict[str, str]:
    settings = {}
    for name in names:
        reply = await link.ask("CONFIG", "GET", name)
        settings.update({reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)})
    return settings


def judge_settings(settings: Mapping[str, str]) -> list[Finding]:
    """Return what is unsafe about these settings of a server."""
    findings = []
    missing = [name for name in SETTINGS if name not in settings]
    if missing:
        findings.append(
            Finding(
                "unreadable", f"it does not tell {', '.join(missing)}", "allow the user CONFIG GET (ACL: +config|get)"
            )
        )
    if settings.get("appendonly", "yes") != "yes":
        findings.append(
            Finding(
                "no-aof",
                "appendonly is off, so that a crash loses all since the last snapshot",
                "run CONFIG SET appendonly yes on the running server, then write it into its configuration "
                "(the flag alone, on a folder without an append-only file, starts empty)",
            )
        )
    if settings.get(REPLICAS, "1") == "0":
        findings.append(
            Finding(
                "min-replicas",
                f"Sentinel may put a replica in its place, and {REPLICAS} is 0, so that a master that is cut off "
                "goes on taking what the new one never hears of",
                f"set {REPLICAS} 1 (and min-replicas-max-lag 10, or less) on every server",
            )
        )
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        findings.append(
            Finding(
                "eviction",
                f"maxmemory-policy is {policy}, so that a full server may drop the journal without a word",
                "set maxmemory-policy noeviction",
            )
        )
    if settings.get("appendfsync", "always") == "no":
        findings.append(
            Finding(
                "no-fsync",
                "appendfsync is no, so that a power cut loses what the kernel had not written yet",
                "set appendfsync always (or everysec, and accept the loss of a second or two)",
            )
        )
    return findings


async def check_server(link: Link, unsafe: frozenset[str]) -> list[Finding]:
    """Refuse an unsafe server; return the findings that `unsafe` names and thereby accepts.

    Raises:
        UnsafeServer: naming every finding that is not accepted, with its mend.
        JournalUnavailable: the server did not answer.
    """
    findings = await inspect_server(link)
    refused = [finding for finding in findings if finding.code not in unsafe]
    if refused:
        lines = "\n".join(f"  {finding}" for finding in refused)
        accepting = " ".join(f"--unsafe {finding.code}" for finding in refused)
        raise UnsafeServer(f"{redact(link.url)} is not safe for a journal:\n{lines}\n(or accept it: {accepting})")
    return findings
