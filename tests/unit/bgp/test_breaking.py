"""Which session a cut means."""

from porter.bgp.backends.gobgp.breaking import BreakOff


def test_a_session_that_is_up_is_ended_once() -> None:
    session = BreakOff()
    session.up(5.0)
    session.ask("dead", 9.0)
    session.ask("dead again", 9.1)
    assert (session.take(), session.take()) == ("dead", "")


def test_a_session_that_is_younger_than_the_cause_stays() -> None:
    session = BreakOff()
    session.up(5.0)
    session.ask("dead", 4.0)
    assert session.take() == ""


def test_where_there_is_no_session_the_next_one_stays() -> None:
    session = BreakOff()
    session.down()
    session.ask("dead", 4.0)
    session.up(4.5)
    assert session.take() == ""


def test_a_cut_waits_until_it_is_known_whether_the_session_still_stands() -> None:
    for since_s, told in ((2.0, "dead"), (6.0, "")):
        session = BreakOff()
        session.up(2.0)
        session.unknown()
        session.ask("dead", 4.0)
        assert session.take() == ""
        session.up(since_s)
        assert session.take() == told
    session = BreakOff()
    session.ask("dead", 4.0)
    session.down()
    session.up(3.0)
    assert session.take() == ""
