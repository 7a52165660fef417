"""BIRD's configuration for BFD alone: no routing protocol, no table, no socket of TCP.

BIRD 2 knows BFD's timers by interface, and once for all multihop sessions, not by neighbour. So the single-hop
sessions of a speaker share theirs, and so do its multihop sessions: the slowest that is asked for counts, because a
path that is given up too early costs routes, and one that is given up later costs what it costs without BFD.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from porter.bgp.bfd.sessions import Path
from porter.model.bgp import (
    DEFAULT_BFD_INTERVAL_MS,
    DEFAULT_BFD_MULTIPLIER,
    SessionSettings,
)
from porter.model.reasons import Problem, Reason

PROTOCOL = "porter"
IDLE_INTERVAL_S = 1
"""RFC 5880, section 6.8.3: while a session is not up, a packet a second at most."""
FIELD = "spec.bfd"


class Timers(NamedTuple):
    """What BFD is told of all sessions of one kind."""

    receive_ms: int = DEFAULT_BFD_INTERVAL_MS
    transmit_ms: int = DEFAULT_BFD_INTERVAL_MS
    multiplier: int = DEFAULT_BFD_MULTIPLIER
    passive: bool = False


def watched(sessions: Iterable[SessionSettings], before: Collection[Path] = ()) -> tuple[SessionSettings, ...]:
    """The sessions whose path BFD is to watch, by the peers' names.

    BIRD has one session of BFD for each router's address. It serves all sessions of BGP on its path; of several paths
    to one address the one is watched that was watched `before`, or else that of the first peer by name.
    """
    asking = sorted((one for one in sessions if one.wants_bfd), key=lambda one: one.peer)
    chosen: dict[str, Path] = {}
    for settings in sorted(asking, key=lambda one: Path.of(one) not in before):
        chosen.setdefault(settings.peer_address, Path.of(settings))
    return tuple(one for one in asking if chosen[one.peer_address] == Path.of(one))


def unwatched(settings: SessionSettings, sessions: Sequence[SessionSettings]) -> tuple[Problem, ...]:
    """Why a session that asks for BFD is not among the watched ones."""
    other = next(one for one in sessions if one.peer_address == settings.peer_address)
    message = (
        f"{FIELD} has no effect: BIRD has one session of BFD for each router's address, and that of "
        f"{settings.peer_address} watches the {_kind(other)} path from {other.local_address} for BgpPeer {other.peer}, "
        f"not the {_kind(settings)} one from {settings.local_address}; give both the same spec.transport.localAddress "
        "and spec.ebgpMultihop, or leave BFD out here and choose a short hold time"
    )
    return (Problem(Reason.FIELD_UNSUPPORTED, FIELD, message),)


def timers_of(sessions: Iterable[SessionSettings], *, multihop: bool) -> Timers:
    """The timers of one kind of sessions: the slowest asked for; passive only where all are."""
    asked = [_asked(settings) for settings in sessions if settings.bfd_multihop == multihop]
    if not asked:
        return Timers()
    receive, transmit, multipliers, passive = zip(*asked, strict=True)
    return Timers(max(receive), max(transmit), max(multipliers), all(passive))


def differing(settings: SessionSettings, sessions: Sequence[SessionSettings]) -> tuple[Problem, ...]:
    """What a session does not get as it asked, because others of its kind ask for slower timers."""
    timers = timers_of(sessions, multihop=settings.bfd_multihop)
    if timers == _asked(settings):
        return ()
    message = (
        f"{FIELD} counts with receiveInterval {timers.receive_ms}, transmitInterval {timers.transmit_ms}, "
        f"detectMultiplier {timers.multiplier} and passiveMode {str(timers.passive).lower()}: the {_kind(settings)} "
        "sessions of a speaker share their timers, and the slowest counts; write the same into all of these peers"
    )
    return (Problem(Reason.FIELD_UNSUPPORTED, FIELD, message),)


def render(sessions: Sequence[SessionSettings]) -> str:
    """The whole configuration; a change of timers or neighbours leaves the other sessions alone."""
    router_id = sessions[0].router_id if sessions else "127.0.0.1"
    lines = [
        "# Written by Porter's speaker; changes are lost.",
        "log stderr { info, remote, warning, error, auth, fatal, bug };",
        f"router id {router_id};",
        # Moments with their date, to a millisecond: `porter.bgp.bfd.control` reads them.
        "timeformat base iso long ms;",
        "timeformat protocol iso long ms;",
        "protocol device {}",
        f"protocol bfd {PROTOCOL} {{",
        # Bound to the speaker's own addresses, it leaves BFD's ports to others on the same node.
        "  strict bind yes;",
        f'  interface "*" {{ {_timer_words(timers_of(sessions, multihop=False))} }};',
        f"  multihop {{ {_timer_words(timers_of(sessions, multihop=True))} }};",
    ]
    for path in dict.fromkeys(Path.of(settings) for settings in sessions):
        kind = "yes" if path.multihop else "no"
        lines.append(f"  neighbor {path.peer_address} local {path.local_address} multihop {kind};")
    return "\n".join([*lines, "}", ""])


def _kind(settings: SessionSettings) -> str:
    return "multihop" if settings.bfd_multihop else "single-hop"


def _asked(settings: SessionSettings) -> Timers:
    return Timers(settings.bfd_receive_ms, settings.bfd_transmit_ms, settings.bfd_multiplier, settings.bfd_passive)


def _timer_words(timers: Timers) -> str:
    return (
        f"min rx interval {timers.receive_ms} ms; min tx interval {timers.transmit_ms} ms; "
        f"idle tx interval {IDLE_INTERVAL_S} s; multiplier {timers.multiplier}; "
        f"passive {'yes' if timers.passive else 'no'};"
    )
