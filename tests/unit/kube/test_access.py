"""What a TokenReview must say before its owner is let in; a real API server is asked in tests/integration/kube."""

import msgspec
import pytest

from porter.kube.access import AUDIENCE, IDENTITY_REVIEWS, KubeAccess
from porter.ports import Unauthenticated


class Client:
    """An API server that says this of every token, and allows everything."""

    def __init__(self, status):
        self.status = status

    async def request(self, _method, path, *, body, timeout_s):
        assert body["spec"].get("audiences", [AUDIENCE]) == [AUDIENCE]
        assert timeout_s
        return msgspec.json.encode({"status": self.status if path == IDENTITY_REVIEWS else {"allowed": True}})


async def test_a_token_for_this_audience_is_taken():
    status = {"authenticated": True, "user": {"username": "jane"}, "audiences": [AUDIENCE]}
    assert await KubeAccess(Client(status)).admit("token", "get", "/v1/status") == "jane"


@pytest.mark.parametrize("audiences", [{}, {"audiences": None}, {"audiences": []}, {"audiences": ["api"]}])
async def test_a_token_that_is_not_said_to_be_for_this_audience_is_not(audiences):
    """An authenticator that does not know of audiences takes every token, and names none."""
    client = Client({"authenticated": True, "user": {"username": "jane"}, **audiences})
    with pytest.raises(Unauthenticated):
        await KubeAccess(client).admit("token", "post", "/v1/drain")
