"""Data-ingestion rules: rules on how many samples and labels arrive, as the old API knows them.

Each is a rule on a monitor of its own with the check DataFlow, so that windows without rows count too. An alert is
about one version, as all alerts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import alert_views, rule_changes, rules
from dcmon.alerting.alert_views import AlertView
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Change, Condition
from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.severity import Severity
from dcmon.windows import Frequency

CHECK_NAME = "Data Ingestion"  # of the check of all these monitors; "Data Flow" is that of the default monitors


class IngestionType(StrEnum):
    """What a data-ingestion rule counts in a window. LABEL_RATIO: the share of samples that have a label."""

    SAMPLE_COUNT = "sample_count"
    LABEL_COUNT = "label_count"
    LABEL_RATIO = "label_ratio"

    @property
    def metric(self) -> str:
        """The metric of DataFlow that is counted."""
        return {"sample_count": "rows", "label_count": "labels", "label_ratio": "label ratio"}[self.value]


@dataclass(frozen=True)
class NewIngestionRule:
    """What a person chooses of a new data-ingestion rule."""

    name: str
    type: IngestionType
    frequency: Frequency
    condition: Condition
    severity: Severity = Severity.MEDIUM
    is_active: bool = True


class IngestionRule(NamedTuple):
    """A data-ingestion rule with its monitor, whose name is the rule's, and its model's id."""

    rule: AlertRule
    monitor: Monitor
    model_id: int


def create(
    session: Session, actor: Actor, model: Model, new: NewIngestionRule, org_retention: timedelta | None = None
) -> AlertRule:
    """Add a rule to a model; its last windows become due. Raises InvalidInput."""
    kwargs = {"check_conf": {}, "res_conf": [new.type.metric]}
    spec = MonitorSpec(new.name, new.frequency, additional_kwargs=kwargs)
    monitor = monitors.create(session, _check(session, model), spec, org_retention)
    settings = Change(severity=new.severity, is_active=new.is_active)
    rule = rule_changes.add(session, actor, monitor.id, new.condition, settings).rule
    rule.ingestion_type = new.type
    session.flush()
    return rule


def _check(session: Session, model: Model) -> Check:
    """Return the check of the model's data-ingestion rules, which the first one creates."""
    is_it = (Check.model_id == model.id, Check.module_name == DATA_FLOW.module_name)
    statement = select(Check).where(*is_it, Check.name.in_((CHECK_NAME, model_checks.name_beside(CHECK_NAME))))
    model_checks.lock_names(session, model)  # otherwise two first rules at once would create two checks
    check = session.scalar(statement.order_by(Check.id))
    if check is not None:
        return check
    is_used = session.scalar(select(Check.id).where(Check.model_id == model.id, Check.name == CHECK_NAME)) is not None
    name = model_checks.name_beside(CHECK_NAME) if is_used else CHECK_NAME
    return model_checks.create_check(session, model, name, DATA_FLOW.module_name, DATA_FLOW.class_name, {})


def entries(session: Session, model: Model, limit: int | None = None, offset: int = 0) -> list[IngestionRule]:
    """Return the data-ingestion rules of a model, the oldest first."""
    statement = _rules().where(Check.model_id == model.id).order_by(AlertRule.id)
    return [IngestionRule(*row) for row in session.execute(statement.limit(limit).offset(offset))]


def get(session: Session, rule_id: int) -> IngestionRule:
    """Return the data-ingestion rule with an id. Raises NotFound, also for a rule of another kind."""
    row = session.execute(_rules().where(AlertRule.id == rule_id)).one_or_none()
    if row is None:
        raise errors.NotFound(what="data-ingestion rule", name=rule_id)
    return IngestionRule(*row)


def _rules() -> Select[AlertRule, Monitor, int]:
    return (
        select(AlertRule, Monitor, Check.model_id)
        .join(Monitor, Monitor.id == AlertRule.monitor_id)
        .join(Check, Check.id == Monitor.check_id)
        .where(AlertRule.ingestion_type.is_not(None))
    )


def change(session: Session, actor: Actor, entry: IngestionRule, wanted: Change) -> None:
    """Change a rule: its condition, severity, name, and whether it is active. Raises InvalidInput."""
    if wanted.name is not None:
        entry.monitor.name = wanted.name
    settings = Change(wanted.condition, wanted.severity, is_active=wanted.is_active)
    rule_changes.change(session, actor, entry.rule, settings)


def delete(session: Session, entry: IngestionRule) -> None:
    """Delete a rule with its alerts, and its monitor unless that has other rules."""
    others = select(func.count()).where(AlertRule.monitor_id == entry.monitor.id, AlertRule.id != entry.rule.id)
    if session.scalar(others):
        rules.delete(session, entry.rule)
    else:
        lifecycle.delete_monitor(session, entry.monitor)


def get_alert(session: Session, alert_id: int) -> AlertView:
    """Return an alert of a data-ingestion rule. Raises NotFound, also for an alert of another rule."""
    rule_id = session.scalar(select(Alert.rule_id).where(Alert.id == alert_id))
    rule = None if rule_id is None else session.get(AlertRule, rule_id)
    if rule is None or rule.ingestion_type is None:
        raise errors.NotFound(what="data-ingestion alert", name=alert_id)
    return alert_views.get_alert(session, alert_id)


def alerts_of(
    session: Session, entry: IngestionRule, resolved: bool | None, limit: int | None = None, offset: int = 0
) -> Sequence[AlertView]:
    """Return the alerts of a rule in the order of their windows."""
    return alert_views.alerts_of_rule(session, entry.rule.id, resolved=resolved, limit=limit, offset=offset)
