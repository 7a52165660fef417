"""ExaBGP's API process: joins ExaBGP's pipes to the unix socket that the speaker owns, and outlives the speaker.

Run by ExaBGP as `python porter/bgp/relay.py SOCKET` (or `python -m porter.bgp.relay SOCKET`); standard library only,
so that it starts at once and stays small.

Why it is as it is:

* ExaBGP writes answers and events with blocking writes: a helper that does not read stops ExaBGP altogether, its
  keepalives included. So standard input is always drained, whether the speaker is there, slow, or gone.
* What ExaBGP says while no speaker listens is dropped: a speaker that connects takes stock anew in any case. A
  speaker that does not read loses its connection once `MAX_TO_SPEAKER_BYTES` wait for it.
* Only whole lines pass, so that a speaker that died in the middle of a command cannot garble the next one's.
  A byte outside of ASCII would kill this process' successor at ExaBGP's end, so that such a line ends the connection.
* What a session agreed on is told once, when it comes up, and ExaBGP cannot be asked for all of it later: the last such
  event of each neighbour is kept, and follows the first line on each connection.
* The first line on each connection says who is there: `hello {...}` with the pids of the relay and of ExaBGP, and
  `boot`, which is the same for as long as the same ExaBGP process lives. Answers carry no name, so that it also tells
  how many are still to come that an earlier speaker had asked for.
"""

import os
import select
import socket
import sys
import time

MAX_TO_SPEAKER_BYTES = 16 * 1024 * 1024
MAX_TO_ENGINE_BYTES = 1024 * 1024
MAX_LINE_BYTES = 512 * 1024
READ_BYTES = 65536
AGREEMENT = b'"type": "negotiated"'
MAX_AGREEMENTS = 4096
"""Neighbours whose last agreement is kept; ExaBGP has one for each session."""
FIRST_RETRY_S = 0.02
LAST_RETRY_S = 0.5
SETTLED_S = 1.0
"""A connection that lasted this long was a good one: the next attempt comes at once."""

ENGINE_IN, ENGINE_OUT = 0, 1


