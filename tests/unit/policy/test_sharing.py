"""When Services may share an address."""

from __future__ import annotations

from typing import Any

import pytest

from porter.model.address import Address
from porter.policy.sharing import why_not_shared
from tests.unit.projections.story import service

ADDRESS = Address("192.0.2.1")
ASKS: dict[str, Any] = {"requested_addresses": (ADDRESS,)}
DNS: dict[str, Any] = {"ports": (("UDP", 80),)}


@pytest.mark.parametrize(
    ("one", "other", "clause"),
    [
        (service(**ASKS), service("dns", **DNS, **ASKS), ""),
        (service(sharing_key="k"), service("dns", **DNS, sharing_key="k"), ""),
        (service(**ASKS), service("dns", **ASKS), "both use TCP port 80"),
        (service(**ASKS), service("dns", **DNS), "request it explicitly"),
        (service(**ASKS, sharing_key="a"), service("dns", **DNS, **ASKS, sharing_key="b"), "needs the key 'b'"),
        (service(**ASKS), service("dns", namespace="bank", **DNS, **ASKS), "two namespaces"),
        (service(**ASKS, traffic_policy="Local"), service("dns", **DNS, **ASKS), "the same pods"),
        (
            service(sharing_key="k", traffic_policy="Local"),
            service("dns", sharing_key="k", traffic_policy="Local", **DNS),
            "without a selector each has its own endpoints",
        ),
    ],
)
def test_sharing(one: Any, other: Any, clause: str) -> None:
    answer = why_not_shared(one, other, ADDRESS)
    assert (clause in answer) if clause else answer == ""
    assert bool(why_not_shared(other, one, ADDRESS)) == bool(clause)


def test_local_services_with_the_same_pods_share() -> None:
    local: dict[str, Any] = {**ASKS, "traffic_policy": "Local", "selector": (("app", "x"),)}
    assert why_not_shared(service(**local), service("dns", **DNS, **local), ADDRESS) == ""
