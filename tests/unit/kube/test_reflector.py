"""Lines of a watch, whatever the chunks are, and what each kind of event does."""

import json

import pytest

from porter.kube.client import ApiError
from porter.kube.facts import FactSettings
from porter.kube.inventory import Inventory
from porter.kube.reflector import RESOURCES, Expired, LineTooLong, Reflector, split_lines
from porter.ports import FactKey
from tests.unit.kube.objects import service


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
    return Reflector(None, RESOURCES[0], Inventory(FactSettings()))


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
