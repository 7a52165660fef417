"""Who is let in: loopback, probes, and whoever the port admits."""

from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from porter.app.http.access import USER, guard
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


async def ask(access, remote, path="/v1/status", method="GET", token=None, host="127.0.0.1:9179"):
    """Who the handler is told of."""
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: (remote, 1) if name == "peername" else default
    headers = {"Host": host} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = make_mocked_request(method, path, headers=headers, transport=transport)

    async def handler(request):
        return web.Response(text=request.get(USER, "nobody"))

    return (await guard(access)(request, handler)).text


@pytest.mark.parametrize("remote", ["127.0.0.1", "::1"])
async def test_loopback_needs_no_token(remote):
    access = Access()
    assert await ask(access, remote, method="POST", path="/v1/drain") == f"loopback:{remote}"
    assert access.asked == []


@pytest.mark.parametrize("host", ["localhost", "LocalHost:9179", "127.0.0.1", "[::1]:9179"])
async def test_loopback_has_several_names(host):
    assert await ask(None, "127.0.0.1", host=host) == "loopback:127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example:9179", "evil.example", "10.0.0.7:9179", "[fd00::1]:9179", ""])
async def test_another_name_that_leads_to_loopback_is_not_trusted(host):
    """A page that has its own name resolve to loopback would be of the same origin, and could drain a node."""
    with pytest.raises(web.HTTPForbidden) as refused:
        await ask(None, "127.0.0.1", method="POST", path="/v1/drain", host=host)
    assert refused.value.text.startswith(f"asked for as {host!r}") or not host
    with pytest.raises(web.HTTPUnauthorized):
        await ask(Access(), "127.0.0.1", method="POST", path="/v1/drain", host=host)
    assert await ask(Access(), "127.0.0.1", token="good", host=host) == "jane"


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
