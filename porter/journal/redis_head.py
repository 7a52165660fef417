"""The end of a stream as the server holds it, and whether it is in one piece."""

from __future__ import annotations

from typing import NamedTuple

from porter.events.envelope import Checkpoint, Head
from porter.journal.chain import entry_id
from porter.journal.limits import Trim
from porter.journal.link import Link, Reply
from porter.journal.scripts import HEAD
from porter.ports import JournalMissing


class StreamKeys(NamedTuple):
    """The two keys of one stream; they share a hash tag, so that one script may use both."""

    stream: str
    head: str


class ServerHead(NamedTuple):
    """The head hash, and the id of the entry that really is the last one ("" for none)."""

    head: Head | None
    trim: Trim | None
    baseline: str
    last_id: str

    def whole(self, keys: StreamKeys) -> Head | None:
        """Return the head, or None where neither head nor stream is there.

        Raises:
            JournalMissing: one is there without the other, or the stream does not end where the head says.
        """
        if self.head is None and not self.last_id:
            return None
        if self.head is None:
            epoch, _, position = self.last_id.partition("-")
            message = f"{keys.stream} ends at {self.last_id}, and its head {keys.head} is gone"
            raise JournalMissing(message, Head("", int(epoch), int(position), b""), int(position))
        expected = entry_id(self.head.checkpoint)
        if self.last_id != expected:
            found = f"ends at {self.last_id}" if self.last_id else "is empty"
            left = int(self.last_id.partition("-")[2] or 0)
            raise JournalMissing(f"{keys.stream} {found}, and its head {keys.head} says {expected}", self.head, left)
        return self.head

    def trims(self, checkpoint: Checkpoint) -> bool:
        """Whether the commits directly behind a checkpoint were trimmed away."""
        return self.trim is not None and self.trim.position > checkpoint.position


def parse_head(reply: Reply) -> ServerHead:
    """Read the reply of the script HEAD."""
    genesis, epoch, position, hash_, trimmed_position, trimmed_hash, baseline, last_id = reply
    head = None
    if genesis is not None and epoch is not None and position is not None and hash_ is not None:
        head = Head(genesis.decode(), int(epoch), int(position), hash_)
    trim = Trim(int(trimmed_position), trimmed_hash) if trimmed_position is not None else None
    return ServerHead(head, trim, (baseline or b"").decode(), last_id.decode())


def id_position(id_: str) -> int:
    """The position in an entry's id, `<epoch>-<position>`."""
    return int(id_.partition("-")[2])


async def fetch_head(link: Link, keys: StreamKeys) -> ServerHead:
    """Read the head once.

    Raises:
        JournalUnavailable: the server did not answer.
    """
    return parse_head(await link.ask_script(HEAD, keys))


def parse_identity(server: bytes, replication: bytes) -> str:
    """The run id and the replication id out of the two sections of INFO."""
    return f"{info_field(server, 'run_id')}/{info_field(replication, 'master_replid')}"


async def fetch_identity(link: Link) -> str:
    """Return what changes with every restart of the server, and with every other server."""
    return parse_identity(*await link.ask_all(("INFO", "server"), ("INFO", "replication")))


def info_field(section: bytes, name: str) -> str:
    """One field of a section of INFO, or ""."""
    start = f"{name}:"
    for line in section.decode("utf-8", "replace").splitlines():
        if line.startswith(start):
            return line[len(start) :].strip()
    return ""
