"""The web page of one alert, which notifications link to. A browser sends a token as the password."""

import html
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from dcmon import errors, formatting
from dcmon.alerting import alert_payload, alert_views
from dcmon.http import auth, html_pages
from dcmon.http.auth import Access, OpenAccess
from dcmon.notifications import notification_views
from dcmon.notifications.integrations import email, message_text
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.tenancy.permissions import Permission

router = APIRouter(include_in_schema=False)
LOGIN_HINT = (
    'Run "{command}", or log in with a token of the organization as the password: "dcmon token create" creates a token.'
)


@router.get("/alerts/{alert_id}")
def alert(
    _: OpenAccess, request: Request, alert_id: int, org: Annotated[str | None, Query(max_length=100)] = None
) -> Response:
    """Show an alert with its history and its notifications. `org` is the organization that the link names."""
    try:
        access = auth.authenticate(request)
        if org not in (None, access.org.name):
            raise errors.NotAuthenticated
        page = _render_alert(access, alert_id)
    except (errors.NotAuthenticated, errors.NotAllowed):
        return _log_in(alert_id, org)
    except errors.NotFound as error:
        return html_pages.page("Not found", f"<p>{html.escape(str(error))}</p>", 404)
    return page


def _render_alert(access: Access, alert_id: int) -> Response:
    """Return the HTML page of an alert. Raises NotFound.

    Receivers are shown to administrators only, who manage them.
    """
    with access.session() as session:
        alert = alert_views.get_alert(session, alert_id).alert
        renderer = AlertRenderer(access.org, access.app.settings.url, alert_payload.describe)
        body = renderer.body(session, alert, alert.state)
        changes = alert_views.list_changes(session, alert_id)
        history = [(_time(change.at), change.kind, change.by, change.note) for change in changes]
        sent = [
            (
                _time(entry.notification.created_at),
                entry.notification.kind,
                entry.receiver.name if Permission.ADMINISTER in access.permissions else "",
                notification_views.state(entry.notification),
            )
            for entry in notification_views.for_alert(session, alert_id)
        ]
    content = email.block(body) + html_pages.table("History", history) + html_pages.table("Notifications", sent)
    return html_pages.page(message_text.headline(body), content)


def _time(moment: datetime) -> str:
    return message_text.time(moment.isoformat())


def _log_in(alert_id: int, org: str | None) -> Response:
    """Respond with 401, so that a browser asks for a password."""
    command = f"{formatting.command_prefix(org) if org else 'dcmon'} alert show {alert_id}"
    return html_pages.log_in(org, LOGIN_HINT.format(command=command))
