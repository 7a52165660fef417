"""A speaker's process: the journal, the publisher and the outcome stream around a `Speaker`."""

from __future__ import annotations

import asyncio
import contextlib

from porter.app.passwords import Passwords
from porter.app.process import set_imports_aside
from porter.app.settings import Settings
from porter.app.speaker import engine_rib
from porter.app.speaker.publishers import publisher_of
from porter.app.speaker.ready_file import forget_readiness
from porter.app.speaker.speaker import Speaker
from porter.app.speaker.traced import ends
from porter.ports import JournalError
from porter.telemetry import tracing


async def run_speaker(settings: Settings) -> None:
    """Run a speaker until cancelled.

    Raises:
        InvalidSettings: the options contradict each other.
    """
    from porter.journal.outcomes import OutcomeStream  # noqa: PLC0415
    from porter.journal.redis import RedisJournals  # noqa: PLC0415

    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    forget_readiness(settings.ready_file)
    journals = RedisJournals(settings.redis_url, settings.cluster, writer=settings.name)
    outcomes = OutcomeStream(
        journals.speaker(settings.name), holder=settings.name, activated=lambda: speaker.state.ledger.activated
    )
    passwords = Passwords(settings.secrets_dir, settings.passwords_file)
    publisher = publisher_of(settings, passwords)
    tracer = tracing.connect("agent" if settings.topology == "node" else "speaker", settings.name)
    traced = ends(settings, publisher, outcomes, tracer)
    speaker = Speaker(settings, journals.journal(), traced.publisher, traced.outcomes, passwords, traces=traced.traces)
    set_imports_aside()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outcomes.run(), name="outcome stream")
            tasks.create_task(speaker.run(), name="speaker")
            tasks.create_task(speaker.declare(journals.readers(), outcomes.release), name="declaration")
            tasks.create_task(engine_rib.serve(publisher, settings.engine_rib_file), name="engine's routes")
    finally:
        if tracer is not None:
            tracer.close()
        with contextlib.suppress(JournalError):
            await journals.close()
