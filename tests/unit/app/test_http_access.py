"""Who is let in: loopback, probes, and whoever the port admits."""

from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from porter.app.http_access import USER, guard
from porter.ports import AccessUnavailable, Forbidden, Unauthenticated


class Access:
    """Admits one token."""

    def __init__(self):
        self.asked = []

    async def admit(self, token, verb, path):
        self.asked.append((token, verb, path))
        if token == "good":
            return "jane"
        raise {"": Unauthenticated, "other": Forbidden, "away": AccessUnavailable}[token]("no")


async def ask(access, remote, path="/v1/status", method="GET", token=None):
    """Who the handler is told of."""
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: (remote, 1) if name == "peername" else default
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = make_mocked_request(method, path, headers=headers, transport=transport)

    async def handler(request):
        return web.Response(text=request.get(USER, "nobody"))

    return (await guard(access)(request, handler)).text


@pytest.mark.parametrize("remote", ["127.0.0.1", "::1"])
async def test_loopback_needs_no_token(remote):
    access = Access()
    assert await ask(access, remote, method="POST", path="/v1/drain") == f"loopback:{remote}"
    assert access.asked == []


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_probes_and_prometheus_need_no_token(path):
    assert await ask(Access(), "192.0.2.9", path=path) == "nobody"


async def test_others_are_who_their_token_says():
    access = Access()
    assert await ask(access, "192.0.2.9", token="good", method="POST", path="/v1/drain") == "jane"
    assert access.asked == [("good", "post", "/v1/drain")]


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("other", 403), ("away", 503)], ids=["without", "no right", "server away"]
)
async def test_others_are_turned_away_with_a_reason(token, status):
    with pytest.raises(web.HTTPException) as refused:
        await ask(Access(), "192.0.2.9", token=token)
    assert refused.value.status == status
    assert refused.value.text == "no"


async def test_without_a_cluster_nobody_else_is_let_in():
    with pytest.raises(web.HTTPForbidden):
        await ask(None, "192.0.2.9", token="good")
