"""Accept an invitation, over HTTP or on a plain page. The code of the invitation stands for a token."""

import html
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from dcmon import errors
from dcmon.app import App
from dcmon.http.auth import OpenAccess, set_author
from dcmon.http.html_pages import SAFE_HEADERS
from dcmon.http.responses import MAY_BE_FULL, MAY_CONFLICT
from dcmon.tenancy import invitations
from dcmon.tenancy.invitations import Accepted
from dcmon.tenancy.permissions import Role

router = APIRouter(tags=["organization"])
page_router = APIRouter(include_in_schema=False)
FORM = """<p>Enter the code of your invitation. You get a token, which is shown once.</p>
<form method="post" action="/invitation">
<p><label>Code <input name="code" required maxlength="100" size="60"></label></p>
<p><label>Your name <input name="full_name" maxlength="100"></label></p><p><button>Accept</button></p></form>"""


class AcceptBody(BaseModel):
    """The code of an invitation, and the name of the new member."""

    code: str = Field(max_length=100)
    full_name: str | None = Field(None, min_length=1, max_length=100)


class AcceptedResponse(BaseModel):
    """The new member, and the first token, which is shown once."""

    organization: str
    user: str
    role: Role
    token: str


@router.post(
    "/invitations/accept", responses={401: {}, 429: {}} | MAY_BE_FULL | MAY_CONFLICT, status_code=201,
    response_model=AcceptedResponse,
)  # fmt: skip
def accept(_: OpenAccess, request: Request, body: AcceptBody) -> dict[str, Any]:
    """Become a member of the organization that invites, and get a first token, which the response shows once."""
    accepted = _accept(request, body.code, body.full_name)
    return {
        "organization": accepted.organization,
        "user": accepted.email,
        "role": accepted.role,
        "token": accepted.token,
    }


@page_router.get("/invitation")
def form(_: OpenAccess) -> HTMLResponse:
    """Show the form for a code."""
    return _page(FORM)


@page_router.post("/invitation")
def submit(
    _: OpenAccess,
    request: Request,
    code: Annotated[str, Form(max_length=100)],
    full_name: Annotated[str, Form(max_length=100)] = "",
) -> HTMLResponse:
    """Accept an invitation and show the token."""
    try:
        accepted = _accept(request, code.strip(), full_name.strip() or None)
    except errors.DcmonError as error:
        if error.status >= 500:
            raise
        return _page(f"<p>{html.escape(str(error))}</p>{FORM}", error.status)
    return _page(
        f"<p>You are a member of {html.escape(accepted.organization)} now, with the role {accepted.role}. This is your"
        f" token. Store it now: it is not shown again.</p><pre>{accepted.token}</pre>"
    )


def _accept(request: Request, code: str, full_name: str | None) -> Accepted:
    app: App = request.app.state.app
    set_author(request, "an invited person")

    def accept_code() -> Accepted:
        with app.public() as session:
            return invitations.accept(session, code, full_name)

    accepted: Accepted = request.app.state.failed_logins.counting(request, code, accept_code)
    return accepted


def _page(content: str, status: int = 200) -> HTMLResponse:
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Invitation to dcmon</title>'
    headers = SAFE_HEADERS | {"content-security-policy": "default-src 'none'; form-action 'self'"}
    return HTMLResponse(f"{head}<h1>Invitation to dcmon</h1>{content}</html>", status, headers)
