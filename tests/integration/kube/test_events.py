"""Events written to a real API server: what kubectl shows of them, and that telling twice tells once."""

import asyncio
import json

import pytest

from porter.kube.events import KubeEventRecorder
from porter.model.object_event import ObjectEvent
from tests.integration.kube.helpers import eventually, running


@pytest.fixture
async def recorder(client):
    made = KubeEventRecorder(client, lambda: True, "porter-0")
    async with running(made):
        yield made


async def events_of(api):
    raw = await api.client.request("GET", f"/api/v1/namespaces/{api.namespace}/events")
    return json.loads(raw)["items"]


async def has(api, number):
    return len(await events_of(api)) == number


async def test_a_decision_is_told_once_and_stands_in_the_services_description(api, recorder, control_plane):
    service = await api.service()
    event = ObjectEvent(
        "Service",
        api.namespace,
        "web",
        service["metadata"]["uid"],
        service["metadata"]["resourceVersion"],
        "AddressAllocated",
        "DefaultPool",
        "192.0.2.7 is allocated from the default Eip public (#41877)",
        False,
        41877,
        1_795_467_722_123,
    )
    recorder.record(event)
    await eventually(lambda: has(api, 1))
    # A leader that does not know whether it was told already tells it again.
    recorder.record(event)
    recorder.record(event._replace(position=41878, warning=True, reason="PoolExhausted", message="it is full (#41878)"))
    await eventually(lambda: has(api, 2))
    assert recorder.dropped == 0
    described = await asyncio.to_thread(control_plane.kubectl, "-n", api.namespace, "describe", "service", "web")
    assert "DefaultPool" in described
    assert "192.0.2.7 is allocated from the default Eip public (#41877)" in described
    assert "Warning" in described


async def test_a_hold_stands_in_the_description_of_the_bgp_conf(api, recorder, control_plane):
    conf = await api.create(
        "bgpconfs",
        {
            "apiVersion": "network.kubesphere.io/v1alpha2",
            "kind": "BgpConf",
            "metadata": {"name": "told"},
            "spec": {"as": 64512},
        },
    )
    metadata = conf["metadata"]
    message = "34 of 40 prefixes would have lost their last next hops (#41877)"
    recorder.record(
        ObjectEvent(
            "BgpConf",
            "",
            "told",
            metadata["uid"],
            metadata["resourceVersion"],
            "WithdrawalHeld",
            "WithdrawalHeld",
            message,
            True,
            41877,
            1_795_467_722_123,
        )
    )

    async def described():
        return message in await asyncio.to_thread(control_plane.kubectl, "describe", "bgpconf", "told")

    await eventually(described)
    assert recorder.dropped == 0


async def test_a_namespace_that_is_gone_costs_its_events_and_nothing_else(api, recorder):
    service = await api.service()
    uid = service["metadata"]["uid"]
    event = ObjectEvent("Service", "nowhere", "web", uid, "", "AddressReleased", "ServiceDeleted", "m", False, 1, 0)
    recorder.record(event)
    recorder.record(event._replace(namespace=api.namespace))
    await eventually(lambda: has(api, 1))
    assert recorder.dropped == 1
