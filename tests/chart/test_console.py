"""The console in the chart: off unless asked for, and then read by whoever may forward a port, and by nobody else."""

from tests.chart.helm import NAMESPACE, find, render
from tests.chart.matrix import EVERYTHING

ON = {"console": {"enabled": True}}


def test_it_is_off_by_default() -> None:
    assert not [each for each in render() if each["metadata"]["name"].endswith("-console")]


def test_it_listens_on_loopback_alone_and_only_reads() -> None:
    objects = render(ON)
    pod = find(objects, "Deployment", "porter-console")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "--listen=127.0.0.1:9180" in container["args"]
    assert "--behind-proxy" not in container["args"]
    variables = {each["name"]: each for each in container["env"]}
    assert variables["PORTER_REDIS_PASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": "porter-redis",
        "key": "reader-password",
    }
    assert "porter-reader:" in variables["PORTER_REDIS_URL"]["value"]
    assert "volumes" not in pod
    bound = {each["subjects"][0]["name"] for each in objects if each["kind"].endswith("RoleBinding")}
    assert pod["serviceAccountName"] not in bound
    assert find(objects, "NetworkPolicy", "porter-console")["spec"]["ingress"] == []
    port = find(objects, "Service", "porter-console")["spec"]["ports"][0]
    assert (port["port"], port["targetPort"]) == (9180, "http")


def test_it_is_opened_to_a_proxy_alone() -> None:
    objects = render(EVERYTHING)
    arguments = find(objects, "Deployment", "lb-console")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--listen=[::]:9990", "--behind-proxy", "--health=[::]:9991"} <= set(arguments)
    (rule,) = find(objects, "NetworkPolicy", "lb-console")["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]


def test_an_external_server_has_a_key_of_its_own_for_it() -> None:
    external = {"existingSecret": "journal", "readerKey": "reader"}
    objects = render({**ON, "redis": {"enabled": False}, "externalRedis": external}, namespace=NAMESPACE)
    (container,) = find(objects, "Deployment", "porter-console")["spec"]["template"]["spec"]["containers"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "journal", "key": "reader"}
