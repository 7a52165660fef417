"""URLs that name sentinels."""

import pytest

from porter.journal.link import Link, redact
from porter.journal.sentinel import sentinel_pool
from porter.ports import JournalError, JournalUnavailable

URL = "redis+sentinel://leader:s3%40t@a:1,[fd77::1]:2,c/porter/3?sentinel_username=watch&sentinel_password=w4t"


def test_every_part_of_the_url_is_heeded():
    pool = sentinel_pool(URL, {})
    assert pool.service_name == "porter"
    assert pool.connection_kwargs["username"] == "leader"
    assert pool.connection_kwargs["password"] == "s3@t"
    assert pool.connection_kwargs["db"] == 3
    assert pool.sentinel_manager.hosts == [("a", 1), ("fd77::1", 2), ("c", 26379)]


def test_no_password_is_shown():
    shown = redact(URL)
    assert "s3" not in shown
    assert "w4t" not in shown
    assert "leader" in shown
    assert "fd77::1" in shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://a:1", "names no master"),
        ("redis+sentinel://a:1/porter/x", "no number"),
        ("redis+sentinel://a:1,:2/porter", "host is empty"),
        ("redis+sentinel://a:1/porter?tls=yes", "unknown parameters"),
        ("redis+sentinel://" + ",".join("abcdefghijklmnopq") + "/porter", "at most 16"),
    ],
)
def test_a_wrong_url_names_the_mistake_and_the_form(url, says):
    with pytest.raises(JournalError, match=says):
        Link(url)


async def test_sentinels_that_are_away_are_each_named():
    link = Link("redis+sentinel://127.0.0.1:1,127.0.0.1:2/porter")
    with pytest.raises(JournalUnavailable, match=r"127\.0\.0\.1:1.*127\.0\.0\.1:2"):
        await link.call("PING")
