"""Who asks, and what they send: a token opens one organization; bodies are read with a bound."""

import base64
import zlib
from collections.abc import AsyncGenerator, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import Organization
from dcmon.db.work_queue import Work
from dcmon.tenancy import tokens
from dcmon.tenancy.rate_limits import Kind, Limits


@dataclass(frozen=True)
class Access:
    """An authenticated request: the organization that its token opens."""

    app: App
    org: Organization
    email: str
    limits: Limits

    @contextmanager
    def session(self, *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction in the token's organization, committed at the end."""
        with db.org_session(self.app.engine, self.org, snapshot=snapshot) as session:
            yield session

    @contextmanager
    def counting(self, kind: Kind, rows: Sized, size: int) -> Iterator[None]:
        """Count what is logged in the block against the organization's limits. Raises OverLimit or TooLarge."""
        with self.app.meter.counting(self.org, self.limits, kind, rows, size):
            yield

    def enqueue(self, work: Work = Work.evaluate) -> None:
        """Say, after the commit, that windows may be due, or that there may be something to tell."""
        self.app.enqueue(self.org, work)


def _token(request: Request) -> str:
    """What header or cookie "Authorization" carries: "Basic TOKEN", as it is. Raises NotAuthenticated.

    A browser that asks for a password sends name and password in base64, which no token looks like.
    """
    given = request.headers.get("authorization") or request.cookies.get("Authorization") or ""
    scheme, _, token = given.partition(" ")
    if scheme.lower() not in ("basic", "bearer") or not token:
        raise errors.NotAuthenticated
    return _password(token) if scheme.lower() == "basic" else token


def _password(token: str) -> str:
    """What was typed as password, or as name where that is empty; anything else as it is."""
    try:
        name, colon, password = base64.b64decode(token, validate=True).decode().partition(":")
    except ValueError:
        return token
    return (password or name) if colon else token


def access(request: Request) -> Access:
    """Who asks, looked up now. Raises NotAuthenticated."""
    app: App = request.app.state.app
    with app.public() as session:
        bearer = tokens.authenticate(session, _token(request))
    return Access(app, bearer.organization, bearer.email, bearer.limits)


async def admitted(request: Request) -> Access:
    """Who asks to log: from memory, looked up when that is too old (ingestion.admission_cache).

    Raises NotAuthenticated.
    """
    app, token = request.app.state.app, _token(request)
    bearer = app.admission_cache.known(token) or await run_in_threadpool(app.admission_cache.authenticate, token)
    return Access(app, bearer.organization, bearer.email, bearer.limits)


async def body(request: Request) -> bytes:
    """The request's body, decompressed. Raises TooLarge or InvalidInput."""
    largest = request.app.state.app.settings.http.max_body_bytes
    read = bytearray()
    async for chunk in bounded(request, largest):
        read += chunk
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("gzip", "identity"):
        raise errors.InvalidInput(f"A body is sent as it is or as gzip, not as {encoding!r}.")
    return _gunzip(bytes(read), largest) if encoding == "gzip" else bytes(read)


async def bounded(request: Request, largest: int) -> AsyncGenerator[bytes, None]:
    """The request's body, as it comes; nothing is read of one that says it is too large. Raises TooLarge."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > largest:
        raise errors.TooLarge(largest=largest)
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > largest:
            raise errors.TooLarge(largest=largest)
        yield chunk


def _gunzip(compressed: bytes, largest: int) -> bytes:
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = stream.decompress(compressed, largest + 1)
    except zlib.error as error:
        raise errors.InvalidInput(f"The body is no gzip: {error}.") from error
    if len(plain) > largest:
        raise errors.TooLarge(largest=largest)
    if not stream.eof or stream.unused_data:
        raise errors.InvalidInput("The body is no single, whole gzip.")
    return plain


Asks = Annotated[Access, Depends(access)]
Logs = Annotated[Access, Depends(admitted)]
Body = Annotated[bytes, Depends(body)]