def boot_id(pid: int) -> str:
    """Name one life of a process: its pid and, where Linux tells, its start time in clock ticks since boot."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - pathlib would double the start-up time.
            # The command name may hold blanks and parentheses; behind the last one stand plain numbers.
            return f"{pid}-{stat.read().rpartition(b')')[2].split()[19].decode('ascii')}"
    except (OSError, IndexError):
        return str(pid)


class Relay:
    """One poll loop over ExaBGP's two pipes and the speaker's socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.boot = boot_id(os.getppid())
        self.speaker: socket.socket | None = None
        self.retry_s = FIRST_RETRY_S
        self.retry_at = 0.0
        self.connected_at = 0.0
        self.dropped = False
        self.unanswered = 0
        self.from_engine = bytearray()
        self.from_speaker = bytearray()
        self.to_engine = bytearray()
        self.to_speaker = bytearray()
        self.agreements: dict[bytes, bytes] = {}

    def run(self) -> None:
        """Relay until ExaBGP closes its end."""
        os.set_blocking(ENGINE_OUT, False)
        while True:
            if self.speaker is None and time.monotonic() >= self.retry_at:
                self.connect()
            for descriptor, event in self.wait():
                if descriptor == ENGINE_IN and not self.read_engine():
                    return
                if descriptor == ENGINE_OUT:
                    if event & (select.POLLERR | select.POLLHUP):
                        return
                    self.write_engine()
                if self.speaker is not None and descriptor == self.speaker.fileno():
                    self.serve_speaker(event)

    def wait(self) -> list[tuple[int, int]]:
        """Poll what is wanted: ExaBGP always, the speaker only while ExaBGP takes its commands."""
        poller = select.poll()
        poller.register(ENGINE_IN, select.POLLIN)
        if self.to_engine:
            poller.register(ENGINE_OUT, select.POLLOUT)
        timeout_ms = None
        if self.speaker is None:
            timeout_ms = max(1, int((self.retry_at - time.monotonic()) * 1000))
        else:
            wanted = select.POLLIN if len(self.to_engine) < MAX_TO_ENGINE_BYTES else 0
            poller.register(self.speaker, wanted | (select.POLLOUT if self.to_speaker else 0))
        return poller.poll(timeout_ms)

    def connect(self) -> None:
        """Try to reach the speaker; on success its first line is the hello."""
        speaker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        speaker.setblocking(False)
        try:
            speaker.connect(self.path)
        except OSError:
            speaker.close()
            self.put_off()
            return
        self.speaker, self.connected_at = speaker, time.monotonic()
        hello = (
            f'hello {{"relay_pid": {os.getpid()}, "engine_pid": {os.getppid()}, "boot": "{self.boot}", '
            f'"dropped": {"true" if self.dropped else "false"}, "unanswered": {self.unanswered}}}\n'
        )
        self.dropped = False
        self.to_speaker += hello.encode("ascii")
        for line in self.agreements.values():
            self.to_speaker += line + b"\n"

    def put_off(self) -> None:
        """Set the next attempt's time, twice as far away each time."""
        self.retry_at = time.monotonic() + self.retry_s
        self.retry_s = min(self.retry_s * 2, LAST_RETRY_S)

    def disconnect(self) -> None:
        """Forget the speaker, and what was half said on either side; whole commands still go to ExaBGP."""
        if self.speaker is not None:
            self.speaker.close()
        if time.monotonic() - self.connected_at > SETTLED_S:
            self.retry_s = FIRST_RETRY_S
        self.speaker = None
        self.dropped = self.dropped or bool(self.to_speaker)
        self.from_speaker.clear()
        self.to_speaker.clear()
        self.put_off()

    def read_engine(self) -> bool:
        """Drain ExaBGP's pipe; False at its end."""
        chunk = os.read(ENGINE_IN, READ_BYTES)
        if not chunk:
            return False
        self.from_engine += chunk
        end = self.from_engine.rfind(b"\n") + 1
        whole = bytes(self.from_engine[:end])
        lines = whole.split(b"\n")
        self.unanswered = max(0, self.unanswered - lines.count(b"done") - lines.count(b"error"))
        if AGREEMENT in whole:
            self.keep_agreements(lines)
        if self.speaker is None:
            self.dropped = self.dropped or end > 0
        else:
            self.to_speaker += self.from_engine[:end]
        del self.from_engine[:end]
        if len(self.to_speaker) > MAX_TO_SPEAKER_BYTES:
            self.disconnect()
        elif self.speaker is not None and self.to_speaker:
            self.write_speaker()
        return True

    def keep_agreements(self, lines: list[bytes]) -> None:
        """Keep the last agreement of each neighbour, which stands between these two words in its line."""
        for line in lines:
            if AGREEMENT in line:
                neighbor = line.partition(b'"neighbor":')[2].partition(b'"negotiated":')[0]
                self.agreements.pop(neighbor, None)
                self.agreements[neighbor] = line
        while len(self.agreements) > MAX_AGREEMENTS:
            del self.agreements[next(iter(self.agreements))]

    def write_engine(self) -> None:
        # contextlib would have to be imported for this alone.
        try:  # noqa: SIM105
            del self.to_engine[: os.write(ENGINE_OUT, self.to_engine)]
        except BlockingIOError:
            pass

    def serve_speaker(self, event: int) -> None:
        if event & select.POLLOUT:
            self.write_speaker()
        if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self.read_speaker()

    def write_speaker(self) -> None:
        assert self.speaker is not None
        try:
            del self.to_speaker[: self.speaker.send(self.to_speaker)]
        except BlockingIOError:
            pass
        except OSError:
            self.disconnect()

    def read_speaker(self) -> None:
        if self.speaker is None:
            return
        try:
            chunk = self.speaker.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self.from_speaker += chunk
        end = self.from_speaker.rfind(b"\n") + 1
        lines = bytes(self.from_speaker[:end])
        if not chunk or not lines.isascii() or len(self.from_speaker) - end > MAX_LINE_BYTES:
            self.disconnect()
            return
        del self.from_speaker[:end]
        self.to_engine += lines
        self.unanswered += lines.count(b"\n")
        if lines:
            self.write_engine()


if __name__ == "__main__":
    Relay(sys.argv[1]).run()
