"""The checks of the journal's server, as far as it can be asked: an exported file has none."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from porter.app.doctor import Check, ok, problem, unknown, warning
from porter.app.history.archived_streams import ArchivedStreams
from porter.events.envelope import Head
from porter.ports import JournalError, JournalUnavailable

WHERE = "journal's server"
MEMORY_SHARE_MAX = 0.8
"""A server above this share of its limit has little time left: a full one takes nothing more."""
SKEW_MAX_S = 2.0
LAG_EVENTS_MAX = 1000


class ServerFacts(Protocol):
    """What a server says of itself, and what is unsafe about it as (code, problem, mend)."""

    version: str
    used_bytes: int
    limit_bytes: int
    time_s: float
    with_password: bool
    findings: tuple[tuple[str, str, str], ...]


@runtime_checkable
class Examined(Protocol):
    """Streams on a server that can be examined."""

    async def examine(self) -> ServerFacts: ...


async def server_checks(streams: object, now_s: float) -> list[Check]:
    """Every check of the server behind some streams.

    Args:
        streams: the journals; those that are `Examined` are, also beneath an archive.
        now_s: this machine's time, in seconds since the Unix epoch.
    """
    if isinstance(streams, ArchivedStreams):
        streams = streams.inner
    if not isinstance(streams, Examined):
        return [unknown("server", WHERE, "the history is a file: no server was looked at", "ask the cluster")]
    try:
        facts = await streams.examine()
    except JournalUnavailable as error:
        return [problem("server", WHERE, str(error), "start it, or see the network and the password")]
    except JournalError as error:
        return [unknown("server", WHERE, f"it cannot be examined: {error}", "ask a controller, with --server")]
    checks = [ok("server", WHERE, f"it answers, version {facts.version or 'unknown'}")]
    for code, message, mend in facts.findings:
        # Whoever only reads the journal need not be told the server's settings.
        found = unknown if code == "unreadable" else problem
        checks.append(found(f"server.{code}", WHERE, message, mend))
    if not facts.findings:
        checks.append(ok("server.durability", WHERE, "a master with an append-only file, and it evicts nothing"))
    return [*checks, _memory(facts), _password(facts), _clock(facts, now_s)]


def _memory(facts: ServerFacts) -> Check:
    if not facts.limit_bytes:
        message = "it has no maxmemory: it may grow until the machine has no memory left"
        return warning("server.memory", WHERE, message, "set maxmemory (with maxmemory-policy noeviction)")
    share = facts.used_bytes / facts.limit_bytes
    message = f"{facts.used_bytes} of {facts.limit_bytes} bytes are used"
    if share > MEMORY_SHARE_MAX:
        return problem("server.memory", WHERE, message, "raise maxmemory; a full server takes nothing more")
    return ok("server.memory", WHERE, message)


def _password(facts: ServerFacts) -> Check:
    if facts.with_password:
        return ok("server.acl", WHERE, "it is used with a password")
    message = "it lets Porter in without a password, and so perhaps anybody"
    mend = "give it users with passwords (docs/reference/values.md), or keep it on a unix socket"
    return warning("server.acl", WHERE, message, mend)


def _clock(facts: ServerFacts, now_s: float) -> Check:
    skew_s = facts.time_s - now_s
    if abs(skew_s) <= SKEW_MAX_S:
        return ok("clock.server", WHERE, f"its clock differs from this one by {abs(skew_s):.1f} s")
    message = f"its clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this one"
    return warning("clock.server", WHERE, message, "synchronise the clocks (NTP): the timeline would mislead")


def lag_check(folded: int, head: Head | None) -> Check:
    """Whether what was asked has folded up to the journal's end; a leader may be ahead of it."""
    if head is None:
        return problem("journal.head", "journal", "it cannot be read, or there is none", "see the check `server`")
    behind = max(0, head.position - folded)
    message = f"folded up to #{folded}, the end is #{head.position}"
    if behind > LAG_EVENTS_MAX:
        return problem("journal.lag", "journal", message, "runbook PorterProjectionLagging")
    return ok("journal.lag", "journal", message)
