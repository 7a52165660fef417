"""An incident's file through the real command line and a real server: out, in, and the same answers everywhere."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import redis

from porter.journal.embedded import EmbeddedServer
from tests.unit.app.scripted_incident import exported, incident

SOURCE = Path(__file__).resolve().parents[3]


def porter(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "porter", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=SOURCE,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server: install it (scripts/setup)")
    server = EmbeddedServer(tmp_path_factory.mktemp("server"), program=Path(program))
    server.prepare()
    process = subprocess.Popen(server.command(), stdout=subprocess.DEVNULL)
    asyncio.run(server.wait_ready())
    yield server.url
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def marks_and_file(tmp_path_factory):
    async def made():
        it = await incident()
        return it.marks, await exported(it)

    marks, content = asyncio.run(made())
    file = tmp_path_factory.mktemp("incident") / "incident.porter-export"
    file.write_bytes(content)
    return marks, file


@pytest.fixture(scope="module")
def imported(url, marks_and_file):
    told = porter("import", marks_and_file[1], "--redis-url", url)
    assert told.returncode == 0, told.stderr
    return url


QUESTIONS = [
    ("status",),
    ("routes",),
    ("pools",),
    ("services",),
    ("peers",),
    ("explain", "shop/web"),
    ("explain", "192.0.2.0"),
    ("explain", "192.0.2.0/32"),
    ("explain", "n3"),
    ("explain", "peer/tor-a"),
    ("timeline",),
    ("timeline", "--service", "shop/web"),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_a_file_and_the_server_that_it_was_imported_into_answer_byte_for_byte(imported, marks_and_file, question):
    marks, file = marks_and_file
    then = ["--until" if question[0] == "timeline" else "--at", marks["router-down"]]
    for at, form in (([], "table"), (then, "json")):
        there = porter(*question, *at, "-o", form, "--from", file)
        here = porter(*question, *at, "-o", form, "--redis-url", imported)
        assert here.returncode in (0, 1), here.stderr
        assert (there.stdout, there.stderr, there.returncode) == (here.stdout, here.stderr, here.returncode)


def test_an_export_of_the_import_is_the_same_file(imported, marks_and_file, tmp_path):
    again = tmp_path / "again.porter-export"
    told = porter("export", "--redis-url", imported, "-o", again)
    assert told.returncode == 0, told.stderr
    assert again.read_bytes() == marks_and_file[1].read_bytes()
    assert again.stat().st_mode & 0o777 == 0o600, "it names all that is in the cluster"


def test_an_import_goes_into_an_empty_journal_only(imported, marks_and_file):
    told = porter("import", marks_and_file[1], "--redis-url", imported)
    assert told.returncode == 1
    assert "is there already" in told.stderr


def test_verify_ends_with_a_finding_where_a_bit_is_another(imported, marks_and_file, tmp_path):
    assert porter("verify", "--redis-url", imported).returncode == 0
    whole = porter("verify", "--from", marks_and_file[1], "-o", "json")
    assert (whole.returncode, json.loads(whole.stdout)["problems"]) == (0, [])
    damaged = bytearray(marks_and_file[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    told = porter("verify", "--from", tmp_path / "damaged")
    assert (told.returncode, "damaged was changed: " in told.stderr) == (1, True), told.stderr


def test_wrong_usage_names_the_mend(marks_and_file):
    for arguments, told in (
        (("import", marks_and_file[1]), "--redis-url is missing"),
        (("plan", "--from", marks_and_file[1]), "say what would change"),
        (("timeline", "--follow", "--from", marks_and_file[1]), "--follow waits"),
        (("status", "--from", "/nowhere"), "/nowhere cannot be read"),
        (("status", "--from", marks_and_file[1], "--at", "noon"), "--at 'noon' is no moment"),
    ):
        asked = porter(*arguments)
        assert (asked.returncode, told in asked.stderr) == (2, True), asked.stderr
    asked = porter("verify", "--server", "127.0.0.1:1")
    assert asked.returncode == 3
    asked = porter("routes", "--from", marks_and_file[1], "--at", "-10h")
    assert (asked.returncode, "lies before the first position" in asked.stderr) == (1, True), asked.stderr


def test_the_doctor_tells_what_is_wrong_with_the_server_and_with_the_cluster(imported, marks_and_file, tmp_path):
    told = porter("doctor", "--redis-url", imported, "-o", "json")
    checks = {one["name"]: one["verdict"] for one in json.loads(told.stdout)["checks"]}
    assert told.returncode == 1
    assert checks["server"] == checks["server.durability"] == checks["journal.state"] == "ok"
    assert checks["pools"] == "problem"
    table = porter("doctor", "--from", marks_and_file[1])
    assert (table.returncode, "Mends:" in table.stdout) == (1, True)
    assert "Eip public has no free IPv4 address" in table.stdout
    nobody = porter("doctor", "--redis-url", f"unix://{tmp_path}/no.sock", "-o", "json")
    assert nobody.returncode == 3
    assert json.loads(nobody.stdout)["checks"][0]["name"] == "reached"


@pytest.mark.parametrize("redact", ["--redact", "--no-redact"])
def test_a_support_bundle_holds_no_password_and_redacted_no_name(imported, tmp_path, redact):
    secret, name = "correct-horse-battery", f"reader{redact.strip('-')}"
    with redis.Redis(unix_socket_path=imported.removeprefix("unix://")) as client:
        client.execute_command("ACL", "SETUSER", name, "on", f">{secret}", "~*", "&*", "+@all")
    state = tmp_path / "state"
    (state / "logs").mkdir(parents=True)
    (state / "logs" / "speaker.log").write_text('{"event": "session up", "peer": "tor-a"}\n')
    for file in ("passwords.json", "exabgp.conf"):
        (state / file).write_text(f"md5-password '{secret}';")
    bundle = tmp_path / "support.tar.gz"
    url = imported.replace("unix://", f"unix://{name}:{secret}@")
    told = porter("collect", "--redis-url", url, "--since", 1, "--state-dir", state, "-o", bundle, redact)
    assert told.returncode == 0, told.stderr
    with tarfile.open(bundle) as archive:
        files = {Path(member.name).name: archive.extractfile(member).read() for member in archive}
    wanted = {
        "manifest.json",
        "doctor.json",
        "doctor-live.json",
        "timeline.json",
        "incident.porter-export",
        "speaker.log",
    }
    assert wanted <= files.keys()
    text = b"".join(files.values()) + porter("journal", "cat", "--from", _written(files, tmp_path)).stdout.encode()
    assert secret.encode() not in text
    assert (b"tor-a" in text, b"shop/" in text) == (redact == "--no-redact",) * 2
    assert secret not in told.stdout + told.stderr


def _written(files, folder):
    file = folder / "from-the-bundle"
    file.write_bytes(files["incident.porter-export"])
    return file
