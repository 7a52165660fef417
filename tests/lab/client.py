"""A small synchronous client of the API server for tests: JSON over one HTTPS connection per thread."""

import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.lab.namespaces import Namespace
from tests.lab.waiting import eventually

Object = dict[str, Any]

REQUEST_TIMEOUT_S = 30.0
WAIT_TIMEOUT_S = 10.0
IDLE_MAX_S = 20.0
FIELD_MANAGER = "lab"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

# Which group and version a kind is asked for in, where only its name is given; the rest is the server's discovery.
API_VERSIONS = {
    "EndpointSlice": "discovery.k8s.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "Lease": "coordination.k8s.io/v1",
    "StatefulSet": "apps/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "Eip": "network.kubesphere.io/v1alpha2",
    "BgpConf": "network.kubesphere.io/v1alpha2",
    "BgpPeer": "network.kubesphere.io/v1alpha2",
    "BgpAdvertisement": "network.kubesphere.io/v1alpha2",
}


class ApiError(Exception):
    """The API server refused; ``status`` is HTTP's, ``reason`` the API's."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class Client:
    """Speaks to the API server as one user, from inside a namespace. Safe for use by several threads."""

    def __init__(self, namespace: Namespace, host: str, port: int, token: str, authority: Path) -> None:
        self._namespace = namespace
        self._host = host
        self._port = port
        self._token = token
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._local = threading.local()
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """One request; a closed connection is opened again. Raises ApiError, OSError."""
        text = self.request_text(method, path, None if body is None else json.dumps(body), content_type, query)
        answer: Object = json.loads(text)
        return answer

    def request_text(
        self,
        method: str,
        path: str,
        body: str | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> str:
        """One request with text as its body and answer. Raises ApiError, OSError."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": "application/json"}
        target = f"{path}?{urlencode(query)}" if query else path
        connection = self._connection()
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._local.connection = None
            raise OSError(f"{method} {path}: {error!r}") from error
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise _api_error(response.status, text)
        return text

    def create(self, manifest: Object, query: Mapping[str, str] | None = None) -> Object:
        """Create an object; its status is left out by the server where it is a subresource."""
        return self.request("POST", self._collection_of(manifest), manifest, query=query)

    def apply(self, manifest: Object) -> Object:
        """Server-side apply, taking over fields of other managers."""
        path = f"{self._collection_of(manifest)}/{manifest['metadata']['name']}"
        return self.request("PATCH", path, manifest, APPLY_PATCH, {"fieldManager": FIELD_MANAGER, "force": "true"})

    def patch(
        self,
        kind: str,
        name: str,
        changes: object,
        namespace: str = "default",
        subresource: str = "",
        content_type: str = MERGE_PATCH,
    ) -> Object:
        """Patch an object or its ``status``; by default a JSON merge patch (RFC 7386)."""
        path = self.path(kind, name, namespace) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, changes, content_type)

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """One object. Raises ApiError, with status 404 if there is none."""
        return self.request("GET", self.path(kind, name, namespace))

    def find(self, kind: str, name: str, namespace: str = "default") -> Object | None:
        """One object, or None."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Object]:
        """The objects of a kind, in one namespace or all, chosen by a label selector."""
        query = {"labelSelector": labels} if labels else None
        items: list[Object] = self.request("GET", self.path(kind, None, namespace), query=query)["items"]
        return items

    def delete(self, kind: str, name: str, namespace: str = "default", grace_s: int | None = None) -> None:
        """Delete an object; one that is not there is no error."""
        body = None if grace_s is None else {"gracePeriodSeconds": grace_s}
        try:
            self.request("DELETE", self.path(kind, name, namespace), body)
        except ApiError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise

    def wait(
        self,
        kind: str,
        name: str,
        condition: Callable[[Object], object],
        what: str,
        namespace: str = "default",
        timeout_s: float = WAIT_TIMEOUT_S,
    ) -> Object:
        """Wait until the object is there and ``condition`` holds for it, and return it. Raises NotInTime."""
        last: list[Object | None] = [None]

        def check() -> bool:
            last[0] = self.find(kind, name, namespace)
            return last[0] is not None and bool(condition(last[0]))

        eventually(check, f"{kind} {namespace}/{name}: {what}", timeout_s, ignore=(OSError,))
        assert last[0] is not None
        return last[0]

    def wait_gone(self, kind: str, name: str, namespace: str = "default", timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """Wait until there is no such object. Raises NotInTime."""
        eventually(lambda: self.find(kind, name, namespace) is None, f"{kind} {namespace}/{name} is gone", timeout_s)

    def path(self, kind: str, name: str | None, namespace: str | None, api_version: str | None = None) -> str:
        """The path of an object, or without a name of the kind's collection."""
        version = api_version or API_VERSIONS.get(kind, "v1")
        plural, namespaced = self._resource(version, kind)
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        scope = f"/namespaces/{namespace}" if namespaced and namespace is not None else ""
        return f"{root}{scope}/{plural}" + (f"/{name}" if name else "")

    def serves(self, kind: str) -> bool:
        """Whether the server knows a kind."""
        try:
            self._resource(API_VERSIONS.get(kind, "v1"), kind)
        except (ApiError, LookupError):
            return False
        return True

    def _collection_of(self, manifest: Object) -> str:
        namespace = manifest["metadata"].get("namespace", "default")
        return self.path(manifest["kind"], None, namespace, manifest["apiVersion"])

    def _resource(self, version: str, kind: str) -> tuple[str, bool]:
        if (version, kind) not in self._resources:
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            for resource in self.request("GET", root)["resources"]:
                if "/" not in resource["name"]:
                    self._resources[version, resource["kind"]] = (resource["name"], resource["namespaced"])
        if (version, kind) not in self._resources:
            raise LookupError(f"the server has no {kind} in {version}")
        return self._resources[version, kind]

    def _connection(self) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        now_s = time.monotonic()
        if connection is not None and now_s - self._local.used_s > IDLE_MAX_S:
            # The server ends connections that nothing comes over, and a request may meet that end.
            connection.close()
            connection = None
        self._local.used_s = now_s
        if connection is None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=REQUEST_TIMEOUT_S, context=self._tls
            )
            with self._namespace.entered():
                connection.connect()
            # A connection opened later by http.client itself would be in the wrong namespace.
            connection.auto_open = 0
            self._local.connection = connection
        return connection


def _api_error(status: int, text: str) -> ApiError:
    try:
        answer = json.loads(text)
    except ValueError:
        return ApiError(status, "", re.sub(r"\s+", " ", text))
    if not isinstance(answer, dict):
        return ApiError(status, "", text)
    return ApiError(status, answer.get("reason", ""), answer.get("message", ""))
