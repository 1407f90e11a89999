"""Requests with the header Idempotency-Key are carried out once; a repetition gets the stored answer.

See draft-ietf-httpapi-idempotency-key-header of the IETF. Requests without the header pass at once.
"""

import hashlib
import logging
import re
from collections.abc import Iterable

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dcmon import errors
from dcmon.app import App
from dcmon.http import auth, bodies
from dcmon.http.responses import error_response
from dcmon.tenancy import idempotency
from dcmon.tenancy.idempotency import Claim, StoredResponse

log = logging.getLogger(__name__)
HEADER, METHODS = b"idempotency-key", frozenset({"POST", "PUT", "PATCH"})
KEY = re.compile(r'"[\x21\x23-\x7e]{1,255}"|[\x21\x23-\x7e]{1,255}')  # quoted as the draft has it, or bare


class Once:
    """An ASGI application around another one."""

    def __init__(self, inner: ASGIApp, app: App) -> None:
        self._inner, self._app = inner, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope["headers"]) if scope["type"] == "http" and scope["method"] in METHODS else None
        if key is None:
            await self._inner(scope, receive, send)
            return
        try:
            response = await self._respond_once(key, scope, receive)
        except errors.DcmonError as error:
            response = error_response(error.status, str(error), error.details.get("information"))
            if "retry_after" in error.details:
                response.headers["retry-after"] = str(error.details["retry_after"])
        await response(scope, receive, send)

    async def _respond_once(self, key: str, scope: Scope, receive: Receive) -> Response:
        """Carry the request out, or return the stored answer. Raises DcmonError."""
        if not KEY.fullmatch(key):
            raise errors.InvalidInput("Idempotency-Key must have 1 to 255 visible ASCII characters, without spaces.")
        request = Request(scope, receive)
        # The body is held here and again by the route, and counts twice in the bytes that the process may hold.
        held = request.state.held_body = bodies.HeldBody(scope["app"].state.body_budget)
        try:
            return await self._claim_and_carry_out(key, request)
        finally:
            held.release()

    async def _claim_and_carry_out(self, key: str, request: Request) -> Response:
        access, scope = await auth.identify(request), request.scope
        body = bytearray()
        async for chunk in bodies.read_bounded(request, self._app.settings.http.max_body_bytes):
            body += chunk
        fingerprint = _fingerprint(scope, bytes(body))
        retention = self._app.settings.http.idempotency_retention
        claimed = await run_in_threadpool(
            idempotency.claim, self._app.engine, access.org, key.strip('"'), fingerprint, retention
        )
        if isinstance(claimed, StoredResponse):
            headers = {"idempotency-replayed": "true"}
            return Response(claimed.body, claimed.status, headers, claimed.content_type)
        return await self._carry_out(claimed, scope, bytes(body))

    async def _carry_out(self, claimed: Claim, scope: Scope, body: bytes) -> Response:
        """Let the application answer, and keep an answer of success. Others changed nothing and can be repeated."""
        recorder, is_stored = _Recorder(body), False
        try:
            await self._inner(scope, recorder.receive, recorder.send)
            if 200 <= recorder.status < 300 and len(recorder.body) <= idempotency.LARGEST_BODY:
                stored = StoredResponse(recorder.status, recorder.content_type, bytes(recorder.body))
                await run_in_threadpool(idempotency.store, self._app.engine, claimed, stored)
                is_stored = True
        except errors.DcmonError as error:
            log.warning("the answer to a request with Idempotency-Key was not stored: %s", error)
            is_stored = True  # the request is done: its key stays in use until its lease ends
        finally:
            if not is_stored:
                await run_in_threadpool(idempotency.release, self._app.engine, claimed)
        response = Response(bytes(recorder.body), recorder.status)
        response.raw_headers = recorder.headers
        return response


class _Recorder:
    """Gives the application the body, and keeps what it sends."""

    def __init__(self, body: bytes) -> None:
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self.status, self.headers, self.body = 500, list[tuple[bytes, bytes]](), bytearray()

    async def receive(self) -> Message:
        message, self._request = self._request, None
        return message if message is not None else {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")

    @property
    def content_type(self) -> str | None:
        return next((value.decode("latin-1") for name, value in self.headers if name == b"content-type"), None)


def _key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode("latin-1").strip() for name, value in headers if name == HEADER), None)


def _fingerprint(scope: Scope, body: bytes) -> bytes:
    """Return a hash of a request: an equal one has the same."""
    digest = hashlib.sha256()
    for part in (scope["method"].encode(), scope["path"].encode(errors="surrogateescape"), scope["query_string"], body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
