"""Requests with the header Idempotency-Key are carried out once; a repetition gets the stored answer.

See draft-ietf-httpapi-idempotency-key-header of the IETF. The guard calls this after the token, the permission and the
bounds of the body, so a repetition needs the same access as the first request.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError

from dcmon import errors
from dcmon.http import bodies
from dcmon.tenancy import idempotency
from dcmon.tenancy.idempotency import LEASE, Claim, StoredResponse

log = logging.getLogger(__name__)
METHODS = frozenset({"POST", "PUT", "PATCH"})
KEY = re.compile(r'"[\x21\x23-\x7e]{1,255}"|[\x21\x23-\x7e]{1,255}')  # quoted as the draft has it, or bare
RENEWAL = LEASE / 4
NO_KEY = (
    "The answer of this route has a secret, which dcmon does not store, so it can't be repeated."
    " Send the request without Idempotency-Key."
)


def answers_with_secret(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a route whose answer has a token or another secret: it refuses Idempotency-Key, and nothing is stored."""
    endpoint.answers_with_secret = True  # type: ignore[attr-defined]
    return endpoint


def has_secret(endpoint: Callable[..., Any]) -> bool:
    """Return True for a route whose answer has a secret."""
    return getattr(endpoint, "answers_with_secret", False)


def key_of(request: Request, endpoint: Callable[..., Any]) -> str | None:
    """Return the key of a request; None if it has none. Raises InvalidInput or Unprocessable."""
    key = request.headers.get("idempotency-key") if request.method in METHODS else None
    if key is None:
        return None
    if not KEY.fullmatch(key := key.strip()):
        raise errors.InvalidInput("Idempotency-Key must have 1 to 255 visible ASCII characters, without spaces.")
    if has_secret(endpoint):
        raise errors.Unprocessable(NO_KEY)
    return key.strip('"')


async def respond(request: Request, key: str, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Carry an admitted request out, or return the stored answer. Raises DcmonError."""
    app, access, is_read_by_route = request.app.state.app, request.state.access, not hasattr(request, "_body")
    fingerprint = _fingerprint(request, await _body(request))
    retention = app.settings.http.idempotency_retention
    claimed = await run_in_threadpool(idempotency.claim, app.engine, access.org, key, fingerprint, retention)
    if isinstance(claimed, StoredResponse):
        return Response(claimed.body, claimed.status, {"idempotency-replayed": "true"}, claimed.content_type)
    if is_read_by_route:
        request.state.held_body.release()  # the route reads it from the request, and takes its bytes of the budget
    return await _carry_out(request, claimed, handle)


async def _body(request: Request) -> bytes:
    """Return the body as it was sent. It stays in the request for a route that reads it itself."""
    if not hasattr(request, "_body"):
        chunks = bodies.read_bounded(request, request.app.state.app.settings.http.max_body_bytes)
        request._body = await bodies.join(chunks)
    return request._body


async def _carry_out(request: Request, claimed: Claim, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let the route answer, and keep an answer of success. Others are not kept: the request can be sent again."""
    engine, is_done, is_stored = request.app.state.app.engine, asyncio.Event(), False
    renewer = asyncio.create_task(_renew(request, claimed, is_done, RENEWAL))
    try:
        try:
            response = await handle(request)
        finally:
            is_done.set()
            await renewer
        body = getattr(response, "body", None)  # None: it is produced while it is sent
        if 200 <= response.status_code < 300 and body is not None and len(body) <= idempotency.LARGEST_BODY:
            stored = StoredResponse(response.status_code, response.headers.get("content-type"), bytes(body))
            # If it can't be stored, the request is done too: its key stays in use until its lease ends.
            is_stored = True
            await _attempt("the answer to a request was not stored", idempotency.store, engine, claimed, stored)
        return response
    finally:
        if not is_stored:
            await _attempt("the key of a request was not released", idempotency.release, engine, claimed)


async def _attempt(failure: str, write: Callable[..., None], *arguments: Any) -> None:
    """Write to PostgreSQL; log an error. The request is answered all the same: what it did is stored already."""
    try:
        await run_in_threadpool(write, *arguments)
    except (errors.DcmonError, SQLAlchemyError) as error:
        log.warning("Idempotency-Key: %s: %s", failure, str(error).partition("\n")[0])


async def _renew(request: Request, claimed: Claim, is_done: asyncio.Event, interval: timedelta) -> None:
    """Renew the lease of a request while it runs, so that no repetition takes its process for dead."""
    while not is_done.is_set():
        try:
            await asyncio.wait_for(is_done.wait(), interval.total_seconds())
        except TimeoutError:
            engine = request.app.state.app.engine
            await _attempt("the lease of a request was not renewed", idempotency.renew, engine, claimed)


def _fingerprint(request: Request, body: bytes) -> bytes:
    """Return a hash of a request: an equal one has the same."""
    digest, scope = hashlib.sha256(), request.scope
    for part in (scope["method"].encode(), scope["path"].encode(errors="surrogateescape"), scope["query_string"], body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
