"""The id of each request, bounds of its head, and the answer to errors that no other layer expected."""

import os
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dcmon.http.error_responses import unexpected_error
from dcmon.http.responses import error_response
from dcmon.log import request_id

IS_HALF_CLOSED = "is_half_closed"  # in the state of a request: its client sends nothing more, and has perhaps left
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
MAX_TARGET_BYTES = 8_192
_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")


class RequestScope:
    """The outermost ASGI layer: it gives each request an id, and closes the connection if the body was not read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with an id in the state of the request and in the log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        scope.setdefault("state", {})["request_id"] = exchange.id
        token = request_id.set(exchange.id)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            request_id.reset(token)


class Fallback:
    """An ASGI layer that refuses heads that are too large, and answers to exceptions that have no handler."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, unless the head is too large. An unexpected error is logged once, here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            if (refusal := _refusal(scope)) is not None:
                await error_response(*refusal)(scope, receive, send)
            else:
                await self._app(scope, receive, send_and_note)
        except Exception as error:
            response = unexpected_error(scope["method"], scope["path"], error)
            if not has_started:  # otherwise the server closes the connection, and the client sees a cut body
                await response(scope, receive, send)


def new_id(headers: Iterable[tuple[bytes, bytes]] = ()) -> str:
    """Return the id that a client sent as x-request-id, if it is short and plain, otherwise a new one."""
    sent = next((value.decode("latin-1") for name, value in headers if name == b"x-request-id"), "")
    return sent if _ID.fullmatch(sent) else os.urandom(16).hex()


def _refusal(scope: Scope) -> tuple[int, str] | None:
    """Return status and message if the head of a request is too large, else None."""
    headers = scope["headers"]
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return 414, f"Path and query are longer than {MAX_TARGET_BYTES:,} bytes. Use a shorter query."
    if len(headers) > MAX_HEADERS:
        return 431, f"The request has more than {MAX_HEADERS} headers. Send fewer headers."
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return 431, f"The headers are larger than {MAX_HEADER_BYTES:,} bytes. Send fewer or shorter headers."
    return None


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.id = new_id(scope["headers"])
        # Without a body there is nothing to be read: the connection can be used again.
        self._is_read = not any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in scope["headers"]
        )

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"]  # Edge, inside this layer, has set it
            headers.append((b"x-request-id", self.id.encode()))
            if not self._is_read:  # the rest of the body is not waited for
                headers.append((b"connection", b"close"))
        await self._send(message)
