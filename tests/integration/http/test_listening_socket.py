"""The sockets of the endpoint."""

import asyncio
import socket
from contextlib import ExitStack

import uvicorn

from dcmon.http import server
from tests.helpers.ports import free_port

CLIENTS = 200


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


def test_clients_at_once_are_accepted_in_few_turns() -> None:
    """A turn of a busy loop takes long, so a connection that waits for 200 turns waits for seconds."""
    port = free_port()

    async def count_turns() -> int:
        loop, accepted = asyncio.get_running_loop(), list[asyncio.Protocol]()

        def accept() -> asyncio.Protocol:
            accepted.append(asyncio.Protocol())
            return accepted[-1]

        with ExitStack() as stack:
            listeners = server._several(stack.enter_context(server._listen("127.0.0.1", port)))
            for _ in range(CLIENTS):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            servers = [await loop.create_server(accept, sock=listener) for listener in listeners]
            turns = 0
            while len(accepted) < CLIENTS and turns < CLIENTS:
                turns += 1
                turn = loop.create_future()
                loop.call_soon(turn.set_result, None)
                await turn
            for each in servers:
                each.close()
            return turns

    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:  # as `dcmon serve` has it
        assert runner.run(count_turns()) <= CLIENTS / 10
