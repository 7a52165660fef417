"""Path attributes as they are once sent, so that what is wanted can be compared with what a session carried."""

from __future__ import annotations

from porter.model.bgp import PathAttributes, SessionSettings

DEFAULT_LOCAL_PREF = 100
"""What an internal session carries when nothing else is said (RFC 4271, section 5.1.5 demands some value)."""

WELL_KNOWN_COMMUNITIES = {
    "graceful-shutdown": "65535:0",
    "accept-own": "65535:1",
    "blackhole": "65535:666",
    "no-export": "65535:65281",
    "no-advertise": "65535:65282",
    "no-export-subconfed": "65535:65283",
    "nopeer": "65535:65284",
    "no-peer": "65535:65284",
}
"""Names of the IANA registry of well-known communities (RFC 1997, 3765, 7999, 8326), as numbers."""

_MAX_CACHED = 4096


class Canonicaliser:
    """Brings attributes into the form that one session sends; equal sets on the wire become equal values.

    An external session does not carry LOCAL_PREF, an internal one always does (RFC 4271, section 5.1.5); communities
    are a set without order (RFC 1997), so that they are sorted and written as numbers.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._internal = settings.local_as == settings.peer_as
        self._cache: dict[PathAttributes, PathAttributes] = {}

    def __call__(self, attributes: PathAttributes) -> PathAttributes:
        """Return the canonical form."""
        canonical = self._cache.get(attributes)
        if canonical is None:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            canonical = self._cache[attributes] = self._canonical(attributes)
        return canonical

    def _canonical(self, attributes: PathAttributes) -> PathAttributes:
        local_pref = None
        if self._internal:
            local_pref = DEFAULT_LOCAL_PREF if attributes.local_pref is None else attributes.local_pref
        return attributes._replace(
            local_pref=local_pref,
            communities=tuple(sorted({WELL_KNOWN_COMMUNITIES.get(name, name) for name in attributes.communities})),
            large_communities=tuple(sorted(set(attributes.large_communities))),
        )
