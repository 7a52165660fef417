"""Leadership over a real API server: who leads, when it ends, and the anchor beside it."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from porter.kube.anchor import ANCHOR_ANNOTATION, InvalidAnchor
from porter.kube.client import MERGE_PATCH, KubeClient
from porter.kube.lease import LEASE_NAME, LeaseElection, LeaseSettings
from porter.ports import Anchor
from tests.integration.kube.helpers import SystemClock, eventually, running

QUICK = LeaseSettings(lease_duration_s=2.0, renew_deadline_s=1.4, retry_period_s=0.4)
ANCHOR = Anchor("genesis-1", 7, 41877, "3f9c", ("speaker-0", "speaker-1"))


def lease_path(namespace):
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE_NAME}"


async def lease_of(api):
    return json.loads(await api.client.request("GET", lease_path(api.namespace)))


def election_of(api, name="controller-0", settings=QUICK):
    return LeaseElection(api.client, api.namespace, name, SystemClock(), settings)


@asynccontextmanager
async def candidate(api, control_plane, name):
    """A candidate in a process of its own; its lines arrive at `lines`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.kube.candidate", control_plane.kubeconfig, api.namespace, name,
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()


async def line_of(process, beginning, timeout_s=15):
    async with asyncio.timeout(timeout_s):
        while True:
            line = (await process.stdout.readline()).decode().strip()
            assert line or process.returncode is None
            if line.startswith(beginning):
                return line


