"""TCP MD5 (RFC 2385) against real routers: keys from a folder of Secrets and from peers, and their rotation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from porter.app.passwords import Passwords
from porter.bgp.configuration import is_password
from porter.events.routed import PeerRejected
from tests.integration.bgp.lab import ADDRESS, settings, until
from tests.integration.bgp.test_routers import ROUTES

pytestmark = pytest.mark.timeout(120)

OLD, NEW = "0123abcdef", "n3w.Key-with_signs/+="
"""The old one would be valid base64 without its padding, which some programs guess at."""


class Keys:
    """The folder of Secrets and the file of the peers' own passwords."""

    def __init__(self, directory: Path) -> None:
        self.secrets, self.inline = directory / "secrets", directory / "passwords.json"
        self.resolver = Passwords(self.secrets, self.inline)

    def secret(self, name: str, password: str) -> None:
        (self.secrets / name).mkdir(parents=True, exist_ok=True)
        (self.secrets / name / "password").write_text(password)

    def peers(self, **passwords: str) -> None:
        self.inline.write_text(json.dumps(passwords))


async def with_keys(lab) -> Keys:
    await lab.speaker.crash()
    keys = Keys(lab.directory)
    lab.speaker.start(passwords=keys.resolver)
    return keys


async def rotate(lab, keys: Keys, sessions) -> None:
    assert keys.resolver.refresh()
    await lab.speaker.publisher.configure(sessions)


@pytest.mark.parametrize("kind", ["bird", "frr"])
async def test_a_rotated_password_restarts_its_own_session_alone(started, kind):
    keys = await with_keys(started)
    keys.secret("tor", OLD)
    keys.peers(inline=OLD)
    by_secret = getattr(started, kind)("secret", ADDRESS(2), password=OLD)
    inline = getattr(started, kind)("inline", ADDRESS(3), password=OLD)
    plain = getattr(started, kind)("plain", ADDRESS(4))
    speaker = started.speaker
    sessions = [
        settings("secret", by_secret.address, password_source="secret:tor"),
        settings("inline", inline.address, password_source="inline:inline"),
        settings("plain", plain.address),
    ]
    await speaker.publisher.configure(sessions)
    for name in ("secret", "inline", "plain"):
        speaker.want(name, ROUTES)
    await speaker.live("secret", "inline", "plain")
    for router in (by_secret, inline, plain):
        await router.holds(ROUTES)
    for router, change, name in (
        (by_secret, lambda: keys.secret("tor", NEW), "secret"),
        (inline, lambda: keys.peers(inline=NEW), "inline"),
    ):
        others = {"secret", "inline", "plain"} - {name}
        flaps = {other: speaker.view(other).flaps for other in others}
        router.with_password(NEW, *([ADDRESS(1)] if kind == "frr" else []))
        change()
        await rotate(started, keys, sessions)
        await until(lambda name=name: speaker.view(name).flaps >= 1, "the session begun anew")
        await speaker.live(name, timeout_s=60)
        await router.holds(ROUTES)
        assert {other: speaker.view(other).flaps for other in others} == flaps
        assert all(speaker.view(other).sync == "LIVE" for other in others)


async def test_a_missing_password_is_told_and_the_session_comes_with_it(started, capfd):
    keys = await with_keys(started)
    bird, other = started.bird("bird", ADDRESS(2), password=OLD), started.bird("other", ADDRESS(3))
    speaker = started.speaker
    sessions = [
        settings("bird", bird.address, password_source="secret:tor"),
        settings("other", other.address),
        settings("third", ADDRESS(5), password_source="inline:third"),
    ]
    await speaker.publisher.configure(sessions)
    speaker.want("other", ROUTES)
    await speaker.live("other")
    rejected = {event.peer: (event.field, event.message) for event in speaker.events if isinstance(event, PeerRejected)}
    assert {peer: field for peer, (field, _) in rejected.items()} == {"bird": "passwordSecret", "third": "authPassword"}
    assert "create the Secret tor in Porter's namespace" in rejected["bird"][1]
    keys.secret("tor", OLD)
    await rotate(started, keys, sessions)
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    await bird.holds(ROUTES)
    # Gone again, it still holds: the session, and one that begins anew.
    (keys.secrets / "tor" / "password").unlink()
    assert not keys.resolver.refresh()
    await speaker.publisher.configure(sessions)
    await until(lambda: speaker.publisher.configured, "the configuration read")
    assert speaker.view("bird").flaps == 0
    assert speaker.view("other").flaps == 0
    check_that_it_shows_nowhere(started, capfd)


