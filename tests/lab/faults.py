"""The faults, one by one: each strikes when its block begins, and is over, with all parts back, when it ends.

None of these may cost a route, alone or two at once. What the protocol itself drops is in ``test_dropped_routes``.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from tests.lab import scenario
from tests.lab.fault_world import Consistency, World
from tests.lab.network import Network
from tests.lab.processes import Process
from tests.lab.route_watch import Loss
from tests.lab.waiting import eventually

PARTS = ("speaker", "relay", "exabgp")
STALL_S = 5.0
LINK_DOWN_S = 5.0
DELAY_MS = 50
LOSS_PERCENT = 10
RESTARTED_WITHIN_S = 30.0
LOSSY_CHANGES = 5
OWN_GAP_S = 0.1
"""Never stretched: it decides what counts as a loss."""
GRACEFUL = "graceful restart of the router"
GRACEFUL_FRR = f"{GRACEFUL}, frr"
PORTER_PORT = "porter1"


class Spell(NamedTuple):
    """How long what lasts is to last, in seconds, and the seed of what is left to chance."""

    away_s: float = 10.0
    stall_s: float = STALL_S
    link_s: float = LINK_DOWN_S
    seed: int = 1


Act = Callable[[World, Spell], AbstractContextManager[None]]


class Fault(NamedTuple):
    """A fault by its name; ``router`` is the one it is done to, if it is done to one."""

    name: str
    act: Act
    router: str = ""


@dataclass(frozen=True)
class Result:
    """What came of faults: the losses by router, and how long it took until everything agreed again."""

    name: str
    losses: list[Loss]
    whole: dict[str, int]
    consistency: Consistency
    own_gaps: int = 0
    """How many prefixes the router took out of its kernel and put back by itself, see ``split_own_gaps``."""

    def next_hops_lost(self, router: str) -> int:
        """How many next hops were missing at some time."""
        return len({(loss.prefix, hop) for loss in self.losses if loss.router == router for hop in loss.missing})

    def routes_lost(self, router: str) -> int:
        """How many prefixes had no next hop left at some time."""
        return len(
            {
                loss.prefix
                for loss in self.losses
                if loss.router == router and len(loss.missing) == self.whole[loss.prefix]
            }
        )


def try_faults(world: World, name: str, spell: Spell, *faults: Fault) -> tuple[Result, str]:
    """Let faults strike together, wait until everything agrees again, and return what was lost, and the evidence."""
    expected = world.fleet.expected
    world.note_leader()
    with world.lab.watch(expected, only_count=True) as watch:
        with ExitStack() as together:
            for fault in faults:
                together.enter_context(fault.act(world, spell))
        consistency = world.wait_consistent()
    world.fleet.check_addresses()
    whole = {prefix: len(hops) for prefix, hops in expected.items()}
    losses, gaps = watch.losses, 0
    if any(fault.name == GRACEFUL_FRR for fault in faults):
        losses, gaps = split_own_gaps(world, losses)
    return Result(name, losses, whole, consistency, gaps), watch.report()


def split_own_gaps(world: World, losses: list[Loss]) -> tuple[list[Loss], int]:
    """Without the gaps that are FRR's own: at the end of its graceful restart FRR 8.4 may purge and add an IPv6 route.

    zebra removes what is stale when bgpd says that it is through, and takes bgpd's new routes from a queue; if it is
    not through with that, each route goes and comes back less than a millisecond later. No announcement changes that.
    """
    frr = world.lab.frr.kernel

    def own(loss: Loss) -> bool:
        back = (event.at_s - loss.at_s for event in frr.events_of(loss.prefix) if loss.missing <= event.next_hops)
        return loss.router == frr.name and ":" in loss.prefix and any(0 <= gap_s <= OWN_GAP_S for gap_s in back)

    left = [loss for loss in losses if not own(loss)]
    return left, len({loss.prefix for loss in losses} - {loss.prefix for loss in left})


# Processes


@contextmanager
def _part(world: World, _: Spell, *, part: str, number: int) -> Iterator[None]:
    struck = world.signal_part(part, number)
    yield
    world.up.wait_restarted(part, struck)


@contextmanager
def _leader(world: World, spell: Spell, *, number: int) -> Iterator[None]:
    if world.up_leads:
        with _part(world, spell, part="controller", number=number):
            yield
        return
    process = world.standby.process
    process.signal(number)
    yield
    eventually(lambda: not process.alive, "the controller has ended", RESTARTED_WITHIN_S)
    world.standby.start(wait=False)


@contextmanager
def _server(world: World, spell: Spell, *, name: str, number: int, away: bool) -> Iterator[None]:
    redis, plane = world.lab.redis, world.lab.control_plane
    process = redis.process if name == "redis" else plane.apiserver
    assert process is not None
    _end(process, number)
    began_s = time.monotonic()
    yield
    if away:
        time.sleep(max(0.0, began_s + spell.away_s - time.monotonic()))
    if not process.alive:
        if name == "redis":
            redis.start()
        else:
            plane.restart()


def _end(process: Process, number: int) -> None:
    if number == signal.SIGKILL:
        process.kill()
    else:
        process.stop()


@contextmanager
def _rolling(world: World, spell: Spell) -> Iterator[None]:
    """Every part is restarted in turn, as an upgrade does it: each is back before the next one goes."""
    with _server(world, spell, name="redis", number=signal.SIGTERM, away=False):
        pass
    for part in ("controller", *PARTS):
        with _part(world, spell, part=part, number=signal.SIGTERM):
            pass
        scenario.wait_ready(world.up, timeout_s=RESTARTED_WITHIN_S)
    if not world.standby.process.alive:
        world.standby.start(wait=False)
    process = world.standby.process
    process.stop(RESTARTED_WITHIN_S)
    world.standby.start(wait=False)
    yield


# The routers and the links


@contextmanager
def _stalled(world: World, spell: Spell, *, number: int) -> Iterator[None]:
    router = world.lab.routers[number]
    router.pause()
    began_s = time.monotonic()
    yield
    time.sleep(max(0.0, began_s + spell.stall_s - time.monotonic()))
    router.resume()


@contextmanager
def _graceful(world: World, _: Spell, *, number: int) -> Iterator[None]:
    router = world.lab.routers[number]
    router.restart_gracefully()
    yield
    router.wait_sessions({world.up.address}, RESTARTED_WITHIN_S)


@contextmanager
def _link(world: World, spell: Spell) -> Iterator[None]:
    """The speaker's link is down for less than the hold time; the controller beside it loses its servers as well."""
    network: Network = world.lab.network
    network.cut(PORTER_PORT)
    began_s = time.monotonic()
    yield
    time.sleep(max(0.0, began_s + spell.link_s - time.monotonic()))
    network.mend(PORTER_PORT)


