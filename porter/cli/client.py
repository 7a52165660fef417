"""Asks a controller over HTTP, and says plainly when it does not answer."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from porter.app.settings import DEFAULT_HTTP
from porter.cli.exits import Finding, Unreachable

TIMEOUT_S = 10.0
ADDRESS_FILE = "http"
"""In the state directory: the address that a controller there answers on."""


class Controller:
    """The HTTP side of one controller, found by `--server`, by the state directory, or at the default address."""

    def __init__(self, server: str, state_dir: Path) -> None:
        self.address = server or _recorded(state_dir.expanduser() / ADDRESS_FILE) or DEFAULT_HTTP

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON of one answer.

        Raises:
            Unreachable: nobody answers, or not in Porter's words.
            Finding: the controller refuses the question.
        """
        with self._open(self._request(path, query), TIMEOUT_S) as answer:
            return json.load(answer)

    def lines(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Yield the objects of a newline-delimited answer as they come."""
        with self._open(self._request(path, query), None) as answer:
            for line in answer:
                if line.strip():
                    yield json.loads(line)

    def post(self, path: str, body: object) -> Any:
        """Submit an operator's action; return what the controller says of it."""
        request = self._request(path, None)
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
        with self._open(request, TIMEOUT_S) as answer:
            return json.load(answer)

    def _request(self, path: str, query: Mapping[str, str] | None) -> urllib.request.Request:
        wanted = {name: value for name, value in (query or {}).items() if value}
        suffix = f"?{urllib.parse.urlencode(wanted)}" if wanted else ""
        return urllib.request.Request(f"http://{self.address}{path}{suffix}")

    def _open(self, request: urllib.request.Request, timeout_s: float | None) -> Any:
        try:
            return urllib.request.urlopen(request, timeout=timeout_s)  # noqa: S310 -- the scheme is fixed above.
        except urllib.error.HTTPError as error:
            raise Finding(_message(error)) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"no controller answers at {self.address} ({reason}); is `porter up` running? "
                "Name its address with --server, or the journal with --redis-url"
            ) from error


def _message(error: urllib.error.HTTPError) -> str:
    """The sentence of a refusal; controllers answer errors as JSON with one."""
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.url} answers {error.code} {error.reason}"


def _recorded(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
