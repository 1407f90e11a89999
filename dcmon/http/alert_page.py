"""The page that a message's link points at: one alert, for a browser. It asks for a token, as the password."""

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
from dcmon.http.auth import Access
from dcmon.notifications import notification_views
from dcmon.notifications.integrations import email, message_text
from dcmon.notifications.notification_writer import AlertRenderer

router = APIRouter(include_in_schema=False)
SAFE = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "cache-control": "no-store"}
HOW = 'Type "{command}", or log in with a token of the organization as the password: "dcmon token create" makes one.'


@router.get("/alerts/{alert_id}")
def alert(request: Request, alert_id: int, org: Annotated[str | None, Query(max_length=100)] = None) -> Response:
    """An alert with what became of it and who was told. `org`: the organization that the link is about."""
    try:
        asks = auth.access(request)
        if org not in (None, asks.org.name):
            raise errors.NotAuthenticated
        title, shown = _alert(asks, alert_id)
    except errors.NotAuthenticated:
        return _log_in(alert_id, org)
    except errors.NotFound as error:
        return HTMLResponse(_page("Not found", f"<p>{html.escape(str(error))}</p>"), 404, SAFE)
    return HTMLResponse(_page(title, shown), headers=SAFE)


def _alert(asks: Access, alert_id: int) -> tuple[str, str]:
    """What a page about an alert says: its title, and the rest as HTML. Raises NotFound."""
    with asks.session() as session:
        found = alert_views.get_alert(session, alert_id).alert
        renderer = AlertRenderer(asks.org, asks.app.settings.url, alert_payload.describe)
        body = renderer.body(session, found, found.state)
        lines = alert_views.list_changes(session, alert_id)
        history = [(_time(each.at), each.kind, each.by, each.note) for each in lines]
        told = [
            (
                _time(each.notification.created_at),
                each.notification.kind,
                each.receiver.name,
                notification_views.state(each.notification),
            )
            for each in notification_views.for_alert(session, alert_id)
        ]
    return message_text.headline(body), email.block(body) + _table("History", history) + _table("Told", told)


def _time(moment: datetime) -> str:
    return message_text.time(moment.isoformat())


def _log_in(alert_id: int, org: str | None) -> Response:
    """What a browser asks for a password at; the realm is the organization's, so that it keeps a token for each."""
    realm = re.sub("[^A-Za-z0-9 _.-]", "", f"dcmon {org or ''}").strip()
    command = f"{formatting.command_prefix(org) if org else 'dcmon'} alert show {alert_id}"
    said = _page("Log in", f"<p>{html.escape(HOW.format(command=command))}</p>")
    return HTMLResponse(said, 401, {**SAFE, "www-authenticate": f'Basic realm="{realm}"'})


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
