"""Who asks, and what they send: a token opens one organization; bodies are read with a bound."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from dcmon import db, errors, tokens, wake
from dcmon.app import App
from dcmon.db import Organization


@dataclass(frozen=True)
class Access:
    """An authenticated request: the organization that its token opens."""

    app: App
    org: Organization
    email: str

    @contextmanager
    def session(self, *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction in the token's organization, committed at the end."""
        with db.org_session(self.app.engine, self.org, snapshot=snapshot) as session:
            yield session

    def ring(self) -> None:
        """Say, after the commit, that windows may be due."""
        with self.app.public() as session:
            wake.ring(session, self.org.id, wake.Work.evaluate)


def access(request: Request) -> Access:
    """Raises NotAuthenticated unless header or cookie "Authorization" carries a token: "Basic TOKEN", as it is."""
    given = request.headers.get("authorization") or request.cookies.get("Authorization") or ""
    scheme, _, token = given.partition(" ")
    if scheme.lower() not in ("basic", "bearer") or not token:
        raise errors.NotAuthenticated
    app: App = request.app.state.app
    with app.public() as session:
        bearer = tokens.authenticate(session, token)
    return Access(app, bearer.organization, bearer.email)


async def body(request: Request) -> bytes:
    """The request's body, decompressed. Raises TooLarge."""
    largest = request.app.state.app.settings.http.max_body_bytes
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > largest:
            raise errors.TooLarge(largest=largest)
    if request.headers.get("content-encoding", "").lower() != "gzip":
        return bytes(read)
    return _gunzip(bytes(read), largest)


def _gunzip(compressed: bytes, largest: int) -> bytes:
    try:
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        plain = stream.decompress(compressed, largest + 1)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise errors.InvalidInput(f"The body is no gzip: {error}.") from error
    if len(plain) > largest:
        raise errors.TooLarge(largest=largest)
    return plain


Asks = Annotated[Access, Depends(access)]
Body = Annotated[bytes, Depends(body)]
