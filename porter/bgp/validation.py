"""Having a daemon's own program read a configuration, apart from the daemon that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

MAX_COMPLAINT_CHARACTERS = 2000
"""The end of what a program says, which is where its reason stands."""
UNFINISHED = "did not end within"


def unfinished(complaint: str) -> bool:
    """Whether nothing is known of the configuration, because the program was too slow."""
    return UNFINISHED in complaint


async def complaint(
    command: Sequence[str], told: str, *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program that validates; return "" where it ends well, or else what it complained of.

    Args:
        command: the program and its arguments.
        told: how it is named where it does not end in time.
        timeout_s: how long it may take; it is killed then.
        environment: its whole environment; this process' own if not given.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"{told} {UNFINISHED} {timeout_s:.0f} s"
    text = output.decode("utf-8", "replace").strip()
    return "" if process.returncode == 0 else (text[-MAX_COMPLAINT_CHARACTERS:] or f"exit code {process.returncode}")
