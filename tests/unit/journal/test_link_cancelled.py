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


async def answer_of_sentinel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A sentinel whose master is the place that was asked, and that master: OK to every other command."""
    host, port = writer.get_extra_info("sockname")[:2]
    words = ("ip", host, "port", str(port), "flags", "master")
    state = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    while received := await reader.read(65536):
        commands = sum(line.startswith(b"*") for line in received.split(b"\r\n"))
        writer.write(state.encode() if b"SENTINEL" in received else b"+OK\r\n" * commands)
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


async def open_for_ever(link: Link) -> None:
    while True:
        await link.call("PING")
        await link.close()


async def test_a_user_that_asks_sentinels_ends_when_it_is_cancelled():
    server = await asyncio.start_server(answer_of_sentinel, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for number in range(CANCELLATIONS):
            link = Link(f"redis+sentinel://127.0.0.1:{port}/porter")
            user = asyncio.create_task(open_for_ever(link))
            await asyncio.sleep(5 * LAST_DELAY_S * number / CANCELLATIONS)
            user.cancel()
            done, _ = await asyncio.wait([user], timeout=END_LIMIT_S)
            assert done, f"cancelled after {number} steps of the delay, it goes on"
            assert user.cancelled()
            await link.close()
