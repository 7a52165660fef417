"""An agent reads at once after a quiet moment, and at its share of all reads while commits come without a pause."""

from porter.app.speaker.pace import PAUSE_S_MAX, READS_AT_ONCE, READS_PER_S, Pace


def reads(followers: int, commits_per_s: float, seconds: float) -> list[tuple[float, float]]:
    """When an agent reads, and how late the oldest commit of each read is; commits come evenly."""
    pace, now_s, read, found = Pace(), 0.0, 0, []
    while now_s < seconds:
        due_s = (read + 1) / commits_per_s
        now_s = max(now_s, due_s)
        found.append((now_s, now_s - due_s))
        read = int(now_s * commits_per_s + 1e-9)
        now_s += pace.pause_s(followers, now_s)
    return found


def test_all_agents_together_keep_to_the_limit():
    for followers in (20, 100, 200):
        count = len([at_s for at_s, _ in reads(followers, 200, 11.0) if at_s >= 1.0])
        assert count * followers <= READS_PER_S * 10 * 1.01


def test_the_first_changes_after_a_quiet_moment_are_read_at_once():
    assert [late_s for _, late_s in reads(200, 200, 0.03)][:READS_AT_ONCE] == [0.0] * READS_AT_ONCE
    pace = Pace()
    for number in range(100):
        pace.pause_s(200, number / 100)
    assert [pace.pause_s(200, 10.0 + number / 1000) for number in range(READS_AT_ONCE - 1)] == [0.0] * (
        READS_AT_ONCE - 1
    )


def test_slow_changes_are_never_late():
    assert {late_s for _, late_s in reads(200, 5, 20.0)} == {0.0}


def test_no_change_waits_longer_than_the_bound():
    for followers in (200, 1000, 100_000):
        assert max(late_s for _, late_s in reads(followers, 200, 30.0)) <= PAUSE_S_MAX


def test_few_agents_have_no_pause_to_speak_of():
    assert max(late_s for _, late_s in reads(3, 200, 10.0)) < 0.002
