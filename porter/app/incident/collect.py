"""A support bundle: what somebody elsewhere needs to see what is wrong, in one file of bounded size.

Everything is answered from an export of the last hour, and with `redact` from a redacted one: what is not in the
journal's words cannot get in, and one name has one pseudonym in the whole bundle. Logs and the metrics of a running
controller are beside that; redacted, they keep nothing but what the programs themselves say.
"""

from __future__ import annotations

import json
import platform
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from porter import __version__
from porter.app.answer_json import Json, time_json
from porter.app.history.moments import Moment
from porter.app.history.streams import Streams
from porter.app.history.time_travel import as_of
from porter.app.incident import direct
from porter.app.incident.export import export_bytes
from porter.app.metrics.exposition import Self, measured
from porter.app.read_model import ReadModel
from porter.journal.export import ExportJournals
from porter.model.credentials import hide_credentials
from porter.ports import JournalMissing
from porter.projections.status import advertisement_statuses, conf_status, peer_status, pool_status
from porter.projections.status.services import service_conditions
from porter.telemetry.metrics import expose

BUNDLE_BYTES_MAX = 64 * 1024 * 1024
"""The most that a bundle holds, before it is compressed; what does not fit is left out, and the manifest says so."""
LOG_BYTES_MAX = 1024 * 1024
"""The most of one log, from its end."""
EVENTS_MAX = 10_000
FOLDER = "porter-support"
MANIFEST = "manifest.json"
QUESTIONS = ("status", "doctor", "peers", "pools", "services", "routes")
PACKAGES = ("exabgp", "redis", "hiredis", "kubernetes", "aiohttp", "msgpack", "opentelemetry-sdk", "prometheus-client")
LOG_FIELDS = ("timestamp", "level", "program", "event")
"""What a redacted log keeps of a line, if its event is a fixed sentence."""
OBJECT_FIELDS = ("timestamp", "level", "program", "action", "reason", "position")
"""And what of a line that repeats an object's Event: its sentence names objects, and stands in the history."""
FIXED = re.compile(r"(?:\(?(?:[A-Za-z]+(?:'[a-z]*)?|last-good)\)?[,;:.]?(?: |$))+")
"""A sentence of the programs themselves: words alone. What others log is put together from names, numbers and signs."""
SAFE_LABELS = frozenset({"component", "kind", "le", "projection", "quantile", "reason", "resource", "result", "state"})
"""Labels of metrics whose values are Porter's own words."""
TELEMETRY = "metrics-live.txt"


class Entry(NamedTuple):
    """One file of the bundle."""

    name: str
    content: bytes


class Wanted(NamedTuple):
    """What goes in: the history since then, with or without names, the folder of a local `porter up`, and what a
    controller said: its metrics as text, and its doctor's answer."""

    since: Moment
    redact: bool
    folder: Path | None = None
    metrics: str = ""
    doctor: Json = None


async def collect(streams: Streams, cluster: str, wanted: Wanted) -> tuple[bytes, Json]:
    """The bundle (a gzipped tar archive), and its manifest.

    Raises:
        BadQuestion: what is asked for is not kept any more.
        JournalError: a stream could not be read.
    """
    since = await _kept(streams, wanted.since)
    told, raw = await export_bytes(streams, cluster, since, redact=wanted.redact)
    exported = ExportJournals.from_bytes(raw)
    then = await as_of(exported, None)
    entries = [
        _json("versions.json", _versions(then.model)),
        *[_json(f"{name}.json", await direct.answer(exported, exported.cluster, name, {})) for name in QUESTIONS],
        _json("timeline.json", await _timeline(exported, since)),
        _json("conditions.json", conditions(then.model)),
        Entry("metrics.txt", expose(measured(then.model, Self(False, {}, 0, then.head.position)))[0]),
        *_said(wanted),
        Entry("incident.porter-export", raw),
        *_logs(wanted),
    ]
    return bundle(entries, {"first": told.first, "last": told.last, "redacted": wanted.redact, "digest": told.digest})


async def _kept(streams: Streams, since: Moment) -> Moment:
    """As far back as asked for, or as there is anything."""
    first = await streams.journal().commit_at(1)
    if first is None:
        raise JournalMissing("the journal is empty; there is nothing to collect")
    before = since.position < first.first_position if since.position else since.time_ms < first.time_ms
    return Moment(first.first_position) if before else since


