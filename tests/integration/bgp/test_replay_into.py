"""History announced to a real router: at each step it has what the peer had then, and nothing after the session."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from porter.journal.export import ExportJournals
from tests.integration.bgp.lab import ADDRESS, LOCAL_AS, PEER_AS, PORT, Router, addresses_of_a_test, until

pytestmark = pytest.mark.timeout(180)

SOURCE = Path(__file__).resolve().parents[3]
SAMPLE = SOURCE / "docs/operate/samples/incident.porter-export"
CALM, FLAPPED, RECOVERED = 14, 15, 16
PREFIX = "192.0.2.0/32"


@pytest.fixture
def router(lab):
    addresses_of_a_test()
    made = lab.bird("lab-router", ADDRESS(2))
    yield made
    for one in lab.routers:
        one.stop()


async def replay(*arguments: object) -> Any:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "porter", "replay", "--from", str(SAMPLE), *map(str, arguments)),
        cwd=SOURCE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )


def options(router: Router) -> list[object]:
    return [
        *("--into", f"{router.address}:{PORT}", "--local-address", ADDRESS(1)),
        *("--local-as", LOCAL_AS, "--peer-as", PEER_AS),
    ]


def hops(router: Router) -> set[str]:
    return {str(hop) for key, hop in router.table().items() if key.prefix == PREFIX}


async def test_the_router_has_at_each_step_what_the_peer_had_then(router):
    before = SAMPLE.read_bytes()
    running = await replay(*options(router), "--since", CALM, "--to", RECOVERED, "--step", "--stay", "0s")
    try:
        await until(lambda: hops(router) == {"10.0.0.1", "10.0.0.2"}, "both next hops, as it was when all was calm", 60)
        running.stdin.write(b"\n")
        await until(lambda: hops(router) == {"10.0.0.1"}, "one next hop, as it was when an endpoint flapped")
        running.stdin.write(b"\n")
        await until(lambda: hops(router) == {"10.0.0.1", "10.0.0.2"}, "both next hops again")
        told, wrong = await asyncio.wait_for(running.communicate(), 60)
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, wrong
    lines = told.decode().splitlines()
    assert lines[0] == f"at #{CALM} {router.address} port {PORT} has 2 paths"
    assert "#15" in lines[1]
    assert lines[1].endswith("+0 -1 paths, 1 in all")
    assert lines[2].endswith("+1 -0 paths, 2 in all")
    assert lines[-1] == "replayed up to #16: the router had 2 paths; the session is over"
    await until(lambda: not hops(router), "nothing is left of it at the router", 60)
    assert SAMPLE.read_bytes() == before
    assert ExportJournals(SAMPLE).cluster == "porter"


async def test_an_interrupt_ends_the_session_and_the_engine(router):
    running = await replay(*options(router), "--since", CALM, "--to", CALM)
    try:
        await until(lambda: len(hops(router)) == 2, "both next hops", 60)
        running.send_signal(2)
        told, wrong = await asyncio.wait_for(running.communicate(), 60)
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, wrong
    assert "the session is over" in told.decode()
    await until(lambda: not hops(router), "nothing is left of it at the router", 60)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--into", "10.0.0.254:1179"), 2, "10.0.0.254 is BgpPeer tor-a of this cluster"),
        (("--into", "tor-a:179"), 2, "--into and --local-address take addresses"),
        (("--into", "192.0.2.1:99999"), 2, "is no HOST:PORT"),
        (("--into", "[::ffff:10.0.0.254]:1179"), 2, "is BgpPeer tor-a of this cluster"),
        (("--into", "192.0.2.1", "--peer", "absent"), 1, "no BgpPeer 'absent' is known; known: tor-a"),
        (("--into", "192.0.2.1", "--since", "20", "--to", "10"), 2, "#10 lies before #20"),
        (("--peer", "tor-a"), 2, "need --into"),
    ],
)
async def test_what_would_go_wrong_is_refused_before_anything_is_announced(arguments, code, says):
    ended = await replay(*arguments)
    _, wrong = await asyncio.wait_for(ended.communicate(), 60)
    assert (ended.returncode, says in wrong.decode()) == (code, True), wrong
