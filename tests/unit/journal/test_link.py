"""URLs, passwords, and the server's error replies."""

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from porter.journal.link import Link, redact, translate
from porter.journal.names import check_name
from porter.ports import JournalError, JournalUnavailable


def test_a_password_never_shows():
    assert redact("rediss://leader:s3cret@redis.example:6380/0") == "rediss://leader:***@redis.example:6380/0"
    assert redact("unix://leader:s3cret@/run/journal.sock") == "unix://leader:***@/run/journal.sock"
    assert redact("redis://leader:s3/cr@et@redis.example") == "redis://leader:***@redis.example"
    assert redact("redis://127.0.0.1:6379") == "redis://127.0.0.1:6379"


@pytest.mark.parametrize("url", ["redis.example:6379", "http://redis.example", "redis://host:port"])
async def test_what_is_no_url_is_answered_by_the_forms_that_are(url):
    with pytest.raises(JournalError, match="redis://HOST:PORT"):
        Link(url)


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'.", status_code="OOM"),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("Error running script (call to f_x): @user_script:9: -OOM command not allowed"),
        ResponseError("READONLY You can't write against a read only replica. script: x, on @user_script:23."),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
    ],
)
def test_a_server_that_takes_nothing_is_unavailable(error):
    translated = translate(error, "redis://u:p4ss@h")
    assert isinstance(translated, JournalUnavailable)
    assert "p4ss" not in str(translated)


def test_any_other_refusal_is_an_error_of_ours():
    error = translate(ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), "redis://h")
    assert not isinstance(error, JournalUnavailable)


@pytest.mark.parametrize("name", ["", "a{b", "a b", "-a", "a:b", "a" * 254, "../a"])
def test_names_that_would_not_fit_into_a_key_or_a_file_name(name):
    with pytest.raises(ValueError, match="no name of a cluster"):
        check_name(name)


def test_a_password_that_was_taken_for_a_port_never_shows():
    with pytest.raises(JournalError, match="written as %2F") as raised:
        Link("redis://leader:hun/ter2@redis.example")
    assert "hun" not in str(raised.value).replace("redis", "")