def bundle(entries: Iterable[Entry], about: Mapping[str, Json]) -> tuple[bytes, Json]:
    """Pack entries in their order as far as they fit, with a manifest of what is in and what is not."""
    left, kept, omitted = BUNDLE_BYTES_MAX, list[Entry](), list[Json]()
    for entry in entries:
        if len(entry.content) > left:
            omitted.append({"name": entry.name, "bytes": len(entry.content), "why": f"{left} bytes were left for it"})
            continue
        left -= len(entry.content)
        kept.append(entry)
    files = [{"name": one.name, "bytes": len(one.content), "sha256": sha256(one.content).hexdigest()} for one in kept]
    manifest = {"version": __version__, **about, "files": files, "omitted": omitted}
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for entry in (_json(MANIFEST, manifest), *kept):
            information = tarfile.TarInfo(f"{FOLDER}/{entry.name}")
            information.size, information.mode = len(entry.content), 0o600
            archive.addfile(information, BytesIO(entry.content))
    return file.getvalue(), manifest


def conditions(model: ReadModel) -> Json:
    """What every object's status says of it, by kind and name."""
    state, sessions = model.state, model.sessions
    trees: dict[str, Json] = {}
    for name in sorted(state.inventory.confs):
        trees[f"BgpConf/{name}"] = conf_status(state, sessions, name).get("conditions", [])
    for name in sorted(state.inventory.peers):
        trees[f"BgpPeer/{name}"] = peer_status(state, sessions, name).get("conditions", [])
    for name in sorted(state.inventory.pools):
        trees[f"Eip/{name}"] = pool_status(state, name).get("conditions", [])
    for name, tree in sorted(advertisement_statuses(state).items()):
        trees[f"BgpAdvertisement/{name}"] = tree.get("conditions", [])
    for service in sorted(state.inventory.services.values(), key=lambda one: (one.namespace, one.name)):
        trees[f"Service/{service.namespace}/{service.name}"] = service_conditions(state, service.uid)
    return trees


def _json(name: str, value: Json) -> Entry:
    return Entry(name, json.dumps(value, indent=1, ensure_ascii=False).encode())


async def _timeline(exported: ExportJournals, since: Moment) -> Json:
    begin = str(since.position) if since.position else time_json(since.time_ms)
    query = {"since": begin, "limit": str(EVENTS_MAX)}
    return await direct.answer(exported, exported.cluster, "timeline", query)


def _versions(model: ReadModel) -> Json:
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "porter": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": packages,
        "speakers": {name: one.version for name, one in sorted(model.sessions.speakers.items())},
    }


# ------------------------------------------------------------------------------------- what stands beside the journal


def _said(wanted: Wanted) -> Iterator[Entry]:
    """What a running controller said of itself."""
    if wanted.metrics:
        text = "\n".join(_safe_metrics(wanted.metrics)) + "\n" if wanted.redact else wanted.metrics
        yield Entry(TELEMETRY, text.encode())
    if wanted.doctor is not None:
        checks = [one for one in wanted.doctor["checks"] if not wanted.redact or _is_own(one)]
        # A message may name whatever it is about; what a check is called and found may not.
        shown = [{"name": one["name"], "verdict": one["verdict"]} for one in checks] if wanted.redact else checks
        yield _json("doctor-live.json", {"version": wanted.doctor["version"], "checks": shown})


def _is_own(check: Json) -> bool:
    return str(check["name"]).partition(".")[0] in {"server", "journal", "clock", "leader", "parts"}


def _safe_metrics(text: str) -> Iterator[str]:
    """The lines whose labels say nothing of the cluster."""
    for line in text.splitlines():
        if line.startswith("#") or "{" not in line:
            yield line
            continue
        labels = {
            each.partition("=")[0].strip() for each in line.partition("{")[2].partition("}")[0].split(",") if each
        }
        if labels <= SAFE_LABELS:
            yield line


def _logs(wanted: Wanted) -> Iterator[Entry]:
    """The end of each part's log, where a `porter up` keeps them in this folder."""
    if wanted.folder is None:
        return
    shown: Callable[[bytes], bytes] = _redacted_log if wanted.redact else _whole_lines
    for path in sorted(wanted.folder.glob("**/*.log")):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - LOG_BYTES_MAX))
                content = file.read(LOG_BYTES_MAX)
        except OSError:
            continue
        yield Entry(f"logs/{path.name}", shown(content))


def _whole_lines(content: bytes) -> bytes:
    """All that was said; what other programs log may hold a password, which Porter's own logs never do."""
    return hide_credentials(content.decode(errors="replace")).encode()


def _redacted_log(content: bytes) -> bytes:
    """Of each line what was said, when, and how badly; one that may name something is left out, and counted."""
    kept, dropped = list[str](), 0
    for line in content.splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            dropped += 1
            continue
        names = OBJECT_FIELDS if isinstance(fields, dict) and "action" in fields else LOG_FIELDS
        if not isinstance(fields, dict) or ("event" in names and not FIXED.fullmatch(str(fields.get("event")))):
            dropped += 1
            continue
        kept.append(json.dumps({name: fields[name] for name in names if name in fields}))
    return "\n".join([*kept, json.dumps({"event": "lines left out", "lines": dropped}), ""]).encode()
