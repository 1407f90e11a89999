"""The sockets of the endpoint."""

import asyncio
import socket

from dcmon.http import server
from tests.helpers.ports import free_port


def test_connection_sends_without_delay() -> None:
    """A response is two writes: with Nagle's algorithm, the second would wait for the client's acknowledgement."""
    port, delays = free_port(), list[int]()

    async def accept_one() -> None:
        def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection: socket.socket = writer.get_extra_info("socket")
            delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with server._listen("127.0.0.1", port) as listener:
            async with await asyncio.start_server(record, sock=listener):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                await reader.read()
                writer.close()

    asyncio.run(accept_one())
    assert delays == [1]
