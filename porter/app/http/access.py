"""Who may ask: anybody on this machine, and from elsewhere whoever the cluster's API server vouches for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from porter.app.settings_check import is_loopback
from porter.ports import Access, AccessUnavailable, Forbidden, Unauthenticated

OPEN = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked by kubelets and by Prometheus; a NetworkPolicy says from where."""
SCHEME = "Bearer "
USER = web.RequestKey("user", str)
"""Who asks; not there for what anybody may ask."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(access: Access | None) -> Any:
    """The middleware that admits a request, or turns it away with the reason and the mend.

    A client on loopback has entered the Pod or the machine already (`kubectl exec`, `kubectl port-forward`). It asks by
    a name of loopback: a page in a browser there may have another site's name point to it (DNS rebinding), and a proxy
    beside this process hands on what others ask.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        remote = request.remote or ""
        if is_loopback(remote) and is_loopback(_hostname(request.host)):
            request[USER] = f"loopback:{remote}"
            return await handler(request)
        if request.path in OPEN:
            return await handler(request)
        if access is None and is_loopback(remote):
            raise web.HTTPForbidden(text=f"asked for as {request.host!r}; ask by http://127.0.0.1:PORT, or localhost")
        if access is None:
            raise web.HTTPForbidden(text="clients of other machines cannot be authenticated outside of a cluster")
        sent = request.headers.get("Authorization", "")
        token = sent.removeprefix(SCHEME) if sent.startswith(SCHEME) else ""
        try:
            request[USER] = await access.admit(token, request.method.lower(), request.path)
        except Unauthenticated as error:
            raise web.HTTPUnauthorized(text=str(error), headers={"WWW-Authenticate": "Bearer"}) from error
        except Forbidden as error:
            raise web.HTTPForbidden(text=str(error)) from error
        except AccessUnavailable as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return await handler(request)

    return guarded


def _hostname(host: str) -> str:
    """The host of a `Host` header, without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].lower()
