"""Plans: what a change would do, and which Service would lose something by it."""

from __future__ import annotations

import pytest

from porter.app.history.moments import Moment
from porter.app.history.reading import NotThere
from porter.app.plan import NotPlannable, plan_at, read_changes
from porter.kube.facts import FactSettings
from tests.schema_check import violations
from tests.unit.app.scripted_incident import incident
from tests.unit.projections.story import endpoints, pool

POOL = """
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata: {name: public, annotations: {eip.openelb.kubesphere.io/is-default-eip: "true"}}
spec: {address: %s, protocol: bgp}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec:
  type: LoadBalancer
  loadBalancerClass: porter.io/porter
  ports: [{port: 80}]
"""
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1], nodeName: n3, conditions: {ready: true}}]
"""


@pytest.fixture
def planned(tmp_path):
    async def plan(*manifests, mark="exhausted", delete=(), node_down=(), peer_down=()):
        it = await incident()
        for number, text in enumerate(manifests):
            (tmp_path / f"{number}.yaml").write_text(text)
        files = [str(tmp_path)] if manifests else []
        changes = read_changes(files, delete, node_down, peer_down)
        answer = await plan_at(it.streams, Moment(it.marks[mark]), changes, FactSettings())
        assert violations(answer, "plan") == []
        assert answer["position"] == it.marks[mark]
        return answer

    return plan


async def test_a_larger_pool_would_serve_the_one_that_waits(planned):
    answer = await planned(POOL % "192.0.2.0-192.0.2.7")
    assert answer["problems"] == []
    (added,) = answer["addresses"]
    assert (added["change"], added["after"]["service"]["name"]) == ("added", "late-comer")
    assert added["cause"]["type"] == "AddressAllocated"
    assert answer["changes"][0]["summary"].startswith("ranges 192.0.2.0→192.0.2.0-192.0.2.7")
    assert [(one["change"], one["before"]["reason"]) for one in answer["refusals"]] == [("removed", "PoolExhausted")]
    assert [(one["before"]["size"], one["after"]["size"]) for one in answer["pools"]] == [(1, 8)]


async def test_a_pool_that_shrinks_or_goes_takes_nothing_away(planned):
    for change in (
        {"manifests": (POOL % "198.51.100.0/30",)},
        {"delete": ["eip/public"]},
    ):
        answer = await planned(*change.pop("manifests", ()), mark="router-up", **change)
        assert (answer["losses"], answer["problems"]) == ([], [])
        assert all(one["change"] != "removed" for one in answer["addresses"])


async def test_the_manifest_of_what_is_there_changes_nothing(planned):
    answer = await planned(POOL % "192.0.2.0")
    assert (answer["changes"], answer["routes"], answer["addresses"], answer["problems"]) == ([], [], [], [])


async def test_the_last_node_of_a_service_takes_its_routes_along(planned):
    one = await planned(mark="calm", node_down=["n1"])
    assert [(each["change"], each["before"]["nextHop"]) for each in one["routes"]] == [("removed", "10.0.0.1")]
    assert {each["type"] for each in one["changes"]} == {"NodeObserved", "EndpointsObserved"}
    assert one["losses"] == []
    both = await planned(mark="calm", node_down=["n1", "n2"])
    assert [(each["service"]["name"], each["lost"]) for each in both["losses"]] == [("web", "routes")]
    assert both["problems"] == ["shop/web would lose all routes of 192.0.2.0"]


async def test_the_last_next_hop_is_a_loss_while_no_session_is_established_as_well(planned):
    answer = await planned(mark="router-down", node_down=["n1", "n2"])
    assert {one["before"]["state"] for one in answer["routes"]} == {"desired"}
    assert answer["problems"] == ["shop/web would lose all routes of 192.0.2.0"]


async def test_the_only_peer_takes_all_routes_along(planned):
    answer = await planned(mark="calm", peer_down=["tor-a"])
    assert [(one["before"]["state"], one["after"]["state"]) for one in answer["sessions"]] == [("Established", "Idle")]
    assert answer["problems"] == ["shop/web would lose all routes of 192.0.2.0"]
    gone = await planned(mark="calm", delete=["bgppeer/tor-a"])
    assert gone["problems"] == ["shop/web would lose all routes of 192.0.2.0"]


async def test_a_service_that_is_deleted_on_purpose_is_no_loss_and_one_that_is_given_up_is(planned):
    deleted = await planned(delete=["svc/shop/web"])
    assert deleted["losses"] == []
    assert {(one["change"], one["address"]) for one in deleted["addresses"]} == {
        ("removed", "192.0.2.0"),
        ("added", "192.0.2.0"),
    }
    given_up = await planned((SERVICE % "web").replace("porter.io/porter", "others.io/theirs"))
    assert given_up["problems"] == ["shop/web would lose its address 192.0.2.0"]


async def test_a_new_service_gets_the_address_that_the_leader_would_give(planned):
    answer = await planned((SERVICE % "new"), mark="router-up")
    (added,) = answer["addresses"]
    assert (added["change"], added["address"]) == ("added", "192.0.2.1")
    assert answer["routes"] == []
    refused = await planned(SERVICE % "new")
    assert refused["refusals"][0]["after"]["reason"] == "PoolExhausted"
    assert refused["problems"] == []


async def test_endpoints_that_move_move_the_routes(planned):
    answer = await planned(SLICE, mark="calm")
    changes = {(one["change"], (one["after"] or one["before"])["nextHop"]) for one in answer["routes"]}
    assert changes == {("removed", "10.0.0.1"), ("removed", "10.0.0.2"), ("added", "10.0.0.3")}
    assert {one["cause"]["summary"] for one in answer["routes"]} == {"ready on n1, n2 → n3"}


async def test_the_present_is_left_as_it_is():
    it = await incident()
    before = it.state.ledger.position
    changes = read_changes((), ["eip/public"], (), ())
    first = await plan_at(it.streams, None, changes, FactSettings())
    assert first == await plan_at(it.streams, None, changes, FactSettings())
    assert (await it.journal.head()).position == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"delete": ["eip/absent"]}, "nothing of that name"),
        ({"node_down": ["absent"]}, "--node-down absent"),
        ({"peer_down": ["absent"]}, "--peer-down absent"),
        ({"delete": ["pod/x"]}, "names no object"),
        ({"delete": ["service/web"]}, "service/shop/web"),
    ],
)
async def test_what_is_not_there_cannot_go(planned, change, told):
    with pytest.raises((NotThere, NotPlannable), match=told):
        await planned(**change)


async def test_an_object_that_could_not_be_used_is_a_problem_of_the_plan(planned):
    answer = await planned(POOL % "999.1.1.1/28", mark="router-up")
    (message,) = answer["problems"]
    assert message.startswith("Eip public could not be used: ")
    assert "999.1.1.1/28" in message
    (changed,) = answer["pools"]
    assert (changed["before"]["unusable"], "999.1.1.1/28" in changed["after"]["unusable"]) == ("", True)


async def test_a_pool_that_overlaps_an_older_one_is_a_problem_of_the_plan(planned):
    answer = await planned((POOL % "192.0.2.0/28").replace("name: public", "name: other"), mark="router-up")
    assert ["overlap" in one and one.startswith("Eip other") for one in answer["problems"]] == [True]


async def test_a_path_that_stays_as_it_is_does_not_stand_in_a_plan(planned):
    answer = await planned(SLICE.replace("n3", "n1"), mark="calm")
    assert [(one["change"], one["before"]["nextHop"]) for one in answer["routes"]] == [("removed", "10.0.0.2")]
    again = await planned(SLICE.replace("n3", "n1"), mark="router-up")
    assert [(one["change"], one["before"]["nextHop"]) for one in again["routes"]] == [("removed", "10.0.0.2")]


async def test_what_is_as_it_was_is_no_change_though_nobody_knows_its_age(tmp_path):
    it = await incident()
    await it.says(pool("public", "192.0.2.0-192.0.2.0", default=True, created_ms=0))
    (tmp_path / "all.yaml").write_text(POOL % "192.0.2.0" + "---" + SLICE.replace("n3", "n1"))
    await it.says(endpoints("web", "n1", families=("IPv4",)))
    answer = await plan_at(it.streams, None, read_changes([str(tmp_path)], (), (), ()), FactSettings())
    assert answer["changes"] == []
