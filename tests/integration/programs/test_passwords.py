"""`porter up` with passwords: in the peer's object, in a mounted Secret, rotated; and nowhere to be seen."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml

from porter.app.demo.routers import BirdRouter, choose_router, free_port
from porter.app.demo.world import NODES, ROUTER_ADDRESS, SPEAKER_ADDRESS, World, peer
from tests.integration.programs.supervised import alive, pids, until
from tests.integration.programs.test_up import EVERY_HOP, READY_S, Up

INLINE, SECRET, ROTATED = "inl1ne-Pa55", "s3cret-Pa55", "r0tated-Pa55"


class Place:
    """A folder of manifests and one of Secrets, a BIRD that wants a password, and a running `porter up`."""

    def __init__(self, directory: Path, runner: asyncio.Runner, router: BirdRouter) -> None:
        self.directory, self.runner, self.router = directory, runner, router
        self.port = free_port(ROUTER_ADDRESS)
        self.world = World(directory / "manifests")
        self.world.build(self.port)
        self.world.serve("web", list(NODES))
        (directory / "router").mkdir()
        (directory / "secrets" / "tor").mkdir(parents=True)
        runner.run(router.start(directory / "router", self.port))

    def wants(self, password: str) -> None:
        """The router takes only sessions with this password from now on."""
        configuration = self.directory / "router" / "bird.conf"
        lines = [line for line in configuration.read_text().splitlines() if "password" not in line]
        lines.insert(lines.index("protocol bgp porter {") + 1, f'  password "{password}";')
        configuration.write_text("\n".join(lines) + "\n")
        subprocess.run(["birdc", "-s", str(configuration.with_name("bird.ctl")), "configure"], check=True)

    def peer(self, **conf: object) -> None:
        """Write the peer's object."""
        bgp = [each for each in yaml.safe_load_all((self.world.folder / "bgp.yaml").read_text()) if each]
        changed = peer(self.port)
        changed["spec"]["conf"] |= {key: value for key, value in conf.items() if key == "authPassword"}
        changed["spec"] |= {key: value for key, value in conf.items() if key != "authPassword"}
        self.world._write("bgp", *(each for each in bgp if each["kind"] != "BgpPeer"), changed)

    def secret(self, password: str) -> None:
        (self.directory / "secrets" / "tor" / "password").write_text(password)

    def hops(self) -> frozenset[str]:
        return frozenset().union(*self.runner.run(self.router.routes()).values())


@pytest.fixture
def place(tmp_path):
    router = choose_router("bird")
    assert isinstance(router, BirdRouter)
    with asyncio.Runner() as runner:
        here = Place(tmp_path, runner, router)
        here.wants(INLINE)
        here.peer(authPassword=INLINE)
        options = ("--http", "127.0.0.1:0", "--local-address", SPEAKER_ADDRESS, "--name", "one")
        up = Up(here.world, tmp_path / "state", *options, "--secrets-dir", str(tmp_path / "secrets"))
        try:
            yield here, up
        finally:
            up.process.terminate()
            up.process.wait(30)
            runner.run(router.stop())


def test_sessions_with_passwords_come_up_follow_them_and_never_show_them(place):
    here, up = place
    up.wait_ready()
    until(lambda: here.hops() == EVERY_HOP, "every path with the peer's own password", READY_S)
    file = up.directory / "passwords.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def peers() -> str:
        with urllib.request.urlopen(f"http://{(up.directory / 'http').read_text().strip()}/v1/peers") as answer:
            return answer.read().decode()

    here.peer(passwordSecret={"name": "tor"})
    until(lambda: "create the Secret tor" in peers(), "the missing Secret told", READY_S)
    here.secret(SECRET)
    here.wants(SECRET)
    until(lambda: here.hops() == EVERY_HOP, "every path with the Secret", READY_S)
    until(lambda: "Secret tor" not in peers(), "the refusal over", READY_S)
    up.wait_ready()
    assert file.read_text() == "{}"
    here.wants(ROTATED)
    until(lambda: here.hops() != EVERY_HOP or '"Established"' not in peers(), "the old password refused", READY_S)
    here.secret(ROTATED)
    up.wait_ready()
    until(lambda: here.hops() == EVERY_HOP, "every path with the rotated Secret", READY_S)
    shown = peers() + up.ask("events").stdout + up.ask("status").stdout + up.output.read_text()
    places = [up.directory, here.world.folder / ".status"]
    held = {path.name: path.read_bytes() for folder in places for path in folder.rglob("*") if path.is_file()}
    # ExaBGP's own configuration needs the present one; no other file holds any, the journal's included.
    configuration = up.directory / "exabgp.conf"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    assert ROTATED in configuration.read_text()
    for password in (INLINE, SECRET, ROTATED):
        assert password not in shown
        assert {name for name, content in held.items() if password.encode() in content} <= {"exabgp.conf"}
        for pid in filter(alive, pids(up.directory).values()):
            for kind in ("cmdline", "environ"):
                assert password.encode() not in Path(f"/proc/{pid}/{kind}").read_bytes()
