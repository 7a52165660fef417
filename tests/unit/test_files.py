"""Files are replaced in one step, by the one module that every writer uses."""

from __future__ import annotations

import os
import stat

import pytest

from porter.files import PRIVATE, write_atomically


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path, durable):
    path = tmp_path / "file"
    write_atomically(path, b"first", durable=durable)
    write_atomically(path, b"second", durable=durable)
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_its_owners_whatever_the_umask(tmp_path):
    former = os.umask(0)
    try:
        write_atomically(tmp_path / "private", b"key", durable=True, mode=PRIVATE)
        write_atomically(tmp_path / "shared", b"address", durable=False)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o666


def test_the_old_content_stays_when_the_new_one_cannot_be_put_in_place(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old", durable=False)

    def full(_descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
