"""The connections of the endpoint: slow and idle clients are cut, and their number is bounded.

uvicorn has a timeout only for idle connections; docs/decisions.md says why this is a subclass of its protocol.
"""

import asyncio
import json
import logging
from enum import IntEnum
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from dcmon.http import request_scope
from dcmon.settings import Http

log = logging.getLogger(__name__)
MAX_HEAD_BYTES = 32_768  # of a head that is not complete; Fallback has smaller bounds for complete ones
MAX_PIPELINED = 32  # requests that wait for the answers to earlier ones of their connection
LINGER_SECONDS = 5.0  # for a client that still sends its body while it is refused
HEAD_BEGIN = b"HTTP/1.1 "
SHORTEST_TICK_SECONDS, LONGEST_TICK_SECONDS = 0.05, 1.0


class Phase(IntEnum):
    """What a connection is doing. Under pressure, connections of lower phases are closed first."""

    CLOSING = 0  # the response is sent; the rest of the body is thrown away
    NEW = 1  # no request yet
    IDLE = 2  # between two requests
    HEAD = 3  # a part of a further request came
    BODY = 4  # the head came, the body is not complete
    WORKING = 5  # dcmon is working, or the client is reading the response


class _Times(NamedTuple):
    """Settings, in seconds and bytes."""

    head: float
    body: float
    body_bytes: float
    response: float
    connections: int

    @property
    def tick(self) -> float:
        """The time between two checks of a connection."""
        return max(SHORTEST_TICK_SECONDS, min(LONGEST_TICK_SECONDS, self.head / 4, self.body / 4, self.response / 4))


def options(settings: Http) -> dict[str, Any]:
    """Return the options of uvicorn.Config for connections."""
    # Any client can send bytes that are no HTTP request; a warning for each would fill the log.
    logging.getLogger("uvicorn.error").addFilter(_is_no_invalid_request)
    body = settings.body_time.total_seconds()
    times = _Times(
        settings.header_time.total_seconds(),
        body,
        body * settings.body_rate,
        settings.response_time.total_seconds(),
        settings.max_connections,
    )
    return {
        "http": type("BoundedProtocol", (BoundedProtocol,), {"times": times}),
        "timeout_keep_alive": settings.keep_alive.total_seconds(),
        "ws": "none",
        "server_header": False,
    }


def _is_no_invalid_request(record: logging.LogRecord) -> bool:
    return record.msg != "Invalid HTTP request received."


class _LingeringTransport:
    """A transport that lets a client finish its body before it is closed. All else is that of the real transport.

    Closing a socket with unread bytes makes the kernel send a reset, and the client would lose the response.
    """

    def __init__(self, transport: Any, protocol: "BoundedProtocol") -> None:
        self._transport, self._protocol = transport, protocol
        self._held: bytes | None = None  # the head of a response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write the head of a response together with the first part of its body: one system call, and one packet.

        After a refusal nothing more is written: the request may have been running when its client sent rubbish.
        """
        cycle = self._protocol.cycle
        if self._protocol.closes_at is not None:
            self._held = None
        elif self._held is None and cycle is not None and cycle.response_started and data.startswith(HEAD_BEGIN):
            self._held = data
            self._protocol.loop.call_soon(self.flush)  # if the body is not there yet
        elif self._held is not None:
            held, self._held = self._held, None
            self._transport.write(held + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write what is held."""
        held, self._held = self._held, None
        if held is not None and self._protocol.closes_at is None:
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._protocol.close_gently()

    def is_closing(self) -> bool:
        return self._protocol.closes_at is not None or self._transport.is_closing()


