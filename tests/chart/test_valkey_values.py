"""The values for Valkey's own chart: what they tell the server is what Porter asks for, as the users that they make.

That chart cannot be had here: only package registries are reached. So a server is started with the configuration and
the users of the values, in the way that the chart's own documentation says it writes them.
"""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from porter.app.controller.start import Seen, begin
from porter.journal.embedded import bundled_server_program
from porter.journal.redis import RedisJournals
from porter.ports import JournalUnavailable
from tests.chart.helm import ROOT
from tests.integration.kube.control_plane import free_port

EXAMPLES = ROOT / "deploy" / "helm" / "examples"
READY_TIMEOUT_S = 20.0


def values_of(name: str) -> dict:  # type: ignore[type-arg]
    return yaml.safe_load((EXAMPLES / name).read_text())  # type: ignore[no-any-return]


@pytest.fixture(params=["valkey.yaml", "valkey-sentinel.yaml"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A server as the values make it; the password of each user is its name."""
    values, program = values_of(request.param), bundled_server_program()
    if program is None:
        pytest.skip("there is no Valkey: install the extra porter[embedded]")
    users = [f"user {name} on >{name} {user['permissions']}\n" for name, user in values["auth"]["aclUsers"].items()]
    (tmp_path / "users.acl").write_text("".join(users))
    configuration = f"{values['valkeyConfig']}\naclfile {tmp_path}/users.acl\ndir {tmp_path}\n"
    (tmp_path / "valkey.conf").write_text(configuration)
    found = free_port()
    server = subprocess.Popen([program, tmp_path / "valkey.conf", "--port", str(found)], stdout=subprocess.DEVNULL)
    try:
        yield found
    finally:
        server.kill()
        server.wait()


async def test_the_server_passes_the_gate_and_its_users_can_do_their_work(port: int) -> None:
    def url(user: str) -> str:
        return f"redis://{user}:{user}@127.0.0.1:{port}/0"

    journals = RedisJournals(url("porter-controller"), "porter", writer="test")
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            assert await journals.check() == []
            break
        except JournalUnavailable:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.1)
    nothing = Seen(0, 0, "")
    beginning = begin(None, None, nothing, transitions=1, holder="test", new_genesis="0f" * 8, version="0")
    await journals.journal().claim(beginning.claim, beginning.drafts)
    await journals.close()
    reading = RedisJournals(url("porter-speaker"), "porter", writer="test")
    head = await reading.journal().head()
    assert head is not None
    assert head.position == 1
    await reading.close()


def test_a_master_that_is_cut_off_takes_no_writes() -> None:
    replica = values_of("valkey-sentinel.yaml")["replica"]
    assert replica["minReplicasToWrite"] == 1
    assert replica["sentinel"]["enabled"]
    assert values_of("valkey.yaml")["dataStorage"]["enabled"]
