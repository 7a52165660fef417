"""The GoBGP daemons beside a speaker, in place of ExaBGP: `porter gobgp` runs their keeper."""

from __future__ import annotations

import importlib.util

from porter.app.settings import InvalidSettings, Settings


def check_engine(settings: Settings) -> None:
    """Refuse an engine whose parts are not installed.

    Raises:
        InvalidSettings: names what is missing, and the mend.
    """
    if settings.engine != "gobgp":
        return
    if importlib.util.find_spec("grpc") is None:
        raise InvalidSettings("--engine gobgp needs the extra gobgp: pip install 'porter[gobgp]'")


def check_program() -> None:
    """Refuse to keep daemons on a machine without their program.

    Raises:
        InvalidSettings: gobgpd is not installed.
    """
    from porter.bgp.backends.gobgp.keeper import ProgramMissing, program  # noqa: PLC0415

    try:
        program()
    except ProgramMissing as error:
        raise InvalidSettings(str(error)) from error


async def run_keeper(settings: Settings) -> None:
    """Keep a daemon for each session that the speaker wants, until cancelled; then end them without a word."""
    from porter.bgp.backends.gobgp.keeper import Keeper  # noqa: PLC0415

    await Keeper(settings.gobgp_directory).run()
