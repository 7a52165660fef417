"""The BGP engines that a speaker can have behind it."""

from __future__ import annotations

from porter.app.clock import SystemClock
from porter.app.passwords import Passwords
from porter.app.settings import Settings
from porter.bgp.bfd.publisher import BfdPublisher, CuttingPublisher
from porter.bgp.bfd.watch import BfdWatch
from porter.ports import Publisher


def publisher_of(settings: Settings, passwords: Passwords) -> Publisher:
    """The publisher of the engine that was chosen; only its own libraries are imported."""
    watch = BfdWatch(settings.name, settings.bfd_configuration, settings.bfd_socket, SystemClock())
    return BfdPublisher(_engine_of(settings, passwords), watch)


def _engine_of(settings: Settings, passwords: Passwords) -> CuttingPublisher:
    if settings.engine == "gobgp":
        from porter.bgp.backends.gobgp.publisher import GoBgpPublisher  # noqa: PLC0415

        return GoBgpPublisher(
            speaker=settings.name, directory=settings.gobgp_directory, clock=SystemClock(), passwords=passwords
        )
    from porter.bgp.publisher import ExaBgpPublisher  # noqa: PLC0415

    return ExaBgpPublisher(
        speaker=settings.name,
        socket_path=settings.relay_socket,
        configuration_path=settings.engine_configuration,
        clock=SystemClock(),
        passwords=passwords,
    )
