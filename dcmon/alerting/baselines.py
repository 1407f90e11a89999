"""Baselines: values of a check on the reference itself, for rules that compare with them.

A baseline is computed once for each revision of the reference and of the monitor, together with the first window
evaluated with it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import rule_targets, rules
from dcmon.alerting.rule_conditions import ChangeBase
from dcmon.alerting.state_machine import WindowResult as Judged
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db.tables.org import AlertRule, Baseline, Monitor, MonitorWithCheck, Result, Version


class NewBaseline(NamedTuple):
    """The value of a monitor's check on a reference, from `n` rows."""

    monitor: Monitor
    value: CheckValue
    n: int


def dependent_rules(session: Session, monitor_ids: Collection[int]) -> list[AlertRule]:
    """Return the active rules of these monitors that compare with the reference, in order of monitor and rule id."""
    if not monitor_ids:
        return []
    statement = (
        select(AlertRule)
        .where(AlertRule.monitor_id.in_(monitor_ids), _has_condition_text())
        .order_by(AlertRule.monitor_id, AlertRule.id)
    )
    return [rule for rule in session.scalars(statement) if _is_on_reference(rule.condition or "")]


def condition_texts(monitor_id: SQLColumnExpression[int]) -> ColumnElement[Sequence[str] | None]:
    """Return the SQL of the conditions that are written as text, of a monitor's active rules; null without any."""
    texts = select(func.array_agg(AlertRule.condition)).where(AlertRule.monitor_id == monitor_id, _has_condition_text())
    return texts.scalar_subquery()


def use_reference(conditions: Sequence[str]) -> bool:
    """Return True if one of these conditions compares with the value of the check on the reference."""
    return any(_is_on_reference(condition) for condition in conditions)


def _has_condition_text() -> ColumnElement[bool]:
    return and_(AlertRule.is_active, AlertRule.condition != "")


def _is_on_reference(condition: str) -> bool:
    """Return True if a condition compares with the reference. One that can't be read fails when it judges."""
    try:
        return rules.parse_stored(condition).against == ChangeBase.REFERENCE
    except errors.InvalidInput:
        return False


def missing(session: Session, version: Version, monitors: Sequence[MonitorWithCheck]) -> list[MonitorWithCheck]:
    """Return the monitors whose rules need a baseline that is not stored yet.

    Checks that compare with the reference, and checks on the flow of rows, have no baseline.
    """
    candidates = {monitor.id for monitor, check in monitors if rule_targets.has_baseline(check)}
    if not version.reference_revision or not candidates:
        return []
    is_stored = exists().where(
        Baseline.monitor_id == Monitor.id, Baseline.version_id == version.id,
        Baseline.reference_revision == version.reference_revision, Baseline.monitor_revision == Monitor.revision,
    )  # fmt: skip
    rows = session.execute(
        select(Monitor.id, condition_texts(Monitor.id)).where(Monitor.id.in_(candidates), ~is_stored)
    )
    without_baseline = {monitor_id for monitor_id, conditions in rows if use_reference(conditions or ())}
    return [MonitorWithCheck(monitor, check) for monitor, check in monitors if monitor.id in without_baseline]


def store(session: Session, version: Version, values: Sequence[NewBaseline]) -> list[int]:
    """Store baselines; return the ids of their monitors, without those that another worker has stored already."""
    if not values:
        return []
    rows = [
        {
            "monitor_id": monitor.id,
            "version_id": version.id,
            "reference_revision": version.reference_revision,
            "monitor_revision": monitor.revision,
            "state": value.state,
            "metrics": value.metrics,
            "entries": value.entries,
            "reason": value.reason,
            "n": n,
        }
        for monitor, value, n in sorted(values, key=lambda new: new.monitor.id)
    ]
    statement = insert(Baseline).values(rows).on_conflict_do_nothing().returning(Baseline.monitor_id)
    return sorted(session.scalars(statement))


def for_rule(session: Session, rule: AlertRule, version_id: int) -> Callable[[Judged], Mapping[str, float]]:
    """Return a function that gives the baseline which belongs to a result.

    It is the baseline of the reference that the result was evaluated with; empty where no baseline is stored.
    """
    if rules.condition_of(rule).against != ChangeBase.REFERENCE:
        return lambda _: {}
    baselines = session.scalars(
        select(Baseline).where(Baseline.monitor_id == rule.monitor_id, Baseline.version_id == version_id)
    )
    known = {(row.reference_revision, row.monitor_revision): {**row.entries, **row.metrics} for row in baselines}

    def reference(result: Judged) -> Mapping[str, float]:
        assert isinstance(result, Result)
        return known.get((result.reference_revision, result.monitor_revision), {})

    return reference
