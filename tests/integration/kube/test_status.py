"""Statuses written to a real API server: one patch per change, none without one, none without leadership."""

import asyncio
import signal

import pytest

from porter.kube.inventory import ObjectKey
from porter.kube.status import KubeStatusWriter
from porter.ports import ObjectStatus
from tests.integration.kube.helpers import SystemClock, eventually, running, until

VIP = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}}
LABEL = {"eip.openelb.kubesphere.io/v1alpha2": "public"}
DECISION = {"porter.io/decision": "41877 3f9c"}


class CountingClient:
    """The real client, counting what it writes."""

    def __init__(self, client):
        self.client = client
        self.writes = []
        self.before_write = None

    async def request(self, method, path, **rest):
        if method == "PATCH":
            self.writes.append(path)
            if self.before_write:
                await self.before_write()
        return await self.client.request(method, path, **rest)


class Desk:
    """A writer with its counting client; `leading` is what the election says."""

    def __init__(self, client, source):
        self.leading = True
        self.client = CountingClient(client)
        self.source = source
        self.writer = KubeStatusWriter(self.client, source.inventory, lambda: self.leading, SystemClock())

    async def idle(self):
        await eventually(lambda: not self.writer._due and not self.writer._busy)


@pytest.fixture
async def desk(client, source):
    made = Desk(client, source)
    async with running(made.writer):
        yield made


def status_of(api, service, status=VIP, labels=LABEL, annotations=DECISION):
    return ObjectStatus("Service", api.namespace, "web", service["metadata"]["uid"], status, labels, annotations)


async def observed(api, desk, name="web"):
    await until(desk.source, lambda: api.key(name) in desk.source.facts)


async def test_a_services_status_label_and_annotation_are_one_patch_and_none_when_unchanged(api, desk):
    service = await api.service()
    await observed(api, desk)
    desk.writer.want(status_of(api, service))
    await eventually(lambda: desk.client.writes)
    await desk.idle()
    now = await api.get("services", "web")
    assert now["status"] == VIP
    assert now["metadata"]["labels"] == LABEL
    assert now["metadata"]["annotations"]["porter.io/decision"] == "41877 3f9c"
    assert now["metadata"]["annotations"]["lb.kubesphere.io/v1alpha1"] == "openelb"
    desk.writer.want(status_of(api, service))
    await desk.idle()
    # Its own write comes back by the watch, and changes nothing.
    await eventually(lambda: desk.source.facts[api.key()].held == ("192.0.2.1",))
    await desk.idle()
    assert len(desk.client.writes) == 1


