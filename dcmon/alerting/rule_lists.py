"""Lists of rules with counts of their alerts, filtered and sorted as a client asks.

Data-ingestion rules are not among them: monitoring.ingestion_rules has those. Pending alerts do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Alert, AlertRule, Check, Monitor
from dcmon.severity import Severity
from dcmon.states import AlertState


class SortKey(StrEnum):
    """What rules are sorted by. ALERT_WINDOW: the end of their last alert."""

    SEVERITY_ASC = "severity:asc"
    SEVERITY_DESC = "severity:desc"
    ALERT_WINDOW_ASC = "alert-window:asc"
    ALERT_WINDOW_DESC = "alert-window:desc"


DEFAULT_ORDER = (SortKey.SEVERITY_DESC, SortKey.ALERT_WINDOW_DESC)
_SEVERITY = case({level.value: level.rank for level in Severity}, value=AlertRule.severity, else_=-1)
_LAST_END = func.max(Alert.last_window_end)
_ORDERS: dict[SortKey, ColumnElement[Any]] = {
    SortKey.SEVERITY_ASC: _SEVERITY.asc(),
    SortKey.SEVERITY_DESC: _SEVERITY.desc(),
    SortKey.ALERT_WINDOW_ASC: _LAST_END.asc().nulls_first(),
    SortKey.ALERT_WINDOW_DESC: _LAST_END.desc().nulls_last(),
}


@dataclass(frozen=True)
class RuleFilter:
    """Which rules a client asks for; empty or None: any.

    `start`, `end`, `resolved`: of alerts. They begin at or after `start`, and end at or before `end`. `has_alerts`:
    only rules with at least one such alert.
    """

    monitor_id: int | None = None
    model_ids: Sequence[int] = ()
    severities: Sequence[Severity] = ()
    is_active: bool | None = None
    start: datetime | None = None
    end: datetime | None = None
    resolved: bool | None = None
    has_alerts: bool = True


class CountedRule(NamedTuple):
    """A rule with its monitor, the name of its check, and what its matching alerts are.

    `last_end`: the end of the last one; `last_opened`: when the newest one was opened. None without alerts.
    """

    rule: AlertRule
    monitor: Monitor
    model_id: int
    check_name: str
    alerts: int
    unresolved: int
    last_end: datetime | None
    last_opened: datetime | None


def counted_rules(
    session: Session,
    wanted: RuleFilter,
    order: Sequence[SortKey] = DEFAULT_ORDER,
    limit: int | None = None,
    offset: int = 0,
) -> list[CountedRule]:
    """Return the rules that match a filter, in one statement; `limit` of them after the first `offset` ones."""
    statement = _counted().where(*_conditions(wanted)).outerjoin(Alert, _is_counted(wanted))
    statement = statement.group_by(AlertRule.id, Monitor.id, Check.id)
    if wanted.has_alerts:
        statement = statement.having(func.count(Alert.id) > 0)
    ordered = statement.order_by(*(_ORDERS[key] for key in order), AlertRule.id)
    return [CountedRule(*row) for row in session.execute(ordered.limit(limit).offset(offset))]


def newest_alerts(session: Session, rule_ids: Sequence[int], count: int) -> dict[int, list[Alert]]:
    """Return the newest alerts of each rule, at most `count` of them, those that are not resolved first."""
    order = (Alert.state == AlertState.RESOLVED, Alert.last_window_end.desc(), Alert.id.desc())
    position = func.row_number().over(partition_by=Alert.rule_id, order_by=order)
    ranked = select(Alert.id, position.label("position")).where(
        Alert.rule_id.in_(rule_ids), Alert.state != AlertState.PENDING
    )
    chosen = ranked.subquery()
    statement = select(Alert).join(chosen, chosen.c.id == Alert.id).where(chosen.c.position <= count)
    alerts = dict[int, list[Alert]]()
    for alert in session.scalars(statement.order_by(chosen.c.position)):
        alerts.setdefault(alert.rule_id, []).append(alert)
    return alerts


def _counted() -> Select[AlertRule, Monitor, int, str, int, int, datetime, datetime]:
    unresolved = func.count(Alert.id).filter(Alert.state != AlertState.RESOLVED)
    return (
        select(
            AlertRule, Monitor, Check.model_id, Check.name, func.count(Alert.id), unresolved, _LAST_END,
            func.max(Alert.opened_at),
        )
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
    )  # fmt: skip


def _conditions(wanted: RuleFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [AlertRule.ingestion_type.is_(None)]
    if wanted.monitor_id is not None:
        conditions.append(Monitor.id == wanted.monitor_id)
    if wanted.model_ids:
        conditions.append(Check.model_id.in_(wanted.model_ids))
    if wanted.severities:
        conditions.append(AlertRule.severity.in_(wanted.severities))
    if wanted.is_active is not None:
        conditions.append(AlertRule.is_active.is_(wanted.is_active))
    return conditions


def _is_counted(wanted: RuleFilter) -> ColumnElement[bool]:
    conditions = [Alert.rule_id == AlertRule.id, Alert.state != AlertState.PENDING]
    if wanted.start is not None:
        conditions.append(Alert.first_window_start >= wanted.start)
    if wanted.end is not None:
        conditions.append(Alert.last_window_end <= wanted.end)
    if wanted.resolved is not None:
        is_resolved = Alert.state == AlertState.RESOLVED
        conditions.append(is_resolved if wanted.resolved else ~is_resolved)
    return and_(*conditions)
