"""A support bundle: everything that helps, nobody's names, no secret, and never more than it may hold."""

from __future__ import annotations

import ast
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from porter.app.history.moments import Moment
from porter.app.incident import collect as bundles
from porter.app.incident.collect import BUNDLE_BYTES_MAX, FOLDER, Entry, Wanted, bundle, collect
from porter.journal.export import ExportJournals
from tests.unit.app.incident.test_export import everything, private
from tests.unit.app.scripted_incident import exported, incident

METRICS = """# HELP porter_leader Whether this controller leads.
porter_leader 1.0
porter_pool_addresses{pool="public"} 2.0
porter_component_ready{component="journal"} 1.0
porter_bgp_session_up{peer="tor-a",speaker="speaker-0"} 1.0
"""
DOCTOR = {
    "version": "0.1.0",
    "checks": [
        {"name": "server", "verdict": "problem", "where": "x", "message": "redis://shop.example is away", "mend": "m"},
        {"name": "pools", "verdict": "problem", "where": "Eip/public", "message": "public is full", "mend": "m"},
    ],
}
LOG = (
    '{"event": "allocated", "level": "info", "timestamp": "2026-11-25T14:00:00Z", "service": "shop/web"}\n'
    "exabgp says something of tor-a\n"
    '{"event": "public gives shop/web 192.0.2.0 (#12)", "level": "info", "service": "shop/web", '
    '"action": "AddressAllocated", "reason": "DefaultPool", "position": 12}\n'
    '{"event": "Cannot connect to host speaker-0:6379", "level": "error"}\n'
    "[1]\n"
)


def unpacked(raw: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            assert member.name.startswith(f"{FOLDER}/")
            found[member.name.removeprefix(f"{FOLDER}/")] = file.read()
    return found


def texts(files: dict[str, bytes]) -> str:
    """Every text of a bundle, the journal's decoded."""
    told = [content.decode() for name, content in files.items() if not name.endswith(".porter-export")]
    return "\n".join([*told, *everything(ExportJournals.from_bytes(files["incident.porter-export"]))])


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "controller.log").write_text(LOG)
    return Wanted(Moment(1), True, tmp_path, METRICS, DOCTOR)


async def test_a_redacted_bundle_answers_everything_and_names_nobody(wanted):
    it = await incident()
    files = unpacked((await collect(it.streams, "porter", wanted))[0])
    assert {
        *("manifest.json", "versions.json", "status.json", "doctor.json", "peers.json", "pools.json", "services.json"),
        *("routes.json", "timeline.json", "conditions.json", "metrics.txt", "metrics-live.txt", "doctor-live.json"),
        *("incident.porter-export", "logs/controller.log"),
    } == files.keys()
    names = private(everything(ExportJournals.from_bytes(await exported(it)))) - {"porter", "leader"}
    assert {"shop", "web", "public", "tor-a", "speaker-0", "10.0.0.254", "checkout"} <= names
    text = texts(files)
    leaked = {name for name in names if re.search(rf"(?<![\w.:-]){re.escape(name)}(?![\w.:-])", text)}
    assert leaked == set()
    live = files["metrics-live.txt"].decode()
    assert 'component="journal"' in live
    assert "pool=" not in live
    assert json.loads(files["doctor-live.json"])["checks"] == [{"name": "server", "verdict": "problem"}]
    assert files["logs/controller.log"].decode().splitlines() == [
        '{"timestamp": "2026-11-25T14:00:00Z", "level": "info", "event": "allocated"}',
        '{"level": "info", "action": "AddressAllocated", "reason": "DefaultPool", "position": 12}',
        '{"event": "lines left out", "lines": 3}',
    ]


def test_a_redacted_log_keeps_all_that_the_programs_say_by_themselves():
    said = set()
    for path in Path(bundles.__file__).parents[2].rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
                continue
            logged = ast.unparse(call.func.value) in {"_log", "log"} and isinstance(call.args[0], ast.Constant)
            said |= {call.args[0].value} if logged else set()
    assert len(said) > 50
    assert {each for each in said if not bundles.FIXED.fullmatch(each)} == set()


async def test_without_redaction_everything_is_as_it_was(wanted):
    it = await incident()
    raw, manifest = await collect(it.streams, "porter", wanted._replace(redact=False))
    files = unpacked(raw)
    assert "shop/web" in files["timeline.json"].decode()
    assert files["logs/controller.log"].decode() == LOG
    assert files["metrics-live.txt"].decode() == METRICS
    assert json.loads(files["doctor-live.json"])["checks"] == DOCTOR["checks"]
    assert json.loads(files["doctor.json"])["checks"]
    assert manifest["redacted"] is False


async def test_a_password_that_another_program_logged_is_in_no_bundle(wanted):
    log = wanted.folder / "logs" / "controller.log"
    log.write_text(LOG + 'md5-password "hunter2";\nlost redis://:hun/hunter2@db:6379\n')
    raw, _ = await collect((await incident()).streams, "porter", wanted._replace(redact=False))
    told = unpacked(raw)["logs/controller.log"].decode()
    assert told == LOG + "md5-password ***;\nlost redis://:***@db:6379\n"


async def test_it_goes_back_as_far_as_there_is_anything():
    it = await incident()
    _, manifest = await collect(it.streams, "porter", Wanted(Moment(0, 1), False))
    assert manifest["first"] == 1


def manifest_of(raw: bytes) -> Any:
    return json.loads(unpacked(raw)["manifest.json"])


def test_what_does_not_fit_is_left_out_and_told(monkeypatch):
    monkeypatch.setattr(bundles, "BUNDLE_BYTES_MAX", 100)
    raw, manifest = bundle([Entry("a", b"x" * 60), Entry("b", b"x" * 60), Entry("c", b"x" * 40)], {})
    assert [one["name"] for one in manifest["files"]] == ["a", "c"]
    assert [(one["name"], one["bytes"]) for one in manifest["omitted"]] == [("b", 60)]
    assert manifest_of(raw) == manifest
    assert BUNDLE_BYTES_MAX <= 64 * 1024 * 1024


def test_a_log_is_taken_from_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "LOG_BYTES_MAX", 20)
    (tmp_path / "speaker.log").write_text("old " * 20 + "the newest line here")
    (entry,) = bundles._logs(Wanted(Moment(1), False, tmp_path))
    assert entry.content == b"the newest line here"
