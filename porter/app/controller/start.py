"""How a leader begins its epoch: the start-up gate's three cases, as a pure function.

1. The stream has another genesis than the anchor: refuse.
2. The same genesis, but behind what was ever seen, or nothing at all while an anchor exists: recovery.
3. Nothing and no anchor: the first genesis.

In every other case the head stands where it was left, or further: the epoch goes on from there.
"""

from __future__ import annotations

from typing import NamedTuple

from porter.events.decided import EpochStarted, PositionsLost
from porter.events.envelope import GENESIS_HASH, Draft, Head
from porter.model.address import Address
from porter.ports import Anchor, Claim, ForeignJournal


class Seen(NamedTuple):
    """The highest head that anybody remembers: the anchor, this process, a speaker, or a Service's annotation.

    `hash` (hex) is "" when only the position is known.
    """

    epoch: int = 0
    position: int = 0
    hash: str = ""

    @staticmethod
    def highest(*candidates: Seen) -> Seen:
        """The one with the highest position; epochs are united, because a new epoch must exceed every one of them."""
        best = max(candidates, key=lambda seen: (seen.position, seen.hash != ""), default=Seen())
        return best._replace(epoch=max((seen.epoch for seen in candidates), default=0))


class Beginning(NamedTuple):
    """The claim to make, its first events, and whether recovery must follow."""

    claim: Claim
    drafts: tuple[Draft, ...]
    recovering: bool


class Recovery(NamedTuple):
    """What recovery has to adopt: (address, namespace, name, uid) by the speakers' word, and who was heard."""

    holders: tuple[tuple[Address, str, str, str], ...] = ()
    heard: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def positions_are_lost(head: Head | None, anchor: Anchor | None, seen: Seen) -> bool:
    """Whether the stream lacks something that was acknowledged once (cases 2)."""
    if head is None:
        return anchor is not None or seen.position > 0
    if head.position == seen.position and seen.hash:
        return head.hash.hex() != seen.hash
    return head.position < seen.position


def begin(
    head: Head | None,
    anchor: Anchor | None,
    seen: Seen,
    *,
    transitions: int,
    holder: str,
    new_genesis: str,
    version: str,
    left: int = 0,
) -> Beginning:
    """Choose the claim of a new epoch.

    Args:
        head: the stream's end, None where there is no stream.
        anchor: what is kept outside of Redis, None where nothing is.
        seen: the highest head known from anywhere, the anchor included.
        transitions: how often the lease changed hands: an epoch is at least that.
        holder: this process, as `EpochStarted` names it.
        new_genesis: the identity to give to a first genesis.
        version: this program's version.
        left: the position of the last entry that is there although the head is not; 0 where nothing is.

    Raises:
        ForeignJournal: the stream is another cluster's.
    """
    if head is not None and anchor is not None and head.genesis != anchor.genesis:
        raise ForeignJournal(
            f"the journal's genesis is {head.genesis}, but this cluster's anchor says {anchor.genesis}: "
            "point --redis-url (or the value journal.url) at this cluster's own journal, or give --cluster another name"
        )
    lost = positions_are_lost(head, anchor, seen)
    genesis = head.genesis if head else anchor.genesis if anchor else new_genesis
    last = head.position if head else left
    first = max(last, seen.position) + 1 if lost else last + 1
    epoch = 1 + max(head.epoch if head else 0, anchor.epoch if anchor else 0, seen.epoch, transitions)
    started = EpochStarted(
        genesis=genesis,
        holder=holder,
        previous_position=last,
        previous_hash="" if left else (head.hash if head else GENESIS_HASH).hex(),
        recovering=lost,
        version=version,
    )
    drafts = [Draft(started)]
    if lost and seen.position > last:
        reason = f"TailLost: the journal ended at #{last}" if last else "the journal was empty"
        drafts.append(Draft(PositionsLost(last + 1, seen.position, reason), causation=first))
    claim = Claim(genesis, epoch, head, first, lost, holder)
    return Beginning(claim, tuple(drafts), lost)
