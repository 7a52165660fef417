"""What an archive does not hold: by positions, for people; and by what its segments link to, for what fills it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from porter.events.envelope import GENESIS_HASH
from porter.journal.limits import Trim
from porter.journal.segment import Segment, checkpoint_at
from porter.ports import Corrupt


def gaps(segments: Sequence[Segment], begun: Trim | None, last: int) -> list[tuple[int, int]]:
    """The positions between segments of one journal that are in none of them, as (first, last), the oldest first.

    Args:
        segments: all sealed ones.
        begun: what the open segment links to; None where there is none.
        last: the position at which the open segment ends.
    """
    ends = {one.last.hash for one in segments}
    begins = [(one.first, one.last.position, one.previous.hash) for one in segments]
    if begun is not None and begins:
        begins.append((begun.position + 1, last, begun.hash))
    missing, through = [], 0
    for first, end, behind in sorted(begins):
        # Positions that are declared lost lie between two commits that are linked.
        if through and first > through + 1 and behind not in ends:
            missing.append((through + 1, first - 1))
        through = max(through, end)
    return missing


class Link(NamedTuple):
    """The end of a commit that is linked to; `inner` where something older is there, so that this is a gap."""

    position: int
    hash: bytes
    inner: bool


def check_taken(taken: Segment, link: Link, told: str, there: Sequence[Segment], grows: Mapping[int, bytes]) -> None:
    """See that a segment holds what is linked to, and agrees with all that is there wherever both end.

    Args:
        taken: a whole segment of the same journal; messages call it `told`.
        link: behind positions that were lost it ends before that of the link.
        there: the sealed segments.
        grows: of the open one the hash of each commit, by the position at which it ends.

    Raises:
        Corrupt: it is of another history.
    """
    if taken.last.hash != link.hash and checkpoint_at(taken, link.position).hash != link.hash:
        raise Corrupt(f"{told} holds another #{link.position} than the one that is linked to here")
    ends = taken.last.position
    for one in there:
        at = min(one.last.position, ends)
        if max(one.first, taken.first) <= at and _hash_at(one, at) != _hash_at(taken, at):
            raise Corrupt(f"{told} holds another #{at} than {one.path}")
    if grows and min(grows) <= (at := min(ends, max(grows))) and grows.get(at) != _hash_at(taken, at):
        raise Corrupt(f"{told} holds another #{at} than the journal")


def _hash_at(segment: Segment, position: int) -> bytes | None:
    """The hash of the commit that ends at a position; None for none."""
    try:
        return checkpoint_at(segment, position).hash
    except Corrupt:
        return None


def loose(segments: Sequence[Segment], begun: Trim | None) -> list[Link]:
    """What segments, and the open one, link to that no segment holds: the newest first."""
    ends = {one.last.hash for one in segments}
    links = {one.previous for one in segments} | ({begun} if begun is not None else set())
    oldest = min((one.first for one in segments), default=0)
    found = [
        Link(position, hash_, 0 < oldest <= position)
        for position, hash_ in links
        if hash_ not in ends
        and hash_ != GENESIS_HASH
        and not any(one.first <= position <= one.last.position for one in segments)
    ]
    return sorted(found, reverse=True)
