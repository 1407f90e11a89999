"""The checks, monitors and rules of a new model, as the SDK creates them."""

from sqlalchemy.orm import Session

from dcmon.alerting import rules
from dcmon.checks import defaults
from dcmon.db.tables.org import Model
from dcmon.monitoring import dashboards, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.windows import Frequency


def create_defaults(session: Session, model: Model, frequency: Frequency) -> int:
    """Create the missing default checks, monitors and rules of a model; return how many monitors."""
    existing = {check.name for check in model_checks.for_model(session, model)}
    created = 0
    for default in defaults.for_task(model.task_type, frequency.value):
        if default.name in existing:
            continue
        kind = default.kind
        check = model_checks.create_check(
            session, model, default.name, kind.module_name, kind.class_name, default.params
        )
        if default.monitor is None:
            continue
        dashboard_id = dashboards.get_or_create(session).id if default.monitor.show_on_dashboard else None
        kwargs = default.monitor.additional_kwargs
        spec = MonitorSpec(default.monitor.name, frequency, additional_kwargs=kwargs, dashboard_id=dashboard_id)
        monitor = monitors.create(session, check, spec)
        created += 1
        if default.rule is not None:
            condition = rules.Condition(default.rule.operator, default.rule.threshold)
            rules.create(session, monitor.id, condition, default.rule.severity)
    return created
