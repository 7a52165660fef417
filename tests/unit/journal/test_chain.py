"""The rules of the chain: what a reader accepts as the next commit."""

import gc

import pytest

from porter.events.codec import encode_commit
from porter.events.decided import EpochStarted, PositionsLost
from porter.events.envelope import BEGINNING, GENESIS_HASH, Checkpoint, Draft
from porter.events.observed import ServiceGone
from porter.journal.chain import Chain, MissingPositions, check_claim, decode, paused_gc
from porter.ports import Claim, Corrupt, Fork

GENESIS = "0f" * 16


def commit(position, epoch=1, previous=GENESIS_HASH, payloads=None):
    payloads = payloads or [ServiceGone("u", "s", "w", "r")]
    blob = encode_commit(
        [Draft(payload) for payload in payloads],
        first_position=position,
        epoch=epoch,
        time_ms=1,
        writer="w",
        previous_hash=previous,
    )
    return decode(blob)


def started(recovering=False):
    return EpochStarted(GENESIS, "a", 0, "", recovering=recovering)


FIRST = commit(1, payloads=[started()])


@pytest.fixture
def chain():
    chain = Chain(BEGINNING)
    chain.advance(FIRST)
    return chain


def test_commits_follow_one_another(chain):
    second = commit(2, previous=FIRST.hash)
    chain.advance(second)
    chain.advance(commit(3, epoch=2, previous=second.hash, payloads=[started()]))
    assert (chain.epoch, chain.position) == (2, 3)


def test_a_commit_that_links_elsewhere_is_corrupt(chain):
    with pytest.raises(Corrupt, match="position 2 of epoch 1 links to 7878"):
        chain.advance(commit(2, previous=b"x" * 32))


def test_an_epoch_that_links_elsewhere_is_a_fork(chain):
    with pytest.raises(Fork):
        chain.advance(commit(2, epoch=2, previous=b"x" * 32, payloads=[started()]))


@pytest.mark.parametrize(("position", "epoch"), [(1, 1), (2, 0), (1, 2)])
def test_a_commit_that_goes_back_is_a_fork(chain, position, epoch):
    with pytest.raises(Fork, match="follows position 1 of epoch 1"):
        chain.advance(commit(position, epoch=epoch, previous=FIRST.hash))


def test_a_gap_is_missing_positions(chain):
    with pytest.raises(MissingPositions, match="positions 2 to 4 are missing"):
        chain.advance(commit(5, previous=FIRST.hash))


def test_an_epoch_without_its_first_event_is_corrupt(chain):
    with pytest.raises(Corrupt, match="EpochStarted"):
        chain.advance(commit(2, epoch=2, previous=FIRST.hash))


@pytest.mark.parametrize(
    ("payloads", "accepted"),
    [
        ([started(recovering=True), PositionsLost(2, 4, "lost")], True),
        ([started(recovering=True), PositionsLost(1, 9, "lost")], True),
        ([started(recovering=True), PositionsLost(3, 4, "lost")], False),
        ([started(recovering=True), PositionsLost(2, 3, "lost")], False),
        ([started(recovering=True)], False),
        ([started(), PositionsLost(2, 4, "lost")], False),
    ],
)
def test_only_a_recovering_epoch_may_leave_declared_positions_out(chain, payloads, accepted):
    recovery = commit(5, epoch=2, previous=FIRST.hash, payloads=payloads)
    if accepted:
        chain.advance(recovery)
        assert chain.checkpoint == recovery.checkpoint
    else:
        with pytest.raises(MissingPositions):
            chain.advance(recovery)


def test_a_bounded_stream_begins_anywhere():
    chain = Chain(None)
    chain.advance(commit(17, epoch=3, previous=b"x" * 32))
    assert chain.checkpoint == Checkpoint(3, 17, commit(17, epoch=3, previous=b"x" * 32).hash)


@pytest.mark.parametrize(
    ("claim", "drafts"),
    [
        (Claim(GENESIS, 2, None, 2, False, "a"), []),
        (Claim(GENESIS, 2, None, 2, False, "a"), [ServiceGone("u", "s", "w", "r")]),
        (Claim("aa", 2, None, 2, False, "a"), [started()]),
        (Claim(GENESIS, 0, None, 2, False, "a"), [started()]),
        (Claim(GENESIS, 2, None, 1, False, "a"), [started()]),
        (Claim(GENESIS, 2, None, 3, True, "a"), [started(recovering=True)]),
    ],
)
def test_a_claim_that_no_reader_would_accept_is_refused_before_it_is_sent(claim, drafts):
    with pytest.raises(ValueError, match=r"EpochStarted|go on from|PositionsLost"):
        check_claim(claim, [Draft(payload) for payload in drafts], 1)


def test_the_collector_pauses_and_comes_back():
    assert gc.isenabled()
    with paused_gc(Chain(BEGINNING)):
        with paused_gc(Chain(BEGINNING)):
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
