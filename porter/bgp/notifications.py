"""Why a session ended, in words: what ExaBGP calls a reason, with the codes of NOTIFICATION (RFC 4271, section 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from porter.model.bgp import SessionSettings

_NOTIFICATION = re.compile(r"notification (sent|received) \((\d+),(\d+)\)")

_CODES: Mapping[int, str] = {
    1: "a damaged message header",
    2: "an OPEN message that is not acceptable",
    3: "a malformed UPDATE",
    4: "the hold time expired",
    5: "a message that does not belong there",
    6: "the session was ended",
    7: "a malformed ROUTE-REFRESH",
}
_SUBCODES: Mapping[tuple[int, int], str] = {
    (2, 1): "another version of BGP",
    (2, 3): "the router id is not acceptable: both sides have the same, or it is none",
    (2, 4): "a parameter that is not supported",
    (2, 6): "the hold time is not acceptable",
    (2, 7): "a capability is missing",
    (5, 1): "no OPEN message came",
    (6, 1): "more prefixes than the router allows; raise its limit",
    (6, 2): "it is shut down administratively",
    (6, 3): "the neighbour is not configured any more",
    (6, 4): "it was reset administratively",
    (6, 5): "the connection was rejected; see that our address and AS number are configured as a neighbour",
    (6, 6): "its configuration changed",
    (6, 7): "another connection took its place",
    (6, 8): "the router is out of resources",
    (6, 9): "the hold time expired, and the router gave up",
    (6, 10): "BFD found the path down",
}
BAD_PEER_AS = (2, 2)
LOST = "closing connection"
"""ExaBGP's reason for a connection that broke."""
_SILENCE = 4
_OURS: Mapping[tuple[int, int], str] = {
    (6, 2): "it is shut down administratively",
    (6, 3): "its settings changed, or its BgpPeer is gone",
    (6, 4): "it was reset",
    (6, 7): "another connection took its place",
    (6, 10): "BFD found the path down",
}
"""Cease from our side is nothing that the router did."""
_CEASE = 6
_BEGUN_ANEW = "graceful restarted negotiated, closing without sending any notification"
_STOPPED = "stop, message"


def explained(reason: str, settings: SessionSettings) -> str:
    """A reason of ExaBGP's for people, with its own words behind; those that say enough stay as they are."""
    found = _NOTIFICATION.search(reason)
    if found is None:
        return _without_notification(reason)
    side, codes = found[1], (int(found[2]), int(found[3]))
    if codes == BAD_PEER_AS:
        words = _bad_peer_as(side, settings)
    elif side == "sent":
        words = _ended_by_us(codes)
    else:
        words = f"the router ended it: {_words(codes)}"
    return f"{words} ({reason})"


def _words(codes: tuple[int, int]) -> str:
    return _SUBCODES.get(codes) or _CODES.get(codes[0], "for a reason that this release has no words for")


def _ended_by_us(codes: tuple[int, int]) -> str:
    if codes[0] == _SILENCE:
        return "the hold time expired: nothing came from the router for so long, or nothing could be sent to it"
    if codes[0] == _CEASE:
        return f"the speaker ended it: {_OURS.get(codes, 'ExaBGP could not go on with it')}"
    return f"ended over what the router sent: {_words(codes)}"


def _without_notification(reason: str) -> str:
    if reason == LOST:
        return f"the connection to the router broke ({reason})"
    if reason == _BEGUN_ANEW:
        # The text says no more than that there was no NOTIFICATION, which is how routers keep routes (RFC 4724).
        return "the speaker begins the session anew, as for changed settings; the router keeps its routes meanwhile"
    if reason.startswith(_STOPPED):
        return f"the speaker's ExaBGP ended it ({reason})"
    return reason


def _bad_peer_as(side: str, settings: SessionSettings) -> str:
    if side == "sent":
        return (
            f"the router has another AS number than {settings.peer_as}; correct spec.conf.peerAs, or see that "
            f"{settings.peer_address} is the router that is meant"
        )
    return (
        f"the router expects another AS number than our {settings.local_as}; correct spec.as of the BgpConf or "
        "spec.conf.localAs, or the neighbour's at the router"
    )
