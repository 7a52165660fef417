"""The file that ExaBGP reads its configuration from, and what would take its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from porter.bgp.configuration import PasswordSource, fragment, render, validate, write_private
from porter.bgp.validation import unfinished
from porter.model.bgp import SessionSettings

STAND_IN = "password"
REFUSED_BY_ITS_PASSWORD = "it does not take the password"  # noqa: S105 - A sentence.


class ConfigurationFile:
    """Renders sessions with their passwords, has ExaBGP judge that, and writes it."""

    def __init__(self, path: Path, socket_path: Path, passwords: PasswordSource) -> None:
        self._path = path
        self._socket_path = socket_path
        self._passwords = passwords

    def password(self, settings: SessionSettings) -> str | None:
        """A session's key; None where it has none, or none is there."""
        return self._passwords(settings.password_source) if settings.password_source else None

    def render(self, sessions: Sequence[SessionSettings]) -> str:
        """The whole configuration of these sessions."""
        passwords = {settings.password_source: self.password(settings) for settings in sessions}
        return render(sessions, passwords.get, self._socket_path.absolute())

    @property
    def text(self) -> str:
        """What stands there; "" without a file."""
        return self._path.read_text() if self._path.exists() else ""

    def fragment(self, settings: SessionSettings) -> str:
        """A session's own part of the configuration, with its password."""
        return fragment(settings, self.password(settings))

    async def complaint(self, sessions: Sequence[SessionSettings]) -> str:
        """What another ExaBGP says against these sessions, or "".

        It quotes what it does not understand, and that may be a part of a password. So where there are passwords, its
        words are those about the same sessions with another one.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        complaint = await validate(self.render(sessions), self._path.parent)
        if not complaint or unfinished(complaint) or not any(settings.password_source for settings in sessions):
            return complaint
        text = render(sessions, lambda source: STAND_IN if source else None, self._socket_path.absolute())
        return await validate(text, self._path.parent) or REFUSED_BY_ITS_PASSWORD

    def write(self, text: str) -> None:
        """Put a configuration there, where it is another one."""
        if self.text != text:
            write_private(self._path, text)
