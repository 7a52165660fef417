"""Waiting for a condition, never for a time."""

from collections.abc import Callable
from typing import TypeVar

import tenacity

T = TypeVar("T")

POLL_S = 0.02


class NotInTime(AssertionError):
    """What was waited for did not come; the message says what was there instead."""


def eventually(check: Callable[[], T], what: str, timeout_s: float, ignore: tuple[type[Exception], ...] = ()) -> T:
    """Call ``check`` until it returns something true, and return that.

    Exceptions of the types in ``ignore`` count as "not yet". Raises NotInTime with ``what`` and the last answer.
    """
    last: list[object] = [None]

    def attempt() -> T:
        try:
            value = check()
        except ignore as error:
            last[0] = error
            raise
        last[0] = value
        return value

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(timeout_s),
        wait=tenacity.wait_fixed(POLL_S),
        retry=tenacity.retry_if_result(lambda value: not value) | tenacity.retry_if_exception_type(ignore),
    )
    try:
        return retrying(attempt)
    except tenacity.RetryError as error:
        raise NotInTime(f"not within {timeout_s:g} s: {what}; last seen: {last[0]!r}") from error
