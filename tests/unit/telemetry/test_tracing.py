"""Whether traces are wanted, that nothing is imported where they are not, and the reference of the spans."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from porter.telemetry.otlp import OtlpTracer, context_of
from porter.telemetry.spans import ATTRIBUTES, SPANS, reference_page
from porter.telemetry.tracing import connect, wanted

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "spans.md"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Exported:
    """A span exporter that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list = []

    def export(self, spans):
        self.spans += spans

    def shutdown(self) -> None:
        """Nothing to close."""


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
    assert f"{sent.parent.span_id:016x}" == PARENT.split("-")[2]
    assert [f"{link.context.span_id:016x}" for link in sent.links] == [PARENT.split("-")[2]]
    assert sent.start_time == 5
    assert sent.attributes == {"porter.peer": "p", "porter.routes.announced": 3, "error.type": "lost"}
    assert sent.status.description == "lost"
    assert sent.resource.attributes["service.name"] == "porter-speaker"


def test_the_operator_names_the_service_and_the_sampler(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "lb")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    kept = Exported()
    tracer = OtlpTracer("controller", "c1", kept)
    assert tracer.begin("service.change").traceparent == ""
    # The decision of whoever began the trace holds.
    tracer.begin("announce", parent=PARENT).end()
    tracer.close()
    assert [span.resource.attributes["service.name"] for span in kept.spans] == ["lb"]


def test_a_collector_that_does_not_answer_keeps_no_program_from_ending():
    answers = threading.Event()

    class Stuck(Exported):
        def export(self, spans):
            answers.wait(60)

    tracer = OtlpTracer("speaker", "s1", Stuck())
    tracer.begin("announce").end()
    began_s = time.monotonic()
    tracer.close()
    assert time.monotonic() - began_s < 30
    answers.set()


@pytest.mark.parametrize("text", ["", "00", "00-zz-00f067aa0ba902b7-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_what_is_no_trace_context_is_none(text):
    assert context_of(text) is None


def test_every_attribute_of_a_span_is_described_and_used():
    used = {name for row in SPANS for name in row.attributes}
    assert used == ATTRIBUTES.keys()


def test_the_page_of_the_reference_is_up_to_date():
    assert PAGE.read_text() == reference_page(), "run scripts/reference"
