"""The web page of one alert, which notifications link to. A browser sends a token as the password."""

import html
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from dcmon import errors, formatting
from dcmon.alerting import alert_payload, alert_views
from dcmon.http import auth
from dcmon.http.auth import Access, OpenAccess
from dcmon.notifications import notification_views
from dcmon.notifications.integrations import email, message_text
from dcmon.notifications.notification_writer import AlertRenderer

router = APIRouter(include_in_schema=False)
SAFE_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "cache-control": "no-store"}
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
        return HTMLResponse(_page("Not found", f"<p>{html.escape(str(error))}</p>"), 404, SAFE_HEADERS)
    return HTMLResponse(page, headers=SAFE_HEADERS)


def _render_alert(access: Access, alert_id: int) -> str:
    """Return the HTML page of an alert. Raises NotFound."""
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
                entry.receiver.name,
                notification_views.state(entry.notification),
            )
            for entry in notification_views.for_alert(session, alert_id)
        ]
    content = email.block(body) + _table("History", history) + _table("Notifications", sent)
    return _page(message_text.headline(body), content)


def _time(moment: datetime) -> str:
    return message_text.time(moment.isoformat())


def _log_in(alert_id: int, org: str | None) -> Response:
    """Respond with 401, so that a browser asks for a password.

    A browser keeps passwords by realm, so each organization has its own realm.
    """
    realm = re.sub("[^A-Za-z0-9 _.-]", "", f"dcmon {org or ''}").strip()
    command = f"{formatting.command_prefix(org) if org else 'dcmon'} alert show {alert_id}"
    content = _page("Log in", f"<p>{html.escape(LOGIN_HINT.format(command=command))}</p>")
    return HTMLResponse(content, 401, {**SAFE_HEADERS, "www-authenticate": f'Basic realm="{realm}"'})


def _table(title: str, rows: Sequence[Sequence[Any]]) -> str:
    lines = (
        "<tr>" + "".join(f"<td style='padding-right:1em'>{html.escape(str(cell or ''))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<h3>{title}</h3><table>{''.join(lines)}</table>" if rows else ""


def _page(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<body style='font-family:sans-serif;max-width:60em;margin:2em auto'>{body}</body></html>"
    )
