"""`ManifestSource`: the same facts from a folder of manifests, for a Porter without a cluster.

Every regular `*.yaml`, `*.yml` and `*.json` directly in the folder counts; a file may hold many documents, and Lists.
What an API server would add is made up: the namespace "default", a resourceVersion from the content, and a uid from
kind, namespace and name, so that an object deleted and written again is the same one unless it names a uid itself.
Objects' statuses are read from `.status/` when their manifest is read; that folder is not watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog
from watchfiles import awatch

from porter.events.catalogue import Event
from porter.kube.facts import FactSettings
from porter.kube.inventory import Inventory, ObjectKey
from porter.kube.manifest_files import ManifestFile, completed, look
from porter.kube.manifest_status import read_status, status_path
from porter.kube.objects import KINDS, Kind
from porter.ports import FactKey, FactKind

_log = structlog.get_logger(__name__)

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
MAX_FILES = 10_000
DEBOUNCE_MS = 50
QUIET_MS = 10
"""Changes are taken once nothing has changed for this long, at the latest after `DEBOUNCE_MS`."""

RESCAN_MS = 500
"""The folder is looked at this often even if the kernel tells of no change."""

SETTLE_S = 0.2
"""A file that was just written and lost objects may be half-written: it is read again when it is this old."""


class ManifestSource:
    """The port `Source` over a folder of manifests."""

    def __init__(self, folder: Path, settings: FactSettings | None = None) -> None:
        self.inventory = Inventory(settings or FactSettings())
        self.folder = folder
        self._files: dict[Path, ManifestFile] = {}
        self._encoded: dict[ObjectKey, tuple[dict[str, Any], bytes]] = {}
        self._problems: dict[str, str] = {}
        self._state = "not read yet"
        self._applied: dict[ObjectKey, bytes] = {}
        self._reading = asyncio.Lock()

    @property
    def facts(self) -> Mapping[FactKey, Event]:
        """The present fact of every object that concerns Porter."""
        return self.inventory.facts

    @property
    def synced(self) -> bool:
        """Whether the folder has been read."""
        return self.inventory.synced

    async def changed(self) -> frozenset[FactKey]:
        """Wait until facts or `synced` changed; return the facts' keys and forget them."""
        return await self.inventory.changed()

    async def refresh(self) -> None:
        """Read the folder once more, and the kept statuses: what was written meanwhile says what an object holds."""
        await self._read()
        known = dict(self._encoded)

        def encode() -> dict[ObjectKey, tuple[dict[str, Any], bytes]]:
            return {key: (tree, _with_status(self.folder, key, tree)) for key, (tree, _) in known.items()}

        for key, (tree, raw) in (await asyncio.to_thread(encode)).items():
            now = self._encoded.get(key)
            if now is not None and now[0] is tree and now[1] != raw:
                self._encoded[key] = (tree, raw)
                self._applied[key] = raw
                self.inventory.put(_kind(key), raw)

    def relist(self, kinds: Collection[FactKind]) -> None:
        """Nothing to do: a folder that was read is what it is, and `refresh` reads it."""

    def listed(self, kind: FactKind) -> bool:  # noqa: ARG002 -- a folder is read as a whole.
        """Whether the folder has been read."""
        return self.synced

    def parts(self) -> Mapping[str, str]:
        """The folder's state: "synced", or why not; and one entry for each file that could not be taken as it is."""
        return {"manifests": self._state} | {f"manifests/{name}": why for name, why in self._problems.items()}

    async def run(self) -> None:
        """Read the folder and follow its changes until cancelled; a folder that is missing is waited for."""
        while True:
            await self._read()
            with suppress(FileNotFoundError):
                await self._follow()
            await asyncio.sleep(RESCAN_MS / 1000)

    async def _follow(self) -> None:
        """Read whenever something changed, and now and then anyway, until the folder is gone."""
        changes = awatch(
            self.folder,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=QUIET_MS,
            rust_timeout=RESCAN_MS,
            yield_on_timeout=True,
            recursive=False,
        )
        async with aclosing(changes):
            async for _ in changes:
                if await self._read():
                    await asyncio.sleep(SETTLE_S)
                    await self._read()
                if not await asyncio.to_thread(self.folder.is_dir):
                    return

    async def _read(self) -> bool:
        """Read what changed and apply it; return whether some file must be looked at again soon."""
        async with self._reading:
            return await self._read_alone()

    async def _read_alone(self) -> bool:
        try:
            unsettled, raws = await asyncio.to_thread(self._scan)
        except OSError as error:
            self._state = f"{self.folder} cannot be read: {error}; create it, or name another with --manifests"
            return False
        unread = [path.name for path, file in self._files.items() if not file.good]
        if raws is not None:
            self._apply(raws, complete=not unread)
        self._state = "synced" if self.synced else f"{unread[0]} was never readable; mend or remove it"
        return unsettled

    def _scan(self) -> tuple[bool, dict[ObjectKey, bytes] | None]:
        """Look at every file; return whether one is unsettled, and all objects, or None where nothing changed."""
        paths = sorted(path for path in self.folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
        unsettled, changed = False, not self.synced
        files: dict[Path, ManifestFile] = {}
        for path in paths[:MAX_FILES]:
            before = self._files.get(path)
            try:
                now = look(path, before)
            except FileNotFoundError:
                continue
            if before and before.objects.keys() - now.objects.keys() and now.age_s < SETTLE_S:
                now, unsettled = before, True
            changed |= now is not before
            files[path] = now
        changed |= self._files.keys() != files.keys()
        problems = {path.name: file.problem for path, file in files.items() if file.problem}
        if len(paths) > MAX_FILES:
            problems["."] = f"holds {len(paths)} files; only the first {MAX_FILES} are read"
        raws = self._encode(_united(files, problems)) if changed else None
        for name, problem in problems.items():
            if problem != self._problems.get(name):
                _log.warning("manifests not honoured", file=name, why=problem)
        self._files, self._problems = files, problems
        return unsettled, raws

    def _encode(self, trees: Mapping[ObjectKey, dict[str, Any]]) -> dict[ObjectKey, bytes]:
        """Encode the objects as an API server would send them, each new one with its kept status."""
        encoded: dict[ObjectKey, tuple[dict[str, Any], bytes]] = {}
        for key, tree in trees.items():
            known = self._encoded.get(key)
            encoded[key] = known if known and known[0] is tree else (tree, _with_status(self.folder, key, tree))
        self._encoded = encoded
        return {key: raw for key, (_, raw) in encoded.items()}

    def _apply(self, raws: dict[ObjectKey, bytes], *, complete: bool) -> None:
        """Bring the inventory to `raws`; until all of the folder was read once, absence means nothing."""
        listing = not self.synced
        if listing:
            for kind in KINDS:
                self.inventory.begin_listing(kind)
        for key in self._applied.keys() - raws.keys():
            self.inventory.remove(_kind(key), self._applied[key])
            with suppress(FileNotFoundError):
                status_path(self.folder, key).unlink()
        for key, raw in raws.items():
            if listing or self._applied.get(key) != raw:
                self.inventory.put(_kind(key), raw)
        self._applied = raws
        if listing and complete:
            for kind in KINDS:
                self.inventory.end_listing(kind)


def _united(files: Mapping[Path, ManifestFile], problems: dict[str, str]) -> dict[ObjectKey, dict[str, Any]]:
    """Unite the files' objects; of two with one name that of the first file counts."""
    united: dict[ObjectKey, dict[str, Any]] = {}
    for path, file in files.items():
        for key, tree in file.objects.items():
            if key in united:
                problems[path.name] = f"{key.kind} {key.namespace}/{key.name} is in another file too; remove one"
            else:
                united[key] = tree
    return united


def _with_status(folder: Path, key: ObjectKey, tree: dict[str, Any]) -> bytes:
    """Encode an object, completed, and with the status that was kept for this very object."""
    tree = completed(key, tree)
    metadata = tree["metadata"]
    kept = read_status(folder, key)
    if kept and kept.uid in ("", metadata["uid"]):
        for name, values in (("labels", kept.labels), ("annotations", kept.annotations)):
            own = metadata.get(name)
            metadata[name] = {**(own if isinstance(own, dict) else {}), **values}
        tree["status"] = kept.status
    return msgspec.json.encode(tree)


def _kind(key: ObjectKey) -> Kind:
    return next(kind for kind in KINDS if kind == key.kind)
