"""Who may ask a controller over HTTP."""

from __future__ import annotations

from typing import Protocol


class AccessError(Exception):
    """A client is turned away; the message says why, and what would help."""


class Unauthenticated(AccessError):
    """The token is missing, wrong, expired, or was issued for somebody else."""


class Forbidden(AccessError):
    """The client is known, and has no right to this."""


class AccessUnavailable(AccessError):
    """Who the client is could not be found out."""


class Access(Protocol):
    """Authenticates a bearer token, and decides whether its owner may do something to a path."""

    async def admit(self, token: str, verb: str, path: str) -> str:
        """Return the name of the token's owner.

        Args:
            token: the bearer token, without the word Bearer.
            verb: `get` or `post`.
            path: the path of the URL, such as `/v1/status`.

        Raises:
            Unauthenticated, Forbidden, AccessUnavailable: the client is turned away.
        """
        ...
