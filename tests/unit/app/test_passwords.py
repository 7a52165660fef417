"""Where a speaker finds its sessions' passwords, and what becomes of one that vanishes."""

from __future__ import annotations

import asyncio
import json
import stat

import pytest

from porter.app import passwords
from porter.app.passwords import Passwords, keep_inline, read_inline


@pytest.fixture
def secrets(tmp_path):
    folder = tmp_path / "secrets"
    (folder / "tor").mkdir(parents=True)
    return folder


def put(secrets, password: str, name: str = "tor") -> None:
    (secrets / name).mkdir(exist_ok=True)
    (secrets / name / "password").write_text(password)


def resolver(tmp_path) -> Passwords:
    return Passwords(tmp_path / "secrets", tmp_path / "passwords.json")


def test_a_secret_is_a_file_of_its_folder_and_an_editors_newline_is_not_part_of_it(tmp_path, secrets):
    put(secrets, "s3cret\n")
    assert resolver(tmp_path)("secret:tor") == "s3cret"
    assert resolver(tmp_path)("secret:other") is None
    assert Passwords(None, tmp_path / "passwords.json")("secret:tor") is None


@pytest.mark.parametrize("name", ["../secrets/tor", "", ".", "..", "tor/../tor", "Tor", "/etc"])
def test_no_name_leads_out_of_the_folder(tmp_path, secrets, name):
    put(secrets, "s3cret")
    assert resolver(tmp_path)(f"secret:{name}") is None


def test_a_password_of_a_peer_is_found_under_the_peers_name(tmp_path):
    (tmp_path / "passwords.json").write_text('{"r1": "one"}')
    found = resolver(tmp_path)
    assert (found("inline:r1"), found("inline:r2")) == ("one", None)


@pytest.mark.parametrize("content", ["", "[]", '{"r1": 1}', "nonsense"])
def test_a_file_that_is_none_gives_nothing(tmp_path, content):
    (tmp_path / "passwords.json").write_text(content)
    assert resolver(tmp_path)("inline:r1") is None


def test_looking_again_tells_whether_something_changed(tmp_path, secrets):
    found = resolver(tmp_path)
    assert found("secret:tor") is None
    assert not found.refresh()
    put(secrets, "one")
    assert found.refresh()
    assert found("secret:tor") == "one"
    assert not found.refresh()
    put(secrets, "two")
    assert found("secret:tor") == "one", "it holds until somebody looks again"
    assert found.refresh()
    assert found("secret:tor") == "two"


@pytest.mark.parametrize("spoilt", [None, "", "with blank", "x" * 81])
def test_a_password_that_vanishes_or_is_none_goes_on_to_hold(tmp_path, secrets, spoilt, capsys):
    put(secrets, "s3cret")
    found = resolver(tmp_path)
    assert found("secret:tor") == "s3cret"
    if spoilt is None:
        (secrets / "tor" / "password").unlink()
    else:
        put(secrets, spoilt)
    assert not found.refresh()
    assert found("secret:tor") == "s3cret"
    assert "s3cret" not in capsys.readouterr().out
    put(secrets, "new")
    assert found.refresh()


async def test_the_controller_keeps_a_private_file(tmp_path, monkeypatch):
    monkeypatch.setattr(passwords, "POLL_S", 0.01)
    file = tmp_path / "passwords.json"
    present: dict[str, dict[str, str] | None] = {"now": None}
    task = asyncio.create_task(keep_inline(file, lambda: present["now"]))
    try:
        await asyncio.sleep(0.05)
        assert not file.exists(), "nothing is written before every object was seen"
        for wanted in ({"r1": "one", "r2": "zw\u00f6lf"}, {"r2": "two"}, {}):
            present["now"] = wanted
            async with asyncio.timeout(5):
                while not file.exists() or read_inline(file) != wanted:  # noqa: ASYNC110 - The disk sets no event.
                    await asyncio.sleep(0.01)
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert json.loads(file.read_text()) == wanted
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
