"""ExaBGP's configuration: rendered from session settings, validated apart, and put in place atomically."""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from porter.bgp import relay
from porter.bgp.engine import environment
from porter.bgp.validation import complaint
from porter.files import PRIVATE, write_atomically
from porter.model.address import IPV4, IPV6, Family, family_of
from porter.model.bgp import PASSWORD_INLINE_PREFIX, PASSWORD_SECRET_PREFIX, SessionSettings
from porter.model.reasons import Problem, Reason

PROCESS_NAME = "porter"
MAX_PASSWORD_CHARACTERS = 80
"""TCP_MD5SIG_MAXKEYLEN of Linux."""
VALIDATION_TIMEOUT_S = 30.0
DIGEST_CHARACTERS = 16
GTSM_TTL = 255
"""RFC 5082, section 3."""

PasswordSource = Callable[[str], str | None]
"""Resolves `SessionSettings.password_source` to the key itself; None when it is not (yet) there."""

_FAMILY_WORDS: dict[Family, str] = {IPV4: "ipv4 unicast", IPV6: "ipv6 unicast"}
_PRINTABLE = re.compile(r"[!#-&(-:<-\[\]-z|~]+")
"""What a quoted word may hold: ASCII without blanks, quotes of both kinds (ExaBGP takes one for the end of the other),
backslashes, semicolons and braces."""


class InvalidSession(ValueError):
    """Settings that ExaBGP cannot honour; `field` names the one, the message the mend."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check_settings(settings: SessionSettings, password: str | None) -> None:
    """Refuse what ExaBGP would refuse or misunderstand.

    Raises:
        InvalidSession: names the field and the mend.
    """
    if family_of(settings.local_address) != family_of(settings.peer_address):
        raise InvalidSession("localAddress", "local and peer address must be of one family; set a matching one")
    if not settings.families:
        raise InvalidSession("families", "a session needs at least one family; name IPv4, IPv6 or both")
    if settings.password_source and password is None:
        raise _no_password(settings.password_source)
    if password is not None and not is_password(password):
        raise InvalidSession(
            _password_field(settings.password_source),
            f"a TCP MD5 key has 1 to {MAX_PASSWORD_CHARACTERS} printable ASCII characters without blanks, quotes, "
            "backslashes, semicolons and braces; choose another one",
        )
    if settings.ttl_security and settings.multihop_ttl:
        raise InvalidSession("ttlSecurity", "TTL security and multihop exclude each other; drop one of them")


EXABGP_RETRIES = "ExaBGP, which tries again at once, and then ever later up to a minute"
GOBGP_RETRIES = "GoBGP, which waits 5 to 10 seconds before each attempt"


def unsupported(settings: SessionSettings, retries: str) -> tuple[Problem, ...]:
    """What the engine has no counterpart for, with what it does instead (`retries`: one of the above)."""
    found = []
    if settings.connect_retry_s != SessionSettings._field_defaults["connect_retry_s"]:
        field = "spec.timers.config.connectRetry"
        message = f"{field} has no effect with {retries}; leave it out"
        found.append(Problem(Reason.FIELD_UNSUPPORTED, field, message))
    return tuple(found)


def is_password(text: str) -> bool:
    """Whether the engine and the kernel take a text as a TCP MD5 key."""
    return len(text) <= MAX_PASSWORD_CHARACTERS and _PRINTABLE.fullmatch(text) is not None


def _password_field(source: str) -> str:
    return "authPassword" if source.startswith(PASSWORD_INLINE_PREFIX) else "passwordSecret"


def _no_password(source: str) -> InvalidSession:
    field = _password_field(source)
    if field == "authPassword":
        message = (
            "the controller has not handed the password over yet: it keeps it in its state directory; run the speaker "
            "with the same --state-dir, or put the password into a Secret and name that in passwordSecret"
        )
    else:
        name = source.removeprefix(PASSWORD_SECRET_PREFIX)
        message = (
            f"there is no {name}/password in the folder of Secrets; create the Secret {name} in Porter's namespace "
            "with the key password, mount it, and start the speaker with --secrets-dir"
        )
    return InvalidSession(field, message)


def render(sessions: Sequence[SessionSettings], passwords: Callable[[str], str | None], socket_path: Path) -> str:
    """Render the whole configuration; each neighbour's description ends with the digest of it all."""
    relay_path = Path(relay.__file__)
    head = [
        f"process {PROCESS_NAME} {{",
        # Isolated and without site packages: the relay needs none, and starts in a third of the time.
        f"  run {sys.executable} -I -S {relay_path} {socket_path};",
        "  encoder json;",
        "}",
    ]
    neighbors = [_neighbor(settings, passwords(settings.password_source)) for settings in sessions]
    digest = sha256("\n".join(head + [line for lines in neighbors for line in lines]).encode()).hexdigest()
    blocks = [
        "\n".join([*lines, f'  description "{settings.peer} {digest[:DIGEST_CHARACTERS]}";', "}"])
        for settings, lines in zip(sessions, neighbors, strict=True)
    ]
    return "\n".join([f"# {digest[:DIGEST_CHARACTERS]}", *head, *blocks, ""])


