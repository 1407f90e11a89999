"""Receivers as rows, for JSON and for people."""

from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon import durations
from dcmon.notifications import receivers
from dcmon.output import Fields, Page

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.notifications.receiver_tests import ReceiverTestOutcome

NONE_WORDS = {"models": "all", "cap": "none", "repeat": "never"}  # texts for None
NEW_KEYS = ("name", "kind", "to", "severities", "models", "cap", "repeat")  # of a new receiver


class StoredReceiver(NamedTuple):
    """A receiver as a row.

    `notified`: how many notifications were written for it. `secret`: of a new webhook.
    """

    row: dict[str, Any]
    notified: int
    secret: str | None = None


def rows(app: "App") -> list[dict[str, Any]]:
    """List the receivers of the organization, with their counts of messages."""
    with app.org() as session:
        now, counts = receivers.database_time(session), receivers.delivery_counts(session)
        listed = [
            receivers.row(session, receiver, counts.get(receiver.id, receivers.DeliveryCounts()), now)
            for receiver in receivers.entries(session)
        ]
    return listed if app.output.is_data else [_to_text(row) for row in listed]


def detail(app: "App", name: str) -> Page:
    """Show a receiver without its secrets. Raises ReceiverNotFound."""
    with app.org() as session:
        shown = row(session, receivers.find(session, name))
    return Page(shown, [Fields(_to_text(shown), NONE_WORDS)])


def added(app: "App", stored: StoredReceiver, *, is_email: bool) -> Page:
    """Show a new receiver with its secret, and remarks on what happens next."""
    name, remarks = stored.row["name"], _notified_remarks(stored.notified)
    if stored.secret:
        remarks.append("Store the secret now: it is not shown again.")
    if is_email and app.settings.smtp.host is None:
        remarks.append("DCMON_SMTP__HOST is not set: until you set it, no e-mail is sent.")
    remarks.append(f'"dcmon receiver test {name!r}" sends a test message.')
    secret = {"secret": stored.secret} if stored.secret else {}
    text = _to_text(stored.row)
    data = {key: stored.row[key] for key in NEW_KEYS} | secret | {"notified": stored.notified}
    fields = {key: text[key] for key in NEW_KEYS} | secret | _notified(stored)
    return Page(data, [Fields(fields, NONE_WORDS)], remarks)


def changed(stored: StoredReceiver) -> Page:
    """Show a changed receiver, with remarks on notifications and on a pause."""
    name, remarks = stored.row["name"], _notified_remarks(stored.notified)
    if stored.row["state"] == receivers.ReceiverState.PAUSED:
        remarks.append(f'Receiver {name!r} is paused: "dcmon receiver resume {name!r}" sends again.')
    fields = _to_text(stored.row) | _notified(stored)
    return Page({**stored.row, "notified": stored.notified}, [Fields(fields, NONE_WORDS)], remarks)


def _notified(stored: StoredReceiver) -> dict[str, Any]:
    """Return what people read of notifications: nothing where there was none to write."""
    return {"notified": stored.notified} if stored.notified else {}


def _notified_remarks(notified: int) -> list[str]:
    if not notified:
        return []
    if notified == 1:
        return ["1 alert fires already: the receiver is notified of it now."]
    return [f"{notified} alerts fire already: the receiver is notified of them now."]


def row(session: "Session", receiver: Any) -> dict[str, Any]:
    """Return a receiver as the database has it now, with its counts of messages."""
    counts = receivers.delivery_counts(session).get(receiver.id, receivers.DeliveryCounts())
    session.refresh(receiver)
    return receivers.row(session, receiver, counts, receivers.database_time(session))


def _to_text(row: dict[str, Any]) -> dict[str, Any]:
    """Replace values such as None by words for people."""
    repeat = None if row["repeat"] is None else durations.to_text(row["repeat"])
    models = "all" if row["models"] is None else row["models"] or "none"
    return {**row, "models": models, "repeat": repeat or "never",
            "cap": "none" if row["cap"] is None else row["cap"]}  # fmt: skip


def tested(name: str, sent: "ReceiverTestOutcome") -> dict[str, Any]:
    """Return how a test went, and which process sent it."""
    return {
        "name": name,
        "delivered": sent.is_delivered,
        "status": sent.status,
        "seconds": round(sent.seconds, 3),
        "error": sent.error,
        "host": sent.host,
        "pid": sent.pid,
    }
