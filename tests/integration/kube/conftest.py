"""One API server for the session; each test works in a namespace and with names of its own."""

import itertools
import json

import pytest

from porter.kube.client import KubeClient
from porter.kube.source import KubeSource
from tests.integration.kube.control_plane import ControlPlane, shared
from tests.integration.kube.helpers import Api, running

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> ControlPlane:
    """The session's API server, with Porter's CRDs."""
    return shared(request.config)


@pytest.fixture
async def client(control_plane):
    """An administrator's client."""
    made = await KubeClient.connect(control_plane.kubeconfig)
    yield made
    await made.close()


@pytest.fixture
async def api(client):
    """Objects made through it live in a namespace of the test's own, and are gone after the test."""
    made = Api(client, f"t{next(_numbers)}")
    await made.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}})
    yield made
    await made.clean()


@pytest.fixture
async def source(client):
    """A source that runs and has synced."""
    made = KubeSource(client)
    async with running(made):
        yield made


@pytest.fixture
def dump():
    """Encode for kubectl's standard input."""
    return json.dumps
