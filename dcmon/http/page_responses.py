"""Responses with pages: what their headers say, the form of the log-in, and errors as pages."""

from collections.abc import Sequence

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from dcmon.formatting import command_prefix
from dcmon.http import page_access
from dcmon.http.auth import Access
from dcmon.http.page_access import HOME
from dcmon.pages import document
from dcmon.pages.document import Crumb, Page
from dcmon.pages.markup import NOTHING, Markup, element, form_button, joined, paragraph

MODELS = Crumb("Models", HOME)
HEADERS = {"content-security-policy": document.LIVE_POLICY, "cache-control": "no-store"}
# A scheme that no browser knows: it shows the form in place of a window of its own.
CHALLENGE = 'Token realm="dcmon"'
SESSION_ENDED = "Your session has ended. Log in again to see this page."
CREATE_TOKEN = '"dcmon token create" creates a token; it needs a scope that may read.'


def page(access: Access, shown: Page, status: int = 200) -> Response:
    """Return a page for a reader who has logged in."""
    reader = joined((access.email, " · ", access.org.name, form_button("Log out", "/logout")))
    with_banner = Page(shown.title, shown.body, shown.figures, shown.crumbs, element("span", reader))
    return HTMLResponse(document.live(with_banner), status, HEADERS)


def message(title: str, text: str, status: int, crumbs: Sequence[Crumb] = (MODELS,)) -> Response:
    """Return a page with a sentence."""
    body = element("h1", title) + paragraph(text)
    return HTMLResponse(document.live(Page(title, body, crumbs=crumbs)), status, HEADERS)


def log_in_form(request: Request, hint: str = "", status: int = 401, target: str | None = None) -> Response:
    """Return the form of the log-in. `target`: the page to show then; None: the page of the request.

    A browser that follows a link of another site sends no session. The page then loads itself once more, which sends
    it, before a person has to log in again.
    """
    query = request.scope["query_string"].decode("latin-1")
    own = request.scope["path"] + (f"?{query}" if query else "")
    wanted = page_access.next_page(own if target is None else target)
    org = request.query_params.get("org")
    body = joined(
        (
            element("h1", "Log in to dcmon"),
            Markup('<p class="open" role="alert">{}</p>').format(hint) if hint else NOTHING,
            Markup(
                '<form class="login" method="post" action="/login"><input type="hidden" name="next" value="{}">'
                '<p><label>Token{}<br><input type="password" name="token" required maxlength="200"'
                ' autocomplete="current-password" autofocus></label></p><p><button>Log in</button></p></form>'
            ).format(wanted, f" of organization {org}" if org else ""),
            paragraph(CREATE_TOKEN, "note"),
            _terminal_hint(request, org),
        )
    )
    headers = {**HEADERS, **({"www-authenticate": CHALLENGE} if status == 401 else {})}
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        headers["refresh"] = "0"
    return HTMLResponse(document.live(Page("Log in", body)), status, headers)


def _terminal_hint(request: Request, org: str | None) -> Markup:
    """Return the command that shows the alert of a link in a terminal."""
    alert = request.path_params.get("alert_id")
    if alert is None:
        return NOTHING
    command = f"{command_prefix(org) if org else 'dcmon'} alert show {alert}"
    return paragraph(joined(("In a terminal: ", element("code", command))), "note")


def _ended_session(request: Request) -> str:
    """Return why a reader who had logged in is asked again. A link to another organization says so in the form."""
    has_session = page_access.cookie_name(request) in request.cookies
    return SESSION_ENDED if has_session and "org" not in request.query_params else ""


def error(request: Request, status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error of a page as a page: the form of the log-in where that helps."""
    if status in (401, 403):
        return log_in_form(request, text if status == 403 else _ended_session(request))
    titles = {404: "Not found", 422: "Not found", 429: "Too many wrong tokens", 503: "Not available now"}
    response = message(titles.get(status, "dcmon failed"), text, 404 if status == 422 else status)
    response.headers.update(headers or {})
    return response
