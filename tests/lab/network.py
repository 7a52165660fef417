"""The fabric that everything hangs on, and the clients behind the routers."""

from tests.lab import plan
from tests.lab.namespaces import Namespace
from tests.lab.run import Run

BRIDGE = "fab"
FABRIC_LINK = "fab"
CLIENT_LINK = "client"


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
