"""A journal in a file: what a cut, a changed byte and a full disk make of it."""

import errno
import os

import pytest

from porter.events.decided import EpochStarted
from porter.events.envelope import BEGINNING, Draft
from porter.events.observed import ServiceGone
from porter.journal.file import FileJournals
from porter.ports import Claim, Corrupt, JournalUnavailable

GENESIS = "0f" * 16


def draft(number):
    return Draft(ServiceGone(f"uid-{number}", "shop", "web", "deleted"))


async def read_all(journal):
    return [commit async for page in journal.read(BEGINNING) for commit in page]


@pytest.fixture
async def written(tmp_path):
    """A file of four commits, the sizes of the file after each, and its writer."""
    path = tmp_path / "incident.porter"
    journals = FileJournals(path)
    journal = journals.journal()
    await journal.claim(Claim(GENESIS, 1, None, 1, False, "a"), [Draft(EpochStarted(GENESIS, "a", 0, ""))])
    sizes = [path.stat().st_size]
    for number in range(3):
        await journal.append([draft(number)])
        sizes.append(path.stat().st_size)
    yield path, sizes, journal
    await journals.close()


async def test_a_single_file_is_a_journal_and_nothing_else(written):
    path, _, _ = written
    journals = FileJournals(path)
    assert len(await read_all(journals.journal())) == 4
    assert await journals.speakers() == ()
    with pytest.raises(ValueError, match="single journal"):
        journals.speaker("speaker-0")
    await journals.close()


async def test_at_every_length_exactly_the_whole_commits_are_there(written):
    path, sizes, _ = written
    content = path.read_bytes()
    for length in range(sizes[0], len(content)):
        path.write_bytes(content[:length])
        journals = FileJournals(path)
        assert len(await read_all(journals.journal())) == sum(size <= length for size in sizes)
        await journals.close()


async def test_a_writer_goes_on_behind_a_cut(written):
    path, sizes, _ = written
    os.truncate(path, sizes[3] - 1)
    journals = FileJournals(path)
    journal = journals.journal()
    head = await journal.head()
    assert head.position == 3
    await journal.claim(Claim(GENESIS, 2, head, 4, False, "b"), [Draft(EpochStarted(GENESIS, "b", 3, ""))])
    assert [commit.last_position for commit in await read_all(journal)] == [1, 2, 3, 4]
    await journals.close()


async def test_a_changed_byte_is_found(written):
    path, sizes, _ = written
    content = bytearray(path.read_bytes())
    content[sizes[1] + 60] ^= 1
    path.write_bytes(content)
    journals = FileJournals(path)
    with pytest.raises(Corrupt, match="damaged behind position 2"):
        await read_all(journals.journal())
    await journals.close()


async def test_another_file_is_refused(tmp_path):
    path = tmp_path / "letter.porter"
    path.write_text("Dear reader")
    with pytest.raises(Corrupt, match="no journal of Porter"):
        await FileJournals(path).journal().head()


async def test_a_full_disk_is_an_absent_server_and_nothing_is_lost(written, monkeypatch):
    path, sizes, journal = written
    real = os.pwrite

    def full(descriptor, body, offset):
        real(descriptor, body[:10], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(JournalUnavailable, match="No space left"):
        await journal.append([draft(9)])
    monkeypatch.setattr(os, "pwrite", real)
    assert path.stat().st_size == sizes[-1]
    await journal.append([draft(9)])
    assert [commit.last_position for commit in await read_all(journal)] == [1, 2, 3, 4, 5]
