"""Time travel equals truth: random changes with crashes among them; what routers had then is what is told of then.

`python -m tests.lab.time_travel --changes 20000` is the long run; a seed repeats it.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from porter.app.answers.verify import verify
from porter.app.incident import direct
from porter.journal.export import ExportJournals
from tests.lab import scenario
from tests.lab.client import Object
from tests.lab.evidence import JournalReader
from tests.lab.lab import Lab
from tests.lab.porter import HTTP_PORT, Porter
from tests.lab.random_changes import Changes
from tests.lab.waiting import NotInTime, eventually

QUIET_WITHIN_S = 60.0
"""A leader's death takes 5 s until another leads; the rest is for a machine with other work."""
STILL_S = 0.3
FORGOTTEN = "not kept any more"
CHANGES_WITHOUT_REDIS = 20
CHANGES_MIN = 2 * CHANGES_WITHOUT_REDIS + 1
ASKING_AT_ONCE = 2
REDIS = "redis"
CRASHES = ("leader", REDIS, "speaker", "exabgp", "bird", "frr")
MARKED = "default"
"""A namespace: the guard may hold a Node's labels."""
USERS = ("porter", "porter-controller")

Table = dict[str, frozenset[str]]
"""Prefix -> next hops."""


@dataclass
class Moment:
    """A moment at which nothing moved: what each router's kernel had then, and what Porter said of itself."""

    position: int
    time_ms: int
    kernels: dict[str, Table]
    told: Object

    @property
    def time(self) -> str:
        """When it was, as RFC 3339."""
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(self.time_ms // 1000))}.{self.time_ms % 1000:03}Z"


@dataclass
class World:
    """`porter up` with the one speaker, and a second controller; `peers` has those not named as their routers."""

    lab: Lab
    up: Porter
    standby: Porter
    journal: JournalReader
    peers: Mapping[str, str] = field(default_factory=dict)
    marks: int = 0

    def leader(self) -> Porter:
        """The one whose controller claimed the newest epoch."""
        return self.up if self.journal.leader() == self.up.name else self.standby

    def strike(self, what: str) -> None:
        """Kill something that comes back by itself, or at once: a controller as the one that does not lead."""
        routers = {router.name: router for router in self.lab.routers}
        if what in routers:
            routers[what].restart()
        elif what != "leader":
            self.up.kill(what)
        elif self.leader() is self.up:
            self.up.kill("controller")
        else:
            self.standby.process.kill()
            self.standby.start(wait=False)

    def drain(self, action: Object) -> None:
        """Submit an operator's action to whoever leads; a refusal is an answer as well."""
        for porter in (self.up, self.standby):
            try:
                status, _ = porter.namespace.http_post("127.0.0.1", HTTP_PORT, "/v1/drain", json.dumps(action))
            except OSError:
                continue
            if status in {200, 404, 409}:
                return

    def kernels(self) -> dict[str, Table]:
        """What BGP brought into each router's kernel, by the peer's name."""
        found = {}
        for router in self.lab.routers:
            table, ours = router.kernel.look(), router.bgp_prefixes()
            name = self.peers.get(router.name, router.name)
            found[name] = {prefix: table[prefix] for prefix in ours if prefix in table}
        return found

    def quiet(self, *down: str) -> Moment:
        """Wait until nothing is on its way any more: all routes are confirmed, the kernels have them, nobody appends.

        Peers that are down are left out. Raises NotInTime with what differs.
        """
        self.wait_taken_in()
        last: list[object] = [None]
        since: dict[str, Any] = {"position": -1, "at_s": 0.0}

        def still() -> Moment | None:
            kernels = {peer: table for peer, table in self.kernels().items() if peer not in down}
            moment = Moment(0, int(time.time() * 1000), kernels, self.up.json("/v1/routes"))  # type: ignore[arg-type]
            moment.position = moment.told["position"]
            head = self.journal.head()
            last[0] = [f"head #{head}, told #{moment.position}", *differences(moment)]
            if head != moment.position or len(last[0]) > 1:
                since["position"] = -1
            elif since["position"] != head:
                since.update(position=head, at_s=time.monotonic())
            elif time.monotonic() - since["at_s"] > STILL_S:
                return moment
            return None

        try:
            return eventually(
                still, "nothing moves", QUIET_WITHIN_S, ignore=(OSError, AssertionError, redis.RedisError)
            )
        except NotInTime as error:
            raise NotInTime(f"{error}; last seen: {last[0]}") from error

    def wait_taken_in(self) -> None:
        """Make a change that shows, and wait until it is journaled: somebody leads, and is not behind."""
        self.marks += 1
        mark, before = str(self.marks), self.journal.head()
        self.lab.client.patch("Namespace", MARKED, {"metadata": {"labels": {"mark": mark}}})
        path = f"/v1/events?after={before}&type=NamespaceObserved&aggregate=namespace/{MARKED}"

        def journaled() -> bool:
            events = self.up.json(path)["events"]  # type: ignore[index]
            return any(event["payload"]["labels"].get("mark") == mark for event in events)

        eventually(journaled, "a change is journaled", QUIET_WITHIN_S, ignore=(OSError, AssertionError))


def differences(moment: Moment, told: Object | None = None) -> list[str]:
    """Where what is told and what the kernels had differ, in both directions; empty if nowhere."""
    routes = [each for each in (moment.told if told is None else told)["routes"] if each["peer"] in moment.kernels]
    found = [
        f"{route['peer']}: {route['prefix']} via {route['nextHop']} is only {route['state']}"
        for route in routes
        if route["state"] != "confirmed"
    ]
    for router, kernel in moment.kernels.items():
        table: dict[str, set[str]] = {}
        for route in routes:
            if route["peer"] == router:
                table.setdefault(route["prefix"], set()).add(route["nextHop"])
        found += [
            f"{router}: {prefix} is told via {sorted(hops)}, and was via {sorted(kernel.get(prefix, ()))}"
            for prefix, hops in sorted(table.items())
            if hops != kernel.get(prefix)
        ]
        found += [
            f"{router}: {prefix} is not told, and was via {sorted(hops)}"
            for prefix, hops in sorted(kernel.items())
            if prefix not in table
        ]
    return found


@contextmanager
def world_in(lab: Lab) -> Iterator[World]:
    """Two controllers and a speaker in a lab that is up; afterwards the lab is as it was."""
    try:
        scenario.grant(lab, *USERS)
        scenario.configure(lab)
        journal = JournalReader(lab.redis)
        standby = lab.porter(2, command="controller", user=USERS[1]).start(wait=False)
        journal.wait_leader(standby.name, scenario.SETTLED_WITHIN_S)
        up = lab.porter(1, user=USERS[0]).start()
        scenario.wait_sessions(lab, up)
        yield World(lab, up, standby, journal)
    finally:
        lab.reset()


def live(world: World, seed: int, changes: int, moments: int, crashes: Sequence[str] = CRASHES) -> list[Moment]:
    """Make changes, with crashes spread among them; the moments between them.

    Raises NotInTime where it does not come to rest.
    """
    assert changes // moments >= CHANGES_MIN, f"at least {CHANGES_MIN} changes before each moment, for a crash to end"
    life = Changes(world.lab, seed, world.drain)
    life.prepare()
    draw = random.Random(f"{seed}/crashes")
    # One between two moments at most, so that each crash is seen to be over.
    strikes = dict(zip(draw.sample(range(moments), len(crashes)), crashes, strict=True))
    found = []
    for stretch in range(moments):
        struck, began_s = strikes.get(stretch, ""), time.monotonic()
        stretch_of(world, life, struck, changes // moments, draw)
        changed_s = time.monotonic()
        found.append(world.quiet())
        took = f"{changed_s - began_s:.1f} s, at rest {time.monotonic() - changed_s:.1f} s later"
        print(f"#{found[-1].position}: changes{f' and {struck} killed' if struck else ''} in {took}", flush=True)
    return found


def stretch_of(world: World, life: Changes, struck: str, changes: int, draw: random.Random) -> None:
    """Make changes with a crash among them; Redis is away for some of them."""
    at = draw.randrange(changes // 4, changes // 2)
    for number in range(changes):
        if number == at and struck == REDIS:
            world.lab.redis.kill()
        elif number == at and struck:
            world.strike(struck)
        if number == at + CHANGES_WITHOUT_REDIS and struck == REDIS:
            world.lab.redis.start()
        life.make()


def check(world: World, moments: Sequence[Moment], folder: Path) -> int:
    """What is told of each moment, by a controller, the journal and an export, is what the routers had then.

    Returns how many moments the speaker's bounded stream tells no more of, which is said in their answers.
    """
    with ThreadPoolExecutor(ASKING_AT_ONCE) as asking:
        answers = list(asking.map(lambda moment: ask(world.up, "--at", str(moment.position)), moments))
    kept = []
    for moment, told in zip(moments, answers, strict=True):
        if any(FORGOTTEN in problem for problem in told["problems"]):
            continue
        assert differences(moment, told) == [], f"at #{moment.position}"
        assert told == moment.told, f"at #{moment.position}"
        kept.append(moment)
    beside = ask(world.up, "--at", str(kept[0].position), "--redis-url", world.lab.redis.url)
    assert beside == kept[0].told
    file = folder / "life.porter-export"
    world.up.command("export", "--server", f"127.0.0.1:{HTTP_PORT}", "-o", str(file))
    asyncio.run(check_file(file, kept))
    return len(moments) - len(kept)


def ask(porter: Porter, *options: str) -> Object:
    """`porter routes` as JSON."""
    where = () if "--redis-url" in options else ("--server", f"127.0.0.1:{HTTP_PORT}")
    told: Object = json.loads(porter.command("routes", "-o", "json", *where, *options))
    return told


async def check_file(file: Path, moments: Sequence[Moment]) -> None:
    """The exported history is whole, and tells the same of each moment, by its position and by its time."""
    exported = ExportJournals(file)
    assert (await verify(exported))["problems"] == []
    for moment in moments:
        for at in (str(moment.position), moment.time):
            told = await direct.answer(exported, "porter", "routes", {"at": at})
            assert told == moment.told, f"at {at}, which is #{moment.position}"


def main() -> None:
    """Live, and look back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=2_000)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--crashes", type=int, default=1, help=f"of each of {', '.join(CRASHES)}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with Lab() as lab, world_in(lab) as world:
        began_s = time.monotonic()
        try:
            moments = live(world, arguments.seed, arguments.changes, arguments.moments, CRASHES * arguments.crashes)
            lived_s = time.monotonic() - began_s
            forgotten = check(world, moments, lab.run.folder)
        except AssertionError:
            print(lab.run.tails())
            raise
    print(f"{arguments.changes} changes in {lived_s:.0f} s, up to #{moments[-1].position}")
    print(f"{len(moments) - forgotten} moments are told as they were, {forgotten} are not kept any more")


if __name__ == "__main__":
    main()
