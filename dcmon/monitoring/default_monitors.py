"""The checks, monitors and rules of a new model: those that the SDK creates, and dcmon's own beside them."""

from collections import Counter
from dataclasses import replace

from sqlalchemy.orm import Session

from dcmon.alerting import condition_parser, rules
from dcmon.checks import defaults, own_defaults
from dcmon.checks.defaults import DefaultCheck
from dcmon.checks.own_defaults import OwnMonitor
from dcmon.db.tables.org import AlertRule, Check, Model, Monitor
from dcmon.monitoring import dashboards, default_origins, model_checks, monitors, schedules
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.states import DefaultOrigin, DefaultSet
from dcmon.storage import versions
from dcmon.windows import Frequency


def create_defaults(session: Session, model: Model, frequency: Frequency, chosen: DefaultSet = DefaultSet.ALL) -> int:
    """Create the missing default checks, monitors and rules of a model; return how many monitors.

    A default check of the SDK that is there without its monitor stays as it is.
    """
    created = 0
    if chosen.has_sdk:
        existing = {check.name for check in model_checks.for_model(session, model)}
        missing = [
            default for default in defaults.for_task(model.task_type, frequency.value) if default.name not in existing
        ]
        created += sum(_create_sdk_default(session, model, default, frequency) for default in missing)
    return created + (create_own(session, model, frequency) if chosen.has_own else 0)


def create_own(session: Session, model: Model, frequency: Frequency) -> int:
    """Create the missing checks, monitors and rules of dcmon's own; return how many monitors.

    Where another check of the model has the name, dcmon's gets one beside it.
    """
    existing = {check.name: check for check in model_checks.for_model(session, model)}
    present = {(check.id, monitor.name) for monitor, check in schedules.monitors_of_model(session, model)}
    created = 0
    for default in own_defaults.for_frequency(frequency):
        kind = default.kind
        names = (default.name, model_checks.name_beside(default.name))
        same = [existing[name] for name in names if name in existing and existing[name].class_name == kind.class_name]
        name = names[1] if default.name in existing else default.name
        check = (
            same[0] if same
            else model_checks.create_check(session, model, name, kind.module_name, kind.class_name, {})
        )  # fmt: skip
        for monitor in default.monitors:
            if (check.id, monitor.name) not in present:
                _create_own_monitor(session, check, monitor, frequency)
                created += 1
    return created


def usual_frequency(session: Session, model: Model) -> Frequency:
    """Return the frequency that most default monitors of a model have; daily if it has none."""
    counts = Counter(
        Frequency(monitor.frequency)
        for monitor, check in schedules.monitors_of_model(session, model)
        if default_origins.of_monitor(model, check, monitor.name) is not None
    )
    return max(counts, key=lambda frequency: counts[frequency], default=Frequency.DAY)


def follow_frequency(session: Session, check: Check, spec: MonitorSpec) -> None:
    """Create dcmon's own defaults again, with the frequency of a default monitor that the SDK is about to create.

    The SDK names its frequency only there, after the model was created. Nothing changes if the model has a version.
    """
    model = session.get_one(Model, check.model_id)
    if default_origins.of_monitor(model, check, spec.name) is not DefaultOrigin.SDK:
        return
    own = [
        (monitor, own_check)
        for monitor, own_check in schedules.monitors_of_model(session, model)
        if default_origins.of_monitor(model, own_check, monitor.name) is DefaultOrigin.DCMON
    ]
    if all(monitor.frequency == spec.frequency for monitor, _ in own) or versions.entries(session, model):
        return
    for own_check in {own_check.id: own_check for _, own_check in own}.values():
        session.delete(own_check)
    session.flush()
    create_own(session, model, spec.frequency)


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
        rules.create(session, created.id, condition, rule.severity, more=sdk_rule_settings(frequency))
    return True


def sdk_rule_settings(frequency: Frequency) -> rules.Change:
    """Return the settings of dcmon's own that a default rule of the SDK gets."""
    return rules.Change(min_n=own_defaults.MIN_N, keep_firing=own_defaults.keep_firing(frequency))


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


def is_plain_sdk_rule(session: Session, rule: AlertRule) -> bool:
    """Return True if a rule is a default rule of the SDK, as an earlier dcmon created it."""
    condition = rules.condition_of(rule)
    has_settings = (rule.for_windows, rule.keep_firing, rule.min_n) != (1, 0, 0)
    monitor = session.get_one(Monitor, rule.monitor_id)
    return condition.is_plain and not has_settings and is_sdk_rule(session, monitor, condition, rule.severity)


def own_settings(session: Session, rule: AlertRule) -> rules.Change:
    """Return the change that gives a default rule of the SDK the settings of dcmon's own that new ones have."""
    frequency = Frequency(session.get_one(Monitor, rule.monitor_id).frequency)
    return replace(sdk_rule_settings(frequency), condition=with_own_settings(rules.condition_of(rule), frequency))


def _create_own_monitor(session: Session, check: Check, default: OwnMonitor, frequency: Frequency) -> None:
    spec = MonitorSpec(default.name, frequency, additional_kwargs=default.additional_kwargs)
    monitor = monitors.create(session, check, spec)
    for rule in default.rules:
        keep_firing = own_defaults.keep_firing(frequency) if rule.keep_firing is None else rule.keep_firing
        settings = rules.Change(min_n=rule.min_n, keep_firing=keep_firing, for_windows=rule.for_windows)
        rules.create(session, monitor.id, condition_parser.parse(rule.condition), rule.severity, more=settings)
