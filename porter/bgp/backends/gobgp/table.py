"""What one daemon's table holds, as far as is known, and the changes that make it something else."""

from __future__ import annotations

from collections.abc import Iterable

from porter.bgp.backends.gobgp import messages
from porter.bgp.backends.gobgp.client import DaemonClient, DaemonRefused, DaemonUnreachable
from porter.bgp.backends.gobgp.places import Place
from porter.model.bgp import PathAttributes, RouteKey, SessionSettings


class Table:
    """The table of one daemon, which is its one peer's Adj-RIB-Out."""

    def __init__(self, settings: SessionSettings) -> None:
        self.held: dict[RouteKey, PathAttributes] = {}
        self._settings = settings

    async def read(self, client: DaemonClient) -> dict[RouteKey, PathAttributes]:
        """Read what the daemon holds.

        Raises:
            DaemonUnreachable, DaemonRefused: it does not tell; what was known stays.
        """
        table: dict[RouteKey, PathAttributes] = {}
        for family in self._settings.families:
            table |= await client.table(family)
        self.held = table
        return table

    async def change(
        self, client: DaemonClient, routes: Iterable[tuple[RouteKey, PathAttributes]], removals: Iterable[RouteKey]
    ) -> int:
        """Change the table; return how many changes it were: what it holds as wanted makes no UPDATE."""
        added = [(key, attributes) for key, attributes in routes if self.held.get(key) != attributes]
        removed = [(key, self.held[key]) for key in removals if key in self.held]
        paths = [messages.path_message(self._settings, key, attributes) for key, attributes in added]
        paths += [messages.path_message(self._settings, key, attributes, withdraw=True) for key, attributes in removed]
        if paths:
            await client.change(paths)
        self.held.update(added)
        for key, _ in removed:
            del self.held[key]
        return len(paths)


async def held_by(place: Place, settings: SessionSettings) -> dict[RouteKey, PathAttributes]:
    """Every route that a session's daemon holds, read from it over a connection of its own.

    Raises:
        TimeoutError: it does not answer.
    """
    try:
        async with DaemonClient(place.socket) as client:
            return await Table(settings).read(client)
    except (DaemonUnreachable, DaemonRefused) as error:
        raise TimeoutError(f"the gobgpd of {settings.peer}: {error}") from error
