"""Bringing exported streams to a server where none are: the entries first, each stream's head behind them.

A stream without its head counts as lost, so that nothing takes an import that was cut short for a journal.
"""

from __future__ import annotations

from itertools import islice

from porter.journal.chain import entry_id
from porter.journal.export import ExportJournals
from porter.journal.export_contents import StreamSum
from porter.journal.link import Argument, Link
from porter.journal.local import NOTHING_TRIMMED
from porter.journal.names import check_name
from porter.ports import JournalError

IN_FLIGHT = 64
"""How many entries are on their way before their replies are read."""


class NotEmpty(JournalError):
    """A stream of this name is there already."""


async def restore(url: str, cluster: str, exported: ExportJournals) -> None:
    """Write every stream of an export.

    Raises:
        NotEmpty: a stream is there already; nothing was written.
        JournalError: the server does not answer.
    """
    tag = f"{{porter:{check_name(cluster)}}}"
    link = Link(url)
    try:
        names = {one.name: f"{tag}:s:{check_name(one.name)}" if one.name else f"{tag}:j" for one in exported.sums}
        for stream in names.values():
            if await link.call("EXISTS", stream, f"{stream}:h"):
                raise NotEmpty(
                    f"{stream} is there already, and an import goes into an empty journal only; "
                    "give another --cluster name, or another server"
                )
        # The journal comes last: until then there is none that anything could follow.
        for one in (*exported.sums[1:], exported.sums[0]):
            await _stream(link, names[one.name], exported, one)
            if one.name:
                await link.call("SADD", f"{tag}:speakers", names[one.name])
    finally:
        await link.close()


async def _stream(link: Link, stream: str, exported: ExportJournals, sum_: StreamSum) -> None:
    source = exported.speaker(sum_.name) if sum_.name else exported.journal()
    baseline, trimmed = await source.newest_baseline(), exported.trimmed(sum_.name)
    entries = exported.entries(sum_.name)
    while batch := list(islice(entries, IN_FLIGHT)):
        for checkpoint, blob in batch:
            await link.send("XADD", stream, entry_id(checkpoint), "e", blob)
        for _ in batch:
            await link.receive()
    fields: list[Argument] = ["genesis", sum_.genesis, "epoch", sum_.epoch, "position", sum_.position]
    fields += ["hash", sum_.hash]
    if baseline is not None:
        known = "".join(f"{entry_id(one)} " for one in exported.baselines(sum_.name))
        fields += ["baseline", entry_id(baseline.checkpoint), "baselines", known]
    if trimmed != NOTHING_TRIMMED:
        fields += ["trimmed_position", trimmed.position, "trimmed_hash", trimmed.hash]
    await link.call("HSET", f"{stream}:h", *fields)
