"""Sends an HTTP request to each target at a fixed pace, each over a connection of its own, and writes a line for each.

Started as ``python -I prober.py INTERVAL_S TIMEOUT_S ADDRESS:PORT...`` inside a client's namespace. A line has: the
monotonic second at which the request began, the target, how long it took in ms, and the answer, or ``!`` and the error.
"""

import asyncio
import sys
import time

ANSWER_BYTES = 4096


async def ask(target: str, timeout_s: float) -> None:
    """One request, one line."""
    host, _, port = target.rpartition(":")
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _get(host.strip("[]"), int(port))
    except (OSError, TimeoutError, ValueError) as error:
        answer = f"! {error!r}"
    took_ms = (time.monotonic() - began_s) * 1000
    sys.stdout.write(f"{began_s:.6f} {target} {took_ms:.1f} {answer}\n")
    sys.stdout.flush()


async def _get(host: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
        answer = (await reader.read(ANSWER_BYTES)).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    if not head.startswith("HTTP/1.1 200"):
        raise ValueError(f"answered {answer!r}")
    return body.strip()


async def probe(interval_s: float, timeout_s: float, targets: list[str]) -> None:
    """Keep the pace for ever, whatever the answers take."""
    running: set[asyncio.Task[None]] = set()
    next_s = time.monotonic()
    while True:
        for target in targets:
            task = asyncio.create_task(ask(target, timeout_s))
            running.add(task)
            task.add_done_callback(running.discard)
        next_s += interval_s
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(probe(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
