"""Working with the API server, and waiting for what a source or a condition says."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

from porter.kube.client import MERGE_PATCH, ApiError
from porter.ports import FactKey

WAIT_S = 15.0
OPT_IN = {"lb.kubesphere.io/v1alpha1": "openelb"}
PORTER_GROUP = "/apis/network.kubesphere.io/v1alpha2"
_GROUPS = {
    "namespaces": "/api/v1",
    "nodes": "/api/v1",
    "services": "/api/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "eips": PORTER_GROUP,
    "bgpconfs": PORTER_GROUP,
    "bgppeers": PORTER_GROUP,
    "bgpadvertisements": PORTER_GROUP,
    "servicecidrs": "/apis/networking.k8s.io/v1",
    "configmaps": "/api/v1",
}
_NAMESPACED = {"services", "endpointslices", "configmaps"}


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self):
        import time

        return time.time_ns() // 1_000_000

    def monotonic_s(self):
        import time

        return time.monotonic()


class Api:
    """A few verbs on a few kinds; `made` remembers what has to go."""

    def __init__(self, client, namespace):
        self.client = client
        self.namespace = namespace
        self.made = []

    def path(self, plural, name=""):
        middle = f"/namespaces/{self.namespace}" if plural in _NAMESPACED else ""
        return f"{_GROUPS[plural]}{middle}/{plural}" + (f"/{name}" if name else "")

    async def create(self, plural, body):
        created = json.loads(await self.client.request("POST", self.path(plural), body=body))
        self.made.append((plural, created["metadata"]["name"]))
        return created

    async def patch(self, plural, name, body, subresource=""):
        path = self.path(plural, name) + subresource
        return json.loads(await self.client.request("PATCH", path, body=body, content_type=MERGE_PATCH))

    async def get(self, plural, name):
        return json.loads(await self.client.request("GET", self.path(plural, name)))

    async def delete(self, plural, name):
        await self.client.request("DELETE", self.path(plural, name))

    async def clean(self):
        for plural, name in reversed(self.made):
            with suppress(ApiError):
                await self.delete(plural, name)

    async def service(self, name="web", *, annotations=None, **spec):
        body = {"type": "LoadBalancer", "ports": [{"port": 80}]} | spec
        metadata = {"name": name, "annotations": OPT_IN if annotations is None else annotations}
        return await self.create(
            "services", {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": body}
        )

    async def eip(self, name, **spec):
        body = {"apiVersion": "network.kubesphere.io/v1alpha2", "kind": "Eip", "metadata": {"name": name}, "spec": spec}
        return await self.create("eips", body)

    def key(self, name="web", kind="Service"):
        return FactKey(kind, f"{self.namespace}/{name}")


@asynccontextmanager
async def running(part, *, synced=True):
    """Run a source, an election or a writer; a source is waited for."""
    task = asyncio.create_task(part.run())
    try:
        if synced and hasattr(part, "synced"):
            await until(part, lambda: part.synced)
        yield part
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(source, condition, timeout_s=WAIT_S):
    """Wait for a condition over a source's facts, looking whenever it says that something changed."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await source.changed()


async def eventually(condition, timeout_s=WAIT_S, poll_s=0.02):
    """Wait for a condition that nobody announces; it may be a coroutine function."""
    async with asyncio.timeout(timeout_s):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(poll_s)
