"""Reading files of manifests: bounded, safe, and completed as an API server would.

A file that cannot be read keeps its last good objects, with the problem named.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from porter.kube.inventory import ObjectKey
from porter.kube.objects import NAMESPACED

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_VALUES_PER_FILE = 300_000
"""Most values in one file after its aliases are expanded: a few lines of YAML can name billions."""

MAX_NAME_CHARACTERS = 230
"""Most characters of namespace and name together: both stand in the name of the status' file."""

MAX_FAULTS = 8
MAX_FAULT_CHARACTERS = 300
_UID_NAMESPACE = uuid.UUID("6f5d6b5c-3c1e-5f0e-9d0a-0d7d7a3b9c11")
_API_VERSIONS: dict[str, frozenset[str]] = {
    "Service": frozenset({"v1"}),
    "Node": frozenset({"v1"}),
    "Namespace": frozenset({"v1"}),
    "EndpointSlice": frozenset({"discovery.k8s.io/v1"}),
    "Eip": frozenset({"network.kubesphere.io/v1alpha2", "network.kubesphere.io/v1alpha1"}),
    "BgpConf": frozenset({"network.kubesphere.io/v1alpha2"}),
    "BgpPeer": frozenset({"network.kubesphere.io/v1alpha2"}),
    "BgpAdvertisement": frozenset({"network.kubesphere.io/v1alpha2"}),
    "ServiceCIDR": frozenset({"networking.k8s.io/v1"}),
    "ConfigMap": frozenset({"v1"}),
}
# libyaml's parser is ten times as fast; not every build of PyYAML has it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableManifest(ValueError):
    """A file that cannot be read as manifests; the message names the fault and the mend."""


class ManifestFile(NamedTuple):
    """A file as it was last looked at: what identifies its content, and the objects that it held when last good.

    `problem` is "" where that is now; `good` says whether the file could ever be read.
    """

    signature: tuple[int, int, int]
    objects: Mapping[ObjectKey, dict[str, Any]]
    problem: str = ""
    good: bool = True

    @property
    def age_s(self) -> float:
        """How long ago the file was written, in seconds."""
        return time.time() - self.signature[0] / 1e9


def look(path: Path, before: ManifestFile | None) -> ManifestFile:
    """Return a file's state: `before` itself where nothing changed.

    Raises:
        FileNotFoundError: it is gone.
    """
    stat = path.stat()
    signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    if before and before.signature == signature:
        return before
    try:
        faults: list[str] = []
        objects = dict(_objects(path, stat.st_size, faults))
        return ManifestFile(signature, objects, "; ".join(faults[:MAX_FAULTS]))
    except FileNotFoundError:
        raise
    except (UnreadableManifest, OSError) as error:
        stays = "its last good content stays" if before and before.good else "nothing of it is known yet"
        kept, good = (before.objects, before.good) if before else ({}, False)
        return ManifestFile(signature, kept, f"{error}; {stays}", good)


def _objects(path: Path, size_bytes: int, faults: list[str]) -> Iterator[tuple[ObjectKey, dict[str, Any]]]:
    """Yield the objects of a file that are of a kind of ours; faults of single objects are collected.

    Raises:
        UnreadableManifest: the file as a whole cannot be read.
    """
    if size_bytes > MAX_FILE_BYTES:
        raise UnreadableManifest(f"has {size_bytes} bytes; split it into files of at most {MAX_FILE_BYTES}")
    raw = path.read_bytes()
    budget = [MAX_VALUES_PER_FILE]
    try:
        documents = [msgspec.json.decode(raw)] if path.suffix == ".json" else yaml.load_all(raw, Loader=_Loader)
        for document in documents:
            yield from _kinds_of_ours(_plain(document, budget), faults)
    except (yaml.YAMLError, msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableManifest(
            f"holds no manifests: {' '.join(str(error).split())[:MAX_FAULT_CHARACTERS]}"
        ) from error


def _plain(value: object, budget: list[int]) -> Any:
    """Return a tree as JSON has it: nulls left out, keys as texts, dates as texts; every value counts."""
    budget[0] -= 1
    if budget[0] < 0:
        raise UnreadableManifest(f"holds more than {MAX_VALUES_PER_FILE} values; split it")
    if isinstance(value, dict):
        return {str(key): _plain(below, budget) for key, below in value.items() if below is not None}
    if isinstance(value, list):
        return [_plain(below, budget) for below in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return msgspec.to_builtins(value)


def _kinds_of_ours(document: Any, faults: list[str]) -> Iterator[tuple[ObjectKey, dict[str, Any]]]:
    if not isinstance(document, dict):
        if document is not None:
            raise UnreadableManifest("a document is no object; write apiVersion, kind and metadata")
        return
    kind = document.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _kinds_of_ours(item, faults)
        return
    if kind not in _API_VERSIONS or document.get("apiVersion") not in _API_VERSIONS[kind]:
        return
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        faults.append(f"a {kind} has no metadata.name; give it one, in quotes if it looks like a number")
        return
    namespace = str(metadata.get("namespace") or "default") if kind in NAMESPACED else ""
    if "/" in name + namespace or len(name) + len(namespace) > MAX_NAME_CHARACTERS:
        faults.append(f"a {kind}'s name or namespace is none that Kubernetes allows; write it as RFC 1123 says")
        return
    yield ObjectKey(kind, namespace, name), document


def completed(key: ObjectKey, tree: dict[str, Any]) -> dict[str, Any]:
    """Add what an API server would."""
    metadata = dict(tree["metadata"])
    metadata.pop("namespace", None)
    if key.namespace:
        metadata["namespace"] = key.namespace
    metadata.setdefault("uid", str(uuid.uuid5(_UID_NAMESPACE, "/".join(key))))
    content = msgspec.json.encode(tree, order="sorted")
    metadata.setdefault("resourceVersion", hashlib.sha256(content).hexdigest()[:12])
    return tree | {"metadata": metadata}
