"""(a) From a Service's creation to all next hops in a router's kernel, and from its deletion to none, with BIRD.

The floor is ExaBGP alone, driven by hand: from its command to the kernel. Times begin before the request is sent and
end with the kernel's own route event. The first route after a session came up is told apart. kube-proxy runs with its
own default of a second between two writes of its rules, as it does in clusters.
"""

from __future__ import annotations

import sys
import time

from tests.bench.figures import milliseconds, table
from tests.lab import manifests, plan
from tests.lab.cluster import DEFAULT_PROXY_SYNC
from tests.lab.hand_speaker import HandSpeaker
from tests.lab.lab import WEB_LABELS, Lab

ROUNDS = 200
WARM_UP_ROUNDS = 10
TIMEOUT_S = 15.0


def main(rounds: int = ROUNDS) -> None:
    with Lab(proxy_sync=DEFAULT_PROXY_SYNC) as lab:
        floor_up, floor_down, floor_first = floor(lab, rounds)
        lab.reset()
        try:
            create, delete, first = ours(lab, rounds)
        except AssertionError:
            print(lab.run.tails())
            raise
    rows = [
        milliseconds("create to all next hops", create),
        milliseconds("floor: ExaBGP announce to kernel", floor_up),
        milliseconds("delete to gone", delete),
        milliseconds("floor: ExaBGP withdraw to kernel", floor_down),
    ]
    print(table(("milliseconds", "p50", "p90", "p99", "n"), rows))
    print(f"first route after the session came up: {first * 1000:.1f} ms; ExaBGP alone {floor_first * 1000:.1f} ms")


def ours(lab: Lab, rounds: int) -> tuple[list[float], list[float], float]:
    """Create and delete one Service at a time, with the lab's three nodes and pods."""
    client = lab.client
    porter = lab.porter(redis=False)
    for manifest in (
        manifests.eip(),
        manifests.bgp_conf(),
        manifests.bgp_peer("bird", plan.BIRD.v4, plan.BIRD_AS),
    ):
        client.apply(manifest)
    porter.start()
    porter.wait_ready(path="/readyz?sessions=all")
    created, deleted = [], []
    for number in range(rounds + WARM_UP_ROUNDS):
        up, down = one_round(lab, f"bench-{number}")
        created.append(up)
        deleted.append(down)
    return created[WARM_UP_ROUNDS:], deleted[WARM_UP_ROUNDS:], created[0]


def one_round(lab: Lab, name: str) -> tuple[float, float]:
    """Seconds from creation to all next hops, and from deletion to none."""
    kernel, hops = lab.bird.kernel, lab.next_hops()
    # The lowest free address is the same every time, because the one before was released.
    prefix = "198.51.100.0/32"
    began_s = time.monotonic()
    lab.client.create(manifests.service(name, selector=WEB_LABELS))
    up_s = kernel.wait_next_hops(prefix, hops, TIMEOUT_S) - began_s
    lab.cluster.wait_ingress(name)
    began_s = time.monotonic()
    lab.client.delete("Service", name)
    down_s = kernel.wait_gone(prefix, TIMEOUT_S) - began_s
    return up_s, down_s


def floor(lab: Lab, rounds: int) -> tuple[list[float], list[float], float]:
    """The same routes by ExaBGP alone."""
    kernel, hops = lab.bird.kernel, lab.next_hops()
    announced, withdrawn = [], []
    namespace, address = lab.porter_namespace(1), plan.porter(1).v4
    with HandSpeaker(lab.run, namespace, address, [lab.bird]) as speaker:
        speaker.end_of_rib()
        for number in range(rounds + WARM_UP_ROUNDS):
            prefix = f"198.51.100.{number % 250}/32"
            began_s = time.monotonic()
            speaker.announce(prefix, hops)
            announced.append(kernel.wait_next_hops(prefix, hops, TIMEOUT_S) - began_s)
            began_s = time.monotonic()
            speaker.withdraw(prefix, hops)
            withdrawn.append(kernel.wait_gone(prefix, TIMEOUT_S) - began_s)
    return announced[WARM_UP_ROUNDS:], withdrawn[WARM_UP_ROUNDS:], announced[0]


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
