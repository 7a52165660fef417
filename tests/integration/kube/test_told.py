"""A whole controller over a real API server: what owners of Services and pools are told, and what is not repeated."""

import asyncio
import itertools
import json
import urllib.request
from contextlib import asynccontextmanager, suppress

import pytest

from porter.app.controller.process import run_controller
from porter.app.settings import Settings
from porter.journal.embedded import EmbeddedServer
from tests.integration.kube.helpers import Api, eventually
from tests.schema_check import violations

SETTLED_S = 2.5
"""Longer than the writer waits before it repairs a status: what is written again and again shows within it."""

_numbers = itertools.count(1)


@asynccontextmanager
async def journal_server(directory):
    server = EmbeddedServer(directory / "redis")
    server.prepare()
    process = await asyncio.create_subprocess_exec(*server.command(), stdout=asyncio.subprocess.DEVNULL)
    try:
        await server.wait_ready()
        yield server.url
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def controller(tmp_path, control_plane, client):
    """A controller that leads; its objects are in namespaces of their own, the Lease with them."""
    async with journal_server(tmp_path) as url:
        settings = Settings(
            redis_url=url,
            state_dir=tmp_path,
            # Its Lease is no other test's.
            namespace=f"told-{next(_numbers)}",
            kubeconfig=control_plane.kubeconfig,
            http="127.0.0.1:0",
            name="told",
        )
        task = asyncio.create_task(run_controller(settings))
        await eventually((tmp_path / "http").exists, 30)
        yield (tmp_path / "http").read_text().strip()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def asked(controller, path):
    def get():
        with urllib.request.urlopen(f"http://{controller}{path}", timeout=5) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


async def conditions(api, plural, name):
    status = (await api.get(plural, name)).get("status", {})
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in status.get("conditions", [])}


async def reasons(api: Api):
    raw = await api.client.request("GET", f"/api/v1/namespaces/{api.namespace}/events")
    return [(one["reason"], one["type"], one["involvedObject"]["name"]) for one in json.loads(raw)["items"]]


async def test_owners_are_told_of_decisions_once_and_in_the_same_words(api, controller):
    pool = f"{api.namespace}-pool"
    await api.eip(pool, address="198.51.100.7", excludes=[])
    ask = {"lb.kubesphere.io/v1alpha1": "openelb", "eip.openelb.kubesphere.io/v1alpha2": pool}
    await api.service("web", annotations=ask)

    async def told(name, status):
        return (await conditions(api, "services", name)).get("porter.io/AddressAllocated", ("",))[0] == status

    await eventually(lambda: told("web", "True"), 30)
    await api.service("late", annotations=ask)
    await eventually(lambda: told("late", "False"))
    given = (await conditions(api, "services", "web"))["porter.io/AddressAllocated"]
    assert given[1] == "RequestedPool"
    assert given[2].startswith(f"198.51.100.7 from Eip {pool}, as requested, since ")
    refused = (await conditions(api, "services", "late"))["porter.io/AddressAllocated"]
    assert refused[1] == "PoolExhausted"

    async def events(number):
        return len(await reasons(api)) == number

    await eventually(lambda: events(2))
    assert sorted(await reasons(api)) == [("PoolExhausted", "Warning", "late"), ("RequestedPool", "Normal", "web")]
    explained = await asked(controller, f"/v1/explain?service={api.namespace}/late")
    assert violations(explained, "explain") == []
    assert refused[2] in explained["problems"][0]

    async def full():
        return (await api.get("eips", pool)).get("status", {}).get("usage") == 1

    await eventually(full)
    versions = [(await api.get(*one))["metadata"]["resourceVersion"] for one in _objects(pool)]
    await asyncio.sleep(SETTLED_S)
    assert versions == [(await api.get(*one))["metadata"]["resourceVersion"] for one in _objects(pool)]


def _objects(pool):
    return (("services", "web"), ("services", "late"), ("eips", pool))


async def test_a_pool_that_is_deleted_degrades_its_services_and_takes_nothing(api, controller):
    pool = f"{api.namespace}-pool"
    await api.eip(pool, address="198.51.100.8/31")
    await api.service(annotations={"lb.kubesphere.io/v1alpha1": "openelb", "eip.openelb.kubesphere.io/v1alpha2": pool})

    async def has_address():
        return (await api.get("services", "web"))["status"]["loadBalancer"].get("ingress")

    await eventually(has_address, 30)
    await api.delete("eips", pool)

    async def degraded():
        return (await conditions(api, "services", "web")).get("porter.io/Degraded")

    status, reason, why = await eventually(degraded)
    assert (status, reason) == ("True", "AddressOutsidePools")
    assert "is gone" in why
    assert (await has_address())[0]["ip"] == "198.51.100.8"


async def test_an_advertisement_is_accepted(api, controller):
    name = f"{api.namespace}-all"
    body = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "BgpAdvertisement", "metadata": {"name": name}}
    await api.create("bgpadvertisements", body | {"spec": {"eips": ["nowhere"]}})

    async def told():
        return await conditions(api, "bgpadvertisements", name)

    found = await eventually(told, 30)
    assert found["Accepted"][:2] == ("True", "Accepted")
    assert found["Degraded"][:2] == ("True", "PoolNotFound")
