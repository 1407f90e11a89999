"""The last word on alerts that are about to be deleted: whoever was told that they fire is told that they are over.

The notifications of an alert go with it. The last word belongs to none, and says again what its receiver heard last.
"""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Alert, Notification, Webhook

ENDS = ("resolved", "retracted")
WHY = "it was deleted, with its rule, monitor, check, version or model"


def write_notifications(session: Session, about: ColumnElement[bool]) -> int:
    """Write a notification for each receiver that may think that one of these alerts fires; returns how many."""
    is_end = Notification.kind.in_(ENDS)
    was_heard = or_(and_(is_end, Notification.delivered_at.is_not(None)), and_(~is_end, Notification.attempts > 0))
    last = (
        select(Notification)
        .join(Alert, Alert.id == Notification.alert_id)
        .join(Webhook, Webhook.id == Notification.webhook_id)
        .where(about, Webhook.is_active, was_heard)
        .ext(distinct_on(Notification.alert_id, Notification.webhook_id))
        .order_by(Notification.alert_id, Notification.webhook_id, Notification.position.desc())
    )
    open_ones = [each for each in session.scalars(last).all() if each.kind not in ENDS]
    session.add_all([_over(each) for each in open_ones])
    session.flush()
    return len(open_ones)


def _over(heard: Notification) -> Notification:
    """What ends what was heard; after it, where that is still on its way."""
    made = Notification(alert_id=None, webhook_id=heard.webhook_id, kind="resolved", body=_body(heard.body))
    made.model_id, made.severity = heard.model_id, heard.severity
    if heard.lease_until is not None:
        made.due_at = heard.lease_until
    return made


def _body(heard: Mapping[str, Any]) -> dict[str, Any]:
    """What was heard, as over. Nothing shows the alert any more: the command lists those of its organization."""
    now = datetime.now(UTC).isoformat()
    ended = {"state": "resolved", "resolved_by": "deletion", "resolved_at": now, "by": None, "note": WHY}
    alert = {**heard["alert"], **ended}
    dcmon = f"dcmon --org {shlex.quote(str(heard['organization']))}" if heard.get("organization") else "dcmon"
    left = {"link": None, "command": f"{dcmon} alert list --all"}
    return {**heard, "type": "alert.resolved", "timestamp": now, "alert": alert, **left}
