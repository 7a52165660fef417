"""Statuses beside a folder of manifests: what `ManifestSource` reads back and `ManifestStatusWriter` writes.

A status is the content of `.status/<kind>.<namespace>.<name>.json`. Beside the status' own fields, the key `metadata`
holds the uid, labels and annotations that were wanted with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from porter.files import write_atomically
from porter.kube.inventory import Inventory, ObjectKey, Seen
from porter.kube.wanted import WantedStatuses, WriteFailed
from porter.ports import Clock, ObjectStatus

_log = structlog.get_logger(__name__)

STATUS_FOLDER = ".status"


def status_path(folder: Path, key: ObjectKey) -> Path:
    """Return where an object's status is kept; the namespace is empty for cluster-scoped kinds."""
    return folder / STATUS_FOLDER / f"{key.kind}.{key.namespace}.{key.name}.json"


def read_status(folder: Path, key: ObjectKey) -> Seen | None:
    """Read a kept status; None where there is none, or none that can be read."""
    if "/" in key.name or "/" in key.namespace:
        return None
    try:
        tree = msgspec.json.decode(status_path(folder, key).read_bytes(), type=dict[str, Any])
        metadata = msgspec.convert(tree.pop("metadata", {}), type=_StatusMetadata)
    except (OSError, msgspec.DecodeError) as error:
        if not isinstance(error, FileNotFoundError):
            _log.warning("status unreadable", path=str(status_path(folder, key)), why=str(error))
        return None
    return Seen(metadata.uid, "", tree, metadata.labels, metadata.annotations)


class _StatusMetadata(msgspec.Struct, gc=False):
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ManifestStatusWriter(WantedStatuses):
    """The port `StatusWriter` over the folder that a `ManifestSource` fills `inventory` from."""

    def __init__(self, folder: Path, inventory: Inventory, leads: Callable[[], bool], clock: Clock) -> None:
        super().__init__(leads, clock)
        self._folder = folder
        self._inventory = inventory
        inventory.on_seen = self._look_at

    async def _present(self, key: ObjectKey) -> Seen | None:
        seen = self._inventory.seen(key)
        if seen is None:
            return None
        kept = await asyncio.to_thread(read_status, self._folder, key)
        if kept is None or kept.uid != seen.uid:
            return Seen(seen.uid, "", {}, {}, {})
        return kept

    async def _write(self, wanted: ObjectStatus, present: Seen) -> None:
        key = ObjectKey(wanted.kind, wanted.namespace, wanted.name)
        metadata = {
            "uid": wanted.uid,
            "labels": _merged(present.labels, wanted.labels),
            "annotations": _merged(present.annotations, wanted.annotations),
        }
        path = status_path(self._folder, key)
        content = msgspec.json.format(msgspec.json.encode({"metadata": metadata, **wanted.status}), indent=1)
        try:
            await asyncio.to_thread(path.parent.mkdir, exist_ok=True)
            await asyncio.to_thread(write_atomically, path, content + b"\n", durable=False)
        except OSError as error:
            raise WriteFailed(f"{path}: {error}; make room or mend the permissions") from error


def _merged(present: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**present, **wanted}
    return {key: value for key, value in merged.items() if value is not None}
