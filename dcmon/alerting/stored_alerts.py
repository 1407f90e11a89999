"""Read the stored alerts that judging by rules may change: those of all rules of a window in one statement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    SQLColumnExpression,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session

from dcmon.alerting.change_context import ChangeContext
from dcmon.db import bulk
from dcmon.db.tables.org import Alert, AlertChange, AlertRule, Monitor, Notification, Result
from dcmon.states import AlertState, ResolvedBy

REQUEST_TYPES = {
    "rule_id": Integer(),
    "version_id": Integer(),
    "window_end": DateTime(timezone=True),
    "result_revision": Integer(),
}


@dataclass(frozen=True)
class JudgeRequest:
    """A rule to judge by on a version, after a change in the window that ends at `window_end`."""

    rule: AlertRule
    version_id: int
    window_end: datetime
    context: ChangeContext


@dataclass
class StoredAlerts:
    """The stored alerts of a rule on a version.

    `affected`: the alerts that the change may concern, in order of their windows: the last alert that began until the
    window, and later ones. `unnotified_ends`: alerts that ended without a notification, in order of id. `notified_ids`,
    `confirmed_ids`: alerts about which a notification was ever written, and those whose history has the judged result.
    `settled_until`: windows up to this end are not judged again; None: all windows are judged. `frequency`: the
    monitor's. `now`: the time of the transaction. `is_newest_window`: True if the monitor has no result of a later
    window, so that the judged result is the only one to replay; `monitor_revision`: which results count.
    """

    frequency: str
    now: datetime
    is_newest_window: bool = False
    monitor_revision: int = 0
    settled_until: datetime | None = None
    affected: list[Alert] = field(default_factory=list)
    unnotified_ends: list[Alert] = field(default_factory=list)
    notified_ids: set[int] = field(default_factory=set)
    confirmed_ids: set[int] = field(default_factory=set)


class ReadAlerts(NamedTuple):
    """The stored alerts of each request.

    `has_pending`: True if receivers may have to be notified of other alerts of these versions.
    """

    by_request: Sequence[StoredAlerts]
    has_pending: bool


def is_settled(rule_revision: int | SQLColumnExpression[int]) -> ColumnElement[bool]:
    """Match alerts whose windows are not judged again: an operator resolved them, or the rule was changed after."""
    return or_(
        Alert.resolved_by.in_([ResolvedBy.OPERATOR, ResolvedBy.RULE]),
        and_(Alert.resolved_by == ResolvedBy.RECOVERY, Alert.rule_revision < rule_revision),
    )


def is_changeable(rule_revision: int | SQLColumnExpression[int]) -> ColumnElement[bool]:
    """Match alerts that later results may change: those that are neither settled nor retracted."""
    is_retracted = func.coalesce(Alert.resolved_by, "") == ResolvedBy.REVISION
    return ~or_(func.coalesce(is_settled(rule_revision), False), is_retracted)


def is_overdue() -> ColumnElement[bool]:
    """Match alerts that differ from what receivers were last notified of."""
    known = func.coalesce(Alert.told_severity, "")
    return case((Alert.state == AlertState.FIRING, known != Alert.severity), else_=known != "")


def is_unnotified_end() -> ColumnElement[bool]:
    """Match alerts that ended without a notification."""
    return and_(Alert.state == AlertState.RESOLVED, Alert.told_severity != "")


def pending_rule_ids(version_ids: Collection[int] | BindParameter[Any]) -> Any:
    """Return the query of the rules that have overdue alerts on these versions."""
    return select(Alert.rule_id).where(Alert.version_id.in_(version_ids), is_overdue())


def was_notified() -> ColumnElement[bool]:
    """Match alerts about which a notification was ever written."""
    return exists().where(Notification.alert_id == Alert.id).correlate(Alert)


def read(session: Session, requests: Sequence[JudgeRequest]) -> ReadAlerts:
    """Read the stored alerts of each request. The caller holds the locks of the rules' rows."""
    parameters: dict[str, Any] = dict(bulk.parameters([_row(request) for request in requests]))
    parameters["version_ids"] = sorted({request.version_id for request in requests})
    return _grouped(session.execute(_statement(), parameters).all(), len(requests))


@cache
def _statement() -> Select[Any]:
    """Return the statement that reads stored alerts; it is built once, because that costs more than to run it."""
    given = bulk.given_rows(REQUEST_TYPES)
    marks = _marks(given)
    is_affected = and_(
        is_changeable(AlertRule.revision),
        Alert.first_window_end >= func.coalesce(marks.c.alert_begin, given.c.window_end),
    )
    is_confirmed = exists().where(
        AlertChange.alert_id == Alert.id, AlertChange.window_end == given.c.window_end,
        AlertChange.result_revision == given.c.result_revision,
    )  # fmt: skip
    has_later = exists().where(
        Result.monitor_id == AlertRule.monitor_id, Result.version_id == given.c.version_id,
        Result.window_end > given.c.window_end,
    )  # fmt: skip
    versions: BindParameter[Any] = bindparam("version_ids", expanding=True)
    has_pending = exists().where(AlertRule.is_active, AlertRule.id.in_(pending_rule_ids(versions)))
    is_read = or_(is_affected, is_unnotified_end())
    return (
        select(
            given.c[bulk.POSITION], Monitor.frequency, func.now(), ~has_later.correlate(AlertRule, given),
            Monitor.revision, marks.c.settled_until, Alert, is_affected, was_notified(),
            is_confirmed.correlate(Alert, given), has_pending.correlate(None),
        )
        .select_from(given)
        .join(AlertRule, AlertRule.id == given.c.rule_id)
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(marks, true())
        .outerjoin(Alert, and_(Alert.rule_id == AlertRule.id, Alert.version_id == given.c.version_id, is_read))
        .order_by(given.c[bulk.POSITION], Alert.first_window_end, Alert.id)
    )  # fmt: skip


def _grouped(rows: Sequence[Any], count: int) -> ReadAlerts:
    stored: dict[int, StoredAlerts] = {}
    for position, frequency, now, is_newest, revision, settled_until, alert, affected, notified, confirmed, _ in rows:
        of_request = stored.setdefault(position, StoredAlerts(frequency, now, is_newest, revision, settled_until))
        if alert is None:
            continue
        if affected and (settled_until is None or alert.last_window_end > settled_until):
            of_request.affected.append(alert)
        elif alert.state == AlertState.RESOLVED and alert.told_severity:
            of_request.unnotified_ends.append(alert)
        of_request.notified_ids |= {alert.id} if notified else set()
        of_request.confirmed_ids |= {alert.id} if confirmed else set()
    return ReadAlerts([stored[position] for position in range(1, count + 1)], any(row[-1] for row in rows))


def _marks(given: FromClause) -> FromClause:
    """Return the two window ends where a replay may begin.

    `settled_until`: the end of the settled windows. `alert_begin`: the first window end of the alert that began last
    until the changed window.
    """
    is_before = and_(is_changeable(AlertRule.revision), Alert.first_window_end <= given.c.window_end)
    return (
        select(
            func.max(Alert.last_window_end).filter(is_settled(AlertRule.revision)).label("settled_until"),
            func.max(Alert.first_window_end).filter(is_before).label("alert_begin"),
        )
        .where(Alert.rule_id == given.c.rule_id, Alert.version_id == given.c.version_id)
        .correlate(given, AlertRule)
        .lateral("marks")
    )


def _row(request: JudgeRequest) -> dict[str, Any]:
    result = request.context.result
    return {
        "rule_id": request.rule.id,
        "version_id": request.version_id,
        "window_end": request.window_end,
        "result_revision": None if result is None else result.revision,
    }
