"""TLS handshakes: their number and their time are bounded, as those of connections are.

A server of asyncio or uvloop with TLS keeps connections whose handshake is not complete for a minute each, without a
bound, and tells no protocol of them. So the endpoint accepts connections itself.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

log = logging.getLogger(__name__)
ACCEPTED_AT_ONCE = 32  # connections in one turn of the loop
PAUSE_SECONDS = 1.0  # if no connection can be accepted, because the process has too many open files
CLOSING_SECONDS = 5.0  # for the last message of a client whose connection is closed


class Bounds(NamedTuple):
    """The longest time of a handshake, in seconds, and the largest number of them in this process."""

    seconds: float
    largest: int


class Handshakes:
    """Accepts connections, does their handshakes, and hands them to protocols. If there are too many, the oldest ends.

    `make_protocol`: makes the protocol of a connection.
    """

    def __init__(self, make_protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext, bounds: Bounds) -> None:
        self._make_protocol, self._context, self._bounds = make_protocol, context, bounds
        self._loop = asyncio.get_running_loop()
        self._pending = dict[asyncio.Task[None], socket.socket]()  # in the order in which they began
        self._tasks = set[asyncio.Task[None]]()  # also those that are about to end: a loop has only weak references
        self._listener: socket.socket | None = None

    def start(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        self._listener = listener
        listener.setblocking(False)
        listener.listen(2048)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more connections; handshakes go on."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def abort_all(self) -> None:
        """End all handshakes."""
        for connection in self._pending.values():
            _end(connection)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if self._listener is None:
                return
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted for %g s: %s", PAUSE_SECONDS, error)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(PAUSE_SECONDS, self._resume)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._shake_hands(connection))
            self._tasks.add(task)
            self._pending[task] = connection
            task.add_done_callback(self._forget)
            if len(self._pending) > self._bounds.largest:
                _end(self._pending.pop(next(iter(self._pending))))

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._pending.pop(task, None)

    def _resume(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._accept)

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol, connection, ssl=self._context,
                ssl_handshake_timeout=self._bounds.seconds, ssl_shutdown_timeout=CLOSING_SECONDS,
            )  # fmt: skip
        except OSError as error:  # any client can send bytes that are no handshake, or none
            log.debug("a TLS handshake failed: %s", error)
            connection.close()


def _end(connection: socket.socket) -> None:
    """Let a handshake fail, which closes its connection."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
