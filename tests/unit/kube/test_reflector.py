"""Lines of a watch, whatever the chunks are, and what each kind of event does."""

import json

import pytest
from tenacity import RetryCallState

from porter.kube.client import ApiError
from porter.kube.facts import FactSettings
from porter.kube.inventory import Inventory
from porter.kube.reflector import (
    ABSENT_KIND_RETRY_S,
    Expired,
    LineTooLong,
    Reflector,
    _backoff,
    resources,
    split_lines,
)
from porter.ports import FactKey
from tests.unit.kube.objects import raw, service


async def arriving(chunks):
    for chunk in chunks:
        yield chunk


async def lines(*chunks, limit_bytes=1000):
    return [line async for batch in split_lines(arriving(chunks), limit_bytes) for line in batch]


async def test_lines_are_put_together_from_any_chunks():
    assert await lines(b'{"a"', b":1}\n{", b'"b":2}\n\n{"c":3}\n{"half') == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_line_over_the_limit_is_refused_before_it_fills_the_memory():
    with pytest.raises(LineTooLong, match="shrink the object"):
        await lines(*[b"x" * 100] * 20)


@pytest.fixture
def reflector():
    return Reflector(None, resources("porter-system")[0], Inventory(FactSettings()))


def event(kind, body):
    return b'{"type":"%s","object":%s}' % (kind.encode(), body)


def test_a_bookmark_moves_the_version_and_nothing_else(reflector):
    reflector._take(event("BOOKMARK", b'{"kind":"Service","metadata":{"resourceVersion":"4711"}}'))
    assert (reflector._version, reflector._inventory.facts) == ("4711", {})


def test_events_move_the_version_even_of_objects_that_do_not_decode(reflector):
    reflector._take(event("ADDED", service()))
    assert (reflector._version, list(reflector._inventory.facts)) == ("7", [FactKey("Service", "shop/web")])
    broken = {"metadata": {"name": "x", "namespace": "shop", "resourceVersion": "8"}, "spec": {"ports": "all"}}
    reflector._take(event("MODIFIED", json.dumps(broken).encode()))
    assert reflector._version == "8"
    deep = b'{"metadata":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    reflector._take(event("MODIFIED", deep))
    reflector._take(event("DELETED", service(metadata={"resourceVersion": "9"})))
    assert (reflector._version, reflector._inventory.facts, reflector._inventory.rejected) == ("9", {}, 1)


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        ({"code": 410, "reason": "Expired", "message": "too old"}, Expired),
        ({"code": 410, "reason": "Gone"}, Expired),
        ({"code": 500, "reason": "InternalError", "message": "etcd is away"}, ApiError),
        ({"code": "?"}, ApiError),
    ],
)
def test_an_error_event_ends_the_watch(reflector, failure, raised):
    with pytest.raises(raised):
        reflector._take(event("ERROR", json.dumps(failure).encode()))


class Refusing:
    """A server that answers every listing with one status."""

    def __init__(self, status):
        self.status = status
        self.asked = 0

    async def request(self, method, path, **_):
        self.asked += 1
        raise ApiError(self.status, "NotFound", f"GET {path}: {self.status} not found")


def of_kind(kind):
    return next(resource for resource in resources("porter-system") if resource.kind == kind)


@pytest.mark.parametrize(
    ("kind", "status", "counts_as_empty"),
    [
        ("BgpAdvertisement", 404, True),
        # Without the right to read them, nobody knows whether there are any.
        ("BgpAdvertisement", 403, False),
        ("ServiceCIDR", 404, True),
        ("ServiceCIDR", 403, True),
        ("ServiceCIDR", 500, False),
        ("ConfigMap", 403, False),
        ("Eip", 404, False),
    ],
)
async def test_a_kind_that_can_be_done_without_counts_as_empty_where_it_is_not_served(kind, status, counts_as_empty):
    inventory = Inventory(FactSettings())
    reflector = Reflector(Refusing(status), of_kind(kind), inventory)
    with pytest.raises(ApiError) as refused:
        await reflector._list()
    assert (kind in inventory._synced) is counts_as_empty
    if counts_as_empty:
        reflector._failed(FailedAttempt(refused.value))
        assert reflector.state.startswith("synced, as none: ")
        assert _backoff(FailedAttempt(refused.value)) >= ABSENT_KIND_RETRY_S


async def test_what_is_known_of_such_a_kind_is_not_given_up_at_the_first_answer():
    inventory = Inventory(FactSettings())
    inventory.begin_listing("BgpAdvertisement")
    inventory.put("BgpAdvertisement", raw("BgpAdvertisement", "a", spec={}))
    inventory.end_listing("BgpAdvertisement")
    reflector = Reflector(Refusing(404), of_kind("BgpAdvertisement"), inventory)
    for _ in range(2):
        with pytest.raises(ApiError):
            await reflector._list()
        assert FactKey("Advertisement", "a") in inventory.facts
    with pytest.raises(ApiError):
        await reflector._list()
    assert FactKey("Advertisement", "a") not in inventory.facts


class FailedAttempt:
    """What tenacity tells of an attempt that failed."""

    def __init__(self, error):
        self.outcome = self
        self.attempt_number = 1
        self._error = error

    def exception(self):
        return self._error


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_server_that_comes_back_is_asked_again_soon(status):
    attempt = RetryCallState(None, None, (), {})
    attempt.attempt_number = 20
    attempt.set_exception((ApiError, ApiError(status, "NotYet", "storage is (re)initializing"), None))
    assert _backoff(attempt) <= 2.1