class PipelineFull(Exception):
    """A client sent too many requests without waiting for their answers."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is cut when its client is too slow."""

    times: _Times

    closes_at: float | None = None  # by the clock of the loop
    _opened_at = 0.0
    _timer: asyncio.TimerHandle | None = None
    _received_bytes = 0
    _bytes_before = 0  # received when the current phase began
    _bytes_of_requests = 0  # received when the last response was complete
    _since = 0.0  # when the current phase began
    _observed: tuple[Any, ...] = ()
    _running: Any = None  # the cycle that the application works on; `cycle` is the one that came last
    _bytes_of_messages = 0  # received when the last request was complete
    _is_broken = False  # what came after the last request is no request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch the connection. If there are too many, close one of those that wait."""
        super().connection_made(transport)
        self.transport = _LingeringTransport(transport, self)  # type: ignore[assignment]
        self._raw, self._since, self._opened_at = transport, self.loop.time(), self.loop.time()
        self._timer = self.loop.call_later(self.times.tick, self._check)
        if len(self.connections) > self.times.connections:
            self._make_way()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what came; throw it away if the response is sent already."""
        self._received_bytes += len(data)
        if self.closes_at is not None or self._is_broken:
            return
        super().data_received(data)
        if self.phase() == Phase.WORKING and self._received_bytes - self._bytes_of_messages > MAX_HEAD_BYTES:
            self.flow.pause_reading()  # until the response is sent
        # The parser keeps a head of any size. What is complete is checked by Fallback.
        is_in_head = self.closes_at is None and self.phase() < Phase.BODY
        if is_in_head and self._received_bytes - self._bytes_of_requests > MAX_HEAD_BYTES:
            self._refuse(431, f"The head of the request is larger than {MAX_HEAD_BYTES:,} bytes. Send fewer headers.")

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer complete requests of a client that closed its side, then close the connection; else close it at once.

        Most such clients have left: what is only computed for them ends. With TLS no transport can be half closed.
        """
        if self.scheme == "https" or self.phase() != Phase.WORKING:
            return False
        self.cycle.keep_alive = False
        for cycle in (self._running, self.cycle, *(waiting for waiting, _ in self.pipeline)):
            cycle.scope["state"][request_scope.IS_HALF_CLOSED] = True
        return True

    def on_message_begin(self) -> None:
        """Refuse a request if too many others wait: each of them needs memory."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise PipelineFull
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Remember where the request ends."""
        self._bytes_of_messages = self._received_bytes
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Remember where the next request begins. No more is read while requests wait."""
        self._bytes_of_requests = self._received_bytes
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()  # uvicorn would read more with each response, without a bound

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Close the connection, or let its request finish."""
        if self.closes_at is not None:
            self._raw.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer to bytes that are no HTTP request, in the JSON format of all errors.

        If an earlier request of the connection is not answered, it is: then the connection is closed without a word.
        """
        cycle, is_first = self.cycle, not self.pipeline
        if cycle is None or cycle.response_complete or (is_first and cycle.more_body and not cycle.response_started):
            self._refuse(400, "This is not an HTTP request that the endpoint understands. Use HTTP/1.1.")
            return
        if is_first and cycle.more_body:  # the answer has begun before the bad body came
            self._raw.abort()
            return
        if cycle.more_body:  # a request whose body is bad is not run
            self.pipeline.popleft()
        self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        self.cycle.keep_alive = False
        self._is_broken = True

    def close_gently(self) -> None:
        """Close the connection. If the client still sends, throw that away for some seconds first."""
        if self.closes_at is not None or self._raw.is_closing():
            return
        if not self._is_sending():
            self._raw.close()
            return
        self.closes_at = self.loop.time() + LINGER_SECONDS
        if self._raw.can_write_eof():
            self._raw.write_eof()
        if not self._raw.is_reading():
            self._raw.resume_reading()

    def _unsupported_upgrade_warning(self) -> None:
        """The endpoint has no WebSockets; a line for each such request would fill the log."""

    def _is_sending(self) -> bool:
        """Return True if the client has not sent its whole request."""
        return self.cycle is not None and bool(self.cycle.more_body)

    def phase(self) -> Phase:
        """Return what the connection is doing."""
        if self.closes_at is not None:
            return Phase.CLOSING
        if self.cycle is None:
            return Phase.NEW
        if self.cycle.response_complete:
            return Phase.HEAD if self._received_bytes > self._bytes_of_requests else Phase.IDLE
        return Phase.BODY if self.cycle.more_body else Phase.WORKING

    def _check(self) -> None:
        """Cut the connection if its client is too slow; otherwise check it again later."""
        now, phase = self.loop.time(), self.phase()
        self._timer = self.loop.call_later(self.times.tick, self._check)
        unsent = self._raw.get_write_buffer_size()
        observed = (phase, id(self.cycle), unsent)  # bytes of a head that arrive one by one change nothing here
        if observed != self._observed or self._waits_for_dcmon(phase):
            self._observed, self._since, self._bytes_before = observed, now, self._received_bytes
        seconds = now - self._since
        if (self.closes_at is not None and now >= self.closes_at) or (unsent and seconds > self.times.response):
            self._raw.abort()
        elif phase in (Phase.NEW, Phase.HEAD) and seconds > self.times.head:
            self._cut(f"The head of the request did not come within {self.times.head:g} s.")
        elif phase == Phase.BODY and seconds > self.times.body:
            if self._received_bytes - self._bytes_before < self.times.body_bytes:
                self._cut(f"The body came too slowly: less than {self.times.body_bytes:,.0f} bytes in {seconds:.0f} s.")
            self._since, self._bytes_before = now, self._received_bytes

    def _waits_for_dcmon(self, phase: Phase) -> bool:
        """Return True if the client may not send more now, because dcmon has not taken what it sent."""
        return phase == Phase.BODY and (self.flow.read_paused or self.cycle.waiting_for_100_continue)

    def _cut(self, message: str) -> None:
        """Answer 408 if no response has begun, and close the connection. A route that reads the body sees its end."""
        log.debug("connection of %s cut: %s", self.client, message)
        is_answered = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if self._received_bytes and not is_answered:
            self._refuse(408, f"{message} Send it faster; dcmon stored nothing of it.")
        else:
            self._raw.abort()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _refuse(self, status: int, message: str) -> None:
        """Send an error without the application, and close the connection."""
        self._unset_keepalive_if_required()
        content = json.dumps({"error_message": message, "additional_information": {}}).encode()
        head = (
            f"{STATUS_LINE[status].decode()}content-type: application/json\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\nx-request-id: {request_scope.new_id()}\r\n"
        )
        retry = "retry-after: 5\r\n" if status == 503 else ""
        self._raw.write(f"{head}{retry}\r\n".encode() + content)
        self.closes_at = self.loop.time() + LINGER_SECONDS
        if self._raw.can_write_eof():
            self._raw.write_eof()

    def _make_way(self) -> None:
        """Close connections that have waited longest in the lowest phase; if all work, refuse this one.

        Several are closed at a time, so that not each new connection needs a look at all others.
        """
        candidates = [
            connection
            for connection in self.connections
            if isinstance(connection, BoundedProtocol) and connection is not self and connection.may_be_evicted()
        ]
        candidates.sort(key=BoundedProtocol.eviction_rank)
        for connection in candidates[: max(1, self.times.connections // 20)]:
            connection._raw.abort()
        if not candidates:
            self._refuse(503, f"The endpoint has {self.times.connections:,} busy connections. Try again in 5 s.")

    def may_be_evicted(self) -> bool:
        """Return True if no authenticated request is lost when the connection is closed."""
        phase = self.phase()
        return phase < Phase.BODY or (phase == Phase.BODY and not self.scope["state"].get("access"))

    def eviction_rank(self) -> tuple[int, float]:
        """Return a value that is lower for connections that are closed earlier."""
        return self.phase(), self._opened_at
