"""Who may read a page: one place for all pages. A browser sends a session, which the log-in gives for a token."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from dcmon import errors
from dcmon.app import App
from dcmon.http import auth
from dcmon.http.auth import Access, Requires
from dcmon.tenancy import imported_tokens, page_sessions
from dcmon.tenancy.permissions import Permission
from dcmon.tenancy.tokens import Bearer

HOME = "/configuration/models"
MAX_NEXT = 500  # characters of the page to show after the log-in
TLS_COOKIE, COOKIE = (
    "__Host-dcmon",
    "dcmon_session",
)  # of the first one browsers take no other host


class ReadsPage(Requires):
    """The access of a page: a session, or a token in the header as for the API, that may read.

    A link may name the organization that it is about as `?org=`: another one asks for a log-in. Errors of a request
    that was marked as a page are pages too (http.error_responses).
    """

    def __init__(self) -> None:
        super().__init__(Permission.READ)

    async def authorize(self, request: Request) -> Access:
        """Return the access of a request. Raises NotAuthenticated, NotAllowed or TooManyLogins."""
        request.state.is_page = True
        return await run_in_threadpool(self._authorize, request)

    def _authorize(self, request: Request) -> Access:
        app: App = request.app.state.app
        text = request.cookies.get(cookie_name(request))
        if text is not None and "authorization" not in request.headers:
            bearer = self._of_session(request, text)
        else:
            bearer = auth.look_up_now(request)
        access = self.permit(app, bearer)
        if request.query_params.get("org") not in (None, access.org.name):
            raise errors.NotAuthenticated
        auth.set_author(request, access.email, access.bearer.prefix)
        return access

    def _of_session(self, request: Request, text: str) -> Bearer:
        """Return the bearer of a session. A wrong one counts as a failed log-in, an old one does too."""
        app: App = request.app.state.app

        def look_up() -> Bearer:
            with app.public() as session:
                return page_sessions.authenticate(session, text)

        bearer: Bearer = request.app.state.failed_logins.counting(request, text, look_up)
        return bearer


PageReader = Annotated[Access, Depends(ReadsPage())]


def log_in(request: Request, token: str, response: Response) -> None:
    """Give a browser a session for a token. Raises NotAuthenticated, NotAllowed or TooManyLogins."""
    app: App = request.app.state.app

    def create() -> tuple[Bearer, str]:
        imported_tokens.compare_alone(app.public, token.strip())
        with app.public() as session:
            return page_sessions.create(session, token)

    bearer, text = request.app.state.failed_logins.counting(request, token, create)
    if Permission.READ not in bearer.permissions:
        raise errors.NotAllowed(permission=Permission.READ.value, org=bearer.organization.name)
    response.set_cookie(
        cookie_name(request), text, max_age=int(page_sessions.LIFETIME.total_seconds()), path="/",
        secure=_is_tls(request), httponly=True, samesite="strict",
    )  # fmt: skip


def log_out(request: Request, response: Response) -> None:
    """Let a browser forget its session."""
    response.delete_cookie(cookie_name(request), path="/", secure=_is_tls(request), httponly=True, samesite="strict")


def cookie_name(request: Request) -> str:
    """Return the name of the cookie that has the session."""
    return TLS_COOKIE if _is_tls(request) else COOKIE


def _is_tls(request: Request) -> bool:
    return bool(request.scope["scheme"] == "https")


def next_page(text: str) -> str:
    """Return the page to show after the log-in: a path of this server, otherwise the page of models."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return HOME
    is_path = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if is_path and not parts.scheme and not parts.netloc and len(text) <= MAX_NEXT else HOME
