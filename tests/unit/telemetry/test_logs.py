"""Log lines: JSON where nobody looks, no secret anywhere, libraries kept quiet."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def lines_of(program: str, level: str = "info") -> list[dict]:
    """Run a program with logging set up as Porter's programs do, and read its standard error."""
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from porter.telemetry.logs import configure_logging\n"
            f"configure_logging('controller', level={level!r})\n{program}",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_a_line_is_json_with_program_level_and_time():
    (line,) = lines_of("import structlog; structlog.get_logger().info('epoch claimed', epoch=3)")
    assert (line["event"], line["epoch"], line["level"], line["program"]) == ("epoch claimed", 3, "info", "controller")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "fields",
    [
        "password='hunter2'",
        "authPassword='hunter2'",
        "url='redis://porter:hunter2@db:6379/0'",
        "token='hunter2'",
        "url='redis://porter:hun/hunter2@db:6379'",
        "redis_password='hunter2'",
        "settings={'nested': [{'password': 'hunter2'}]}",
    ],
)
def test_no_secret_is_written(fields):
    (line,) = lines_of(f"import structlog; structlog.get_logger().warning('trying', {fields})")
    assert "hunter2" not in json.dumps(line)
    assert "***" in json.dumps(line)


def test_no_secret_of_an_exception_or_of_a_library_is_written():
    program = (
        "import logging, structlog\n"
        "try:\n    raise OSError('cannot reach redis://porter:hunter2@db:6379')\n"
        "except OSError:\n    structlog.get_logger().exception('trying')\n"
        "logging.getLogger('redis').warning('lost %s', 'rediss://:hunter2@db')\n"
    )
    lines = lines_of(program)
    assert len(lines) == 2
    assert "hunter2" not in json.dumps(lines)
    assert "OSError" in lines[0]["exception"]


def test_the_level_holds_and_libraries_are_heard_from_warning_on():
    program = (
        "import logging, structlog\n"
        "structlog.get_logger().info('no'); structlog.get_logger().error('yes')\n"
        "logging.getLogger('aiohttp').info('no'); logging.getLogger('aiohttp').warning('also')\n"
    )
    assert [line["event"] for line in lines_of(program, "warning")] == ["yes", "also"]


def test_a_trace_is_named_by_its_id_and_a_line_without_one_says_nothing_of_it():
    traced, plain = lines_of(
        "import structlog; log = structlog.get_logger()\n"
        "log.info('change journaled', traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')\n"
        "log.info('change journaled', traceparent='')"
    )
    assert traced["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert not {"trace_id", "traceparent"} & plain.keys()
