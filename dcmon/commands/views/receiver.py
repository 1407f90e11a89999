"""Receivers as rows, for JSON and for people."""

from typing import TYPE_CHECKING, Any

from dcmon import durations
from dcmon.notifications import receivers

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App


def rows(app: "App") -> list[dict[str, Any]]:
    """Return all receivers of the organization, with their counts of messages."""
    with app.org() as session:
        now, counts = receivers.database_time(session), receivers.delivery_counts(session)
        return [
            receivers.row(session, receiver, counts.get(receiver.id, receivers.DeliveryCounts()), now)
            for receiver in receivers.entries(session)
        ]


def row(session: "Session", receiver: Any) -> dict[str, Any]:
    """Return a receiver as the database has it now, with its counts of messages."""
    counts = receivers.delivery_counts(session).get(receiver.id, receivers.DeliveryCounts())
    session.refresh(receiver)
    return receivers.row(session, receiver, counts, receivers.database_time(session))


def to_text(row: dict[str, Any]) -> dict[str, Any]:
    """Replace values such as None by words for people."""
    repeat = None if row["repeat"] is None else durations.to_text(row["repeat"])
    models = "all" if row["models"] is None else row["models"] or "none"
    return {**row, "models": models, "repeat": repeat or "never",
            "cap": "none" if row["cap"] is None else row["cap"]}  # fmt: skip
