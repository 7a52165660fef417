"""Asks a controller over HTTP, and says plainly when it does not answer."""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from porter.app.settings import DEFAULT_HTTP, InvalidSettings
from porter.cli.exits import Finding, Unreachable

TIMEOUT_S = 10.0
CONTENT_TIMEOUT_S = 300.0
"""For a whole history."""
CODES: dict[int, type[InvalidSettings]] = dict.fromkeys(
    (http.HTTPStatus.MULTIPLE_CHOICES, http.HTTPStatus.BAD_REQUEST), InvalidSettings
)
"""Answers that say that the question was put wrongly; every other refusal is a finding."""
SERVER_ERRORS = 500
"""From here on the controller, or its journal, cannot answer now."""
PIN_TIMEOUT_S = 2.0
"""How long one of several addresses may take for a connection, before the next one is tried."""
CREDENTIAL_VARIABLE = "PORTER_TOKEN_FILE"
ADDRESS_FILE = "http"
"""In the state directory: the address that a controller there answers on."""


class Controller:
    """The HTTP side of one controller, found by `--server`, by the state directory, or at the default address.

    Raises:
        InvalidSettings: `--server` is another URL than one of plain HTTP without a path.
    """

    def __init__(self, server: str, state_dir: Path) -> None:
        self.name = _host_and_port(server) or _recorded(state_dir.expanduser() / ADDRESS_FILE) or DEFAULT_HTTP
        self.address = pinned(self.name)
        """What is asked: one of the addresses that the name has, the same one for the whole command."""
        self._told = self.name if self.address == self.name else f"{self.name} ({self.address})"

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the JSON of one answer.

        Raises:
            Unreachable: nobody answers, or not in Porter's words, or its journal is away.
            Finding: what is asked about is not there, or the controller refuses.
            InvalidSettings: the question is not understood, or names several things.
        """
        with self._answer(self._request(path, query), TIMEOUT_S) as answer:
            return _object(answer.read())

    def content(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return an answer that is no JSON, whole.

        Raises:
            Unreachable, Finding: as `get` does.
        """
        with self._answer(self._request(path, query), CONTENT_TIMEOUT_S) as answer:
            return answer.read()

    def lines(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Yield the objects of a newline-delimited answer as they come.

        Raises:
            Unreachable, Finding: as `get` does.
        """
        with self._answer(self._request(path, query), None) as answer:
            for line in answer:
                if line.strip():
                    yield _object(line)

    def post(self, path: str, body: object) -> Any:
        """Submit an operator's action; return what the controller says of it.

        Raises:
            Unreachable, Finding: as `get` does.
        """
        request = self._request(path, None)
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
        with self._answer(request, TIMEOUT_S) as answer:
            return _object(answer.read())

    def _request(self, path: str, query: Mapping[str, str] | None) -> urllib.request.Request:
        wanted = {name: value for name, value in (query or {}).items() if value}
        suffix = f"?{urllib.parse.urlencode(wanted)}" if wanted else ""
        request = urllib.request.Request(f"http://{self.address}{path}{suffix}")
        request.add_header("Host", self.name)
        if bearer := token():
            request.add_header("Authorization", f"Bearer {bearer}")
        return request

    @contextmanager
    def _answer(self, request: urllib.request.Request, timeout_s: float | None) -> Iterator[IO[bytes]]:
        """The body of an answer; what goes wrong until it is read is told in the command line's words."""
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 -- the scheme is fixed.
                yield answer
        except urllib.error.HTTPError as error:
            kind = CODES.get(error.code, Unreachable if error.code >= SERVER_ERRORS else Finding)
            raise kind(_message(error)) from error
        except _NotPorter as error:
            raise Unreachable(
                f"what answers at {self._told} is no Porter controller: {error}; "
                "name the controller's address with --server"
            ) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"no controller answers at {self._told} ({reason}); is `porter up` running? "
                "Name its address with --server, or the journal with --redis-url"
            ) from error


@lru_cache
def pinned(name: str) -> str:
    """One address of a HOST:PORT, which is asked from then on; the first that takes a connection, if there are several.

    The name of a headless Service has the address of each controller, and no two of them have folded equally far.
    """
    host, _, port = name.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError):
        # Who asks there is told why that does not work.
        return name
    places = list(dict.fromkeys((str(place[0]), int(port)) for *_, place in found))
    chosen = next((place for place in places if _takes_connections(place)), places[0]) if places[1:] else places[0]
    return f"[{chosen[0]}]:{port}" if ":" in chosen[0] else f"{chosen[0]}:{port}"


def _takes_connections(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, PIN_TIMEOUT_S).close()
    except OSError:
        return False
    return True


class _NotPorter(Exception):
    """The answer is none that a controller gives."""


def _object(body: bytes) -> dict[str, Any]:
    """One answer, which every controller gives as a JSON object."""
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise _NotPorter("its answer is no JSON") from error
    if not isinstance(answer, dict):
        raise _NotPorter("its answer is no JSON object")
    return answer


def token() -> str:
    """The bearer token in the file that PORTER_TOKEN_FILE names; never an argument, which every process could read.

    Raises:
        InvalidSettings: the file cannot be read.
    """
    named = os.environ.get(CREDENTIAL_VARIABLE, "")
    if not named:
        return ""
    try:
        return Path(named).read_text().strip()
    except OSError as error:
        raise InvalidSettings(f"{CREDENTIAL_VARIABLE} names {named}, which cannot be read: {error}") from error


def _host_and_port(server: str) -> str:
    """`--server` without `http://`, which people copy along with an address."""
    scheme, separator, rest = server.strip().rpartition("://")
    address = rest.removesuffix("/")
    if (separator and scheme.lower() != "http") or "/" in address:
        raise InvalidSettings(f"--server {server} is no HOST:PORT of a controller; write one like {DEFAULT_HTTP}")
    return address


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
