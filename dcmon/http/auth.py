"""The access that each route declares, and authentication by token."""

import base64
import logging
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from dcmon import authors, db, errors
from dcmon.alerting.change_context import Actor
from dcmon.app import App
from dcmon.authors import Author
from dcmon.db import Organization
from dcmon.db.work_queue import Work
from dcmon.http.bodies import read_all, reads_rows
from dcmon.http.failed_logins import FailedLogins
from dcmon.states import RowKind
from dcmon.tenancy.permissions import Permission
from dcmon.tenancy.rate_limits import Limits
from dcmon.tenancy.tokens import Bearer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """An authenticated request: the bearer of its token, and what the bearer may do."""

    app: App
    bearer: Bearer

    @property
    def org(self) -> Organization:
        """The organization of the token."""
        return self.bearer.organization

    @property
    def email(self) -> str:
        """The person that the token belongs to."""
        return self.bearer.email

    @property
    def limits(self) -> Limits:
        """The limits of the organization."""
        return self.bearer.limits

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the token permits."""
        return self.bearer.permissions

    @property
    def actor(self) -> Actor:
        """The person who sends the request."""
        return Actor.from_settings(self.org, self.email, self.app.settings)

    @contextmanager
    def session(self, *, snapshot: bool = False) -> Iterator[Session]:
        """Open a transaction in the organization of the token; commit it at the end.

        Models that the user may not see are not found in it.
        """
        with db.org_session(self.app.engine, self.org, snapshot=snapshot, member=self.bearer.member) as session:
            yield session

    @contextmanager
    def metered(self, kind: RowKind, rows: Sized, size: int) -> Iterator[None]:
        """Count the rows of a request against the organization's limits. Raises OverLimit or TooLarge."""
        with self.app.meter.counting(self.org, self.limits, kind, rows, size):
            yield

    def enqueue(self, work: Work = Work.evaluate) -> None:
        """Enqueue work of the organization, because windows or notifications may be due. Call it after the commit.

        The request is done by then: an error here would make the client repeat it. The scheduler enqueues lost work.
        """
        try:
            self.app.enqueue(self.org, work)
        except errors.DcmonError as error:
            name = self.org.name
            log.info("organization %s: not enqueued, the scheduler enqueues it within a minute: %s", name, error)


def _token(request: Request) -> str:
    """Return the token of the header or cookie "Authorization". Raises NotAuthenticated.

    The SDK sends "Basic TOKEN", not encoded. A browser sends a user name and the token as the password, in base64,
    which never looks like a token.
    """
    sent = request.headers.getlist("authorization")
    if len(sent) > 1:  # a proxy in front may have checked the other one
        raise errors.NotAuthenticated
    value = (sent[0] if sent else "") or request.cookies.get("Authorization") or ""
    scheme, _, token = value.partition(" ")
    if scheme.lower() not in ("basic", "bearer") or not token:
        raise errors.NotAuthenticated
    return _password(token) if scheme.lower() == "basic" else token


def _password(token: str) -> str:
    """Return the password of encoded credentials, or the name if the password is empty. Return a token unchanged."""
    try:
        name, colon, password = base64.b64decode(token, validate=True).decode().partition(":")
    except ValueError:
        return token
    return (password or name) if colon else token


class Requires:
    """The access that a route declares: the request must have a token with a permission.

    The guard authorizes the request before it reads the body; as a dependency, this only hands the access to the route.
    The token is looked up in a cache (ingestion.admission_cache), and needs no query and no thread if it is there.
    `cached`: the cache is also used while PostgreSQL can't be reached.
    """

    def __init__(self, permission: Permission, *, cached: bool = False) -> None:
        self.permission, self.cached = permission, cached

    async def __call__(self, request: Request) -> Access:
        access: Access = request.state.access
        return access

    async def authorize(self, request: Request) -> Access:
        """Return the access of a request. Raises NotAuthenticated or NotAllowed."""
        app: App = request.app.state.app
        token = _token(request)
        bearer = app.admission_cache.fresh_bearer(token)
        if bearer is None:
            async with request.app.state.failed_logins.waiting(request, token):
                bearer = await run_in_threadpool(_look_up, request, token, cached=self.cached, has_waited=True)
        access = self.permit(app, bearer)
        set_author(request, bearer.email, bearer.prefix)
        return access

    def permit(self, app: App, bearer: Bearer) -> Access:
        """Return the access of a bearer. Raises NotAllowed."""
        if self.permission not in bearer.permissions:
            raise errors.NotAllowed(permission=self.permission.value, org=bearer.organization.name)
        return Access(app, bearer)


class OpenToAll:
    """The access of a route that needs no token. Its body is small (guard.OPEN_BODY_BYTES)."""

    async def __call__(self) -> None:
        return None


def _look_up(request: Request, token: str, *, cached: bool, has_waited: bool = False) -> Bearer:
    """Return the bearer of a token. Raises NotAuthenticated or TooManyLogins."""
    app: App = request.app.state.app

    def look_up() -> Bearer:
        cache = app.admission_cache
        return cache.authenticate(token) if cached else cache.authenticate_now(token)

    failed_logins: FailedLogins = request.app.state.failed_logins
    return failed_logins.counting(request, token, look_up, has_waited=has_waited)


def set_author(request: Request, name: str, token: str | None = None) -> None:
    """Set who sends a request, for the log of changes. The server knows the client's address behind proxies."""
    address = request.client.host if request.client is not None else None
    authors.set_for_request(Author(name, "http", address, token, getattr(request.state, "request_id", None)))


def look_up_now(request: Request) -> Bearer:
    """Return the bearer of a request's token, as PostgreSQL has it now. Raises NotAuthenticated or TooManyLogins."""
    return _look_up(request, _token(request), cached=False)


@reads_rows
async def read_body(request: Request) -> bytes:
    """Return the body of a request, decompressed. Raises TooLarge, BodiesFull or InvalidInput."""
    return await read_all(request, request.app.state.app.settings.http.max_body_bytes)


OpenAccess = Annotated[None, Depends(OpenToAll())]
Identifier = Annotated[Access, Depends(Requires(Permission.LOOK_UP))]
Ingester = Annotated[Access, Depends(Requires(Permission.INGEST, cached=True))]
Reader = Annotated[Access, Depends(Requires(Permission.READ))]
Writer = Annotated[Access, Depends(Requires(Permission.WRITE))]
Administrator = Annotated[Access, Depends(Requires(Permission.ADMINISTER))]
Owner = Annotated[Access, Depends(Requires(Permission.OWN))]
Body = Annotated[bytes, Depends(read_body)]
