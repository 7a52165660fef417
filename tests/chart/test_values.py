"""Values: a wrong one is refused with the key's name, and every one is described."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHARTS, ROOT, Refused, chart, find, helm, render
from tests.chart.matrix import EXTERNAL_URL, MATRIX

TYPOS_AND_TYPES: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "a typo at the top": ({"contoller": {"replicas": 3}}, ("contoller",)),
    "a typo inside": ({"controller": {"replicaz": 3}}, ("replicaz", "controller")),
    "a typo in a list": ({"imagePullSecrets": [{"nam": "x"}]}, ("nam",)),
    "a typo in the sub-chart": ({"redis": {"appendFsync": "always"}}, ("appendFsync",)),
    "a typo in global": ({"global": {"clster": "x"}}, ("clster",)),
    "a word for a number": ({"speaker": {"replicas": "two"}}, ("replicas", "speaker")),
    "a number out of bounds": ({"maintenance": {"hold": {"sharePercent": 101}}}, ("sharePercent",)),
    "a port that needs root": ({"controller": {"port": 80}}, ("port", "controller")),
    "an unknown level": ({"logLevel": "loud"}, ("logLevel",)),
    "a tag for a digest": ({"image": {"digest": "v1"}}, ("digest", "image")),
    "a password in the URL": (
        {"redis": {"enabled": False}, "externalRedis": {"url": "redis://:secret@host:6379"}},
        ("externalRedis", "url"),
    ),
    "no URL": ({"redis": {"enabled": False}, "externalRedis": {"url": "host:6379"}}, ("externalRedis", "url")),
    "a place that is none": ({"console": {"listen": "everywhere"}}, ("listen", "console")),
    "a URL without a trace": ({"console": {"traceUrl": "https://traces.example/"}}, ("traceUrl", "console")),
    "an unknown refusal": ({"unsafe": ["everything"]}, ("unsafe",)),
    "an unsafe fsync": ({"redis": {"appendfsync": "no"}}, ("appendfsync",)),
    "a network that is none": ({"redis": {"networkPolicy": {"nodeCIDRs": ["10.0.0.1"]}}}, ("nodeCIDRs",)),
    "an octet too large": ({"redis": {"networkPolicy": {"nodeCIDRs": ["300.0.2.0/24"]}}}, ("nodeCIDRs",)),
    "a size that is none": ({"archive": {"persistence": {"size": "ten"}}}, ("archive", "size")),
    "a size of the sub-chart that is none": (
        {"redis": {"persistence": {"size": "big"}}},
        ("redis", "persistence/size"),
    ),
    "a time that is none": ({"journal": {"keep": "30 days"}}, ("journal", "keep")),
    "a name too long to be whole": ({"fullnameOverride": "a" * 46}, ("fullnameOverride",)),
    "a section whose keys are all commented out": ({"console": None}, ("console",)),
    "an inner section without its keys": ({"maintenance": {"hold": None}}, ("maintenance", "hold")),
    "a section of the sub-chart without its keys": ({"redis": {"persistence": None}}, ("redis", "persistence")),
    "no ports": ({"networkPolicy": {"apiServerPorts": None}}, ("networkPolicy", "apiServerPorts")),
    "an amount that is none": ({"speaker": {"resources": {"limits": {"memory": "1Go"}}}}, ("speaker", "limits/memory")),
    "an amount of the sub-chart that is none": (
        {"redis": {"resources": {"requests": {"cpu": "lots"}}}},
        ("redis", "requests/cpu"),
    ),
    "a typo in what the server tolerates": ({"redis": {"tolerations": [{"operatr": "Exists"}]}}, ("redis", "operatr")),
    "an effect that is none": ({"agent": {"tolerations": [{"effect": "NoSchedul"}]}}, ("agent", "effect")),
    "a tag in the server's repository": ({"redis": {"image": {"repository": "valkey:9"}}}, ("redis", "repository")),
    "a budget that stops every drain": (
        {"speaker": {"podDisruptionBudget": {"maxUnavailable": "0%"}}},
        ("speaker", "maxUnavailable"),
    ),
    "a name that no Service can have": ({"fullnameOverride": "lb.edge"}, ("fullnameOverride",)),
    "a name that begins with a digit": ({"fullnameOverride": "1st"}, ("fullnameOverride",)),
    "a tag in the repository": ({"image": {"repository": "registry.example/porter:v1"}}, ("image", "repository")),
    "half an address": ({"speaker": {"replicas": 1, "localAddress": "192.0.2"}}, ("speaker", "localAddress")),
    "an address that no probe reaches": ({"controller": {"listenAddress": "127.0.0.1"}}, ("listenAddress",)),
    "a name with capitals": ({"speaker": {"priorityClassName": "High"}}, ("speaker", "priorityClassName")),
    "a class with a blank": ({"archive": {"persistence": {"storageClassName": "a b"}}}, ("storageClassName",)),
    "a runbook that is no page": ({"monitoring": {"prometheusRule": {"runbookBase": "here"}}}, ("runbookBase",)),
    "an API server without a port": ({"networkPolicy": {"apiServerPorts": []}}, ("apiServerPorts",)),
    "sentinels without a master": (
        {"redis": {"enabled": False}, "externalRedis": {"url": "redis+sentinel://host:26379"}},
        ("externalRedis", "url"),
    ),
}
CONTRADICTIONS: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "two servers": ({"externalRedis": {"url": "redis://host:6379"}}, ("redis.enabled", "externalRedis")),
    "no server": ({"redis": {"enabled": False}}, ("redis.enabled", "externalRedis.url")),
    "two URLs": (
        {"redis": {"enabled": False}, "externalRedis": {"url": "redis://host:6379", "existingSecret": "x"}},
        ("externalRedis.url", "externalRedis.existingSecret"),
    ),
    "an authority without TLS": (
        {"redis": {"enabled": False}, "externalRedis": {"url": "redis://host:6379", "tls": {"caSecret": "x"}}},
        ("externalRedis.tls.caSecret", "rediss://"),
    ),
    "an authority for the bundled server": (
        {"externalRedis": {"tls": {"caSecret": "x"}}},
        ("caSecret", "redis.enabled"),
    ),
    "one address for two speakers": ({"speaker": {"localAddress": "192.0.2.1"}}, ("localAddress", "speaker.replicas")),
    "an alert that is none": (
        {"monitoring": {"prometheusRule": {"enabled": True, "disabled": ["PorterNeverSeen"]}}},
        ("monitoring.prometheusRule.disabled", "PorterNeverSeen"),
    ),
    "clients of a console that listens on loopback": (
        {"console": {"enabled": True, "allowedFrom": [{"podSelector": {}}]}},
        ("console.allowedFrom", "console.listen"),
    ),
    "clients of a console that nothing keeps others from": (
        {
            "console": {"enabled": True, "listen": "pod", "allowedFrom": [{"podSelector": {}}]},
            "networkPolicy": {"enabled": False},
        },
        ("console.allowedFrom", "networkPolicy.enabled"),
    ),
    "an alert that is none, and no rules": (
        {"monitoring": {"prometheusRule": {"disabled": ["PorterNeverSeen"]}}},
        ("monitoring.prometheusRule.disabled", "PorterNeverSeen"),
    ),
    "a key, and nothing to sign": (
        {"signing": {"enabled": False, "existingSecret": "mine"}},
        ("signing.existingSecret", "signing.enabled"),
    ),
    "a key of no Secret": (
        {"redis": {"enabled": False}, "externalRedis": {"url": "redis://host:6379", "speakerKey": "speaker"}},
        ("externalRedis.speakerKey", "externalRedis.existingSecret"),
    ),
    "a journal that is full before it is trimmed": (
        {"journal": {"trimAbove": "1Gi"}},
        ("journal.trimAbove", "journal.max"),
    ),
    "an archive larger than its claim": ({"archive": {"max": "10Gi"}}, ("archive.max", "archive.persistence.size")),
    "a journal larger than the server": (
        {"redis": {"maxmemory": "1gb"}},
        ("redis.maxmemory", "journal.max"),
    ),
    "a server that is killed before it is full": (
        {"redis": {"maxmemory": "2gb"}},
        ("redis.maxmemory", "redis.resources.limits.memory"),
    ),
    "a journal larger than the server's memory": (
        {"redis": {"maxmemory": "", "resources": {"limits": {"memory": 1073741824}}}},
        ("redis.resources.limits.memory", "journal.max"),
    ),
    "a journal larger than the server's claim": (
        {"journal": {"max": "8Gi"}, "redis": {"maxmemory": "", "resources": {"limits": {"memory": "16Gi"}}}},
        ("redis.persistence.size", "journal.max"),
    ),
    "a variable that the chart sets": (
        {"controller": {"extraEnv": [{"name": "PORTER_REDIS_URL", "value": "redis://elsewhere:6379"}]}},
        ("controller.extraEnv", "PORTER_REDIS_URL"),
    ),
    "a label that the chart sets": (
        {"agent": {"podLabels": {"app.kubernetes.io/component": "mine"}}},
        ("agent.podLabels", "app.kubernetes.io/component"),
    ),
    "an authority beside that of the journal": (
        {
            "redis": {"enabled": False},
            "externalRedis": {"url": "rediss://host:6379", "tls": {"caSecret": "x"}},
            "speaker": {"extraEnv": [{"name": "SSL_CERT_FILE", "value": "/mine"}]},
        },
        ("speaker.extraEnv", "SSL_CERT_FILE"),
    ),
    "a monitor that no policy lets in": (
        {"monitoring": {"podMonitor": {"enabled": True}}},
        ("monitoring.podMonitor.enabled", "networkPolicy.clientNamespaces"),
    ),
    "another monitor that no policy lets in": (
        {"monitoring": {"serviceMonitor": {"enabled": True}}},
        ("monitoring.serviceMonitor.enabled", "networkPolicy.clientNamespaces"),
    ),
    "one port for two": ({"console": {"healthPort": 9180}}, ("console.port", "console.healthPort")),
    "two monitors": (
        {"monitoring": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        ("monitoring.podMonitor.enabled", "monitoring.serviceMonitor.enabled"),
    ),
}


@pytest.mark.parametrize("case", [*TYPOS_AND_TYPES, *CONTRADICTIONS])
def test_a_wrong_value_is_refused_with_the_keys_name(case: str) -> None:
    values, named = (TYPOS_AND_TYPES | CONTRADICTIONS)[case]
    with pytest.raises(Refused) as refused:
        render(values)
    for word in named:
        assert word in str(refused.value)


def test_a_value_with_a_typo_on_the_command_line_is_refused() -> None:
    with pytest.raises(Refused, match="replicsa"):
        render(options=["--set", "speaker.replicsa=1"])


def test_what_may_be_left_out_may_be_left_out() -> None:
    sparse = {
        "controller": {"resources": {"limits": None, "requests": {"cpu": 0.5, "memory": "1e9"}}, "tolerations": None},
        "speaker": {"resources": None, "podLabels": None},
        "monitoring": {"dashboard": {"enabled": True, "labels": {"grafana_dashboard": None}}},
        "redis": {"resources": {"limits": {"memory": "2.5Gi", "cpu": "1500m"}}, "maxmemory": None},
    }
    objects = render(sparse)
    assert "grafana_dashboard" not in find(objects, "ConfigMap", "porter-dashboard")["metadata"]["labels"]


@pytest.mark.parametrize("release", ["1st", "lb.edge"])
def test_a_release_whose_name_no_service_can_have_is_refused(release: str) -> None:
    with pytest.raises(Refused, match=f"the release's, {release}"):
        render(release=release)
    other = {"redis": {"enabled": False}, "externalRedis": {"existingSecret": "x"}}
    with pytest.raises(Refused, match="fullnameOverride"):
        render(other, release=release)
    assert render({**other, "fullnameOverride": "edge"}, release=release)


def test_a_large_number_reaches_the_program_as_a_number() -> None:
    large = {"maintenance": {"hold": {"minimum": 1_000_000}}, "journal": {"baselineEvents": 2_000_000}}
    pod = find(render(large), "StatefulSet", "porter-controller")["spec"]["template"]["spec"]
    assert {"--hold-minimum=1000000", "--baseline-events=2000000"} <= set(pod["containers"][0]["args"])


def test_an_authority_for_traces_may_be_named_where_the_chart_names_none() -> None:
    render({"controller": {"extraEnv": [{"name": "SSL_CERT_FILE", "value": "/etc/ssl/own.pem"}]}})


@pytest.mark.parametrize("case", MATRIX)
def test_lint_has_nothing_to_say(case: str, tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps(MATRIX[case]))
    answer = helm("lint", "--strict", str(chart()), "--values", str(values))
    assert "0 chart(s) failed" in answer
    assert not re.search(r"\[(WARNING|ERROR)\]", answer), answer


def test_every_refusal_of_the_journals_gate_can_be_overridden() -> None:
    page = (ROOT / "docs/operate/redis.md").read_text().partition("| code |")[2].partition("\n\n")[0]
    codes = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert set(codes) == set(re.findall(r'Finding\(\s*"([a-z-]+)"', (ROOT / "porter/journal/gate.py").read_text()))
    arguments = find(render({"unsafe": codes}), "StatefulSet", "porter-controller")["spec"]["template"]["spec"]
    assert {f"--unsafe={code}" for code in codes} <= set(arguments["containers"][0]["args"])


@pytest.mark.parametrize("name", ["porter", "redis"])
def test_no_object_of_the_schema_takes_unknown_keys(name: str) -> None:
    schema = json.loads((CHARTS / name / "values.schema.json").read_text())
    # Kubernetes' own types are the API server's to check; the sub-chart has a schema of its own.
    free = {"redis", "affinity", "nodeAffinity", "requests", "limits", "valueFrom"} | (
        {"global"} if name == "redis" else set()
    )
    for path, each in _objects(schema, ()):
        if (path and path[-1] in free) or path[-2:] == ("claims", "items"):
            continue
        assert "additionalProperties" in each, ".".join(path)
        assert each["additionalProperties"] in (False, {"type": "string"}), ".".join(path)


@pytest.mark.parametrize("name", ["porter", "redis"])
def test_schema_and_values_name_the_same_keys(name: str) -> None:
    schema = json.loads((CHARTS / name / "values.schema.json").read_text())
    values = yaml.safe_load((CHARTS / name / "values.yaml").read_text())
    _compare(schema, values, "")


def test_the_password_of_an_external_server_has_no_place_in_the_values() -> None:
    words = (CHARTS / "porter" / "values.yaml").read_text() + json.dumps(EXTERNAL_URL)
    assert not re.search(r"^\s*password:", words, re.MULTILINE)


def _objects(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if schema.get("type") == "object":
        yield path, schema
    for key, each in schema.get("properties", {}).items():
        yield from _objects(each, (*path, key))
    if "items" in schema:
        yield from _objects(schema["items"], (*path, "items"))


def _compare(schema: Mapping[str, Any], values: Mapping[str, Any], path: str) -> None:
    described = schema["properties"].keys() - ({"global"} if path == "" and "global" not in values else set())
    if path.endswith(("esources", ".dashboard.labels")):
        return
    assert described == values.keys(), path
    for key, value in values.items():
        if isinstance(value, dict) and "properties" in schema["properties"][key]:
            _compare(schema["properties"][key], value, f"{path}.{key}")
