"""How often the statuses of pools and peers are written."""

from __future__ import annotations

from porter.app.controller.status import UNSETTLED_INTERVALS, Gathering


def test_a_single_change_is_due_at_the_end_of_its_interval() -> None:
    gathering = Gathering()
    gathering.add(("pool",))
    assert gathering.due() == {"pool"}
    assert gathering.due() == set()


def test_what_keeps_changing_is_due_at_first_then_seldom_and_once_more_when_it_rests() -> None:
    gathering = Gathering()
    due = []
    for interval in range(2 * UNSETTLED_INTERVALS):
        gathering.add(("pool",))
        if gathering.due():
            due.append(interval)
    assert due == [0, UNSETTLED_INTERVALS]
    assert gathering.due() == {"pool"}, "the end of a burst waits no longer than one quiet interval"
    assert gathering.due() == set()


def test_a_new_leader_writes_without_waiting() -> None:
    gathering = Gathering()
    gathering.add(("before",))
    gathering.due()
    gathering.add(("before",))
    gathering.clear()
    gathering.add(("now",))
    assert gathering.due() == {"now"}
