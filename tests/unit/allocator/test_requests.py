"""What a Service asks for: met as a whole or not at all, and moved by the Service's own edit alone."""

from __future__ import annotations

from typing import Any

import pytest

from porter.events import observed
from porter.model.address import Address
from tests.unit.projections.story import Story, pool, service


def settled(*payloads: Any) -> Story:
    """A story in which each fact is decided about before the next one comes."""
    story = Story()
    for payload in payloads:
        story.says(payload)
        story.settles()
    return story


def asks(*addresses: str) -> dict[str, Any]:
    return {"requested_addresses": tuple(Address(one) for one in addresses)}


# ------------------------------------------------------------------------------------ the pool that a Service names


@pytest.mark.parametrize(
    "edits",
    [
        [pool("p", "192.0.2.5-192.0.2.9")],
        [pool("p", "192.0.2.5-192.0.2.9"), pool("q", "192.0.2.0-192.0.2.4")],
        [observed.PoolGone("p", "p"), pool("p", "10.0.0.0-10.0.0.9")],
        [observed.PoolGone("p", "p"), pool("q", default=True)],
        [pool("p", excludes=((Address("192.0.2.0"), Address("192.0.2.0")),))],
        [pool("p", quota_per_namespace=0)],
    ],
    ids=["shrunk", "split", "made again", "renamed", "excluded", "quota"],
)
@pytest.mark.parametrize("request_", [{"requested_pool": "p"}, {"requested_pool": "p", **asks("192.0.2.0")}])
def test_no_edit_of_the_pool_that_it_names_moves_a_service(edits: list[Any], request_: dict[str, Any]) -> None:
    story = settled(pool("p"), service(**request_))
    for edit in edits:
        story.says(edit)
        assert story.settles() == []
    story.says(service(labels=(("tier", "x"),), **request_))
    assert story.settles() == []
    assert story.addresses() == {"192.0.2.0"}


def test_naming_another_pool_moves_a_service_that_was_split_off() -> None:
    story = settled(pool("p"), service(requested_pool="p"), pool("p", "192.0.2.5-192.0.2.9"))
    story.says(pool("q", "10.0.0.0-10.0.0.9"), service(requested_pool="q"))
    story.settles()
    assert story.addresses() == {"10.0.0.0"}
