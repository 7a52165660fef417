"""A whole controller over a folder of manifests: a freed address waits for its pool's releaseDelay."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from porter.app.controller.process import run_controller
from porter.app.settings import Settings
from porter.journal.embedded import EmbeddedServer

GROUP = "network.kubesphere.io/v1alpha2"
TRIES, PAUSE_S = 300, 0.1


@asynccontextmanager
async def journal_server(directory: Path):
    server = EmbeddedServer(directory / "redis")
    server.prepare()
    process = await asyncio.create_subprocess_exec(*server.command(), stdout=asyncio.subprocess.DEVNULL)
    try:
        await server.wait_ready()
        yield server.url
    finally:
        process.terminate()
        await process.wait()


class Controller:
    def __init__(self, directory: Path) -> None:
        self.folder = directory / "manifests"
        self.folder.mkdir()
        self._http = directory / "http"

    def write(self, name: str, manifest: dict) -> None:
        temporary = self.folder / f".{name}"
        temporary.write_text(yaml.safe_dump(manifest))
        temporary.rename(self.folder / f"{name}.yaml")

    def service(self, name: str) -> None:
        metadata = {"name": name, "namespace": "default", "annotations": {"lb.kubesphere.io/v1alpha1": "openelb"}}
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}], "ipFamilies": ["IPv4"], "clusterIP": "10.96.0.10"}
        self.write(name, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    async def events(self) -> list[dict]:
        """The decisions so far, the oldest first."""

        def get() -> list[dict]:
            url = f"http://{self._http.read_text().strip()}/v1/events?limit=1000"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["events"]

        with suppress(OSError):
            return await asyncio.to_thread(get)
        return []

    async def wait(self, kind: str, name: str = "") -> dict:
        """The first event of a type, about a Service of a name if one is given."""
        for _ in range(TRIES):
            for event in await self.events():
                if event["type"] == kind and name in {"", event["payload"].get("name")}:
                    return event
            await asyncio.sleep(PAUSE_S)
        raise AssertionError(f"no {kind} of {name}: {[one['type'] for one in await self.events()]}")


@pytest.fixture
async def controller(tmp_path: Path):
    async with journal_server(tmp_path) as url:
        here = Controller(tmp_path)
        settings = Settings(
            redis_url=url, state_dir=tmp_path, manifests=here.folder, http="127.0.0.1:0", name="cool-down"
        )
        task = asyncio.create_task(run_controller(settings))
        yield here
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_an_address_is_given_again_when_its_cool_down_is_over_and_not_before(controller: Controller) -> None:
    metadata = {"name": "one", "annotations": {"eip.openelb.kubesphere.io/is-default-eip": "true"}}
    spec = {"address": "198.51.100.7", "releaseDelay": "2s"}
    controller.write("eip", {"apiVersion": GROUP, "kind": "Eip", "metadata": metadata, "spec": spec})
    controller.service("first")
    await controller.wait("AddressAllocated", "first")
    controller.service("second")
    assert (await controller.wait("AllocationRefused", "second"))["payload"]["reason"] == "PoolExhausted"
    (controller.folder / "first.yaml").unlink()
    released = await controller.wait("AddressReleased", "first")
    elapsed = await controller.wait("CoolDownElapsed")
    given = await controller.wait("AddressAllocated", "second")
    assert elapsed["cause"] == released["position"]
    assert released["position"] < elapsed["position"] < given["position"]
    waited = datetime.fromisoformat(elapsed["time"]) - datetime.fromisoformat(released["time"])
    assert timedelta(seconds=2) <= waited < timedelta(seconds=30)
