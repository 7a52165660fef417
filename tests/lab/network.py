"""The fabric that everything hangs on, and the clients behind the routers."""

import array
import contextlib
import fcntl
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.lab import plan
from tests.lab.namespaces import Namespace
from tests.lab.run import Run

BRIDGE = "fab"
FABRIC_LINK = "fab"
CLIENT_LINK = "client"
BAD_CABLE = Path(__file__).with_name("bad_cable.py")
CABLE_TIMEOUT_S = 10.0
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17


def without_offload(namespace: Namespace, link: str) -> None:
    """Have the kernel fill in every checksum of what leaves by a link, and cut it into frames."""
    value = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", link.encode(), value.buffer_info()[0])
    with namespace.entered():
        channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with channel:
        fcntl.ioctl(channel, SIOCETHTOOL, request)


class Network:
    """A switch in a namespace of its own: a bridge that the others plug into."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.switch = run.namespace("switch")
        self.switch.add_bridge(BRIDGE)

    def attach(self, namespace: Namespace, port: str, addresses: plan.Addresses) -> None:
        """Plug a namespace into the fabric; its link is ``fab``, and the switch's port has the name given."""
        # A machine that comes back has the network card that it had: its neighbours need not find out by time-outs.
        card = "02:00:" + ":".join(f"{int(part):02x}" for part in addresses.v4.split("."))
        namespace.add_veth(FABRIC_LINK, self.switch, port, BRIDGE, hardware_address=card)
        namespace.add_address(FABRIC_LINK, addresses.v4, plan.FABRIC4_LENGTH)
        namespace.add_address(FABRIC_LINK, addresses.v6, plan.FABRIC6_LENGTH)

    def host(self, name: str, addresses: plan.Addresses) -> Namespace:
        """Make a namespace and plug it in."""
        namespace = self._run.namespace(name)
        self.attach(namespace, name, addresses)
        return namespace

    def cut(self, port: str) -> None:
        """Pull the cable of a port: nothing passes, and no socket is told."""
        self.switch.set_down(port)

    def mend(self, port: str) -> None:
        """Put the cable back."""
        self.switch.set_up(port)

    @contextlib.contextmanager
    def bad_cable(self, host: Namespace, port: str, *, delay_ms: int, loss_percent: int, seed: int) -> Iterator[None]:
        """A host's cable loses and delays the packets of BGP sessions for the length of a block."""
        spare, end = f"{port}-x", f"{port}-y"
        # Frames that a program reads must have their checksums, which a card would have filled in.
        without_offload(host, FABRIC_LINK)
        self.switch.add_veth(spare, self.switch, end)
        without_offload(self.switch, end)
        argv = [sys.executable, "-I", BAD_CABLE, port, spare, str(delay_ms), str(loss_percent), str(seed)]
        cable = self._run.process(f"cable-{port}-{seed}", argv, self.switch)
        try:
            cable.wait_ready(lambda: "carrying" in cable.tail(), "carrying", CABLE_TIMEOUT_S)
            self._plug(port, into=None)
            self._plug(end, into=BRIDGE)
            yield
            assert cable.alive, cable.tail()
        finally:
            self._plug(end, into=None)
            self._plug(port, into=BRIDGE)
            self._run.forget(cable)
            self.switch.remove_link(spare)

    def _plug(self, port: str, into: str | None) -> None:
        master = 0 if into is None else self.switch.index(into)
        self.switch.netlink.link("set", index=self.switch.index(port), master=master)

    def client(self, router: Namespace, number: int) -> Namespace:
        """Make the client behind router ``number`` (1 is FRR, 2 BIRD): all it knows is that router."""
        client = self._run.namespace(f"client{number}")
        client.add_veth("eth0", router, CLIENT_LINK)
        own, gateway = plan.client(number), plan.client_gateway(number)
        client.add_address("eth0", own.v4, 24)
        client.add_address("eth0", own.v6, 64)
        router.add_address(CLIENT_LINK, gateway.v4, 24)
        router.add_address(CLIENT_LINK, gateway.v6, 64)
        client.replace_route("default4", [gateway.v4])
        client.replace_route("default6", [gateway.v6])
        return client

    def route_to_clients(self, namespace: Namespace) -> None:
        """Tell a node by which router the answers go to each client."""
        for number, router in ((1, plan.FRR), (2, plan.BIRD)):
            networks = plan.client_networks(number)
            namespace.replace_route(networks.v4, [router.v4])
            namespace.replace_route(networks.v6, [router.v6])
