"""What the API server refuses, however its answer arrives."""

import json

from porter.kube.client import _error


class Arriving:
    """An answer whose body comes in pieces, as it does over a slow connection."""

    status, reason = 409, "Conflict"

    def __init__(self, *pieces):
        self.content = self
        self._pieces = list(pieces)

    async def read(self, most):
        return self._pieces.pop(0)[:most] if self._pieces else b""


async def test_a_refusal_that_arrives_in_pieces_is_read_as_a_whole():
    body = json.dumps({"kind": "Status", "reason": "AlreadyExists", "message": "it is there"}).encode()
    error = await _error("POST", "/api/v1/nodes", Arriving(body[:20], body[20:21], body[21:]))
    assert (error.status, error.reason) == (409, "AlreadyExists")
    assert "it is there" in str(error)


async def test_a_refusal_of_a_proxy_is_no_status():
    error = await _error("GET", "/api/v1/nodes", Arriving(b"<html>no", b"</html>"))
    assert (error.status, error.reason) == (409, "Conflict")
    assert "<html>no</html>" in str(error)
