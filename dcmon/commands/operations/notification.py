"""Send notifications again; pause and resume receivers."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon.db import work_queue
from dcmon.notifications import catch_up, manual_retry, notification_views, receivers
from dcmon.tenancy import audit_log

if TYPE_CHECKING:
    from dcmon.app import App


class Retry(NamedTuple):
    """The counts of a retry.

    `is_complete` is False if a chosen notification is not sent again.
    """

    counts: dict[str, int]
    is_complete: bool


def retry(app: "App", id_prefixes: Sequence[str]) -> Retry:
    """Send notifications again, found by the beginning of their ids.

    Without ids, send all that are no longer retried. Raises NotificationNotFound or InvalidInput.
    """
    org = app.organization()
    with app.org(org) as session:
        chosen = {notification_views.find(session, prefix).notification.id for prefix in id_prefixes}
        counts = manual_retry.retry(session, list(chosen) if id_prefixes else None)
        audit_log.record(session, "notification", "retry", {**counts, "ids": sorted(map(str, chosen))})
    app.enqueue(org, work_queue.Work.notify)
    return Retry(counts, not id_prefixes or counts["retried"] == len(chosen))


def pause(app: "App", name: str, duration: timedelta | None) -> dict[str, Any]:
    """Pause a receiver for a time, or until it is resumed. Raises ReceiverNotFound."""
    with app.org() as session:
        receiver, now = receivers.find(session, name, is_locked=True), receivers.database_time(session)
        receivers.pause(session, receiver, None if duration is None else now + duration)
        return {"name": name, "state": receivers.ReceiverState.PAUSED, "until": receiver.paused_until}


def resume(app: "App", name: str) -> dict[str, Any]:
    """Resume a receiver, and retry what was given up about alerts that still fire. Raises ReceiverNotFound."""
    org = app.organization()
    with app.org(org) as session:
        receiver = receivers.find(session, name, is_locked=True)
        waiting = receivers.resume(session, receiver)
        retried = catch_up.retry_given_up(session, receiver)
    app.enqueue(org, work_queue.Work.notify)
    return {"name": name, "state": receivers.ReceiverState.ACTIVE, "waiting": waiting + retried, "retried": retried}
