"""Sessions in the words of an explanation: what each is like, since when, and where its speaker told so."""

from __future__ import annotations

from porter.app.answer_json import Json, time_json
from porter.projections.sessions import PeerSession


def number_of(count: int, one: str, several: str = "") -> str:
    """`1 path`, `2 paths`."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def standing_of(speaker: str, session: PeerSession | None) -> str:
    """What keeps a speaker's routes from its peer, as a clause; for one that is up, what it waits for."""
    if session is None:
        return f"{speaker} told of no session"
    if session.rejected:
        return f"{speaker} cannot have the session: {session.rejected_field}: {session.rejected}"
    if session.established:
        return f"{speaker} has sent it, and its confirmation is awaited"
    reason = session.reason or session.last_error or "no reason was told"
    since = f" since {time_json(session.since_ms)}" if session.since_ms else ""
    return f"{speaker} is {session.state}{since}: {reason}"


def place_json(speaker: str, session: PeerSession | None) -> Json:
    """The event in the speaker's own stream that brought the session into its state; None where it told of none."""
    if session is None or not session.changed:
        return None
    return {"stream": speaker, "position": session.changed}
