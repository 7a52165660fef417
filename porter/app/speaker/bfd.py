"""The BIRD beside a speaker, which runs BFD: waits for the configuration that the speaker writes, then becomes BIRD.

There is a configuration only while a peer asks for BFD. It is its own program, so that the sessions of BFD outlive a
speaker that restarts.
"""

from __future__ import annotations

import asyncio
import os
import sys

import structlog

from porter.app.settings import InvalidSettings, Settings
from porter.bgp.bfd.daemon import (
    NotPermitted,
    PortTaken,
    ProgramMissing,
    check_permission,
    check_ports,
    command,
)
from porter.bgp.engine import wait_for_configuration

_log = structlog.get_logger(__name__)


def become_bird(settings: Settings) -> None:
    """Wait until a peer wants BFD, then replace this process by BIRD; returns never.

    Raises:
        InvalidSettings: there is no BIRD, the kernel does not let it work, or another one is at work at the same
            address; the message names the mend.
    """
    try:
        arguments = command(settings.bfd_configuration, settings.bfd_socket)
        check_permission()
    except (ProgramMissing, NotPermitted) as error:
        raise InvalidSettings(str(error)) from error
    if not settings.bfd_configuration.exists():
        _log.info("no peer asks for BFD yet", file=str(settings.bfd_configuration))
    asyncio.run(wait_for_configuration(settings.bfd_configuration))
    try:
        check_ports(settings.bfd_configuration.read_text(encoding="utf-8"))
    except PortTaken as error:
        raise InvalidSettings(str(error)) from error
    sys.stdout.flush()
    sys.stderr.flush()
    os.umask(0o007)
    os.execv(arguments[0], arguments)  # noqa: S606 -- a command of our own making.
