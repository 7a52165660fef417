"""Texts without the passwords and tokens that stand in them; rather too much is hidden than too little."""

from __future__ import annotations

import re

HIDDEN = "***"
SECRET_NAME = re.compile(
    r"(?:.*[_.-])?(?:pass|passwd|password|auth-?password|token|secret|authorization|md5|api-?key|private-?key)", re.I
)
"""Names of fields and parameters whose values are secrets, whole: `redis_password`, not `password_source`."""

_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://(?:[^\s:/?#@\"<>]*:)?)[^\s\"<>]*@", re.I)
"""Behind the user, up to the last `@`: passwords that were not percent-encoded hold slashes and further ones."""
_NAMED = re.compile(
    r"((?<![A-Za-z0-9])(?:pass|passwd|password|auth-?password|md5-?password|requirepass|masterauth|token|secret"
    r"|api-?key)\\?[\"']?(?:\s*[=:]\s*|\s+(?=[\"'])|%3d))(\\?\"[^\"]*\"|'[^']*'|[^\s&;,\"'}]+)",
    re.I,
)
_BEARER = re.compile(r"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.I)
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S)


def hide_credentials(text: str) -> str:
    """The text without what is a secret in it: in URLs, behind a secret's name, in a header, and private keys."""
    if "://" in text:
        text = _IN_URL.sub(rf"\1{HIDDEN}@", text)
    text = _NAMED.sub(rf"\1{HIDDEN}", text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    return _PEM.sub(rf"\1{HIDDEN}\2", text)


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return SECRET_NAME.fullmatch(name) is not None
