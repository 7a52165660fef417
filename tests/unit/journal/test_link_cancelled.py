"""Cancelling whoever uses a connection: it ends, whatever the connection was doing at that moment."""

import asyncio

from porter.journal.link import Link

CANCELLATIONS = 200
LAST_DELAY_S = 0.004
END_LIMIT_S = 5.0


async def answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that says OK to every command."""
    while received := await reader.read(65536):
        writer.write(b"+OK\r\n" * sum(line.startswith(b"*") for line in received.split(b"\r\n")))
    writer.close()


async def ask_for_ever(link: Link) -> None:
    while True:
        await link.call("PING")


async def test_a_cancelled_user_ends_at_every_moment(tmp_path):
    server = await asyncio.start_unix_server(answer_ok, tmp_path / "server")
    async with server:
        for number in range(CANCELLATIONS):
            link = Link(f"unix://{tmp_path}/server")
            user = asyncio.create_task(ask_for_ever(link))
            await asyncio.sleep(LAST_DELAY_S * number / CANCELLATIONS)
            user.cancel()
            done, _ = await asyncio.wait([user], timeout=END_LIMIT_S)
            assert done, f"cancelled after {number} steps of the delay, it goes on"
            assert user.cancelled()
            await link.close()
