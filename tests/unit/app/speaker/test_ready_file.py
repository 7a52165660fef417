"""When a speaker says that it is ready."""

import asyncio
from dataclasses import dataclass, field

from porter.app.speaker.ready_file import announce_readiness, forget_readiness

SOON_S = 5.0


@dataclass
class View:
    sync: str = "DOWN"


@dataclass
class Peers:
    views: dict[str, View] = field(default_factory=lambda: {"a": View(), "b": View()})

    def peers(self):
        return self.views


async def test_every_session_has_its_routes_first(tmp_path):
    path, publisher, certain = tmp_path / "ready", Peers(), False
    task = asyncio.create_task(announce_readiness(path, publisher, lambda: certain))
    publisher.views["a"].sync = publisher.views["b"].sync = "LIVE"
    await asyncio.sleep(0.7)
    assert not path.exists(), "the state is not certain yet"
    publisher.views["b"].sync, certain = "SYNC", True
    await asyncio.sleep(0.7)
    assert not path.exists(), "a session is without its routes"
    publisher.views["b"].sync = "LIVE"
    await asyncio.wait_for(task, SOON_S)
    assert path.exists()
    forget_readiness(path)
    forget_readiness(path)
    assert not path.exists()


async def test_a_dead_router_is_not_waited_for_for_ever(tmp_path):
    path = tmp_path / "ready"
    await asyncio.wait_for(announce_readiness(path, Peers(), lambda: True, patience_s=0.1), SOON_S)
    assert path.exists()


async def test_a_folder_that_is_not_there_ends_nothing(tmp_path):
    await announce_readiness(tmp_path / "none" / "ready", Peers({}), lambda: True)
