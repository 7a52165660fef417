"""What an OpenELB left behind, at a real API server: no deletion hangs, and nobody else's object is touched."""

import pytest

from porter.kube.client import ApiError
from porter.kube.finalizers import FinalizerWriter
from tests.integration.kube.helpers import OPT_IN, eventually, running

LB, IPAM = "finalizer.lb.kubesphere.io/v1alpha1", "finalizer.ipam.kubesphere.io/v1alpha1"
OTHER = "example.com/other"


@pytest.fixture
def leading():
    return {"now": True}


@pytest.fixture
async def writer(client, source, leading):
    async with running(FinalizerWriter(client, source.inventory, lambda: leading["now"])) as made:
        yield made


async def finalizers_of(api, plural, name):
    return (await api.get(plural, name))["metadata"].get("finalizers", [])


async def is_gone(api, plural, name):
    try:
        await api.get(plural, name)
    except ApiError as error:
        return error.status == 404
    return False


async def with_finalizers(api, plural, name, *finalizers):
    await api.patch(plural, name, {"metadata": {"finalizers": list(finalizers)}})


async def test_an_object_of_ours_loses_them_and_keeps_what_others_set(api, writer):
    await api.service()
    await with_finalizers(api, "services", "web", LB, OTHER)
    pool = f"{api.namespace}-pool"
    await api.eip(pool, address="192.0.2.1")
    await with_finalizers(api, "eips", pool, IPAM)

    async def settled():
        return await finalizers_of(api, "services", "web") == [OTHER] and not await finalizers_of(api, "eips", pool)

    await eventually(settled)
    await with_finalizers(api, "services", "web")


async def test_no_deletion_hangs(api, writer, leading):
    """R9 of OpenELB: annotations stripped, then deleted, and the Service was stuck for ever."""
    leading["now"] = False
    await api.service("stuck", annotations={})
    await with_finalizers(api, "services", "stuck", LB)
    pool = f"{api.namespace}-stuck"
    await api.eip(pool, address="192.0.2.2")
    await with_finalizers(api, "eips", pool, IPAM, "finalizer.lb.kubesphere.io/node-1")
    await api.delete("services", "stuck")
    await api.delete("eips", pool)
    # Who does not lead writes nothing.
    assert not await is_gone(api, "services", "stuck")
    leading["now"] = True
    await eventually(lambda: is_gone(api, "services", "stuck"))
    await eventually(lambda: is_gone(api, "eips", pool))


async def test_a_service_of_another_class_is_never_touched(api, writer):
    await api.service("other", annotations=OPT_IN, loadBalancerClass="other.io/x")
    await with_finalizers(api, "services", "other", LB)
    await api.delete("services", "other")
    await api.service("ours")
    await with_finalizers(api, "services", "ours", LB)

    async def ours_is_clean():
        return not await finalizers_of(api, "services", "ours")

    await eventually(ours_is_clean)
    assert await finalizers_of(api, "services", "other") == [LB]
    await with_finalizers(api, "services", "other")