async def test_one_of_two_leads_and_the_other_follows_a_release_at_once(api):
    first, second = election_of(api, "controller-0"), election_of(api, "controller-1")
    async with running(second), running(first):
        async with asyncio.timeout(5):
            await asyncio.wait([asyncio.ensure_future(first.elected()), asyncio.ensure_future(second.elected())],
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        leader, other = (first, second) if first.leads() else (second, first)
        assert leader.leads()
        assert not other.leads()
        await eventually(lambda: "leads" in other.state)
        name = leader.identity.rpartition("_")[0]
        assert name in ("controller-0", "controller-1")
        assert leader.leader() == other.leader() == name
        spec = (await lease_of(api))["spec"]
        assert spec["holderIdentity"] == leader.identity
        assert spec["leaseTransitions"] == 1
        assert spec["renewTime"].endswith("Z")
        leader.resign("the test says so")
        assert not leader.leads()
        async with asyncio.timeout(5):
            await leader.deposed()
            released = time.monotonic()
            # Far sooner than the Lease's two seconds: it was released, not waited out.
            assert await other.elected() == 2
            assert time.monotonic() - released < 1.5
        # Who resigned stays away for one duration, then campaigns again.
        assert not leader.leads()
    assert (await lease_of(api))["spec"]["holderIdentity"] == ""


async def test_a_killed_leader_is_followed_after_its_lease_ran_out(api, control_plane):
    async with candidate(api, control_plane, "first") as first:
        await line_of(first, "elected 1")
        second = election_of(api, "second")
        async with running(second):
            await eventually(lambda: "first" in second.state)
            os.kill(first.pid, signal.SIGKILL)
            killed = time.monotonic()
            async with asyncio.timeout(8):
                assert await second.elected() == 2
            assert 0.5 < time.monotonic() - killed < 4.0


async def test_a_leader_that_stood_still_finds_itself_deposed(api, control_plane):
    async with candidate(api, control_plane, "first") as first:
        await line_of(first, "elected 1")
        second = election_of(api, "second")
        async with running(second):
            os.kill(first.pid, signal.SIGSTOP)
            async with asyncio.timeout(8):
                assert await second.elected() == 2
            os.kill(first.pid, signal.SIGCONT)
            assert await line_of(first, "deposed") == "deposed leads=False"
            assert second.leads()
            assert (await lease_of(api))["spec"]["holderIdentity"] == second.identity


async def test_leadership_ends_by_the_clock_when_the_server_hangs(api, control_plane):
    election = election_of(api)
    async with running(election):
        await election.elected()
        control_plane.apiserver.send_signal(signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            async with asyncio.timeout(5):
                await election.deposed()
            assert not election.leads()
            assert time.monotonic() - stopped < QUICK.renew_deadline_s + QUICK.retry_period_s + 0.3
        finally:
            control_plane.apiserver.send_signal(signal.SIGCONT)
        async with asyncio.timeout(10):
            await election.elected()
        # It took its own Lease again, as another term.
        assert (await lease_of(api))["spec"]["leaseTransitions"] == 2


async def test_a_lease_taken_by_somebody_else_deposes(api):
    election = election_of(api)
    async with running(election):
        await election.elected()
        body = {"spec": {"holderIdentity": "usurper", "leaseDurationSeconds": 60}}
        await api.client.request("PATCH", lease_path(api.namespace), body=body, content_type=MERGE_PATCH)
        async with asyncio.timeout(3):
            await election.deposed()
        await eventually(lambda: "usurper" in election.state)


async def test_edits_and_deletion_of_the_lease_do_not_end_leadership(api):
    election = election_of(api)
    async with running(election):
        transitions = await election.elected()
        election.write_anchor(ANCHOR)
        body = {"metadata": {"annotations": {"tenant": "was here"}}}
        await api.client.request("PATCH", lease_path(api.namespace), body=body, content_type=MERGE_PATCH)
        await eventually(lambda: _has_anchor(api, ANCHOR))
        await api.client.request("DELETE", lease_path(api.namespace))
        await eventually(lambda: _has_anchor(api, ANCHOR))
        assert election.leads()
        assert (await lease_of(api))["spec"]["leaseTransitions"] == transitions


async def _has_anchor(api, anchor):
    return await election_of(api).read_anchor() == anchor


async def test_the_anchor_is_written_within_two_seconds_and_outlives_the_leader(api):
    assert await election_of(api).read_anchor() is None
    first = election_of(api, "first", LeaseSettings())
    async with running(first):
        await first.elected()
        first.write_anchor(ANCHOR._replace(position=1))
        first.write_anchor(ANCHOR)
        began = time.monotonic()
        await eventually(lambda: _has_anchor(api, ANCHOR))
        assert time.monotonic() - began < 2.0
    second = election_of(api, "second")
    async with running(second):
        await second.elected()
        # A new leader's renewals leave the anchor as it is until it writes its own.
        version = (await lease_of(api))["metadata"]["resourceVersion"]
        await eventually(lambda: _renewed(api, version))
        assert await second.read_anchor() == ANCHOR


async def _renewed(api, version):
    return (await lease_of(api))["metadata"]["resourceVersion"] != version


async def test_a_damaged_anchor_is_never_taken_for_none(api):
    election = election_of(api)
    async with running(election):
        await election.elected()
        body = {"metadata": {"annotations": {ANCHOR_ANNOTATION: "{}"}}}
        await api.client.request("PATCH", lease_path(api.namespace), body=body, content_type=MERGE_PATCH)
        with pytest.raises(InvalidAnchor, match="restore"):
            await election.read_anchor()


async def test_a_missing_namespace_is_named_and_can_be_made(api, control_plane):
    client = await KubeClient.connect(control_plane.kubeconfig)
    election = LeaseElection(client, f"{api.namespace}-system", "controller-0", SystemClock(), QUICK)
    async with running(election):
        await eventually(lambda: f"kubectl create namespace {api.namespace}-system" in election.state)
        await election.ensure_namespace()
        await election.ensure_namespace()
        api.made.append(("namespaces", f"{api.namespace}-system"))
        async with asyncio.timeout(5):
            await election.elected()
    await client.close()


def test_durations_that_could_overlap_are_refused():
    with pytest.raises(ValueError, match="must fall"):
        LeaseSettings(lease_duration_s=3.0, renew_deadline_s=3.5)
