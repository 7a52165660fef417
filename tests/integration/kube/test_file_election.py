"""Leadership by a file lock, over real processes."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from porter.kube.anchor import InvalidAnchor
from porter.kube.file_election import ANCHOR_FILE, FileElection
from porter.ports import Anchor
from tests.integration.kube.helpers import SystemClock, eventually, running

ANCHOR = Anchor("genesis-1", 7, 41877, "3f9c", ("speaker-0",))
HOLDER = """
import asyncio, sys
from pathlib import Path
from porter.kube.file_election import FileElection
from tests.integration.kube.helpers import SystemClock
async def main():
    election = FileElection(Path(sys.argv[1]), SystemClock())
    task = asyncio.create_task(election.run())
    print(await election.elected(), flush=True)
    await task
asyncio.run(main())
"""


async def test_a_killed_holder_is_followed_and_the_number_rises(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, tmp_path, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    async with asyncio.timeout(15):
        while await process.stdout.readline() != b"1\n":
            assert process.returncode is None
    async with running(FileElection(tmp_path, SystemClock())) as election:
        await eventually(lambda: "another process holds" in election.state)
        assert not election.leads()
        os.kill(process.pid, signal.SIGKILL)
        assert await asyncio.wait_for(election.elected(), 5) == 2
        assert election.leads()
    await process.wait()
    assert not election.leads()


async def test_who_resigns_lets_another_lead(tmp_path):
    async with running(FileElection(tmp_path, SystemClock())) as first:
        await first.elected()
        async with running(FileElection(tmp_path, SystemClock())) as second:
            first.resign("the test says so")
            assert not first.leads()
            await asyncio.wait_for(first.deposed(), 2)
            await asyncio.wait_for(second.elected(), 2)
            assert not first.leads()


async def test_two_state_directories_may_share_one_lock(tmp_path):
    shared = tmp_path / "api"
    async with running(FileElection(tmp_path / "a", SystemClock(), lock_dir=shared)) as first:
        await first.elected()
        async with running(FileElection(tmp_path / "b", SystemClock(), lock_dir=shared)) as second:
            await eventually(lambda: "another process holds" in second.state)


async def test_the_anchor_is_kept_for_the_next_leader(tmp_path):
    async with running(FileElection(tmp_path, SystemClock())) as first:
        await first.elected()
        assert await first.read_anchor() is None
        first.write_anchor(ANCHOR._replace(position=1))
        first.write_anchor(ANCHOR)
        await eventually((tmp_path / ANCHOR_FILE).exists)
    second = FileElection(tmp_path, SystemClock())
    assert await second.read_anchor() == ANCHOR
    (tmp_path / ANCHOR_FILE).write_text("{half")
    with pytest.raises(InvalidAnchor, match="damaged"):
        await second.read_anchor()
