"""Since when each next hop of an address is there without a break, read back from the journal.

1. From the baseline before the last event that touched the address, fold up to that event: a next hop that joins on the
   way is there since then.
2. One that was there at that baseline already is looked for before it in the same way, a few baselines back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import NamedTuple

from porter.app.history.follow import Folded, folded_from
from porter.app.history.route_watch import CARRIED, HopKey, Joined, RouteWatch, key_of
from porter.app.history.time_travel import baseline_before
from porter.events.decided import AddressAllocated
from porter.events.envelope import BEGINNING, Envelope
from porter.model.address import Address, prefix_address
from porter.model.reasons import Reason
from porter.ports import Corrupt, Journal, Newer, Trimmed
from porter.projections.cluster import ClusterState
from porter.projections.loc_rib import LocRoute

BASELINES_MAX = 4
"""How many times it is looked further back."""
FOLDED_MAX = 40_000
"""Most events that are folded for one question: it must not cost seconds."""
ADOPTED = frozenset({Reason.ADOPTED_FROM_STATUS, Reason.ADOPTED_FROM_SPEAKER})

Since = Mapping[Address, Mapping[HopKey, Joined]]
"""By address, the event by which each next hop joined; those of which the journal does not tell any more, or only far
back, are left out."""


class Asked(NamedTuple):
    """A host route as it stands at the moment that a question is about; `granted` if all of its next hops joined when
    the address was given to its Service alone, and nothing touched them since: then the journal need not be read."""

    route: LocRoute
    granted: bool


def routes_of(state: ClusterState, addresses: Iterable[Address]) -> list[Asked]:
    """The routes that some addresses have."""
    found = []
    for address in addresses:
        route = state.loc_rib.derived(address)
        if route is not None:
            holders = state.pools.by_address.get(address, ())
            alone = len(holders) == 1 and not holders[0].sharing_key and holders[0].reason not in ADOPTED
            found.append(Asked(route, alone and holders[0].position == route.position))
    return found


async def since(journal: Journal, asked: Collection[Asked]) -> Since:
    """When the next hops of some host routes joined.

    Raises:
        JournalError: the journal could not be read.
    """
    found: dict[Address, dict[HopKey, Joined]] = {}
    for given, _ in (one for one in asked if one.granted):
        by = Joined(given.position, given.since_ms, AddressAllocated.__name__)
        found[prefix_address(given.prefix)] = dict.fromkeys(map(key_of, given.next_hops), by)
    routes = {prefix_address(one.route.prefix): one.route for one in asked if not one.granted}
    wanted = {address: set(map(key_of, route.next_hops)) for address, route in routes.items()}
    touched = {address: route.position for address, route in routes.items()}
    left = FOLDED_MAX
    for _ in range(BASELINES_MAX):
        wanted = {address: keys for address, keys in wanted.items() if keys}
        if not wanted:
            break
        last = max(touched[address] for address in wanted)
        start = await state_before(journal, last)
        if start is None or last - start.checkpoint.position > left:
            break
        left -= last - start.checkpoint.position
        watch = RouteWatch(start.state, tuple(wanted))
        # Before a baseline, each is next looked for at the event that touched it last until then.
        earlier = {address: route for address in wanted if (route := start.state.loc_rib.derived(address)) is not None}
        try:
            for envelope in watch.relevant([one async for one in events_until(journal, start, last)]):
                watch.fold(envelope)
        except Trimmed:
            break
        for address, keys in wanted.items():
            joined = {key: watch.joined[address][key] for key in keys if key in watch.joined[address]}
            found.setdefault(address, {}).update({key: each for key, each in joined.items() if each != CARRIED})
            wanted[address] = {key for key, each in joined.items() if each == CARRIED}
            touched[address] = earlier[address].position if address in earlier else 0
    return found


async def state_before(journal: Journal, last: int) -> Folded | None:
    """The state of the newest baseline before the event at a position; None where it cannot be read.

    Raises:
        JournalError: the journal could not be read.
    """
    baseline = await baseline_before(journal, last - 1) if last > 1 else None
    try:
        return Folded(ClusterState.empty(), BEGINNING) if baseline is None else folded_from(baseline)
    except (Corrupt, Newer):
        # The question is about more than this; `porter verify` tells of the baseline.
        return None


async def events_until(journal: Journal, start: Folded, last: int) -> AsyncIterator[Envelope]:
    """The events behind a state, up to a position.

    Raises:
        JournalError: the journal could not be read.
    """
    async for page in journal.read(start.checkpoint):
        for commit in page:
            for envelope in commit.events:
                if envelope.position > last:
                    return
                yield envelope
        if page and page[-1].last_position >= last:
            return
