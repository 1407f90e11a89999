"""Checks of a model, the monitors on them, and the dashboard that lists monitors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import rules
from dcmon.checks import catalogue, defaults, no_value_reasons, parameters
from dcmon.db.tables.org import Alert, AlertRule, Check, Dashboard, Model, Monitor, Result
from dcmon.monitoring import monitor_validation as choices
from dcmon.monitoring import reevaluation
from dcmon.notifications import closing
from dcmon.storage import sample_tables
from dcmon.windows import ComparedWith, Frequency, WindowGrid

LONGEST_NAME = 100
# What a monitor's values depend on.
VALUE_FIELDS = ("frequency", "aggregation_window", "data_filters", "additional_kwargs", "compared_with", "rows")
CHECK_ORDER = ("SingleDatasetPerformance", "FeatureDrift", "LabelDrift", "PredictionDrift")


@dataclass(frozen=True)
class MonitorSpec:
    """What a monitor is created from; lookback is how far its graph reaches."""

    name: str
    frequency: Frequency
    aggregation_window: int = 1
    lookback: timedelta | None = None
    description: str = ""
    data_filters: Mapping[str, Any] | None = None
    additional_kwargs: Mapping[str, Any] | None = None
    dashboard_id: int | None = None
    compared_with: ComparedWith = ComparedWith.REFERENCE
    rows: int | None = None


@dataclass(frozen=True)
class MonitorChange:
    """What changing a monitor did: its new revision when its values are others now, and the windows due by it."""

    revision: int | None = None
    windows: int = 0


def create_check(
    session: Session, model: Model, name: str, module_name: str, class_name: str, params: Mapping[str, Any]
) -> Check:
    """Add a check of the catalogue to a model. Raises InvalidInput or Conflict."""
    kind = catalogue.entry(module_name, class_name)
    if kind.needs_classes and model.task_type == "regression":
        raise errors.InvalidInput(no_value_reasons.no_classes(kind.class_name))
    parameters.require(kind, params)
    if not name.strip() or len(name) > LONGEST_NAME:
        raise errors.InvalidInput(f"A check's name has 1 to {LONGEST_NAME} characters.")
    sample_tables.lock_names(session, f"checks of {model.id}")
    if session.scalar(select(Check.id).where(Check.model_id == model.id, Check.name == name)):
        raise errors.Conflict(f"Model {model.name!r} has a check {name!r} already.")
    check = Check(
        model_id=model.id,
        name=name,
        module_name=module_name,
        class_name=class_name,
        params=dict(params),
        needs_labels=kind.needs_labels,
        needs_reference=kind.needs_reference,
    )
    session.add(check)
    session.flush()
    return check


def get_or_create_check(
    session: Session, model: Model, name: str, params: Mapping[str, Any] | None = None, called: str | None = None
) -> Check:
    """The model's check of that name; a class of the catalogue is added under its own name. Raises InvalidInput.

    With parameters it is another check than the one of that name, and is `called` otherwise.
    """
    found = session.scalar(select(Check).where(Check.model_id == model.id, Check.name == name))
    if found is not None and not params:
        return found
    called = called if params and called else name
    if found is not None:
        changed = {**found.params, **(params or {})}
        return create_check(session, model, called, found.module_name, found.class_name, changed)
    try:
        kind = catalogue.named(name)
    except errors.InvalidInput as unknown:
        there = ", ".join(repr(each.name) for each in checks(session, model)) or "none"
        raise errors.InvalidInput(f"{unknown} The model has {there}.") from unknown
    return create_check(session, model, called, kind.module_name, kind.class_name, params or {})


def checks(session: Session, model: Model) -> list[Check]:
    """The checks of a model: performance first, then drift, then the rest by class."""
    found = session.scalars(select(Check).where(Check.model_id == model.id))

    def place(check: Check) -> tuple[int, str, int]:
        is_known = check.class_name in CHECK_ORDER
        return (CHECK_ORDER.index(check.class_name) if is_known else 9, check.class_name, check.id)

    return sorted(found, key=place)


def check(session: Session, check_id: int) -> Check:
    """The check of that id. Raises NotFound."""
    found = session.get(Check, check_id)
    if found is None:
        raise errors.NotFound(what="check", name=check_id)
    return found


def delete_checks(session: Session, model: Model, names: Sequence[str]) -> None:
    """Delete checks with their monitors; none when one of the names is unknown (NotFound)."""
    found = list(session.scalars(select(Check).where(Check.model_id == model.id, Check.name.in_(names))))
    if missing := sorted(set(names) - {each.name for each in found}):
        raise errors.NotFound(what=f"check of model {model.name!r} called", name=", ".join(missing))
    for each in found:
        _say_farewell(session, Monitor.check_id == each.id)
        session.delete(each)
    session.flush()


def create(session: Session, check: Check, new: MonitorSpec, kept: timedelta | None = None) -> Monitor:
    """Add a monitor; the model's last windows with samples become due for it. Raises InvalidInput or NotFound.

    `kept`: the organization's retention.
    """
    _require_valid(session, new)
    choices.require_valid(
        session, session.get_one(Model, check.model_id), check, WindowGrid(new.frequency, new.aggregation_window),
        new.data_filters, new.additional_kwargs, new.compared_with,
    )  # fmt: skip
    monitor = Monitor(
        check_id=check.id,
        dashboard_id=new.dashboard_id,
        name=new.name,
        description=new.description,
        frequency=new.frequency.value,
        aggregation_window=new.aggregation_window,
        lookback=new.lookback or defaults.LOOKBACK[new.frequency.value],
        data_filters=None if new.data_filters is None else dict(new.data_filters),
        additional_kwargs=None if new.additional_kwargs is None else dict(new.additional_kwargs),
        compared_with=new.compared_with.value,
        rows=new.rows,
    )
    session.add(monitor)
    session.flush()
    reevaluation.enqueue_for_monitor(session, monitor.id, datetime.now(UTC), org_retention=kept)
    return monitor


def _require_valid(session: Session, new: MonitorSpec) -> None:
    if not new.name.strip() or len(new.name) > LONGEST_NAME:
        raise errors.InvalidInput(f"A monitor's name has 1 to {LONGEST_NAME} characters.")
    if not 1 <= new.aggregation_window <= 1000:
        raise errors.InvalidInput(f"A window spans 1 to 1000 units, not {new.aggregation_window}.")
    if new.rows is not None and new.rows < 0:
        raise errors.InvalidInput("A monitor reads at least one row, or all of them.")
    if new.dashboard_id is not None and session.get(Dashboard, new.dashboard_id) is None:
        raise errors.NotFound(what="dashboard", name=new.dashboard_id)


def current_spec(monitor: Monitor) -> MonitorSpec:
    """What a monitor that is there would be created from."""
    return MonitorSpec(
        monitor.name, Frequency(monitor.frequency), monitor.aggregation_window, monitor.lookback, monitor.description,
        monitor.data_filters, monitor.additional_kwargs, monitor.dashboard_id, ComparedWith(monitor.compared_with),
        monitor.rows,
    )  # fmt: skip


def lock(session: Session, monitor: Monitor) -> MonitorSpec:
    """What a monitor is now; nobody else changes it until the session ends."""
    session.refresh(monitor, with_for_update={"key_share": True})
    return current_spec(monitor)


def change(
    session: Session,
    monitor: Monitor,
    new: MonitorSpec,
    params: Mapping[str, Any] | None = None,
    kept: timedelta | None = None,
) -> MonitorChange:
    """Make a monitor what `new` says. Where that changes its values it is a new revision, and all windows that had a
    result, back to the retention, are due again; a name, a text or how far its graph reaches change nothing else.

    `params`: of its check, all of them; None: as they are. `kept`: the organization's retention. Raises InvalidInput or
    NotFound.
    """
    _require_valid(session, new)
    on = check(session, monitor.check_id)
    choices.require_valid(
        session, session.get_one(Model, on.model_id), on, WindowGrid(new.frequency, new.aggregation_window),
        new.data_filters, new.additional_kwargs, new.compared_with,
    )  # fmt: skip
    is_another = any(getattr(current_spec(monitor), name) != getattr(new, name) for name in VALUE_FIELDS)
    if new.frequency != monitor.frequency and new.lookback == monitor.lookback:
        new = replace(new, lookback=defaults.LOOKBACK[new.frequency.value])
    monitor.name, monitor.description, monitor.lookback = new.name, new.description, new.lookback or monitor.lookback
    monitor.frequency, monitor.aggregation_window = new.frequency.value, new.aggregation_window
    monitor.data_filters = None if new.data_filters is None else dict(new.data_filters)
    monitor.additional_kwargs = None if new.additional_kwargs is None else dict(new.additional_kwargs)
    monitor.compared_with, monitor.rows, monitor.dashboard_id = new.compared_with.value, new.rows, new.dashboard_id
    if params is not None and dict(params) != on.params:
        is_another = True
        monitor.check_id = _check_like(session, on, monitor, params).id
    session.flush()
    return start_revision(session, monitor, kept) if is_another else MonitorChange()


def _check_like(session: Session, on: Check, monitor: Monitor, params: Mapping[str, Any]) -> Check:
    """The check with other parameters, for one monitor: another one on it keeps its own.

    One that the model has is shared; one that was made for this monitor alone is changed; else there is a new one.
    """
    model = session.get_one(Model, on.model_id)
    parameters.require(catalogue.entry(on.module_name, on.class_name), params)
    sample_tables.lock_names(session, f"checks of {model.id}")
    there = checks(session, model)
    like = (on.module_name, on.class_name, dict(params))
    if found := next((each for each in there if (each.module_name, each.class_name, each.params) == like), None):
        return found
    others = session.scalar(select(func.count()).where(Monitor.check_id == on.id, Monitor.id != monitor.id))
    if on.name == monitor.name and not others:
        on.params = dict(params)
        return on
    names, number, name = {each.name for each in there}, 1, monitor.name
    while name in names:
        number += 1
        name = f"{monitor.name[: LONGEST_NAME - 6]} {number}"
    return create_check(session, model, name, on.module_name, on.class_name, params)


def start_revision(session: Session, monitor: Monitor, kept: timedelta | None = None) -> MonitorChange:
    """Begin a new revision of a monitor: what it found before is history, and is found again.

    `kept`: the organization's retention.
    """
    since = session.scalar(select(func.min(Result.window_end)).where(Result.monitor_id == monitor.id))
    monitor.revision += 1
    session.flush()
    return MonitorChange(
        monitor.revision, reevaluation.enqueue_for_monitor(session, monitor.id, datetime.now(UTC), since, kept)
    )


def get(session: Session, monitor_id: int) -> Monitor:
    """The monitor of that id. Raises NotFound."""
    found = session.get(Monitor, monitor_id)
    if found is None:
        raise errors.NotFound(what="monitor", name=monitor_id)
    return found


def find(session: Session, name: str) -> Monitor:
    """The monitor called MODEL/MONITOR, or MONITOR where only one model has it, or of that id.

    Raises NotFound, or InvalidInput where several are called so.
    """
    statement = select(Monitor, Model.name).join(Check, Check.id == Monitor.check_id).join(Model)
    rows = session.execute(statement.order_by(Monitor.id)).all()
    found = [
        (monitor, f"{model}/{monitor.name}")
        for monitor, model in rows
        if name in (monitor.name, f"{model}/{monitor.name}")
    ]
    found = found or [(monitor, model) for monitor, model in rows if name == str(monitor.id)]
    if not found:
        raise errors.NotFound(what="monitor", name=name)
    if len(found) > 1:
        # Over HTTP two monitors of a model may have one name.
        by_name = len({called for _, called in found}) == len(found)
        choices = [repr(called) if by_name else f"{monitor.id} ({called})" for monitor, called in found]
        raise errors.InvalidInput(f"There are {len(found)} monitors {name!r}: say {' or '.join(choices)}.")
    return found[0][0]


def count_dependents(session: Session, monitor: Monitor) -> dict[str, int]:
    """What goes with a monitor: results, rules and alerts."""
    ruled = select(AlertRule.id).where(AlertRule.monitor_id == monitor.id)
    counts = {
        "results": select(func.count()).select_from(Result).where(Result.monitor_id == monitor.id),
        "rules": select(func.count()).select_from(ruled.subquery()),
        "alerts": select(func.count()).select_from(Alert).where(Alert.rule_id.in_(ruled)),
    }
    return {name: int(session.scalar(statement) or 0) for name, statement in counts.items()}


def delete(session: Session, monitor: Monitor) -> None:
    """Delete a monitor with its results, rules and alerts."""
    _say_farewell(session, Monitor.id == monitor.id)
    session.delete(monitor)
    session.flush()


def _say_farewell(session: Session, which: ColumnElement[bool]) -> None:
    """End the alerts of monitors; a window of theirs that is being judged is waited for."""
    ids = session.scalars(select(Monitor.id).where(which).order_by(Monitor.id).with_for_update()).all()
    closing.write_notifications(session, Alert.rule_id.in_(select(AlertRule.id).where(AlertRule.monitor_id.in_(ids))))


def on_dashboard(session: Session, dashboard: Dashboard) -> list[tuple[Monitor, Check]]:
    """The monitors of a dashboard with their checks."""
    statement = select(Monitor, Check).join(Check, Check.id == Monitor.check_id)
    found = session.execute(statement.where(Monitor.dashboard_id == dashboard.id).order_by(Monitor.id))
    return [(monitor, check) for monitor, check in found]


def dashboard(session: Session) -> Dashboard:
    """The organization's dashboard; made when it is first asked for."""
    sample_tables.lock_names(session, "dashboards")
    found = session.scalar(select(Dashboard).order_by(Dashboard.id))
    if found is None:
        found = Dashboard(name="Dashboard")
        session.add(found)
        session.flush()
    return found


def create_defaults(session: Session, model: Model, frequency: Frequency) -> int:
    """The checks, monitors and rules that the SDK creates for a new model; returns how many monitors are new."""
    there = {each.name for each in checks(session, model)}
    created = 0
    for default in defaults.for_task(model.task_type, frequency.value):
        if default.name in there:
            continue
        kind = default.kind
        made = create_check(session, model, default.name, kind.module_name, kind.class_name, default.params)
        if default.monitor is None:
            continue
        board = dashboard(session).id if default.monitor.show_on_dashboard else None
        kwargs = default.monitor.additional_kwargs
        new = MonitorSpec(default.monitor.name, frequency, additional_kwargs=kwargs, dashboard_id=board)
        monitor = create(session, made, new)
        created += 1
        if default.rule is not None:
            rule = default.rule
            rules.create(session, monitor.id, rules.Condition(rule.operator, rule.threshold), rule.severity)
    return created
