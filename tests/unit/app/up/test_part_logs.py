"""The logs of a supervisor's parts: read along, shortened, and kept within their limit."""

from __future__ import annotations

import io
import threading

from porter.app.up import part_logs
from porter.app.up.part_logs import Console, PartLog, short_form


def test_whole_lines_are_shown_once(tmp_path):
    log = PartLog(tmp_path / "a.log")
    assert log.new_lines() == []
    with log.open() as file:
        file.write(b"one\ntw")
        assert log.new_lines() == ["one"]
        file.write(b"o\nthree\n")
        assert log.new_lines() == ["two", "three"]
    assert log.new_lines() == []
    assert log.tail(2) == ["two", "three"]


def test_what_an_earlier_run_wrote_is_not_shown_again(tmp_path):
    (tmp_path / "a.log").write_text("before\n")
    log = PartLog(tmp_path / "a.log")
    with log.open() as file:
        file.write(b"now\n")
    assert log.new_lines() == ["now"]


def test_a_log_that_grows_faster_than_it_is_shown_stays_within_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(part_logs, "LOG_BYTES_MAX", 10_000)
    monkeypatch.setattr(part_logs, "READ_BYTES_MAX", 1_000)
    log = PartLog(tmp_path / "a.log")
    with log.open() as file:
        for number in range(100):
            file.write(b"x" * 998 + b"\n")
            log.new_lines()
            assert log.path.stat().st_size <= 11_000, number
        file.write(b"last\n")
    while lines := log.new_lines():
        shown = lines
    assert shown[-1] == "last"
    assert 10_000 <= (tmp_path / "a.log.1").stat().st_size <= 11_000


def test_a_json_line_is_shown_as_a_sentence_with_its_fields():
    line = '{"position": 4, "event": "epoch claimed", "level": "info", "timestamp": "t", "program": "controller"}'
    assert short_form(line) == "epoch claimed position=4"
    assert short_form('{"event": "no journal", "level": "error"}') == "ERROR no journal"
    assert short_form("plain") == "plain"
    assert short_form("[1]") == "[1]"
    assert len(short_form("x" * 1000)) == part_logs.LINE_CHARS_MAX


def test_lines_that_nobody_reads_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(part_logs, "PRINT_LINES_MAX", 3)
    reading = threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            reading.wait(10)
            return super().write(text)

    stream = Slow()
    console = Console(stream)
    for number in range(50):
        console.say("part", f"line {number}")
    reading.set()
    while console._lines.qsize():
        pass
    console.say("part", "last")
    console.close()
    assert "lines were not shown" in stream.getvalue()
    assert stream.getvalue().endswith("part       | last\n")
    assert stream.getvalue().count("line ") < 10
