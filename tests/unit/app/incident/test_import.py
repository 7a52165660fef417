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
from porter.journal.export import ExportJournals
from porter.journal.export_contents import MAGIC, StreamSum
from porter.journal.frames import frame, unpack
from porter.ports import Corrupt
from tests.exports import forged, format_1, rows
from tests.unit.app.scripted_incident import exported, incident

NOWHERE = "unix:///nowhere/journal.sock"


@pytest.fixture(scope="module")
def whole() -> bytes:
    async def made() -> bytes:
        return await exported(await incident())

    return asyncio.run(made())


@pytest.fixture(scope="module")
def content(whole) -> bytes:
    """The same in format 1, whose footer is simpler to forge."""
    return format_1(whole)


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


HOSTILE_CONTENTS = {
    "a heading without a cluster": lambda it: it.bodies[0].__setitem__(2, None),
    "a stream under another name": lambda it: it.bodies[1].__setitem__(1, "speaker-0"),
    "a stream that is there twice": lambda it: (it.bodies[3].__setitem__(1, ""), it.sums[1].__setitem__(0, "")),
    "a speaker's name that leads elsewhere": lambda it: (
        it.bodies[3].__setitem__(1, "../../j"),
        it.sums[1].__setitem__(0, "../../j"),
    ),
    "commits that are a number": lambda it: it.bodies[2].__setitem__(1, 7),
    "streams that are numbers": lambda it: it.sums.__setitem__(0, 7),
    "a stream that nobody says of where it is": lambda it: it.rows.pop(),
    "a beginning without a digest": lambda it: it.marks[1].pop(),
    "a beginning of less than nothing": lambda it: it.marks[1].__setitem__(0, -8),
    "a frame of less than nothing": lambda it: it.rows[0][0].__setitem__(0, -8),
    "a frame that ends behind the file": lambda it: it.rows[0][0].__setitem__(0, 1 << 40),
    "a frame without commits": lambda it: it.rows[0][0].__setitem__(2, 0),
    "a frame that holds more than it does": lambda it: it.rows[0][0].__setitem__(3, 7),
    "a frame that ends elsewhere": lambda it: it.rows[0][0].__setitem__(4, 22),
    "a frame that ends at another time": lambda it: it.rows[0][0].__setitem__(5, 7),
    "a baseline where none is": lambda it: it.rows[0][0].__setitem__(6, [[0, 1]]),
    "a baseline that is in no commit": lambda it: it.rows[0][0][6][0].__setitem__(0, 1 << 40),
    "a baseline that is a text": lambda it: it.rows[0][0][6].__setitem__(0, "1"),
    "rows that are texts": lambda it: it.rows.__setitem__(0, "rows"),
    "another end": lambda it: it.sums[0].__setitem__(4, b"ab" * 16),
    "a missing commit": lambda it: it.sums[0].__setitem__(5, 21),
}


@pytest.mark.parametrize("name", HOSTILE_CONTENTS)
def test_a_file_whose_footer_was_made_by_hand_is_refused(whole, tmp_path, name):
    (tmp_path / "hostile").write_bytes(forged(whole, HOSTILE_CONTENTS[name]))
    with pytest.raises(Corrupt):
        import_file(tmp_path / "hostile", NOWHERE, "")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_another_form_is_refused(content, tmp_path, name):
    held = rows(content)
    HOSTILE[name](held)
    with pytest.raises(Corrupt):
        import_file(file_of(held, tmp_path / "hostile"), NOWHERE, "")


@pytest.mark.parametrize("format_", [1, 2])
def test_a_file_that_was_cut_anywhere_is_refused(content, whole, tmp_path, format_):
    file = content if format_ == 1 else whole
    for length in range(0, len(file), 97):
        (tmp_path / "cut").write_bytes(file[:length])
        with pytest.raises(Corrupt):
            import_file(tmp_path / "cut", NOWHERE, "")


def test_a_history_whose_chain_does_not_hold_is_not_imported(content, tmp_path):
    """The frames, the index and the footer are right; the second commit is another."""
    held = rows(content)
    raw = zlib.decompress(held[2][1])
    index, offset = unpack(raw, "it")
    second = offset + index.lengths[0]
    changed = raw[: second + 40] + bytes([raw[second + 40] ^ 1]) + raw[second + 41 :]
    held[2][1] = zlib.compress(changed)
    with pytest.raises(Corrupt, match="nothing was imported"):
        import_file(file_of(held, tmp_path / "forged"), NOWHERE, "")


MOVED = {
    "a position": lambda index: index._replace(
        positions=(index.positions[0], index.positions[1] + 1, *index.positions[2:])
    ),
    "a baseline less": lambda index: index._replace(baselines=index.baselines[1:]),
    "a baseline more": lambda index: index._replace(baselines=(0, *index.baselines)),
}


@pytest.mark.parametrize("what", MOVED)
def test_an_index_that_says_something_else_is_found(content, tmp_path, what):
    held = rows(content)
    raw = zlib.decompress(held[2][1])
    index, offset = unpack(raw, "it")
    moved = MOVED[what](index)
    packed = msgpack.packb(moved)
    held[2][1] = zlib.compress(len(packed).to_bytes(4, "big") + packed + raw[offset:])
    path = file_of(held, tmp_path / "moved")
    assert asyncio.run(verify(ExportJournals(path)))["problems"]
    with pytest.raises(Corrupt, match="nothing was imported"):
        import_file(path, NOWHERE, "")


@pytest.mark.parametrize("format_", [1, 2])
def test_a_frame_that_grows_without_end_is_refused(content, whole, tmp_path, monkeypatch, format_):
    monkeypatch.setattr(frames, "FRAME_BYTES_MAX", 64)
    (tmp_path / "large").write_bytes(content if format_ == 1 else whole)
    with pytest.raises(Corrupt, match="larger than 64 bytes"):
        import_file(tmp_path / "large", NOWHERE, "")


def test_the_footer_of_these_tests_is_the_files_own(content, tmp_path):
    held = rows(content)
    assert file_of(held, tmp_path / "same").read_bytes() == content
    assert [StreamSum(*one).name for one in held[-1][1]] == ["", "speaker-0"]


def test_nothing_changed_is_nothing_forged(whole):
    assert forged(whole, lambda it: None) == whole