def fragment(settings: SessionSettings, password: str | None) -> str:
    """A session's own part of a configuration: it stands in each that has this session."""
    return "\n".join([*_neighbor(settings, password), ""])


def digest_of(configuration: str) -> str:
    """The digest that a rendered configuration carries in its first line."""
    return configuration.partition("\n")[0].removeprefix("# ")


def _neighbor(settings: SessionSettings, password: str | None) -> list[str]:
    families = " ".join(f"{_FAMILY_WORDS[family]};" for family in settings.families)
    extended = settings.extended_next_hop and IPV4 in settings.families
    port = [f"  passive true; listen {settings.port};"] if settings.passive else [f"  connect {settings.port};"]
    ttl: list[str] = []
    if settings.ttl_security:
        ttl = [f"  outgoing-ttl {GTSM_TTL}; incoming-ttl {GTSM_TTL};"]
    elif settings.multihop_ttl:
        ttl = [f"  outgoing-ttl {settings.multihop_ttl};"]
    return [
        f"neighbor {settings.peer_address} {{",
        f"  router-id {settings.router_id};",
        f"  local-address {settings.local_address};",
        f"  local-as {settings.local_as}; peer-as {settings.peer_as};",
        f"  hold-time {settings.hold_time_s};",
        *port,
        *ttl,
        *([f'  md5-password "{password}";'] if password is not None else []),
        # Without it End-of-RIB goes out with the session's first breath, and the peer drops what it had kept.
        "  manual-eor true;",
        "  group-updates true;",
        "  adj-rib-out true;",
        "  adj-rib-in false;",
        f"  family {{ {families} }}",
        "  capability {",
        f"    graceful-restart {settings.restart_time_s};",
        "    route-refresh enable;",
        "    add-path send;",
        *(["    nexthop enable;"] if extended else []),
        "  }",
        f"  add-path {{ {families} }}",
        *(["  nexthop { ipv4 unicast ipv6; }"] if extended else []),
        f"  api {{ processes [ {PROCESS_NAME} ]; neighbor-changes; negotiated; send {{ parsed; update; }} }}",
    ]


_candidates = itertools.count()
"""Several may be read at once."""


async def validate(configuration: str, directory: Path) -> str:
    """Have a separate ExaBGP process read a configuration; return "" or what it complained of.

    A running ExaBGP that once failed to read its configuration never reads another one, so that it must not try.
    """
    candidate = directory / f".candidate.{os.getpid()}.{next(_candidates)}.conf"
    write_private(candidate, configuration)
    command = (sys.executable, "-m", "exabgp", "validate", str(candidate))
    try:
        return await complaint(
            command,
            "exabgp validate",
            timeout_s=VALIDATION_TIMEOUT_S,
            environment={**os.environ, **environment()},
        )
    finally:
        candidate.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically and durably; only its owner may read it, for it may hold keys."""
    write_atomically(path, text.encode("ascii"), durable=True, mode=PRIVATE)