@contextmanager
def _lossy(world: World, spell: Spell, *, number: int) -> Iterator[None]:
    router = world.lab.routers[number]
    cable = world.lab.network.bad_cable(
        router.namespace, router.name, delay_ms=DELAY_MS, loss_percent=LOSS_PERCENT, seed=spell.seed
    )
    with cable:
        yield
        for change in range(LOSSY_CHANGES):
            eventually(
                lambda change=change: world.create(f"lossy-{change}"),  # type: ignore[misc]
                "a Service is created",
                RESTARTED_WITHIN_S,
                ignore=(OSError,),
            )
        time.sleep(spell.link_s)
        for change in range(LOSSY_CHANGES):
            scenario.delete_service(world.lab, f"lossy-{change}")


KILL, TERM = signal.SIGKILL, signal.SIGTERM
FAULTS = (
    *(
        Fault(f"{name} of {part}", partial(_part, part=part, number=number))
        for part in PARTS
        for name, number in (("kill -9", KILL), ("SIGTERM", TERM))
    ),
    *(
        Fault(f"{name} of the leading controller", partial(_leader, number=number))
        for name, number in (("kill -9", KILL), ("SIGTERM", TERM))
    ),
    *(
        Fault(f"{name} of Redis", partial(_server, name="redis", number=number, away=False))
        for name, number in (("kill -9", KILL), ("SIGTERM", TERM))
    ),
    Fault("Redis away", partial(_server, name="redis", number=KILL, away=True)),
    Fault("API server away", partial(_server, name="apiserver", number=KILL, away=True)),
    Fault("link down for less than the hold time", _link),
    *(
        Fault(f"{name}, {router}", partial(act, number=number), router)
        for name, act in (
            (GRACEFUL, _graceful),
            ("10 % loss and 50 ms delay", _lossy),
            ("router stands still for 5 s", _stalled),
        )
        for number, router in enumerate(("frr", "bird"))
    ),
)


def _named(name: str) -> Fault:
    [found] = [fault for fault in FAULTS if fault.name == name]
    return found


BOTH_ENDS = tuple((_named("kill -9 of exabgp"), _named(f"{GRACEFUL}, {router}")) for router in ("frr", "bird"))
"""Both ends of a session at once: neither has the other's word any more."""
ROLLING = Fault("rolling restart of every part", _rolling)
"""Not one of those that strike together with another: it is many of them in turn."""
