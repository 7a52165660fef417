"""The speaker's last-good file: what was written is read back, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

from porter.app.speaker import last_good
from porter.events.envelope import Checkpoint
from porter.model.address import Address
from porter.model.bgp import PeerKey, SessionSettings
from porter.projections import baseline
from porter.projections.cluster import ClusterState

SESSION = SessionSettings(
    PeerKey("tor"), Address("10.0.0.1"), 64512, 64500, Address("10.0.0.2"), Address("10.0.0.2"), families=("IPv4",)
)
GOOD = last_good.Encoded("g", Checkpoint(3, 41, bytes(range(32))), baseline.encode(ClusterState.empty()), (SESSION,))


def test_what_was_written_is_read_back(tmp_path: Path):
    last_good.write(tmp_path / "last-good", GOOD)
    read = last_good.read(tmp_path / "last-good")
    assert read == ("g", GOOD.checkpoint, ClusterState.empty(), (SESSION,))


def test_nobody_else_may_read_it(tmp_path: Path):
    last_good.write(tmp_path / "last-good", GOOD)
    assert (tmp_path / "last-good").stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path):
    path = tmp_path / "last-good"
    last_good.write(path, GOOD)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert last_good.read(path) is None
    path.write_bytes(b"")
    assert last_good.read(path) is None
    path.unlink()
    assert last_good.read(path) is None
