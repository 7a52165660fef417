"""A server found by Sentinel: `redis+sentinel://` names the sentinels, and they name the master of the moment.

Upstream: https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

SENTINEL_PORT = 26379
SENTINEL_TIMEOUT_S = 0.5
"""How long one sentinel may take to answer before the next one is asked."""
MAX_SENTINELS = 16
FORM = "redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT,HOST:PORT/MASTER[/DB]"
LIKE_SERVERS = (
    "protocol",
    "decode_responses",
    "socket_timeout",
    "socket_connect_timeout",
    "client_name",
    "driver_info",
)
"""What a connection with a sentinel has as one with a server."""
DOWN_FLAGS = frozenset({"s_down", "o_down", "disconnected"})
OPTIONS = frozenset({"sentinel_username", "sentinel_password"})


def sentinel_pool(url: str, options: Mapping[str, Any]) -> SentinelConnectionPool:
    """Return a pool whose connections go to the master that the sentinels of the URL name when they open.

    User and password of the URL are those of the servers; the sentinels' own, where they ask for them, are the
    parameters `sentinel_username` and `sentinel_password`. `options` go to each connection with a server.

    Raises:
        ValueError: the URL does not have the form FORM.
    """
    parts = urlsplit(url)
    tls = parts.scheme.startswith("rediss")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError(f"it names no master behind the hosts; write {FORM}")
    if database and not database.isdecimal():
        raise ValueError(f"its database {database!r} is no number; write {FORM}")
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if unknown := set(given) - OPTIONS:
        raise ValueError(f"it has unknown parameters {sorted(unknown)}; known are {sorted(OPTIONS)}")
    own = {name: options[name] for name in LIKE_SERVERS if name in options} | {"retry": Retry(NoBackoff(), 0)}
    if "sentinel_password" in given:
        own |= {"username": given.get("sentinel_username"), "password": given["sentinel_password"]}
    sentinels = _Sentinels(_hosts(parts.netloc.rpartition("@")[2]), own, tls=tls)
    user = {"username": _text(parts.username), "password": _text(parts.password), "db": int(database or 0)}
    return SentinelConnectionPool(service, sentinels, ssl=tls, **user, **options)  # type: ignore[no-untyped-call]  # untyped


def _text(quoted: str | None) -> str | None:
    return unquote(quoted) if quoted else None


def _hosts(netloc: str) -> list[tuple[str, int]]:
    found = []
    for host in netloc.split(","):
        parts = urlsplit(f"//{host.strip()}")
        if not parts.hostname:
            raise ValueError(f"a sentinel's host is empty; write {FORM}")
        found.append((parts.hostname, parts.port or SENTINEL_PORT))
    if len(found) > MAX_SENTINELS:
        raise ValueError(f"it names {len(found)} sentinels, and at most {MAX_SENTINELS} are asked")
    return found


class _Sentinels:
    """What a `SentinelConnectionPool` asks for the master's place.

    The library's own class asks by clients with a pool each, and there a cancellation was seen to get lost (29 of 300
    with Python 3.11: a time-out of zero seconds meets it). A plain connection for each question does not lose it.
    """

    def __init__(self, hosts: Sequence[tuple[str, int]], options: Mapping[str, Any], *, tls: bool) -> None:
        self.hosts = list(hosts)
        self._options = options
        self._connection = SSLConnection if tls else Connection

    async def discover_master(self, service: str) -> tuple[str, int]:
        """The address of the master that the first sentinel names which knows one that is up.

        Each sentinel has a bounded time: one that hangs must not hide the others.

        Raises:
            MasterNotFoundError: none does; with what each of them said.
        """
        said = []
        for host, port in tuple(self.hosts):
            try:
                async with asyncio.timeout(SENTINEL_TIMEOUT_S):
                    state = await self._ask(host, port, service)
            except (RedisError, OSError) as error:
                said.append(f"{host}:{port}: {error or type(error).__name__}")
                continue
            if set(state["flags"].split(",")) & DOWN_FLAGS:
                said.append(f"{host}:{port}: the master {state['ip']}:{state['port']} is down")
                continue
            # The one that answered is asked first the next time.
            self.hosts.remove((host, port))
            self.hosts.insert(0, (host, port))
            return state["ip"], int(state["port"])
        raise MasterNotFoundError(f"no sentinel names a master {service!r} that is up ({'; '.join(said)})")

    async def _ask(self, host: str, port: int, service: str) -> dict[str, str]:
        connection = self._connection(host=host, port=port, **self._options)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # untyped in the library
            await connection.send_packed_command(connection.pack_command("SENTINEL", "MASTER", service))
            reply = await connection.read_response(disable_decoding=True)
        finally:
            await connection.disconnect(nowait=True)
        words = [word.decode() for word in reply]
        return dict(zip(words[::2], words[1::2], strict=True))
