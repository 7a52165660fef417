"""Passwords of BGP sessions (RFC 2385), which never enter the journal: where a speaker finds them, and who puts them.

A peer's `passwordSecret` is read from a folder of mounted Secrets, `DIR/<name>/password`. A password that is written
into a BgpPeer is put by the controller into a file of its state directory that only its owner may read; a speaker on
the same state directory reads it there. Both are looked at every second: a kubelet swaps a mounted Secret silently.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from porter.bgp.configuration import is_password, write_private
from porter.model.bgp import PASSWORD_INLINE_PREFIX, PASSWORD_SECRET_PREFIX

POLL_S = 1.0
SECRET_KEY = "password"  # noqa: S105 - The key within the Secret, as in Kubernetes' own type basic-auth.
MAX_PASSWORD_BYTES = 4096
MAX_FILE_BYTES = 4 << 20

_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""A DNS subdomain (RFC 1123), as every Secret's name is one: no path leads out of the folder."""

_log = structlog.get_logger(__name__)


class Passwords:
    """Resolves `SessionSettings.password_source`, from memory; `refresh` looks again.

    One that vanishes, or turns into what no session can have, goes on to hold: nobody asks for a session's end by that.
    """

    def __init__(self, secrets_dir: Path | None, inline_file: Path) -> None:
        self._secrets_dir = secrets_dir
        self._inline_file = inline_file
        self._known: dict[str, str | None] = {}
        self._spoilt: set[str] = set()

    def __call__(self, source: str) -> str | None:
        """The password of a source; None where it is not there."""
        if source not in self._known:
            self._known[source] = self._read(source)
        return self._known[source]

    def refresh(self) -> bool:
        """Look again at every source that was asked for; whether one of them changed."""
        changed = False
        for source, before in list(self._known.items()):
            now = self._read(source)
            if before is not None and is_password(before) and (now is None or not is_password(now)):
                if source not in self._spoilt:
                    self._spoilt.add(source)
                    what = "is not there any more" if now is None else "is none that a session can have"
                    _log.warning(f"a session's password {what}; the last one still holds", source=source)
                continue
            self._spoilt.discard(source)
            if now != before:
                _log.info("a session's password changed", source=source)
                self._known[source] = now
                changed = True
        return changed

    def _read(self, source: str) -> str | None:
        try:
            if source.startswith(PASSWORD_SECRET_PREFIX):
                return self._secret(source.removeprefix(PASSWORD_SECRET_PREFIX))
            if source.startswith(PASSWORD_INLINE_PREFIX):
                return read_inline(self._inline_file).get(source.removeprefix(PASSWORD_INLINE_PREFIX))
        except (OSError, ValueError) as error:
            # The error names the file at most; its content goes nowhere.
            _log.warning("a session's password cannot be read", source=source, reason=type(error).__name__)
        return None

    def _secret(self, name: str) -> str | None:
        if self._secrets_dir is None or not _SECRET_NAME.fullmatch(name):
            return None
        path = self._secrets_dir / name / SECRET_KEY
        try:
            with path.open("rb") as file:
                content = file.read(MAX_PASSWORD_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        # An editor's newline at the end is not part of it.
        return content.decode("utf-8").rstrip("\r\n") or None


def read_inline(path: Path) -> Mapping[str, str]:
    """Read the file of passwords by peer; empty where there is none.

    Raises:
        OSError, ValueError: it cannot be read, or is no map of texts.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return {}
    passwords = json.loads(content)
    if not isinstance(passwords, dict) or not all(isinstance(value, str) for value in passwords.values()):
        raise ValueError("no map of passwords by peer")
    return passwords


async def keep_inline(path: Path, present: Callable[[], Mapping[str, str] | None]) -> None:
    """Keep the file of passwords by peer up with the objects until cancelled.

    Args:
        path: the file.
        present: the passwords that the BgpPeers hold; None while not all of them were seen.
    """
    written: Mapping[str, str] | None = None
    while True:
        now = present()
        if now is not None and now != written:
            try:
                await asyncio.to_thread(write_private, path, json.dumps(dict(sorted(now.items()))))
                written = dict(now)
            except OSError as error:
                _log.error("the file of the peers' passwords cannot be written", path=str(path), reason=error.strerror)
        await asyncio.sleep(POLL_S)
