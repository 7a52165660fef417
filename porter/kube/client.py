"""The only use of the `kubernetes` package: configuration, TLS, authentication and transport, on raw paths.

Its typed models are never imported: they cost 25 times the time and many times the memory of decoding the few fields
that are read (`porter.kube.objects`). Importing what is used here takes about 50 MB of resident memory.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import getproxies_environment

import aiohttp
import msgspec
from kubernetes.aio.client import api_client as vendor_client
from kubernetes.aio.client import configuration as vendor_configuration
from kubernetes.aio.client import rest as vendor_rest
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config import incluster_config as vendor_incluster
from kubernetes.aio.config import kube_config as vendor_kubeconfig
from yaml import YAMLError

AddrInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""What `getaddrinfo` tells of an address: family, kind, protocol, canonical name, and the address itself."""

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 10.0
RENEWAL_INTERVAL_S = 10.0
"""Credentials that the server refused are loaded again at most this often."""

MAX_BODY_BYTES = 64 * 1024 * 1024
"""The largest answer that is read into memory."""

MAX_ERROR_BYTES = 64 * 1024
MAX_MESSAGE_CHARACTERS = 512
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 10, 5, 3
KEEPALIVE_S = KEEPALIVE_IDLE_S + KEEPALIVE_INTERVAL_S * KEEPALIVE_PROBES
"""A watch may be silent for a minute: the kernel asks meanwhile whether there is anybody at the other end, and gives a
connection up that has not answered for this long."""

USER_AGENT = "porter"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
"""Knows that conditions are keyed by their type; only Kubernetes' own kinds take it, and no custom resource."""

# The vendor's functions carry no annotations.
_ApiClient: Any = vendor_client.ApiClient
_RestClient: Any = vendor_rest.RESTClientObject
_Configuration: Any = vendor_configuration.Configuration
_load_incluster_config: Any = vendor_incluster.load_incluster_config
_load_kube_config: Any = vendor_kubeconfig.load_kube_config

_HINTS = {
    401: "check the credentials in the kubeconfig",
    403: "grant Porter's ServiceAccount this verb on this resource",
}


class ApiError(Exception):
    """The API server refused a request; `status` is the HTTP status, `reason` the Status object's reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class ApiUnavailable(ApiError):
    """The API server was not reached, or did not answer in time: the outcome of a write is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unavailable", message)


class BodyTooLarge(ApiError):
    """The answer exceeds `MAX_BODY_BYTES`; ask for smaller pages."""

    def __init__(self, path: str) -> None:
        super().__init__(0, "BodyTooLarge", f"{path} answers more than {MAX_BODY_BYTES} bytes; ask for smaller pages")


class InvalidKubeconfig(ValueError):
    """The kubeconfig (or the pod's service account) cannot be used; the message says why."""


class _StatusBody(msgspec.Struct, gc=False):
    """The API server's Status object, as far as an error message needs it."""

    message: str = ""
    reason: str = ""


class KubeClient:
    """One connection pool to one API server. Create it within a running event loop, and close it."""

    def __init__(self, api: Any, kubeconfig: Path | None) -> None:
        self._api = api
        self._kubeconfig = kubeconfig
        self._renewed_s = time.monotonic()

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> KubeClient:
        """Read a kubeconfig (its current context), or the pod's service account where None is given.

        Raises:
            InvalidKubeconfig: the file is missing, malformed, or the process runs in no pod.
        """
        return cls(await _api_client(kubeconfig), kubeconfig)

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self._api.configuration.host)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> bytes:
        """Send one request and return the answer's body.

        Raises:
            ApiUnavailable: no answer within `timeout_s`, or no connection.
            BodyTooLarge: the answer exceeds `MAX_BODY_BYTES`.
            ApiError: any status from 400 on.
        """
        limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        async with self._response(method, path, query, limits, body=body, content_type=content_type) as response:
            parts, size = [], 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise BodyTooLarge(path)
                parts.append(chunk)
            return b"".join(parts)

    @asynccontextmanager
    async def stream(self, path: str, query: str, idle_s: float) -> AsyncIterator[aiohttp.StreamReader]:
        """Open an answer that goes on, such as a watch; reading fails after `idle_s` without a byte.

        Raises:
            ApiUnavailable: no connection, or the connection broke, within the block too.
            ApiError: any status from 400 on.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=idle_s)
        async with self._response("GET", path, query, limits) as response:
            yield response.content

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: str,
        limits: aiohttp.ClientTimeout,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        # Watch events are not compressed anyway, and inflating lists costs both sides more than the local network.
        headers = {
            "Accept": JSON,
            "Accept-Encoding": "identity",
            "Content-Type": content_type,
            "User-Agent": USER_AGENT,
        }
        url = f"{self.host}{path}{query and '?'}{query}"
        api = self._api
        try:
            await api.update_params_for_auth(headers, None, ["BearerToken"], path, method, None)
            answer = await api.rest_client.request(method, url, headers=headers, body=body, _request_timeout=limits)
            async with answer.response as response:
                if response.status >= 400:
                    raise await _error(method, path, response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{method} {self.host}{path}: {_cause(error)}") from error
        except ApiError as error:
            if error.status == 401:
                await self._renew()
            raise

    async def _renew(self) -> None:
        """Load credentials again that the server refused: a token from a file or a plugin may have expired."""
        now_s = time.monotonic()
        if self._kubeconfig is None or now_s - self._renewed_s < RENEWAL_INTERVAL_S:
            return
        self._renewed_s = now_s
        refused, self._api = self._api, await _api_client(self._kubeconfig)
        await refused.close()


class _Rest(_RestClient):  # type: ignore[misc]
    """The vendor's transport; the one thing that its configuration does not offer are options of its sockets."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=_socket)


def _socket(address: AddrInfo) -> socket.socket:
    """A socket whose kernel notices the death of the other end."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    # What is written and not acknowledged is beyond the probes.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, KEEPALIVE_S * 1000)
    return made


async def _api_client(kubeconfig: Path | None) -> Any:
    configuration = _Configuration()
    source = f"kubeconfig {kubeconfig}" if kubeconfig else "the pod's service account"
    if kubeconfig and not await asyncio.to_thread(kubeconfig.is_file):
        raise InvalidKubeconfig(f"{source} does not exist; name an existing file")
    try:
        if kubeconfig:
            await _load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        else:
            _load_incluster_config(client_configuration=configuration)
        # The library heeds the environment for its proxies; but then it looks for a .netrc, too, in a thread for every
        # request, and one that names the API server would stand against the kubeconfig's credentials.
        configuration.client_session_kwargs = {"trust_env": bool(getproxies_environment())}
        api = _ApiClient(configuration)
        api.rest_client = _Rest(configuration)
        return api
    except (ConfigException, YAMLError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidKubeconfig(f"{source} cannot be used: {' '.join(str(error).split())}") from error


async def _error(method: str, path: str, response: aiohttp.ClientResponse) -> ApiError:
    raw = b""
    # One read gives what has arrived, which under load is only the beginning.
    while len(raw) < MAX_ERROR_BYTES and (more := await response.content.read(MAX_ERROR_BYTES - len(raw))):
        raw += more
    try:
        status = msgspec.json.decode(raw, type=_StatusBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = _StatusBody(raw.decode(errors="replace"), response.reason or "")
    hint = _HINTS.get(response.status, "")
    message = f"{method} {path}: {response.status} {status.message[:MAX_MESSAGE_CHARACTERS]}{hint and '; '}{hint}"
    return ApiError(response.status, status.reason, message)


def _cause(error: BaseException) -> str:
    return str(error) or type(error).__name__
