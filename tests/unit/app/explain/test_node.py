"""Why a node is a next hop or none: by itself, and of each Service by its rule, since when and because of what."""

from __future__ import annotations

from typing import Any

import pytest

from porter.app.explain.question import Unknown
from porter.events import decided, observed
from porter.model.reasons import Reason
from tests.unit.app.answers.test_cluster import CONF, PEER
from tests.unit.app.explain.test_service import Journaled
from tests.unit.projections.story import endpoints, node, pool, service


@pytest.fixture
def story() -> Journaled:
    begun = Journaled(
        CONF,
        PEER,
        node(1, resource_version="11"),
        node(2, resource_version="12"),
        pool(default=True),
        service("every"),
        endpoints("every", "n2"),
        service("local", traffic_policy="Local"),
        endpoints("local", "n2"),
        service("none"),
    )
    begun.settles()
    return begun


async def asked(story: Journaled, name: str = "n1") -> Any:
    return await story.asked(node=name)


def of(answer: Any, name: str) -> Any:
    return next(one for one in answer["node"]["services"] if one["service"] == f"shop/{name}")


async def test_each_service_has_its_rule_and_all_are_counted(story):
    answer = await asked(story)
    assert answer["asked"] == "node/n1"
    assert of(answer, "every")["rule"].startswith("externalTrafficPolicy Cluster")
    assert [of(answer, name)["reason"] for name in ("local", "none")] == ["NoEndpointOnNode", "NoReadyEndpoint"]
    assert answer["node"]["nextHopOf"] == 1
    assert sum(rule["services"] for rule in answer["node"]["rules"]) == 3
    assert (
        of(await asked(story, "n2"), "local")["rule"]
        == "externalTrafficPolicy Local: an endpoint on this node is ready"
    )
    assert answer["problems"] == []


async def test_a_node_with_only_a_terminating_endpoint_is_told_so(story):
    story.says(endpoints("local", "n2", terminating=(("IPv4", ("n1",)),)))
    assert "serves while it terminates" in of(await asked(story), "local")["rule"]


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        ({"ready": False}, Reason.NODE_NOT_READY, "it is not Ready"),
        ({"excluded": True}, Reason.NODE_EXCLUDED, "exclude-from-external-load-balancers"),
        ({"addresses": ()}, Reason.NODE_WITHOUT_ADDRESS, "no InternalIP"),
    ],
)
async def test_why_it_is_none_is_told_with_the_object_and_its_version(story, change, reason, says):
    story.says(node(1, resource_version="99")._replace(**change))
    position = story.position
    answer = await asked(story)
    four = answer["node"]["families"][0]
    assert (four["eligible"], four["reason"], four["cause"]) == (False, reason, position)
    assert says in four["message"]
    assert answer["problems"] == [four["message"]]
    (fact,) = answer["node"]["causes"]
    assert (fact["aggregate"], fact["resourceVersion"]) == ("node/n1", "99")
    assert (of(answer, "every")["reason"], of(answer, "every")["cause"]) == (reason, position)


async def test_since_when_goes_back_to_the_change_of_eligibility_and_not_to_the_newest_fact(story):
    before = (await asked(story))["node"]["families"][0]["cause"]
    story.says(node(1, resource_version="50", labels=(("new", "label"),)))
    answer = await asked(story)
    assert answer["node"]["families"][0]["cause"] == before < answer["node"]["position"]


async def test_a_drain_is_told_with_its_step_and_the_way_back(story):
    story.says(decided.NodeDrained("n1", "n1", "ada", "new disks", 10_000))
    answer = await asked(story)
    assert answer["node"]["families"][0]["standing"] == "leaving"
    assert answer["node"]["causes"][0]["type"] == "NodeDrained"
    assert "new disks; `porter uncordon node n1` ends that" in answer["summary"][-1]
    story.says(decided.NodeDrainElapsed("n1"))
    answer = await asked(story)
    assert answer["node"]["families"][0]["standing"] == "lastResort"
    assert (of(answer, "every")["nextHop"], of(answer, "every")["reason"]) == (False, "Drained")


async def test_a_node_that_fail_static_keeps_is_told_with_the_suspicion(story):
    story.says(node(1, ready=False), node(2, ready=False))
    answer = await asked(story)
    assert answer["node"]["held"]
    assert "see whether the kubelets reach the API server" in answer["node"]["families"][0]["message"]


async def test_a_hold_is_named_as_the_rule(story):
    (prefix,) = (f"{one.address}/32" for one in story.state.pools.of("every"))
    held = decided.WithdrawalHeld(story.position + 1, "NoReadyEndpoint", (prefix,), 30, 40, 25, 20, 600_000)
    story.says(held, endpoints("every"))
    assert "a hold keeps" in of(await asked(story), "every")["rule"]


async def test_an_unknown_node_is_refused_with_those_that_there_are(story):
    with pytest.raises(Unknown, match=r"known: n1, n2"):
        await asked(story, "n9")


async def test_a_peers_selector_is_told(story):
    story.says(PEER._replace(node_selector=(("rack", "1"),)), observed.NamespaceObserved("shop"))
    assert (await asked(story))["node"]["peers"] == [{"peer": "tor-a", "selected": False}]
