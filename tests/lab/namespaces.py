"""Network namespaces, veth pairs and bridges.

A namespace is entered by the calling thread alone (setns(2) acts on threads), so that sockets made and processes
started inside belong to it for good, while the rest of the program stays where it was.
"""

import contextlib
import ctypes
import http.client
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyroute2 import NetNS, netns

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
IFA_F_NODAD = 0x02
COMMAND_TIMEOUT_S = 30.0
HTTP_TIMEOUT_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(RuntimeError):
    """A command in a namespace ended with an error; the message has its output."""


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """One network namespace, with its links, addresses, routes and sysctls. Loopback is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = NAMESPACES / name
        netns.create(name)
        self._netlink: NetNS | None = NetNS(name)
        # No duplicate address detection: an address is usable at once, which saves a second per interface.
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.set_up("lo")

    @property
    def netlink(self) -> Any:
        """The pyroute2 socket in this namespace."""
        assert self._netlink is not None, f"namespace {self.name} was removed"
        return self._netlink

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in this namespace for the length of the block."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            target = os.open(self.path, os.O_RDONLY)
            try:
                _setns(target)
            finally:
                os.close(target)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(home)

    def sysctl(self, key: str, value: int) -> None:
        """Set ``net.…``; /proc/sys/net shows the namespace of the thread that opens it."""
        with self.entered():
            Path("/proc/sys", *key.split(".")).write_text(str(value))

    def forward(self) -> None:
        """Make the namespace a router: it forwards, and spreads flows over next hops by ports as well."""
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.sysctl("net.ipv4.fib_multipath_hash_policy", 1)
        self.sysctl("net.ipv6.fib_multipath_hash_policy", 1)

    def index(self, link: str) -> int:
        """The interface index of a link."""
        return int(self.netlink.link_lookup(ifname=link)[0])

    def set_up(self, link: str) -> None:
        """Bring a link up."""
        self.netlink.link("set", index=self.index(link), state="up")

    def set_down(self, link: str) -> None:
        """Take a link down: its cable is cut."""
        self.netlink.link("set", index=self.index(link), state="down")

    def add_bridge(self, link: str) -> None:
        """Add a bridge that forwards at once (no spanning tree)."""
        self.netlink.link("add", ifname=link, kind="bridge")
        self.set_up(link)

    def add_veth(
        self,
        link: str,
        peer: "Namespace",
        peer_link: str,
        bridge: str | None = None,
        hardware_address: str | None = None,
    ) -> None:
        """Add a cable from ``link`` here to ``peer_link`` there, whose end may be put into a bridge."""
        end = {"ifname": peer_link, "net_ns_fd": str(peer.path)}
        own = {} if hardware_address is None else {"address": hardware_address}
        self.netlink.link("add", ifname=link, kind="veth", peer=end, **own)
        if bridge is not None:
            peer.netlink.link("set", index=peer.index(peer_link), master=peer.index(bridge))
        peer.set_up(peer_link)
        self.set_up(link)

    def remove_link(self, link: str) -> None:
        """Remove a link, and with a veth its other end."""
        for index in self.netlink.link_lookup(ifname=link):
            self.netlink.link("del", index=index)

    def add_address(self, link: str, address: str, prefix_length: int) -> None:
        """Give a link an address, usable at once."""
        flags = {"flags": IFA_F_NODAD} if ":" in address else {}
        self.netlink.addr("add", index=self.index(link), address=address, prefixlen=prefix_length, **flags)

    def replace_route(self, prefix: str, gateways: Sequence[str]) -> None:
        """Set the route to a prefix ("default4" and "default6" stand for all) by one or several gateways."""
        destination = {"default4": "0.0.0.0/0", "default6": "::/0"}.get(prefix, prefix)
        family = 10 if ":" in destination else 2
        if len(gateways) == 1:
            self.netlink.route("replace", family=family, dst=destination, gateway=gateways[0])
        else:
            hops = [{"gateway": gateway} for gateway in gateways]
            self.netlink.route("replace", family=family, dst=destination, multipath=hops)

    def remove_route(self, prefix: str) -> None:
        """Remove the route to a prefix."""
        self.netlink.route("del", family=10 if ":" in prefix else 2, dst=prefix)

    def run(self, *argv: str | Path, timeout_s: float = COMMAND_TIMEOUT_S, stdin: str | None = None) -> str:
        """Run a command inside and return its standard output. Raises CommandFailed."""
        words = [str(word) for word in argv]
        with self.entered():
            child = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        with child:
            try:
                output, errors = child.communicate(stdin, timeout=timeout_s)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
        if child.returncode != 0:
            raise CommandFailed(f"{' '.join(words)} in {self.name}: code {child.returncode}\n{output}{errors}")
        return output

    def http_get(self, host: str, port: int, path: str, timeout_s: float = HTTP_TIMEOUT_S) -> tuple[int, str]:
        """GET http://host:port/path from inside: status and body. Raises OSError."""
        return self._http("GET", host, port, path, None, timeout_s)

    def http_post(
        self, host: str, port: int, path: str, body: str, timeout_s: float = HTTP_TIMEOUT_S
    ) -> tuple[int, str]:
        """POST JSON to http://host:port/path from inside: status and body. Raises OSError."""
        return self._http("POST", host, port, path, body, timeout_s)

    def _http(
        self, method: str, host: str, port: int, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            with self.entered():
                connection.connect()
            connection.request(method, path, body, {} if body is None else {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:
            raise OSError(f"{host}:{port}{path}: {error!r}") from error
        finally:
            connection.close()

    def pids(self) -> list[int]:
        """The processes inside."""
        return pids_inside(self.path)

    def remove(self) -> None:
        """Remove the namespace with all links in it. Processes inside must have ended."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None
        if self.path.exists():
            netns.remove(self.name)


def pids_inside(path: Path) -> list[int]:
    """The processes in the namespace mounted at ``path``."""
    inode = path.stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "ns/net").stat().st_ino == inode:
                    found.append(int(entry.name))
    return found
