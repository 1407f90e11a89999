"""Notifications, as rows."""

import json
from typing import TYPE_CHECKING, Any

from dcmon.notifications import notification_views, receiver_addresses, receivers
from dcmon.output import Lines, shortened

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.notifications.notification_views import NotificationFilter

SHORT_ID = 8  # characters
LONGEST_REASON = 100


def rows(app: "App", only: "NotificationFilter", limit: int) -> list[dict[str, Any]]:
    """List notifications, the newest first; people see the beginnings of an id and of a reason."""
    with app.org() as session:
        views = notification_views.entries(session, only, limit)
        now = receivers.database_time(session)
        listed = [notification_views.row(view, now) for view in views]
    return listed if app.output.is_data else list(map(_short, listed))


def _short(row: dict[str, Any]) -> dict[str, Any]:
    reason = row["reason"] and shortened(row["reason"], LONGEST_REASON)
    return {**row, "id": row["id"][:SHORT_ID], "reason": reason}


def detail(app: "App", notification_id: str) -> dict[str, Any]:
    """Read a notification with its body. Raises NotificationNotFound."""
    with app.org() as session:
        view = notification_views.find(session, notification_id)
        receiver, body = view.receiver, view.notification.body
        return {
            **notification_views.row(view, receivers.database_time(session)),
            "to": receiver_addresses.shown(receiver),
            "first_attempt": view.notification.tried_at,
            "status": view.notification.last_status,
            "error": view.notification.last_error,
            "body": body if app.output.is_data else Lines(json.dumps(body, ensure_ascii=False, indent=2).split("\n")),
        }
