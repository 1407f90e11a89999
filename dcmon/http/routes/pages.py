"""The pages of models, monitors, alerts, features and data, and the log-in. They are read-only."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import alert_views
from dcmon.db.tables.org import Model
from dcmon.http import computing, page_access, page_responses
from dcmon.http.auth import Access, OpenAccess
from dcmon.http.page_access import PageReader
from dcmon.http.page_responses import MODELS
from dcmon.pages import (
    alert_section,
    data_section,
    document,
    features_section,
    model_section,
    models_section,
    monitor_section,
    monitor_series,
)
from dcmon.pages.document import Crumb, Page
from dcmon.pages.markup import Markup, element
from dcmon.pages.view import View
from dcmon.storage import models as stored_models
from dcmon.storage import versions
from dcmon.tenancy.permissions import Permission

router = APIRouter(include_in_schema=False)
PageNumber = Annotated[int, Query(ge=1, le=100_000)]
Rendered = tuple[str, Markup, tuple[Crumb, ...]]  # title, body, and the pages above
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}  # the address changes with the content
MAX_TOKEN = 500  # characters: imported tokens have up to 473, and blanks around them are no part of it
WRONG_TOKEN = "This token is unknown, expired or revoked."


@router.get("/login")
def log_in_form(_: OpenAccess, request: Request, next: Annotated[str, Query(max_length=500)] = "") -> Response:
    """Show the form for a token."""
    return page_responses.log_in_form(request, status=200, target=next)


@router.post("/login")
def log_in(
    _: OpenAccess,
    request: Request,
    token: Annotated[str, Form(max_length=MAX_TOKEN)] = "",
    next: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Give a session for a token, and show the page that was wanted."""
    target = page_access.next_page(next)
    response = RedirectResponse(target, 303, {"cache-control": "no-store"})
    try:
        page_access.log_in(request, token, response)
    except errors.TooManyLogins as error:
        return page_responses.log_in_form(request, str(error), 429, target)
    except errors.NotAuthenticated:
        return page_responses.log_in_form(request, WRONG_TOKEN, target=target)
    except errors.NotAllowed as error:
        return page_responses.log_in_form(request, str(error), 403, target)
    return response


@router.post("/logout")
def log_out(_: OpenAccess, request: Request) -> Response:
    """End the session of the browser."""
    response = RedirectResponse("/login", 303, {"cache-control": "no-store"})
    page_access.log_out(request, response)
    return response


@router.get("/pages/{digest}/{name}")
def asset(_: OpenAccess, digest: str, name: str) -> Response:
    """Send a style or a script of the pages."""
    sent = document.assets().get(f"/pages/{digest}/{name}")
    if sent is None:
        return page_responses.message("Not found", "There is no such file.", 404)
    media_type, content = sent
    return Response(content, headers={**FOREVER, "content-type": media_type})


@router.get("/configuration/models")
def models(access: PageReader, page: PageNumber = 1) -> Response:
    """Show all models with their alerts and rows. The SDK links to this page."""

    def render(session: Session, view: View) -> Rendered:
        return "Models", models_section.render(session, view, page), ()

    return _respond(access, render)


@router.get("/models/{model_id}")
async def model(access: PageReader, request: Request, model_id: int, page: PageNumber = 1) -> Response:
    """Show a model: its alerts, and its monitors over time."""

    def render(session: Session, view: View) -> Rendered:
        shown = stored_models.get(session, model_id)
        return shown.name, model_section.render(session, view, shown, page), (MODELS,)

    return await _compute(request, access, render)


@router.get("/models/{model_id}/data")
def data(access: PageReader, model_id: int) -> Response:
    """Show the flow of a model's rows, and its refused rows."""

    def render(session: Session, view: View) -> Rendered:
        shown = stored_models.get(session, model_id)
        body = element("h1", f"Data of {shown.name}") + data_section.render(session, view, shown)
        return f"Data of {shown.name}", body, (MODELS, _crumb(view, shown))

    return _respond(access, render)


@router.get("/model-versions/{version_id}/features")
async def features(access: PageReader, request: Request, version_id: int, page: PageNumber = 1) -> Response:
    """Show the features of a version: types, values, drift, and distributions."""

    def render(session: Session, view: View) -> Rendered:
        shown = versions.get(session, version_id)
        title = f"Features of {shown.model.name}, version {shown.version.name}"
        body = element("h1", title) + features_section.render(session, view, (shown.model, shown.version), page)
        return title, body, (MODELS, _crumb(view, shown.model))

    return await _compute(request, access, render)


@router.get("/monitors/{monitor_id}")
def monitor(access: PageReader, monitor_id: int) -> Response:
    """Show a monitor over time, with its rules and alerts."""

    def render(session: Session, view: View) -> Rendered:
        series = monitor_series.monitor_series(session, monitor_id)
        body = monitor_section.render(session, view, series)
        return series.monitors[0].name, body, (MODELS, _crumb(view, series.model))

    return _respond(access, render)


@router.get("/alerts/{alert_id}")
async def alert(access: PageReader, request: Request, alert_id: int) -> Response:
    """Show an alert: what moved, since when and how bad. Notifications link to it.

    Receivers are shown to administrators only, who manage them.
    """
    sees_receivers = Permission.ADMINISTER in access.permissions

    def render(session: Session, view: View) -> Rendered:
        shown = alert_views.get_alert(session, alert_id)
        body = alert_section.render(session, view, access.org, shown, shows_receivers=sees_receivers)
        return f"Alert {alert_id}: {shown.name}", body, (MODELS, _crumb(view, shown.model))

    return await _compute(request, access, render)


def _crumb(view: View, shown: Model) -> Crumb:
    return Crumb(shown.name, view.links.model(shown.id) or "")


async def _compute(request: Request, access: Access, render: Callable[[Session, View], Rendered]) -> Response:
    """Return a page that reads many rows, in a slot of the computations: so requests that store rows have threads.

    Raises TooBusy, and what `_respond` raises.
    """
    return await computing.of(request).run(request, lambda _: _respond(access, render))


def _respond(access: Access, render: Callable[[Session, View], Rendered]) -> Response:
    """Return a page of one snapshot, in the time that a computation may take. Raises ComputationTooLong."""
    view = View(access.org.name)
    seconds = access.app.settings.http.computation_time.total_seconds()
    try:
        with access.session(snapshot=True) as session:
            computing.limit_statements(session, seconds)
            title, body, crumbs = render(session, view)
    except DBAPIError as error:
        raise computing.translated(error, seconds) from error
    return page_responses.page(access, Page(title, body, view.figures, crumbs))
