"""Short forms of the objects that these tests convert."""

import json

OPT_IN = {"lb.kubesphere.io/v1alpha1": "openelb"}


def raw(
    kind: str, name: str = "web", *, namespace: str = "shop", metadata: dict | None = None, **rest: object
) -> bytes:
    """One object's JSON as the API server sends it."""
    namespaced = {"namespace": namespace} if kind in {"Service", "EndpointSlice"} else {}
    base = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7", **namespaced}
    return json.dumps({"kind": kind, "metadata": base | (metadata or {}), **rest}).encode()


def service(name: str = "web", *, annotations: dict | None = None, spec: dict | None = None, **rest: object) -> bytes:
    """An opted-in Service of type LoadBalancer with one port."""
    metadata = {"annotations": OPT_IN if annotations is None else annotations} | rest.pop("metadata", {})
    body = {"type": "LoadBalancer", "ports": [{"port": 80}]} | (spec or {})
    return raw("Service", name, metadata=metadata, spec=body, **rest)
