"""Where the readers of a journal declare themselves on Redis or Valkey, within the rights that each of them has anyway.

A speaker writes beside its own stream, a controller beside the journal. The server keeps what was declared until a
reader is forgotten; whether it lives is told by its beat, which is compared with itself and with no other clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from porter.journal.link import Link, Reply
from porter.journal.names import check_name
from porter.ports import CONTROLLER, SPEAKER, Clock, Declaration, Declared

FORGOTTEN = "forgotten/"
DECLARATION, BEAT = "d", "b"
"""The two fields of a speaker's hash: what it reads, which stays; and that it lives, which does not."""


class RedisReaders:
    """`porter.ports.Readers` of the cluster whose keys begin with a hash tag."""

    def __init__(self, link: Link, tag: str, registry: str, clock: Clock) -> None:
        self._link = link
        self._tag = tag
        self._registry = registry
        self._clock = clock
        self._declared: dict[str, str] = {}

    async def declare(self, name: str, declaration: Declaration) -> None:
        """See `porter.ports.Readers`."""
        kind, _, plain = name.partition("/")
        fixed = json.dumps({"reads": dict(declaration.reads), "release": declaration.release}, separators=(",", ":"))
        beat = json.dumps([self._clock.wall_ms(), declaration.position, declaration.problem], separators=(",", ":"))
        if kind == CONTROLLER:
            await self._link.call("HSET", self._controllers, name, f"[{fixed},{beat}]")
            return
        key = self._speaker(plain)
        made = await self._link.call("HSET", key, BEAT, beat)
        # A server that lost the one lost the other, too.
        if made or self._declared.get(name) != fixed:
            await self._link.call("HSET", key, DECLARATION, fixed)
            self._declared[name] = fixed

    async def declared(self) -> Mapping[str, Declared]:
        """See `porter.ports.Readers`."""
        told, members = await self._link.ask_all(("HGETALL", self._controllers), ("SMEMBERS", self._registry))
        beside = {key.decode(): value for key, value in zip(told[::2], told[1::2], strict=True)}
        prefix = f"{self._tag}:s:"
        names = sorted(member.decode().removeprefix(prefix) for member in members)
        asked = [("HMGET", self._speaker(name), DECLARATION, BEAT) for name in names]
        hashes = await self._link.ask_all(*asked) if asked else []
        found = {f"{SPEAKER}/{name}": _declared(fixed, beat) for name, (fixed, beat) in zip(names, hashes, strict=True)}
        for name, value in beside.items():
            if name.startswith(f"{CONTROLLER}/"):
                fixed, beat = _halves(value)
                found[name] = _declared(fixed, beat)
        for name, one in found.items():
            at = beside.get(FORGOTTEN + name)
            if at is not None and at.decode() == str(one.beat):
                found[name] = one._replace(forgotten=True)
        return found

    async def forget(self, name: str) -> None:
        """See `porter.ports.Readers`."""
        if name.startswith(f"{CONTROLLER}/"):
            await self._link.call("HDEL", self._controllers, name)
            return
        known = (await self.declared()).get(name)
        await self._link.call("HSET", self._controllers, FORGOTTEN + name, str(known.beat if known else 0))

    @property
    def _controllers(self) -> str:
        return f"{self._tag}:j:r"

    def _speaker(self, name: str) -> str:
        return f"{self._tag}:s:{check_name(name)}:r"


def _halves(value: bytes) -> Sequence[Any]:
    try:
        fixed, beat = json.loads(value)
    except ValueError:
        return (None, None)
    return (json.dumps(fixed), json.dumps(beat))


def _declared(fixed: Reply, beat: Reply) -> Declared:
    """What two fields say; what cannot be understood is as if it had not been said."""
    if fixed is None or beat is None:
        return Declared(None)
    try:
        content = json.loads(fixed)
        at_ms, position, problem = json.loads(beat)
        reads = {str(name): int(version) for name, version in content["reads"].items()}
        return Declared(Declaration(reads, str(content["release"]), int(position), str(problem)), int(at_ms))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Declared(None)
