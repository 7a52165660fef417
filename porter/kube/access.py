"""Clients of the HTTP API are known by their Kubernetes tokens, and what they may do by RBAC.

A token is reviewed for the audience `porter`, so that one which was sent to a controller opens nothing else
(TokenReview, authentication.k8s.io/v1). The right is that of a path which is no resource (`nonResourceURLs`), as the
API server has them for its own /metrics (SubjectAccessReview, authorization.k8s.io/v1).
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import msgspec

from porter.kube.client import ApiError, KubeClient
from porter.ports import AccessUnavailable, Forbidden, Unauthenticated

AUDIENCE = "porter"
REMEMBERED_S = 30.0
"""For how long an answer of the API server is taken without asking again; a right that was taken away holds so long."""
REMEMBERED_MAX = 256
TOKEN_CHARACTERS_MAX = 16_384
REVIEW_TIMEOUT_S = 3.0
ASKING_MAX = 8
"""So many clients are looked up at a time: a flood of wrong tokens must not become one at the API server."""
IDENTITY_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
HOW = "a token is had by `kubectl create token ACCOUNT --audience porter`"


class KubeAccess:
    """`porter.ports.Access` by the API server's word."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._admitted: dict[bytes, tuple[float, str]] = {}
        self._asking = 0

    async def admit(self, token: str, verb: str, path: str) -> str:
        """See `porter.ports.Access`. Only admissions are remembered, each by a digest of what was asked."""
        if not token or len(token) > TOKEN_CHARACTERS_MAX:
            raise Unauthenticated(f"a bearer token for the audience {AUDIENCE} is needed; {HOW}")
        asked = hashlib.sha256("\0".join((token, verb, path)).encode()).digest()
        until_s, user = self._admitted.get(asked, (0.0, ""))
        if time.monotonic() < until_s:
            return user
        if self._asking >= ASKING_MAX:
            raise AccessUnavailable(f"{ASKING_MAX} clients are being looked up already; try again")
        self._asking += 1
        try:
            found = await self._owner(token)
            user = str(found.get("username", ""))
            await self._check(found, verb, path)
        finally:
            self._asking -= 1
        if len(self._admitted) >= REMEMBERED_MAX:
            self._admitted.clear()
        self._admitted[asked] = (time.monotonic() + REMEMBERED_S, user)
        return user

    async def _owner(self, token: str) -> dict[str, Any]:
        status = await self._review(IDENTITY_REVIEWS, "TokenReview", {"token": token, "audiences": [AUDIENCE]})
        # Who authenticates without knowing of audiences names none: such a token was made for the API server.
        if not status.get("authenticated") or AUDIENCE not in (status.get("audiences") or ()):
            raise Unauthenticated(f"the token is not valid for the audience {AUDIENCE}; {HOW}")
        user: dict[str, Any] = status.get("user") or {}
        return user

    async def _check(self, user: dict[str, Any], verb: str, path: str) -> None:
        spec = {
            "user": user.get("username", ""),
            "groups": user.get("groups", []),
            "uid": user.get("uid", ""),
            "extra": user.get("extra", {}),
            "nonResourceAttributes": {"path": path, "verb": verb},
        }
        status = await self._review(ACCESS_REVIEWS, "SubjectAccessReview", spec)
        if not status.get("allowed"):
            raise Forbidden(
                f"{user.get('username')} may not {verb} {path}: bind it to the ClusterRole porter-viewer or "
                "porter-operator of this release"
            )

    async def _review(self, path: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        version = path.removeprefix("/apis/").rpartition("/")[0]
        body = {"apiVersion": version, "kind": kind, "spec": spec}
        try:
            answer = await self._client.request("POST", path, body=body, timeout_s=REVIEW_TIMEOUT_S)
            status: dict[str, Any] = msgspec.json.decode(answer)["status"]
        except (ApiError, msgspec.DecodeError, KeyError) as error:
            raise AccessUnavailable(f"the API server does not say who this client is: {error}") from error
        return status
