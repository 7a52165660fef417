"""Which peers an engine refuses now, and what of that is told: each refusal once, and its end."""

from __future__ import annotations

from porter.events.routed import PeerRejected
from porter.model.bgp import PeerKey


class Rejections:
    """The refusals of one configuration after another."""

    def __init__(self) -> None:
        self._present: dict[PeerKey, PeerRejected] = {}
        self._told: dict[PeerKey, PeerRejected] = {}

    def __contains__(self, peer: PeerKey) -> bool:
        return peer in self._present

    def begin(self) -> None:
        """A configuration is looked at: nothing of it is refused yet."""
        self._present = {}

    def reject(self, peer: PeerKey, field: str, message: str) -> None:
        """The engine refuses this peer's settings."""
        self._present[peer] = PeerRejected(peer, field, message)

    def standing(self) -> list[PeerRejected]:
        """What is refused, as it was told last."""
        return [event for _, event in sorted(self._told.items())]

    def news(self) -> list[PeerRejected]:
        """What is to be told when all were looked at; a refusal that is over, or whose peer left, has no message."""
        told, self._told = self._told, dict(self._present)
        over = [PeerRejected(peer, "", "") for peer in sorted(told.keys() - self._present.keys())]
        return [event for peer, event in sorted(self._present.items()) if told.get(peer) != event] + over
