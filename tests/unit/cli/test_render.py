"""Tables, times and JSON as they are printed."""

from __future__ import annotations

from porter.cli.options import Output
from porter.cli.questions import _pool_row
from porter.cli.render import attributes_text, print_answer, print_table, time_text


def test_columns_are_as_wide_as_their_widest_cell(capsys):
    print_table(["PREFIX", "HOPS"], [["203.0.113.1/32", ["a", "b"]], ["::1/128", []]])
    assert capsys.readouterr().out == "PREFIX           HOPS\n203.0.113.1/32   a,b\n::1/128          -\n"


def test_times_are_shown_in_utc_or_in_the_readers_zone(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        assert time_text("2026-11-23T20:42:02.123Z", utc=True) == "2026-11-23 20:42:02.123Z"
        assert time_text("2026-11-23T20:42:02.123Z", utc=False) == "2026-11-23 22:42:02.123"
        assert time_text("", utc=False) == "-"
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_json_and_yaml_are_the_answer_itself(capsys):
    assert print_answer({"position": 3}, Output.JSON)
    assert print_answer({"position": 3}, Output.YAML)
    assert not print_answer({"position": 3}, Output.TABLE)
    assert capsys.readouterr().out == '{\n  "position": 3\n}\nposition: 3\n'


def test_unset_attributes_are_left_out():
    assert attributes_text({"med": None, "communities": ["64500:1"], "asPathPrepend": 0}) == "communities=64500:1"


def test_a_pool_tells_what_is_in_use_outside_of_it_apart():
    pool = {"name": "p", "ranges": ["192.0.2.0-192.0.2.15"], "size": 16, "used": 6, "available": 15}
    row = _pool_row(pool | {"reserved": 0, "cooling": 0})
    assert row[2:] == [16, "1 +5 outside", 15]
    assert _pool_row(pool | {"used": 1, "reserved": 0, "cooling": 0})[2:] == [16, 1, 15]
