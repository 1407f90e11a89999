"""The checks, monitors and rules of a new model: those that the SDK creates, and dcmon's own beside them."""

from dataclasses import replace

from sqlalchemy.orm import Session

from dcmon.alerting import condition_parser, rules
from dcmon.checks import defaults, own_defaults
from dcmon.checks.defaults import DefaultCheck
from dcmon.checks.own_defaults import OwnMonitor
from dcmon.db.tables.org import Check, Model, Monitor
from dcmon.monitoring import dashboards, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.states import DefaultSet
from dcmon.windows import Frequency

SDK_RULE_SETTINGS = rules.Change(min_n=own_defaults.MIN_N, keep_firing=own_defaults.KEEP_FIRING)


def create_defaults(session: Session, model: Model, frequency: Frequency, chosen: DefaultSet = DefaultSet.ALL) -> int:
    """Create the missing default checks, monitors and rules of a model; return how many monitors."""
    if chosen == DefaultSet.NONE:
        return 0
    existing = {check.name for check in model_checks.for_model(session, model)}
    missing = [
        default for default in defaults.for_task(model.task_type, frequency.value) if default.name not in existing
    ]
    created = sum(_create_sdk_default(session, model, default, frequency) for default in missing)
    return created + (create_own(session, model, frequency) if chosen == DefaultSet.ALL else 0)


def create_own(session: Session, model: Model, frequency: Frequency) -> int:
    """Create the missing checks, monitors and rules of dcmon's own; return how many monitors."""
    existing = {check.name for check in model_checks.for_model(session, model)}
    created = 0
    for default in own_defaults.for_frequency(frequency):
        if default.name in existing:
            continue
        kind = default.kind
        check = model_checks.create_check(session, model, default.name, kind.module_name, kind.class_name, {})
        for monitor in default.monitors:
            _create_own_monitor(session, check, monitor, frequency)
            created += 1
    return created


def _create_sdk_default(session: Session, model: Model, default: DefaultCheck, frequency: Frequency) -> bool:
    """Create a default check; return True if it has a monitor."""
    kind, monitor = default.kind, default.monitor
    check = model_checks.create_check(session, model, default.name, kind.module_name, kind.class_name, default.params)
    if monitor is None:
        return False
    dashboard_id = dashboards.get_or_create(session).id if monitor.show_on_dashboard else None
    kwargs = monitor.additional_kwargs
    spec = MonitorSpec(monitor.name, frequency, additional_kwargs=kwargs, dashboard_id=dashboard_id)
    created = monitors.create(session, check, spec)
    if default.rule is not None:
        rule = default.rule
        condition = with_own_settings(rules.Condition(rule.operator, rule.threshold), frequency)
        rules.create(session, created.id, condition, rule.severity, more=SDK_RULE_SETTINGS)
    return True


def with_own_settings(condition: rules.Condition, frequency: Frequency) -> rules.Condition:
    """Return the condition of a default rule of the SDK that does not alert on a weekly pattern again and again.

    Operator and threshold, which are all that the SDK knows of a condition, do not change.
    """
    return replace(condition, usual_over=own_defaults.usual_over(frequency))


def is_sdk_rule(session: Session, monitor: Monitor, condition: rules.Condition, severity: str) -> bool:
    """Return True if a new rule is a default rule of the SDK on its default monitor."""
    check = session.get_one(Check, monitor.check_id)
    task_type = session.get_one(Model, check.model_id).task_type
    return any(
        default.monitor is not None
        and default.rule is not None
        and (default.name, default.monitor.name) == (check.name, monitor.name)
        and (default.rule.operator, default.rule.threshold) == (condition.operator, condition.threshold)
        and default.rule.severity == severity
        for default in defaults.for_task(task_type, monitor.frequency)
    )


def _create_own_monitor(session: Session, check: Check, default: OwnMonitor, frequency: Frequency) -> None:
    spec = MonitorSpec(default.name, frequency, additional_kwargs=default.additional_kwargs)
    monitor = monitors.create(session, check, spec)
    for rule in default.rules:
        settings = rules.Change(min_n=rule.min_n, keep_firing=rule.keep_firing)
        rules.create(session, monitor.id, condition_parser.parse(rule.condition), rule.severity, more=settings)
