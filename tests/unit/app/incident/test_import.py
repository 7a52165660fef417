"""An export that somebody made by hand is refused in a sentence, and nothing of it reaches a server."""

from __future__ import annotations

import asyncio
import zlib
from hashlib import sha256

import msgpack
import pytest

from porter.app.answers.verify import verify
from porter.app.incident.export import import_file
from porter.journal import frames
from porter.journal.export import MAGIC, ExportJournals, StreamSum
from porter.journal.frames import FRAME, frame, unpack
from porter.ports import Corrupt
from tests.unit.app.scripted_incident import exported, incident

NOWHERE = "unix:///nowhere/journal.sock"


@pytest.fixture(scope="module")
def content() -> bytes:
    async def made() -> bytes:
        return await exported(await incident())

    return asyncio.run(made())


def rows_of(content: bytes) -> list[list]:
    """The frames of an export but for its footer's digest."""
    rows, start = [], len(MAGIC)
    while start < len(content):
        length, _ = FRAME.unpack_from(content, start)
        start += FRAME.size
        rows.append(list(msgpack.unpackb(content[start : start + length], use_list=False)))
        start += length
    return rows


def file_of(rows: list[list], path) -> object:
    """A file of these frames, with every checksum and the footer's digest made anew."""
    raw = MAGIC + b"".join(frame(row) for row in rows[:-1])
    path.write_bytes(raw + frame([*rows[-1][:2], sha256(raw).digest()]))
    return path


HOSTILE = {
    "a heading without a cluster": lambda rows: rows[0].__setitem__(2, None),
    "a source that is a number": lambda rows: rows[0].__setitem__(4, 7),
    "a source that is too short": lambda rows: rows[0].__setitem__(4, ("a",)),
    "a stream whose name is a list": lambda rows: rows[1].__setitem__(1, ("a",)),
    "a stream without its trim": lambda rows: rows[1].pop(),
    "a trim that is a text": lambda rows: rows[1].__setitem__(3, "0"),
    "commits that are a number": lambda rows: rows[2].__setitem__(1, 7),
    "commits that are missing": lambda rows: rows[2].pop(),
    "a footer whose streams are a number": lambda rows: rows[-1].__setitem__(1, 7),
    "a footer whose streams are numbers": lambda rows: rows[-1].__setitem__(1, (7,)),
    "a speaker's name that leads elsewhere": lambda rows: (
        rows[3].__setitem__(1, "../../j"),
        rows[-1].__setitem__(1, (rows[-1][1][0], ("../../j", *rows[-1][1][1][1:]))),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_another_form_is_refused(content, tmp_path, name):
    rows = rows_of(content)
    HOSTILE[name](rows)
    with pytest.raises(Corrupt):
        import_file(file_of(rows, tmp_path / "hostile"), NOWHERE, "")


def test_a_file_that_was_cut_anywhere_is_refused(content, tmp_path):
    for length in range(0, len(content), 97):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(Corrupt):
            import_file(tmp_path / "cut", NOWHERE, "")


def test_a_history_whose_chain_does_not_hold_is_not_imported(content, tmp_path):
    """The frames, the index and the footer are right; the second commit is another."""
    rows = rows_of(content)
    raw = zlib.decompress(rows[2][1])
    index, offset = unpack(raw, "it")
    second = offset + index.lengths[0]
    changed = raw[: second + 40] + bytes([raw[second + 40] ^ 1]) + raw[second + 41 :]
    rows[2][1] = zlib.compress(changed)
    with pytest.raises(Corrupt, match="nothing was imported"):
        import_file(file_of(rows, tmp_path / "forged"), NOWHERE, "")


def test_an_index_that_says_another_position_is_found(content, tmp_path):
    rows = rows_of(content)
    raw = zlib.decompress(rows[2][1])
    index, offset = unpack(raw, "it")
    moved = index._replace(positions=(index.positions[0], index.positions[1] + 1, *index.positions[2:]))
    packed = msgpack.packb(moved)
    rows[2][1] = zlib.compress(len(packed).to_bytes(4, "big") + packed + raw[offset:])
    path = file_of(rows, tmp_path / "moved")
    assert asyncio.run(verify(ExportJournals(path)))["problems"]
    with pytest.raises(Corrupt, match="nothing was imported"):
        import_file(path, NOWHERE, "")


def test_a_frame_that_grows_without_end_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "FRAME_BYTES_MAX", 64)
    (tmp_path / "large").write_bytes(content)
    with pytest.raises(Corrupt, match="larger than 64 bytes"):
        import_file(tmp_path / "large", NOWHERE, "")


def test_the_footer_of_these_tests_is_the_files_own(content, tmp_path):
    rows = rows_of(content)
    assert file_of(rows, tmp_path / "same").read_bytes() == content
    assert [StreamSum(*one).name for one in rows[-1][1]] == ["", "speaker-0"]
