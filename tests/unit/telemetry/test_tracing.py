"""Whether traces are wanted, that nothing is imported where they are not, and the reference of the spans."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from porter.telemetry.otlp import OtlpTracer, is_context
from porter.telemetry.spans import ATTRIBUTES, SPANS, reference_page
from porter.telemetry.tracing import connect, wanted
from tests.integration.programs.otlp_receiver import Receiver, Span, spans_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "spans.md"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Exported:
    """Takes requests in the collector's place, and keeps their spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def __call__(self, request: bytes) -> bool:
        self.spans += spans_of(request)
        return True


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_traces_are_wanted_where_a_collector_is_named(environment, expected):
    assert wanted(environment) is expected


def test_without_a_collector_there_is_no_tracer_and_the_programs_do_not_import_the_sdk():
    assert connect("speaker", "s1", {}) is None
    program = (
        "import sys, porter.app.controller.process, porter.app.speaker.speaker, porter.app.http.server\n"
        "from porter.telemetry import tracing\n"
        "assert tracing.connect('speaker', 's1', {}) is None\n"
        "print(*(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_a_speaker_does_not_import_what_only_a_controller_measures_with():
    program = "import sys, porter.app.speaker.speaker\nprint('prometheus_client' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_span_continues_its_parent_and_names_its_links():
    kept = Exported()
    tracer = OtlpTracer("speaker", "s1", kept)
    span = tracer.begin(
        "announce", parent=PARENT, links=(PARENT, "rubbish"), start_ns=5, attributes={"porter.peer": "p"}
    )
    assert span.traceparent.split("-")[1] == PARENT.split("-")[1]
    span.end({"porter.routes.announced": 3}, error="lost")
    tracer.close()
    [sent] = kept.spans
    _, trace, above, _ = PARENT.split("-")
    assert (sent.trace, sent.parent, sent.links) == (trace, above, ((trace, above),))
    assert sent.id == span.traceparent.split("-")[2]
    assert sent.start_ns == 5 < sent.end_ns
    assert sent.attributes == {"porter.peer": "p", "porter.routes.announced": 3, "error.type": "lost"}
    assert (sent.error, sent.service) == ("lost", "porter-speaker")


def test_a_parent_that_is_no_trace_context_begins_a_trace():
    kept = Exported()
    tracer = OtlpTracer("speaker", "s1", kept)
    tracer.begin("announce", parent=PARENT.replace("4bf9", "zzzz")).end()
    tracer.begin("announce").end()
    tracer.close()
    assert [span.parent for span in kept.spans] == ["", ""]


def test_the_operator_names_the_service_and_the_sampler(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "lb")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    kept = Exported()
    tracer = OtlpTracer("controller", "c1", kept)
    assert tracer.begin("service.change").traceparent == ""
    # The decision of whoever began the trace holds.
    tracer.begin("announce", parent=PARENT).end()
    tracer.close()
    assert [span.service for span in kept.spans] == ["lb"]


def test_the_environment_is_looked_into_once_and_goes_on_to_hold(monkeypatch, tmp_path):
    receiver = Receiver()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login porter password secret")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", receiver.url)
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    monkeypatch.setenv("NETRC", str(netrc))
    tracer = connect("speaker", "s1")
    assert tracer is not None
    for _ in range(3):
        tracer.begin("announce").end()
        tracer.flush()
    tracer.close()
    receiver.close()
    assert len(receiver.spans) == 3
    assert receiver.asked == [("http://127.0.0.1:1/v1/traces", "Basic cG9ydGVyOnNlY3JldA==")] * 3


def test_a_collector_that_does_not_answer_keeps_no_program_from_ending():
    answers = threading.Event()

    tracer = OtlpTracer("speaker", "s1", lambda _request: answers.wait(60))
    tracer.begin("announce").end()
    began_s = time.monotonic()
    tracer.close()
    assert time.monotonic() - began_s < 30
    answers.set()


@pytest.mark.parametrize("text", ["", "00", "00-zz-00f067aa0ba902b7-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_what_is_no_trace_context_is_none(text):
    assert is_context(text) is None


def test_every_attribute_of_a_span_is_described_and_used():
    used = {name for row in SPANS for name in row.attributes}
    assert used == ATTRIBUTES.keys()


def test_the_page_of_the_reference_is_up_to_date():
    assert PAGE.read_text() == reference_page(), "run scripts/reference"
