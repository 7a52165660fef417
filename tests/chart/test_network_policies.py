"""Who may reach whom: what a value turns on is not shut off by the policies, which are on by default."""

import pytest

from tests.chart.helm import Object, find, render

CONSOLE = {"console": {"enabled": True}}
BUNDLED = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "redis", "app.kubernetes.io/instance": "porter"}}}
JOURNALS = {
    "redis://redis.data": {6379},
    "redis://redis.data:7000/3?health_check_interval=9": {7000},
    "rediss://[2001:db8::7]:6380": {6380},
    "redis+sentinel://a.data,b.data:26380/porter": {26379, 26380, 6379},
    "rediss+sentinel://a.data:5000/porter/2": {5000, 6379},
}


def journal(objects: list[Object], name: str) -> Object:
    """The rule by which a Pod reaches the journal."""
    return next(
        rule
        for rule in find(objects, "NetworkPolicy", name)["spec"]["egress"]
        if not {53, 443} & {each["port"] for each in rule["ports"]}
    )


def ports(rule: Object) -> set[int]:
    return {each["port"] for each in rule["ports"]}


@pytest.mark.parametrize("name", ["porter-controller", "porter-console"])
@pytest.mark.parametrize("url", JOURNALS)
def test_the_ports_of_an_external_servers_url_can_be_reached(url: str, name: str) -> None:
    rule = journal(render({**CONSOLE, "redis": {"enabled": False}, "externalRedis": {"url": url}}), name)
    assert ports(rule) == JOURNALS[url]
    assert "to" not in rule


@pytest.mark.parametrize("name", ["porter-controller", "porter-console"])
def test_the_usual_ports_can_be_reached_where_a_secret_has_the_url(name: str) -> None:
    rule = journal(render({**CONSOLE, "redis": {"enabled": False}, "externalRedis": {"existingSecret": "url"}}), name)
    assert ports(rule) == {6379, 26379}


@pytest.mark.parametrize("name", ["porter-controller", "porter-console"])
def test_the_bundled_server_can_be_reached_and_no_other(name: str) -> None:
    rule = journal(render(CONSOLE), name)
    assert ports(rule) == {6379}
    assert rule["to"] == [BUNDLED]


def test_controllers_reach_each_other_for_what_their_archives_lack() -> None:
    objects = render()
    [policy] = find(objects, "NetworkPolicy", "porter-controller")["spec"]["egress"][-1]["to"]
    template = find(objects, "StatefulSet", "porter-controller")["spec"]["template"]
    wanted = policy["podSelector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    [container] = template["spec"]["containers"]
    assert {"--archive-peer=porter-controller.$(POD_NAMESPACE):9179", "--token-file=/var/run/porter/token"} <= {
        *container["args"]
    }
    role = find(objects, "ClusterRole", "porter-system:porter-archive")
    assert role["rules"] == [{"nonResourceURLs": ["/v1/archive", "/v1/segment"], "verbs": ["get"]}]


def test_a_controller_alone_asks_nobody() -> None:
    template = find(render({"controller": {"replicas": 1}}), "StatefulSet", "porter-controller")["spec"]["template"]
    assert not [word for word in template["spec"]["containers"][0]["args"] if "peer" in word or "token" in word]
    assert "token" not in {one["name"] for one in template["spec"]["volumes"]}
