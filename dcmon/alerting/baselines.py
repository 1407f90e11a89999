"""Baselines: values of a check on the reference itself, for rules that compare with them.

A baseline is computed once for each revision of the reference and of the monitor, together with the first window
evaluated with it.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon.alerting import rule_targets, rules
from dcmon.alerting.rule_conditions import ChangeBase
from dcmon.alerting.state_machine import WindowResult as Judged
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db.tables.org import AlertRule, Baseline, Monitor, MonitorWithCheck, Result, Version


def dependent_rules(session: Session, monitor_id: int) -> list[AlertRule]:
    """Return the active rules of a monitor that compare with the reference."""
    statement = select(AlertRule).where(
        AlertRule.monitor_id == monitor_id, AlertRule.is_active, AlertRule.condition != ""
    )
    return [rule for rule in session.scalars(statement) if rules.condition_of(rule).against == ChangeBase.REFERENCE]


def missing(session: Session, version: Version, monitors: Sequence[MonitorWithCheck]) -> list[MonitorWithCheck]:
    """Return the monitors whose rules need a baseline that is not stored yet.

    Checks that compare with the reference, and checks on the flow of rows, have no baseline.
    """
    if not version.reference_revision:
        return []
    without_baseline = []
    for monitor_with_check in monitors:
        monitor, check = monitor_with_check
        if not rule_targets.has_baseline(check) or not dependent_rules(session, monitor.id):
            continue
        key = (monitor.id, version.id, version.reference_revision, monitor.revision)
        if session.get(Baseline, key) is None:
            without_baseline.append(monitor_with_check)
    return without_baseline


def store(session: Session, monitor: Monitor, version: Version, value: CheckValue, n: int) -> bool:
    """Store a baseline. Return False when another worker has stored it already."""
    statement = (
        insert(Baseline)
        .values(
            monitor_id=monitor.id,
            version_id=version.id,
            reference_revision=version.reference_revision,
            monitor_revision=monitor.revision,
            state=value.state,
            metrics=value.metrics,
            entries=value.entries,
            reason=value.reason,
            n=n,
        )
        .on_conflict_do_nothing()
        .returning(Baseline.n)
    )
    return session.scalar(statement) is not None


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
