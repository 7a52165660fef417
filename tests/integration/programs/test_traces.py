"""Traces of `porter up`, as a collector gets them: the tree of each change, across the controller and the speaker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal

import pytest

from porter.app.demo.routers import choose_router, free_port
from porter.app.demo.world import NODES, ROUTER_ADDRESS, SPEAKER_ADDRESS, World
from porter.telemetry.spans import ATTRIBUTES, SPANS
from tests.integration.programs.otlp_receiver import Receiver, Span
from tests.integration.programs.supervised import SOURCE, pids, until
from tests.integration.programs.test_up import EVERY_HOP, READY_S, Place, Up
from tests.promtool import promtool

SEND = ("exabgp.send", ())
ANNOUNCED = ("announce", (SEND,))
WITHDRAWN = ("withdraw", (SEND,))


@pytest.fixture(scope="module")
def collector():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory, collector):
    directory = tmp_path_factory.mktemp("traces")
    world, router, port = World(directory / "manifests"), choose_router(""), free_port(ROUTER_ADDRESS)
    world.build(port)
    (directory / "router").mkdir()
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        patch.delenv("OTEL_TRACES_SAMPLER", raising=False)
        runner.run(router.start(directory / "router", port))
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one")
        options += ("--hold-minimum", "1000")
        here = Place(world, router, runner, Up(world, directory / "state", *options), options)
        try:
            here.up.wait_ready()
            yield here
        finally:
            here.up.process.terminate()
            here.up.process.wait(30)
            runner.run(router.stop())


def the_tree(collector: Receiver, root: Span, tree: object) -> None:
    """Wait until a root has the tree that it should have."""
    found = until(
        lambda: collector.tree(root) if collector.tree(root) == tree else None,
        f"{tree}, there is {collector.tree(root)}",
        READY_S,
    )
    assert found == tree


def changes(collector: Receiver, service: str, event: str) -> list[Span]:
    return collector.named("service.change", object=f"service/shop/{service}", event=event)


def latest(collector: Receiver, service: str, event: str, count: int = 1) -> Span:
    spans = until(
        lambda: found if len(found := changes(collector, service, event)) >= count else None, f"{event} of {service}"
    )
    return max(spans, key=lambda span: span.start_ns)


def test_a_service_that_is_created_is_traced_from_the_watch_to_the_wire(place, collector):
    place.world.serve("web", list(NODES))
    place.wait_route("203.0.113.0/32")
    root = latest(collector, "web", "ServiceObserved")
    the_tree(collector, root, ("service.change", (("journal.append", (("allocate", (ANNOUNCED,)),)),)))
    append = collector.children(root)[0]
    allocate = collector.children(append)[0]
    announce = collector.children(allocate)[0]
    send = collector.children(announce)[0]
    assert root.parent == ""
    assert {root.service, append.service, allocate.service} == {"porter-controller"}
    assert {announce.service, send.service} == {"porter-speaker"}
    assert allocate["decision"] == "AddressAllocated"
    assert allocate["address"] == "203.0.113.0"
    assert announce["speaker"] == "one"
    assert announce["prefixes"] == ("203.0.113.0/32",)
    assert send["routes.announced"] == len(NODES)
    assert not any(span.error for span in (root, append, allocate, announce, send))
    assert root.start_ns <= append.start_ns <= allocate.start_ns <= allocate.end_ns <= append.end_ns <= root.end_ns
    assert announce.start_ns <= send.start_ns <= send.end_ns <= announce.end_ns
    assert append["position.first"] <= allocate["position"] <= append["position.last"]


def test_the_trace_stands_in_the_journal_and_in_the_exemplars(place, collector):
    root = latest(collector, "web", "ServiceObserved")
    events = place.up.get("/v1/events?limit=1000")[1]["events"]
    traced = {event["type"] for event in events if event["trace"] == root.trace}
    assert {"ServiceObserved", "AddressAllocated"} <= traced

    def exemplars() -> str:
        lines = place.up.scrape("application/openmetrics-text").splitlines()
        return "\n".join(line for line in lines if root.trace in line)

    text = until(lambda: found if "announce_latency" in (found := exemplars()) else "", "the exemplars of the trace")
    assert f'# {{trace_id="{root.trace}"}}' in text
    assert "porter_journal_append_duration_seconds_bucket" in text


def test_what_the_rules_and_the_dashboard_ask_for_is_measured_here(place):
    text = place.up.scrape()
    measured = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    asked = (SOURCE / "deploy/alerts/porter.rules.yaml").read_text() + (
        SOURCE / "deploy/grafana/porter.json"
    ).read_text()
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\bporter_\w+", asked)}
    assert len(names) > 25
    assert names <= measured
    for name in (
        "porter_announce_latency_seconds_count",
        "porter_bgp_session_up",
        "porter_journal_up",
        "porter_leader",
    ):
        assert [float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)] >= [1.0], name
    checked = promtool("check", "metrics", given=text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_change_of_endpoints_is_announced_below_its_own_commit(place, collector):
    place.world.serve("local", list(NODES)[:1], local=True)
    place.wait_route("203.0.113.1/32", frozenset([NODES["node-1"]]))
    before = len(changes(collector, "local", "EndpointsObserved"))
    place.world.serve("local", list(NODES)[:2], local=True)
    place.wait_route("203.0.113.1/32", frozenset([NODES["node-1"], NODES["node-2"]]))
    root = latest(collector, "local", "EndpointsObserved", before + 1)
    the_tree(collector, root, ("service.change", (("journal.append", (ANNOUNCED,)),)))
    send = collector.children(collector.children(collector.children(root)[0])[0])[0]
    assert (send["routes.announced"], send["routes.withdrawn"]) == (1, 0)


def test_a_service_that_goes_is_withdrawn_below_the_release_of_its_address(place, collector):
    place.world.remove("local")
    until(lambda: "203.0.113.1/32" not in place.routes(), "the route is gone")
    root = latest(collector, "local", "ServiceGone")
    the_tree(collector, root, ("service.change", (("journal.append", (("allocate", (WITHDRAWN,)),)),)))
    release = collector.children(collector.children(root)[0])[0]
    assert release["decision"] == "AddressReleased"
    send = collector.children(collector.children(release)[0])[0]
    assert (send["routes.announced"], send["routes.withdrawn"]) == (0, 2)


def test_a_speaker_that_died_between_decision_and_announcement_links_and_never_continues(place, collector):
    speaker = pids(place.up.directory)["speaker"]
    os.kill(speaker, signal.SIGSTOP)
    try:
        place.world.serve("late", list(NODES))
        root = latest(collector, "late", "ServiceObserved")
        until(lambda: len(collector.children(collector.children(root)[0])) == 1, "the decision's span")
    finally:
        os.kill(speaker, signal.SIGKILL)
    place.wait_route("203.0.113.1/32", EVERY_HOP)
    allocate = collector.children(collector.children(root)[0])[0]

    def followed_up() -> list[Span]:
        replays = collector.named("announce", replay=True)
        return [span for span in replays if (allocate.trace, allocate.id) in span.links]

    replay = until(followed_up, "an announcement that is linked to the decision")[0]
    assert replay.parent == ""
    assert replay.trace != root.trace
    until(lambda: [span.name for span in collector.children(replay)] == ["exabgp.send"], "its send")
    assert collector.tree(root) == ("service.change", (("journal.append", (("allocate", ()),)),))


def test_every_span_and_attribute_is_one_of_the_reference(collector):
    rows = {row.name.format(engine="exabgp"): row for row in SPANS}
    assert collector.spans
    for span in collector.spans:
        unknown = span.attributes.keys() - set(rows[span.name].attributes)
        assert not unknown, f"{span.name} has {unknown}"
        assert span.attributes.keys() <= ATTRIBUTES.keys()


def test_kubernetes_events_name_the_trace(place, collector):
    """Over manifests the Events are log lines of the controller."""
    root = latest(collector, "web", "ServiceObserved")
    logs = place.up.directory.rglob("controller.log")
    lines = [json.loads(line) for path in logs for line in path.read_text().splitlines() if line.startswith("{")]
    assert any(f"trace {root.trace}" in json.dumps(line) for line in lines)
