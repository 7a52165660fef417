"""Getting ExaBGP to take a new configuration, and knowing that it did; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from porter.bgp.backends.exabgp_text import Answer, SessionId

RELOAD_PATIENCE_S = 75.0
"""ExaBGP lets up to a minute pass between attempts to reach a neighbour, and may not be able to reload before."""
FIRST_RETRY_S = 0.05
LAST_RETRY_S = 1.0


class Reloading:
    """Asks what ExaBGP has loaded, has it reload while that differs, and gives up after `RELOAD_PATIENCE_S`."""

    def __init__(self) -> None:
        self.digest = ""
        self.sessions: frozenset[SessionId] = frozenset()
        self.pending = False
        self.exhausted = False
        """ExaBGP would not load the configuration: only a restart is left."""
        self._since_s: float | None = None
        self._retry_s = FIRST_RETRY_S
        self._next_s = 0.0
        self._next: Literal["show", "reload"] = "show"
        self._asked = False

    def want(self, digest: str, sessions: frozenset[SessionId]) -> None:
        """Set what ExaBGP must come to show."""
        self.digest, self.sessions = digest, sessions
        self.interrupted()

    def interrupted(self) -> None:
        """The connection was lost, or another configuration is wanted: look at what is loaded again."""
        self.pending = bool(self.digest)
        self.exhausted = False
        self._since_s = None
        self._retry_s, self._next_s, self._next, self._asked = FIRST_RETRY_S, 0.0, "show", False

    def step(self, now_s: float) -> Literal["show", "reload"] | None:
        """Return what to ask of ExaBGP now, if anything."""
        if not self.pending or self._asked or now_s < self._next_s:
            return None
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s > RELOAD_PATIENCE_S:
            self.exhausted = True
        self._asked = True
        return self._next

    def reloaded(self, answer: Answer) -> None:
        """`reload` was answered, which says nothing: look a little later."""
        self._asked, self._next = False, "show"
        self._next_s = answer.now_s + self._retry_s
        self._retry_s = min(self._retry_s * 2, LAST_RETRY_S)

    def shown(self, answer: Answer) -> None:
        """`show neighbor configuration` was answered."""
        self._asked, self._next, self._next_s = False, "reload", answer.now_s
        loaded = dict(read_descriptions(answer.text))
        if loaded.keys() == self.sessions and all(text.endswith(self.digest) for text in loaded.values()):
            self.pending, self.exhausted = False, False


def read_descriptions(lines: Iterable[str]) -> Iterable[tuple[SessionId, str]]:
    """Yield each neighbour of `show neighbor configuration` with its description."""
    fields: dict[str, str] = {}
    for line in [*lines, "neighbor  {"]:
        name, _, value = line.strip().rstrip("{;").strip().partition(" ")
        if name == "neighbor":
            if fields:
                yield _session_id(fields), fields["description"]
            fields = {}
        if name not in fields:
            fields[name] = value.strip('"')


def _session_id(fields: dict[str, str]) -> SessionId:
    return SessionId(
        fields["neighbor"],
        fields["local-address"],
        int(fields["local-as"]),
        int(fields["peer-as"]),
        fields["router-id"],
    )
