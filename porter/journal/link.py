"""One connection to the server: commands in, raw replies out, and the vendor's exceptions translated.

The client library parses the URL, speaks TLS and AUTH, and parses replies. Its own retries are off: whether a
command may be sent again is decided where it is known what the command does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from porter.journal.scripts import Script
from porter.model.credentials import hide_credentials
from porter.ports import JournalError, JournalUnavailable

CONNECT_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 2.0
"""How long a reply may take; a server that stalls on its disk for longer counts as absent."""

READ_BYTES = 256 * 1024

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
"""The schemes of URLs that name sentinels instead of a server."""

ABSENT_CODES = frozenset({"OOM", "MISCONF", "LOADING", "READONLY", "MASTERDOWN", "NOREPLICAS", "BUSY", "CLUSTERDOWN"})
"""Error codes of a server that can take nothing now: full, reading its disk, deposed, or cut off from its replicas."""

_ERROR_CODE = re.compile(r"(?:^|[ ]-)([A-Z]+)\b")

Reply = Any
Argument = str | bytes | int


class LinkLost(JournalUnavailable):
    """The connection broke, or the reply did not come, after a command was sent: its outcome is unknown."""


class LinkBroken(LinkLost):
    """The connection broke, as one does that was open when the server restarted."""


_ask_again = retry(retry=retry_if_exception_type(LinkBroken), stop=stop_after_attempt(2), reraise=True)
"""For commands that only read: once more on a fresh connection, which tells whether the server is there."""


def redact(url: str) -> str:
    """The URL without its passwords, for messages."""
    return hide_credentials(url)


def translate(error: ResponseError, url: str) -> JournalError:
    """The journal's exception for an error reply.

    Servers before 7.0 wrap an error of a command inside of a script, so that the code is looked for in the text.
    """
    text = str(error)
    code = getattr(error, "status_code", "") or ""
    if {code, *_ERROR_CODE.findall(text)} & ABSENT_CODES or "No space left" in text:
        full = f"{code} " if code and not text.startswith(code) else ""
        return JournalUnavailable(f"{redact(url)} takes nothing now: {full}{text}")
    return JournalError(f"{redact(url)} refused a command: {text}")


def is_sentinel(url: str) -> bool:
    """Whether a URL names sentinels, which say where the master is, instead of a server."""
    return url.partition("://")[0].lower() in SENTINEL_SCHEMES


def _pool(url: str, connect_timeout_s: float) -> ConnectionPool:
    options: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": False,
        # With a time-out of its own the library sends by asyncio.wait_for, which before Python 3.12 loses a
        # cancellation that meets the end of what it waits for: the task then goes on for ever.
        "socket_timeout": None,
        "socket_connect_timeout": connect_timeout_s,
        "socket_read_size": READ_BYTES,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "porter",
        # The library's own name is nobody's business here, and telling it needs a right of its own.
        "driver_info": None,
    }
    if is_sentinel(url):
        from porter.journal.sentinel import sentinel_pool  # noqa: PLC0415 (imports are half of a speaker's start)

        return sentinel_pool(url, options)
    return ConnectionPool.from_url(url, **options)


class Link:
    """A connection that is opened when it is first used, and again after it broke. One exchange at a time."""

    def __init__(
        self, url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, reply_timeout_s: float = REPLY_TIMEOUT_S
    ) -> None:
        self.url = url
        try:
            self._pool = _pool(url, connect_timeout_s)
            self._connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # untyped in the library
        except (ValueError, TypeError) as error:
            # What the library says may repeat a part of a password that was taken for a port.
            why = "a password's / ? # @ : and % are written as %2F and so on" if "@" in url else str(error)
            raise JournalError(
                f"{redact(url)!r} is no Redis URL: {why}; "
                "write redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH or redis+sentinel://HOST:PORT,.../MASTER"
            ) from error
        self._lock = asyncio.Lock()
        self._reads_only = True
        """Whether the server knows scripts that only read."""
        self._connect_timeout_s = connect_timeout_s
        self._reply_timeout_s = reply_timeout_s

    async def call(self, *command: Argument, timeout_s: float | None = None) -> Reply:
        """Send one command and return its reply, with bulk strings as bytes.

        Raises:
            JournalUnavailable: the server is not there, or takes nothing now; the command had no effect.
            LinkLost: the command may have had its effect.
            JournalError: the server refused the command.
        """
        async with self._lock:
            await self._send(command)
            return await self._receive(timeout_s)

    @_ask_again
    async def ask(self, *command: Argument) -> Reply:
        """`call` for a command that only reads."""
        return await self.call(*command)

    @_ask_again
    async def ask_all(self, *commands: Sequence[Argument]) -> list[Reply]:
        """Send several commands that only read in one go; the first error reply is raised when all are in."""
        async with self._lock:
            await self._connect()
            await self._transmit(self._connection.pack_commands(commands))
            replies: list[Reply] = []
            failed: Exception | None = None
            for _ in commands:
                try:
                    replies.append(await self._receive(None))
                except LinkLost:
                    raise
                except (JournalError, NoScriptError) as error:
                    failed = failed or error
            if failed is not None:
                raise failed
            return replies

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Reply:
        """Run a script by its name; a server that lost it (restart, SCRIPT FLUSH) is given it again."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.source, len(keys), *keys, *arguments)

    @_ask_again
    async def ask_script(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Reply:
        """`run` for a script that only reads, which a user with no right to write the keys may do."""
        if not self._reads_only:
            return await self.run(script, keys, *arguments)
        try:
            return await self.call("EVALSHA_RO", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL_RO", script.source, len(keys), *keys, *arguments)
        except JournalError as error:
            # Redis before 7.0 has neither of the two, and no rights for reading alone.
            if "unknown command" not in str(error).lower():
                raise
            self._reads_only = False
            return await self.run(script, keys, *arguments)

    async def send(self, *command: Argument) -> None:
        """Send a command whose reply `receive` takes: the server works while the caller does."""
        await self._send(command)

    async def receive(self, timeout_s: float | None = None) -> Reply:
        """Take the reply of the command that was sent."""
        return await self._receive(timeout_s)

    async def close(self) -> None:
        """Close the connection; it opens again when it is used again."""
        await self._connection.disconnect(nowait=True)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s + self._reply_timeout_s):
                await self._connection.connect()  # type: ignore[no-untyped-call]  # untyped in the library
        except (RedisError, OSError) as error:
            await self.close()
            mend = "check user and password" if isinstance(error, AuthenticationError) else "is the server running?"
            reason = str(error) or type(error).__name__
            raise JournalUnavailable(f"{redact(self.url)} does not answer ({mend}): {reason}") from error
        except BaseException:
            await self.close()
            raise

    async def _send(self, command: Sequence[Argument]) -> None:
        if not self._connection.is_connected:
            await self._connect()
        await self._transmit(self._connection.pack_command(*command))

    async def _transmit(self, packed: Sequence[bytes]) -> None:
        await self._guard(self._connection.send_packed_command(packed), self._reply_timeout_s)

    async def _receive(self, timeout_s: float | None) -> Reply:
        limit_s = self._reply_timeout_s if timeout_s is None else timeout_s
        return await self._guard(self._connection.read_response(disable_decoding=True), limit_s)

    async def _guard(self, step: Any, limit_s: float) -> Reply:
        """Await one step of an exchange; after anything but a complete reply the connection is of no more use."""
        try:
            async with asyncio.timeout(limit_s):
                return await step
        except NoScriptError:
            raise
        except BusyLoadingError as error:
            await self.close()
            raise JournalUnavailable(f"{redact(self.url)} is still loading its data: {error}") from error
        except ResponseError as error:
            raise translate(error, self.url) from error
        except (RedisError, OSError) as error:
            await self.close()
            reason = str(error) or type(error).__name__
            lost = LinkLost if isinstance(error, TimeoutError | RedisTimeoutError) else LinkBroken
            raise lost(f"{redact(self.url)} broke off in the middle of a command: {reason}") from error
        except BaseException:
            await self.close()
            raise
