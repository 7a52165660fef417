"""The start-up gate's cases: who may claim what, and where positions go on."""

from __future__ import annotations

import pytest

from porter.app.controller.start import Beginning, Seen, begin
from porter.events.decided import EpochStarted, PositionsLost
from porter.events.envelope import Head
from porter.ports import Anchor, ForeignJournal

HASH = bytes(range(32))
OTHER = bytes(reversed(range(32)))


def beginning(head: Head | None, anchor: Anchor | None, seen: Seen | None = None) -> Beginning:
    if seen is None:
        seen = Seen(anchor.epoch, anchor.position, anchor.hash) if anchor else Seen()
    return begin(head, anchor, seen, transitions=3, holder="a", new_genesis="new", version="0")


def test_nothing_and_no_anchor_is_the_first_genesis():
    start = beginning(None, None)
    assert not start.recovering
    assert (start.claim.genesis, start.claim.first_position, start.claim.epoch) == ("new", 1, 4)


def test_an_intact_journal_goes_on_behind_its_head():
    start = beginning(Head("g", 7, 100, HASH), Anchor("g", 7, 100, HASH.hex()))
    assert not start.recovering
    assert (start.claim.first_position, start.claim.epoch) == (101, 8)


def test_a_journal_ahead_of_its_anchor_lost_nothing():
    start = beginning(Head("g", 7, 120, OTHER), Anchor("g", 7, 100, HASH.hex()))
    assert not start.recovering
    assert start.claim.first_position == 121


def test_another_genesis_is_refused_with_the_mend():
    with pytest.raises(ForeignJournal, match="--redis-url"):
        beginning(Head("theirs", 7, 100, HASH), Anchor("ours", 7, 100, HASH.hex()))


def test_an_emptied_journal_is_recovered_beyond_the_highest_position():
    start = beginning(None, Anchor("g", 7, 100, HASH.hex()), Seen(8, 130, HASH.hex()))
    assert start.recovering
    assert (start.claim.genesis, start.claim.first_position, start.claim.epoch) == ("g", 131, 9)
    started, lost = (draft.payload for draft in start.drafts)
    assert isinstance(started, EpochStarted)
    assert started.recovering
    assert lost == PositionsLost(1, 130, "the journal was empty")


def test_a_lost_tail_is_declared_and_its_positions_are_never_given_again():
    start = beginning(Head("g", 7, 90, OTHER), Anchor("g", 7, 100, HASH.hex()))
    assert start.recovering
    assert start.claim.first_position == 101
    assert start.drafts[1].payload == PositionsLost(91, 100, "TailLost: the journal ended at #90")


def test_another_commit_at_the_anchored_position_is_a_loss_too():
    start = beginning(Head("g", 7, 100, OTHER), Anchor("g", 7, 100, HASH.hex()))
    assert start.recovering
    assert start.claim.first_position == 101
    assert len(start.drafts) == 1


def test_the_highest_position_wins_and_every_epoch_is_exceeded():
    assert Seen.highest(Seen(9, 5, "aa"), Seen(2, 50, ""), Seen(3, 50, "bb")) == Seen(9, 50, "bb")


def test_entries_without_a_head_are_gone_on_from_and_not_declared_lost():
    anchor = Anchor("g", 7, 39, HASH.hex())
    start = begin(None, anchor, Seen(7, 39, ""), transitions=3, holder="a", new_genesis="new", version="0", left=39)
    assert start.recovering
    assert start.claim.first_position == 40
    assert [type(draft.payload) for draft in start.drafts] == [EpochStarted]


def test_only_what_is_missing_behind_the_entries_that_are_left_is_declared_lost():
    anchor = Anchor("g", 7, 50, HASH.hex())
    start = begin(None, anchor, Seen(7, 50, ""), transitions=3, holder="a", new_genesis="new", version="0", left=39)
    assert start.drafts[1].payload == PositionsLost(40, 50, "TailLost: the journal ended at #39")
