"""What is not seen or not heard: receivers that fail, alerts that reached no receiver, monitors without a value."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dcmon.db import sql
from dcmon.health.snapshot import (
    MANY_FAILURES,
    Backlog,
    FailedDelivery,
    FailingReceiver,
    HeldNotifications,
    MissingLabels,
    MonitorsOfVersion,
    PausedReceiver,
    UnreachableReceiver,
)
from dcmon.notifications import attempt, silences
from dcmon.states import HeldBy

FEW, MANY = 3, 1_000  # newest results without a value that count; older results that are looked at, too
FEW_ROWS = 10  # rows without a label that count
MOST_STEPS = 500  # back in the ledger, for each model: two of them are longer than half a day
FEW_RECEIVERS = 3  # that are named with an alert which they did not get
MOST = 100  # versions, or receivers, that are told of

SQL = sql.read(__name__)
FAILING_RECEIVERS = SQL.statement("failing_receivers", many_failures=MANY_FAILURES)
UNREACHABLE_RECEIVERS = SQL.statement("unreachable_receivers", most=MOST)
PAUSED_RECEIVERS = SQL.statement("paused_receivers", most=MOST)
HELD_NOTIFICATIONS = SQL.statement("held_notifications")
UNDELIVERED_ALERTS = SQL.statement("undelivered_alerts", few_receivers=FEW_RECEIVERS)
HAS_RECEIVER = SQL.statement("has_receiver")
MISSING_LABELS = SQL.statement("missing_labels", few_rows=FEW_ROWS, most_steps=MOST_STEPS, most=MOST)
SILENT_MONITORS = SQL.statement("silent_monitors", few=FEW, many=MANY, most=MOST)


def failing_receiver(row: Mapping[str, Any]) -> FailingReceiver:
    """Return the receiver of a row of FAILING_RECEIVERS, which JSON has carried."""
    status, error = row["status"], row["error"]
    is_permanent = attempt.is_permanent(status, error)
    return FailingReceiver(
        row["name"], row["waiting"], _time(row["since"]), status, error, is_permanent, row["kind"], row["failures"]
    )


def unreachable_receiver(row: Mapping[str, Any]) -> UnreachableReceiver:
    """Return the receiver of a row of UNREACHABLE_RECEIVERS, which JSON has carried."""
    contacted_at = None if row["contacted_at"] is None else _time(row["contacted_at"])
    return UnreachableReceiver(**{**row, "since": _time(row["since"]), "contacted_at": contacted_at})


def paused_receiver(row: Mapping[str, Any]) -> PausedReceiver:
    """Return the receiver of a row of PAUSED_RECEIVERS, which JSON has carried."""
    return PausedReceiver(**{**row, "since": _time(row["since"])})


def held_notifications(row: Mapping[str, Any]) -> HeldNotifications:
    """Return the notifications of a row of HELD_NOTIFICATIONS, which JSON has carried."""
    counts = row["count"], row["alerts"], row["critical_alerts"]
    if row["receiver"] is not None:
        until = None if row["until"] is None else _time(row["until"])
        return HeldNotifications(HeldBy.PAUSE, row["receiver"], *counts, until)
    if row["reason"] is None:
        return HeldNotifications(HeldBy.ALERT, "", *counts)
    holder = silences.parse_reason(row["reason"])
    return HeldNotifications(holder.by, holder.name, *counts, holder.until)


def missing_labels(row: Mapping[str, Any]) -> MissingLabels:
    """Return the rows without labels of a row of MISSING_LABELS, which JSON has carried."""
    times = {name: None if row[name] is None else _time(row[name]) for name in ("labelled_until", "arrived_at")}
    wait = timedelta(seconds=float(row["wait"]))
    return MissingLabels(**{**row, **times, "since": _time(row["since"]), "wait": wait})


def backlog(values: Sequence[Any]) -> Backlog:
    """Return the count and the oldest time of UNDELIVERED_ALERTS."""
    count, oldest, _ = values
    return Backlog(count, None if oldest is None else _time(oldest))


def failed_deliveries(values: Sequence[Any]) -> tuple[FailedDelivery, ...]:
    """Return the receivers of UNDELIVERED_ALERTS that could not be notified."""
    return tuple(FailedDelivery(**row) for row in values[2] or ())


def monitors(rows: Sequence[Mapping[str, Any]], state: str) -> list[MonitorsOfVersion]:
    """Return the rows of SILENT_MONITORS in a state: unreferenced, valueless or failing."""
    return [
        MonitorsOfVersion(
            row["model"], row["version"], row["count"], row["monitor"], _time(row["since"]), row["reason"]
        )
        for row in rows
        if row["state"] == state
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
