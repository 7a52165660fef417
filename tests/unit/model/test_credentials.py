"""No password or token is left in a text, however it is written; what is none stays."""

from __future__ import annotations

import pytest

from porter.model.credentials import hide_credentials, is_secret_name

SECRETS = [
    "cannot reach redis://porter:hunter2@db:6379/0",
    "cannot reach REDISS://:hunter2@db",
    "redis://porter:hun/hunter2@db:6379",
    "redis://porter:hun@hunter2@db:6379",
    "redis://:hun#?hunter2@db",
    "redis+sentinel://:x@a:1,b:2/main?sentinel_password=hunter2&db=0",
    "unix:///run/redis.sock?username=porter&password=hunter2",
    "connected with password=hunter2, retrying",
    'password: "hunter2 and more hunter2"',
    '{"redis_password": "hunter2"}',
    '{\\"token\\": \\"hunter2\\"}',
    'md5-password "hunter2";',
    "Authorization: Bearer hunter2.hunter2",
    "authorization: basic cG9ydGVyOmh1bnRlcjI=hunter2",
    "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
]
PLAIN = [
    "epoch 3 claimed by controller-0",
    "see https://example.org/docs and mail to nobody",
    "redis://db:6379/0 does not answer (start it): refused",
    "the peer tor-a has no passwordSecret of that name",
    "a session's password changed source=secret/router",
    "journal of 12 tokens",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_hidden(text):
    told = hide_credentials(text)
    assert "hunter2" not in told
    assert "***" in told


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text):
    assert hide_credentials(text) == text


def test_names_of_secrets():
    assert all(map(is_secret_name, ("password", "authPassword", "redis_password", "TOKEN", "md5", "x-api-key")))
    assert not any(map(is_secret_name, ("password_source", "event", "tokens", "why", "passwords")))
