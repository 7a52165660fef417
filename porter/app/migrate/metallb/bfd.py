"""BFDProfile becomes `spec.bfd` of each peer that names it."""

from __future__ import annotations

from typing import Any

from porter.app.migrate.fields import Fields
from porter.model.bgp import (
    MAX_BFD_INTERVAL_MS,
    MAX_BFD_MULTIPLIER,
    MIN_BFD_INTERVAL_MS,
    MIN_BFD_MULTIPLIER,
)

NOTE = "spec.bfd of each BgpPeer that names it; BIRD runs BFD beside the speaker: set bfd.enabled=true in the chart"


def profile_of(fields: Fields) -> dict[str, Any]:
    """Convert a profile."""
    made: dict[str, Any] = {"enabled": True}
    bounds = {
        "receiveInterval": (MIN_BFD_INTERVAL_MS, MAX_BFD_INTERVAL_MS),
        "transmitInterval": (MIN_BFD_INTERVAL_MS, MAX_BFD_INTERVAL_MS),
        "detectMultiplier": (MIN_BFD_MULTIPLIER, MAX_BFD_MULTIPLIER),
    }
    for name, (low, high) in bounds.items():
        value = fields.integer(name, low, high)
        if value is not None:
            made[name] = value
            fields.kept(name, f"{value}: spec.bfd.{name}")
    if fields.flag("passiveMode"):
        made["passiveMode"] = True
        fields.kept("passiveMode", "true: spec.bfd.passiveMode")
    if fields.flag("echoMode"):
        fields.refused("echoMode", "BIRD has no echo mode; the intervals of control packets count alone")
    if fields.raw("echoInterval") is not None:
        fields.refused("echoInterval", "BIRD has no echo mode")
    if fields.raw("minimumTtl") is not None:
        fields.refused("minimumTtl", "BIRD takes multihop packets whatever their TTL is")
    fields.changed("", NOTE)
    fields.finish()
    return made
