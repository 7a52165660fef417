"""Conditions of a Service as the writer sees and patches them: ours alone."""

from porter.kube.inventory import ObjectKey, Seen, seen_in
from porter.kube.status import STRATEGIC_MERGE_PATCH, KubeStatusWriter
from porter.ports import ObjectStatus
from tests.unit.kube.objects import service
from tests.unit.kube.test_wanted import SettableClock

KEY = ObjectKey("Service", "shop", "web")
TIME = "2026-01-01T00:00:00Z"


def condition(kind, status="True", **fields):
    return {"type": kind, "status": status, "reason": "R", "message": "m", "lastTransitionTime": TIME} | fields


OURS = condition("porter.io/AddressAllocated")
OTHERS = condition("example.org/Checked", observedGeneration=7)


def seen(conditions, *, ingress=(), **spec):
    status = {"conditions": conditions, "loadBalancer": {"ingress": list(ingress)}}
    return seen_in("Service", service(status=status, spec=spec))


def test_only_ours_are_kept_by_type_as_they_stand():
    degraded = condition("porter.io/Degraded", observedGeneration=3)
    assert seen([degraded, OTHERS, OURS]).status == {"conditions": [OURS, degraded]}
    assert seen([OTHERS]).status == {}
    assert seen([OURS], ingress=[{"ip": "192.0.2.1"}]).status == {
        "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]},
        "conditions": [OURS],
    }


def test_a_service_of_another_type_is_seen_while_it_has_a_condition_of_ours():
    assert seen([OURS], type="ClusterIP").status == {"conditions": [OURS]}
    assert seen([OTHERS], type="ClusterIP") is None


class Server:
    """Remembers the patches that it is sent."""

    def __init__(self):
        self.patches = []

    async def request(self, method, path, *, body, content_type, timeout_s):
        assert (method, path) == ("PATCH", "/api/v1/namespaces/shop/services/web/status")
        assert content_type == STRATEGIC_MERGE_PATCH
        assert timeout_s > 0
        self.patches.append(body)
        return service()


class Objects:
    """An inventory of one Service."""

    def __init__(self, status):
        self.present = Seen("uid-web", "7", status, {}, {})
        self.on_seen = None
        self.facts = {}

    def seen(self, key):
        return self.present if key == KEY else None


async def patched(present, wanted):
    server, objects = Server(), Objects(present)
    writer = KubeStatusWriter(server, objects, lambda: True, SettableClock())
    await writer._write(ObjectStatus("Service", "shop", "web", "uid-web", wanted), objects.present)
    (patch,) = server.patches
    assert patch["metadata"] == {"uid": "uid-web", "resourceVersion": "7"}
    return patch["status"]


async def test_what_differs_is_patched_and_what_is_to_go_is_deleted_by_its_type():
    degraded = condition("porter.io/Degraded")
    changed = OURS | {"message": "another"}
    assert await patched({"conditions": [OURS, degraded]}, {"conditions": [changed]}) == {
        "conditions": [changed, {"type": "porter.io/Degraded", "$patch": "delete"}]
    }
    assert await patched({"conditions": [OURS]}, {}) == {
        "conditions": [{"type": "porter.io/AddressAllocated", "$patch": "delete"}]
    }


async def test_a_condition_that_stays_is_not_in_the_patch():
    ingress = {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}
    assert await patched({"conditions": [OURS]}, {"conditions": [OURS], "loadBalancer": ingress}) == {
        "loadBalancer": ingress
    }
