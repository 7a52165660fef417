"""Services that were refused alike: after a release only the first of them is asked again, not thousands in vain.

A Service is *plain* if nothing sets it apart from others of its namespace: it requests no address, carries no sharing
key, has no reservation, and holds nothing. Plain Services that ask for the same families and pool, and that the same
selectors match, get the same answer as long as addresses are only taken. This is memory of questions, no state.
"""

from __future__ import annotations

from collections.abc import Hashable


class Alike:
    """Plain Services by what they were refused for."""

    __slots__ = ("_asked_at", "_key_of", "_uids")

    def __init__(self) -> None:
        self._uids: dict[Hashable, set[str]] = {}
        self._key_of: dict[str, Hashable] = {}
        self._asked_at: dict[Hashable, int] = {}

    def refused(self, uid: str, key: Hashable, reopened: int) -> frozenset[str]:
        """Enter a refused Service; return those that need no question until something may let them be served.

        `reopened` is the position of the last event that may have: the first of a kind to be refused after it
        answers for all.
        """
        answered: frozenset[str] = frozenset()
        if self._asked_at.get(key) != reopened:
            self._asked_at[key] = reopened
            answered = frozenset(self._uids.get(key, ()))
        if self._key_of.get(uid) != key:
            self.forget(uid)
            self._key_of[uid] = key
            self._uids.setdefault(key, set()).add(uid)
        return answered

    def forget(self, uid: str) -> None:
        """A Service changed, went, or was given something."""
        key = self._key_of.pop(uid, None)
        if key is not None:
            self._uids[key].discard(uid)
            if not self._uids[key]:
                del self._uids[key]
                self._asked_at.pop(key, None)