OURS = {"type": "porter.io/AddressAllocated", "status": "True", "reason": "DefaultPool", "message": "as it is"}
DEGRADED = {"type": "porter.io/Degraded", "status": "True", "reason": "SharingRefused", "message": "mend it"}
OTHERS = {
    "type": "example.org/Checked",
    "status": "True",
    "reason": "Fine",
    "message": "not ours",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


async def conditions_of(api, name="web"):
    found = (await api.get("services", name))["status"].get("conditions", [])
    return {each["type"]: (each["status"], each["message"]) for each in found}


async def test_conditions_go_with_the_ingress_in_one_patch_and_those_of_others_stay(api, desk):
    service = await api.service()
    await observed(api, desk)
    other = await api.patch("services", "web", {"status": {"conditions": [OTHERS]}}, "/status")
    key = ObjectKey("Service", api.namespace, "web")
    version = other["metadata"]["resourceVersion"]
    await eventually(lambda: desk.source.inventory.seen(key).resource_version == version)
    desk.writer.want(status_of(api, service, VIP | {"conditions": [OURS, DEGRADED]}))
    await eventually(lambda: _has_conditions(api, 3))
    await desk.idle()
    now = (await api.get("services", "web"))["status"]
    assert now["loadBalancer"] == VIP["loadBalancer"]
    first = {each["type"]: each["lastTransitionTime"] for each in now["conditions"]}
    assert len(desk.client.writes) == 1
    await asyncio.sleep(1.1)  # The API's time has whole seconds: a new one would show.
    desk.writer.want(status_of(api, service, VIP | {"conditions": [OURS | {"message": "still"}]}))
    await eventually(lambda: _has_conditions(api, 2))
    await desk.idle()
    assert await conditions_of(api) == {
        "example.org/Checked": ("True", "not ours"),
        "porter.io/AddressAllocated": ("True", "still"),
    }
    now = (await api.get("services", "web"))["status"]
    assert {each["type"]: each["lastTransitionTime"] for each in now["conditions"]}.items() <= first.items()
    desk.writer.want(status_of(api, service, VIP | {"conditions": [OURS | {"message": "still"}]}))
    await desk.idle()
    assert len(desk.client.writes) == 2


async def _has_conditions(api, number):
    return len(await conditions_of(api)) == number


async def test_a_refused_service_gets_its_condition_and_is_left_to_others(api, desk):
    service = await api.service()
    await observed(api, desk)
    refused = OURS | {"status": "False", "reason": "PoolExhausted"}
    gone = dict.fromkeys(LABEL), dict.fromkeys(DECISION)
    desk.writer.want(status_of(api, service, {"loadBalancer": {}, "conditions": [refused]}, *gone))
    await eventually(lambda: _has_conditions(api, 1))
    await desk.idle()
    await api.patch("services", "web", {"status": VIP}, "/status")
    await eventually(lambda: desk.source.facts[api.key()].held)
    await desk.idle()
    assert len(desk.client.writes) == 1


async def test_a_service_that_is_ours_no_more_loses_our_conditions_alone(api, desk):
    service = await api.service()
    await observed(api, desk)
    await api.patch("services", "web", {"status": {"conditions": [OTHERS]}}, "/status")
    desk.writer.want(status_of(api, service, VIP | {"conditions": [OURS]}))
    await eventually(lambda: _has_conditions(api, 2))
    await api.patch(
        "services",
        "web",
        {"metadata": {"annotations": {"lb.kubesphere.io/v1alpha1": None}}, "spec": {"type": "ClusterIP"}},
    )
    await until(desk.source, lambda: api.key() not in desk.source.facts)
    gone = dict.fromkeys(LABEL), dict.fromkeys(DECISION)
    desk.writer.want(status_of(api, service, {"loadBalancer": {}, "conditions": []}, *gone))
    await eventually(lambda: _has_conditions(api, 1))
    assert await conditions_of(api) == {"example.org/Checked": ("True", "not ours")}


async def test_a_burst_costs_one_patch_each(api, desk):
    names = [f"s{number}" for number in range(30)]
    services = [await api.service(name) for name in names]
    await until(desk.source, lambda: all(api.key(name) in desk.source.facts for name in names))
    for name, service in zip(names, services, strict=True):
        wanted = status_of(api, service)
        desk.writer.want(wanted._replace(name=name))
    await eventually(lambda: all(desk.source.facts[api.key(name)].held for name in names))
    await desk.idle()
    assert len(desk.client.writes) == len(names)


async def test_an_empty_status_takes_the_ingress_and_the_label_away_once(api, desk):
    service = await api.service()
    await observed(api, desk)
    desk.writer.want(status_of(api, service))
    await eventually(lambda: desk.source.facts[api.key()].held)
    gone = dict.fromkeys(LABEL), dict.fromkeys(DECISION)
    desk.writer.want(status_of(api, service, {}, *gone))
    await eventually(lambda: not desk.source.facts[api.key()].held)
    now = await api.get("services", "web")
    assert now["status"] == {"loadBalancer": {}}
    assert "labels" not in now["metadata"]
    writes = len(desk.client.writes)
    # From now on it may be another controller's: what that writes stays.
    await api.patch("services", "web", {"status": VIP}, "/status")
    await eventually(lambda: desk.source.facts[api.key()].held)
    await desk.idle()
    assert len(desk.client.writes) == writes


async def test_what_somebody_else_overwrote_comes_back(api, desk):
    service = await api.service()
    await observed(api, desk)
    desk.writer.want(status_of(api, service))
    await eventually(lambda: desk.source.facts[api.key()].held)
    other = {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}
    await api.patch("services", "web", {"status": other}, "/status")
    await eventually(lambda: _has(api, VIP))


async def _has(api, status):
    return (await api.get("services", "web"))["status"] == status


async def test_a_service_that_is_ours_no_longer_is_not_touched(api, desk):
    service = await api.service()
    await observed(api, desk)
    await api.patch("services", "web", {"metadata": {"annotations": {"lb.kubesphere.io/v1alpha1": None}}})
    await until(desk.source, lambda: api.key() not in desk.source.facts)
    desk.writer.want(status_of(api, service))
    await desk.idle()
    assert desk.client.writes == []


async def test_a_conflict_waits_for_the_newer_object_and_then_writes(api, desk):
    service = await api.service()
    await observed(api, desk)

    async def edit():
        desk.client.before_write = None
        await api.patch("services", "web", {"spec": {"externalTrafficPolicy": "Local"}})

    desk.client.before_write = edit
    desk.writer.want(status_of(api, service))
    await eventually(lambda: _has(api, VIP))
    assert (await api.get("services", "web"))["spec"]["externalTrafficPolicy"] == "Local"
    assert len(desk.client.writes) == 2


async def test_another_service_of_the_same_name_is_not_written(api, desk):
    service = await api.service()
    await observed(api, desk)
    await api.delete("services", "web")
    again = await api.service()
    uid = again["metadata"]["uid"]
    await until(desk.source, lambda: api.key() in desk.source.facts and desk.source.facts[api.key()].uid == uid)
    desk.writer.want(status_of(api, service))
    await desk.idle()
    assert (await api.get("services", "web"))["status"] == {"loadBalancer": {}}
    assert desk.client.writes == []


async def test_a_deleted_object_is_forgotten(api, desk):
    service = await api.service()
    await observed(api, desk)
    await api.delete("services", "web")
    desk.writer.want(status_of(api, service))
    await until(desk.source, lambda: api.key() not in desk.source.facts)
    await desk.idle()
    assert desk.writer._wanted == {}


async def test_who_does_not_lead_writes_nothing(api, desk):
    service = await api.service()
    await observed(api, desk)
    desk.leading = False
    desk.writer.want(status_of(api, service))
    await desk.idle()
    desk.leading = True
    # What was wanted before leadership was lost is forgotten with it.
    await api.patch("services", "web", {"metadata": {"labels": {"touched": "1"}}})
    await until(desk.source, lambda: ("touched", "1") in desk.source.facts[api.key()].labels)
    await desk.idle()
    assert desk.client.writes == []


async def test_leadership_lost_between_two_writes_of_one_object_stops_the_second(api, desk):
    name = f"{api.namespace}-pool"
    eip = await api.eip(name, address="192.0.2.0/24")
    await eventually(lambda: any(key.name == name for key in desk.source.facts))

    async def depose():
        desk.leading = False

    desk.client.before_write = depose
    desk.writer.want(ObjectStatus("Eip", "", name, eip["metadata"]["uid"], {"usage": 1}, {"a": "b"}))
    await eventually(lambda: desk.client.writes)
    await desk.idle()
    assert [path.rpartition("/")[2] for path in desk.client.writes] == ["status"]


async def test_a_pools_status_shrinks_and_its_conditions_are_dated_once(api, desk, control_plane):
    name = f"{api.namespace}-pool"
    eip = await api.eip(name, address="2001:db8::/64")
    await eventually(lambda: any(key.name == name for key in desk.source.facts))

    def wanted(used, ready="True", message="fine"):
        condition = {"type": "Ready", "status": ready, "reason": "Ok", "message": message, "observedGeneration": 1}
        status = {"usage": len(used), "poolSize": 2**63 - 1, "used": used, "v4": False, "conditions": [condition]}
        return ObjectStatus("Eip", "", name, eip["metadata"]["uid"], status)

    async def status():
        return (await api.get("eips", name)).get("status", {})

    async def uses(used):
        return (await status()).get("used") == used

    desk.writer.want(wanted({"2001:db8::1": "a/b", "2001:db8::2": "a/c"}))
    await eventually(lambda: uses({"2001:db8::1": "a/b", "2001:db8::2": "a/c"}))
    dated = (await status())["conditions"][0]["lastTransitionTime"]
    assert (await status())["poolSize"] == 2**63 - 1
    await asyncio.sleep(1.1)  # The API's time has whole seconds: a new one would show.
    desk.writer.want(wanted({"2001:db8::2": "a/c"}, message="still fine"))
    await eventually(lambda: uses({"2001:db8::2": "a/c"}))
    assert (await status())["conditions"][0]["lastTransitionTime"] == dated
    writes = len(desk.client.writes)
    desk.writer.want(wanted({"2001:db8::2": "a/c"}, message="still fine"))
    await desk.idle()
    assert len(desk.client.writes) == writes
    table = await asyncio.to_thread(control_plane.kubectl, "get", "eip", name)
    assert "2001:db8::/64" in table
    assert "True" in table


async def test_a_write_without_an_answer_is_made_good(api, desk, control_plane):
    """The server stands still: the answer is lost, and the write happens when it goes on."""
    service = await api.service()
    await observed(api, desk)
    control_plane.apiserver.send_signal(signal.SIGSTOP)
    try:
        desk.writer.want(status_of(api, service))
        await eventually(lambda: len(desk.client.writes) > 1)
    finally:
        control_plane.apiserver.send_signal(signal.SIGCONT)
    await eventually(lambda: _has(api, VIP))
    await desk.idle()
    assert (await api.get("services", "web"))["metadata"]["labels"] == LABEL