def check_that_it_shows_nowhere(lab, capfd) -> None:
    assert OLD not in repr(lab.speaker.events)
    assert OLD not in "".join(capfd.readouterr())
    assert OLD not in (lab.directory / "exabgp.log").read_text()
    for pid in (lab.engine.pid, lab.engine.relay_pid):
        assert OLD.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert OLD.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    holding = [path for path in lab.directory.rglob("*") if path.is_file() and OLD.encode() in path.read_bytes()]
    assert {path.name for path in holding} == {"exabgp.conf", "bird.conf"}
    mode = (lab.directory / "exabgp.conf").stat().st_mode
    assert mode & 0o077 == 0


async def test_what_exabgp_complains_of_is_told_without_the_password(started, monkeypatch):
    keys = await with_keys(started)
    keys.secret("tor", OLD)
    speaker = started.speaker
    monkeypatch.setattr("porter.bgp.publisher.check_settings", lambda *_: None)
    await speaker.publisher.configure(
        [settings("bad", ADDRESS(2), password_source="secret:tor", router_id="nonsense", hold_time_s=1)]
    )
    await until(lambda: [event for event in speaker.events if isinstance(event, PeerRejected)], "the refusal")
    (event,) = (event for event in speaker.events if isinstance(event, PeerRejected))
    assert event.peer == "bad"
    assert "nonsense" in event.message
    assert OLD not in event.message


async def test_no_part_of_a_password_is_told_that_exabgp_reads_otherwise(started, monkeypatch, capfd):
    keys = await with_keys(started)
    admitted = "".join(character for character in map(chr, range(128)) if is_password(character))
    monkeypatch.setattr("porter.bgp.configuration.is_password", lambda _: True)
    keys.secret("tor", "n3wS3cret'Pa55")
    keys.secret("low", admitted[:80])
    keys.secret("high", admitted[80:])
    speaker = started.speaker
    await speaker.publisher.configure(
        [
            settings("tor", ADDRESS(2), password_source="secret:tor"),
            settings("low", ADDRESS(3), password_source="secret:low"),
            settings("high", ADDRESS(4), password_source="secret:high"),
        ]
    )
    await until(lambda: [event for event in speaker.events if isinstance(event, PeerRejected)], "the refusal")
    (event,) = (event for event in speaker.events if isinstance(event, PeerRejected))
    assert event.peer == "tor"
    assert "does not take the password" in event.message
    assert speaker.publisher.peers().keys() == {"low", "high"}, "ExaBGP takes every character that is admitted"
    told = "".join(capfd.readouterr())
    assert "refuses the configuration" in told
    assert not [part for part in ("n3wS", "Pa55") if part in repr(speaker.events) + told]


async def test_a_password_that_becomes_one_that_cannot_be_leaves_the_session_as_it_is(started):
    keys = await with_keys(started)
    keys.secret("tor", OLD)
    bird = started.bird("bird", ADDRESS(2), password=OLD)
    speaker = started.speaker
    sessions = [settings("bird", bird.address, password_source="secret:tor")]
    await speaker.publisher.configure(sessions)
    speaker.want("bird", ROUTES)
    await speaker.live("bird")
    keys.secret("tor", "n3wS3cret'Pa55")
    keys.resolver.refresh()
    await speaker.publisher.configure([*sessions, settings("other", ADDRESS(5))])
    await until(lambda: speaker.publisher.configured, "the configuration read")
    await speaker.live("bird")
    await bird.holds(ROUTES)
    assert speaker.view("bird").flaps == 0
