"""The checks, monitors and rules of a new model: those that the SDK creates, and dcmon's own beside them."""

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from dcmon.alerting import condition_parser, rules
from dcmon.checks import defaults, own_defaults
from dcmon.checks.defaults import DefaultCheck
from dcmon.checks.own_defaults import OwnMonitor
from dcmon.db.tables.org import Check, Model, Monitor
from dcmon.monitoring import dashboards, model_checks, monitors, schedules
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.states import DefaultSet
from dcmon.storage import versions
from dcmon.windows import Frequency

SDK_RULE_SETTINGS = rules.Change(min_n=own_defaults.MIN_N, keep_firing=own_defaults.KEEP_FIRING)


class DefaultSpot(NamedTuple):
    """Where a default monitor of a model is: its check, by class and name, and its own name."""

    class_name: str
    check: str
    monitor: str


def sdk_spots(model: Model) -> set[DefaultSpot]:
    """Return where the default monitors of the SDK are."""
    return {
        DefaultSpot(default.kind.class_name, default.name, default.monitor.name)
        for default in defaults.for_task(model.task_type)
        if default.monitor is not None
    }


def own_spots() -> set[DefaultSpot]:
    """Return where the default monitors of dcmon's own are."""
    return {
        DefaultSpot(default.kind.class_name, default.name, monitor.name)
        for default in own_defaults.for_frequency(Frequency.DAY)
        for monitor in default.monitors
    }


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

    A name that another check of the model has stays with that check.
    """
    existing = {check.name: check for check in model_checks.for_model(session, model)}
    present = {placed.spot for placed in spots(session, model)}
    created = 0
    for default in own_defaults.for_frequency(frequency):
        kind = default.kind
        check = existing.get(default.name) or model_checks.create_check(
            session, model, default.name, kind.module_name, kind.class_name, {}
        )
        if check.class_name != kind.class_name:
            continue
        for monitor in default.monitors:
            if DefaultSpot(kind.class_name, default.name, monitor.name) not in present:
                _create_own_monitor(session, check, monitor, frequency)
                created += 1
    return created


class SpotMonitor(NamedTuple):
    """A monitor, and where it is."""

    spot: DefaultSpot
    monitor: Monitor


def spots(session: Session, model: Model) -> list[SpotMonitor]:
    """Return all monitors of a model, in order of id, with where they are."""
    return [
        SpotMonitor(DefaultSpot(check.class_name, check.name, monitor.name), monitor)
        for monitor, check in schedules.monitors_of_model(session, model)
    ]


def usual_frequency(session: Session, model: Model) -> Frequency:
    """Return the frequency that most default monitors of a model have; daily if it has none."""
    known = sdk_spots(model) | own_spots()
    counts = Counter(Frequency(placed.monitor.frequency) for placed in spots(session, model) if placed.spot in known)
    return max(counts, key=lambda frequency: counts[frequency], default=Frequency.DAY)


def follow_frequency(session: Session, check: Check, spec: MonitorSpec) -> None:
    """Create dcmon's own defaults again, with the frequency of a default monitor that the SDK is about to create.

    The SDK names its frequency only there, after the model was created. Nothing changes if the model has a version.
    """
    model = session.get_one(Model, check.model_id)
    spot = DefaultSpot(check.class_name, check.name, spec.name)
    own = [placed.monitor for placed in spots(session, model) if placed.spot in own_spots()]
    has_same = all(monitor.frequency == spec.frequency for monitor in own)
    if has_same or spot not in sdk_spots(model) or versions.entries(session, model):
        return
    for check_id in {monitor.check_id for monitor in own}:
        session.delete(session.get_one(Check, check_id))
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
