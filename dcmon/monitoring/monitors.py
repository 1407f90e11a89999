"""Create, find and change monitors.

`monitoring.lifecycle` deletes monitors, and ends the alerts of changed monitors.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import defaults
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Result
from dcmon.monitoring import model_checks, monitor_validation, reevaluation, schedules
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.nearest import meant
from dcmon.states import AlertState
from dcmon.storage import sample_tables
from dcmon.windows import ComparedWith, Frequency


@dataclass(frozen=True)
class MonitorChange:
    """The effect of a change of a monitor.

    `revision`: its new revision; None if its values stay. `windows`: how many windows are due for that reason.
    """

    revision: int | None = None
    windows: int = 0


def create(session: Session, check: Check, spec: MonitorSpec, org_retention: timedelta | None = None) -> Monitor:
    """Add a monitor, and make the model's last windows with samples due, and those that its lookback shows.

    Raises InvalidInput or NotFound.
    """
    monitor_validation.require_valid(session, check, spec)
    monitor = Monitor(check_id=check.id, lookback=spec.lookback or defaults.LOOKBACK[spec.frequency], **_columns(spec))
    session.add(monitor)
    session.flush()
    reevaluation.enqueue_for_monitor(session, monitor.id, datetime.now(UTC), org_retention=org_retention)
    return monitor


def require_free_name(session: Session, model: Model, name: str) -> None:
    """Check that no monitor of a model has this name, so that it names one monitor. Raises Conflict."""
    sample_tables.lock_naming(session, f"monitors of {model.id}")
    statement = select(Monitor.id).join(Check).where(Check.model_id == model.id, Monitor.name == name)
    if session.scalar(statement.limit(1)) is not None:
        raise errors.Conflict(
            f'Model {model.name!r} has a monitor {name!r} already. Choose another name; "dcmon monitor set" changes it.'
        )


def _columns(spec: MonitorSpec) -> dict[str, Any]:
    """Return the values of a monitor's columns, except `lookback`, whose default depends on the call."""
    return {
        "name": spec.name,
        "description": spec.description,
        "frequency": spec.frequency.value,
        "aggregation_window": spec.aggregation_window,
        "data_filters": None if spec.data_filters is None else dict(spec.data_filters),
        "additional_kwargs": None if spec.additional_kwargs is None else dict(spec.additional_kwargs),
        "dashboard_id": spec.dashboard_id,
        "compared_with": spec.compared_with.value,
        "rows": spec.rows,
    }


def current_spec(monitor: Monitor) -> MonitorSpec:
    """Return the specification of an existing monitor."""
    return MonitorSpec(
        name=monitor.name,
        frequency=Frequency(monitor.frequency),
        aggregation_window=monitor.aggregation_window,
        lookback=monitor.lookback,
        description=monitor.description,
        data_filters=monitor.data_filters,
        additional_kwargs=monitor.additional_kwargs,
        dashboard_id=monitor.dashboard_id,
        compared_with=ComparedWith(monitor.compared_with),
        rows=monitor.rows,
    )


def lock(session: Session, monitor: Monitor) -> MonitorSpec:
    """Lock a monitor's row until the commit, and return its specification.

    Until then no other session can change the monitor.
    """
    session.refresh(monitor, with_for_update={"key_share": True})
    return current_spec(monitor)


def change(
    session: Session,
    monitor: Monitor,
    spec: MonitorSpec,
    params: Mapping[str, Any] | None = None,
    org_retention: timedelta | None = None,
) -> MonitorChange:
    """Change a monitor to a new specification.

    If the change affects its values, a new revision begins, and all windows that had a result are due again, back to
    the retention. `params`: all parameters of its check; None: unchanged. Raises InvalidInput or NotFound.
    """
    check = model_checks.get_check(session, monitor.check_id)
    monitor_validation.require_valid(session, check, spec)
    has_other_values = current_spec(monitor).has_other_values(spec)
    is_longer = spec.lookback is not None and spec.lookback > monitor.lookback
    monitor.lookback = spec.lookback or monitor.lookback
    for column, value in _columns(spec).items():
        setattr(monitor, column, value)
    if params is not None and dict(params) != check.params:
        has_other_values = True
        monitor.check_id = model_checks.with_params(session, check, monitor, params).id
    session.flush()
    if has_other_values:
        return start_revision(session, monitor, org_retention)
    if is_longer:
        reevaluation.enqueue_for_monitor(session, monitor.id, datetime.now(UTC), org_retention=org_retention)
    return MonitorChange()


def move(session: Session, monitor: Monitor, check: Check, org_retention: timedelta | None = None) -> MonitorChange:
    """Let a monitor run another check of its model: a new revision begins. Raises InvalidInput or NotFound."""
    monitor_validation.require_valid(session, check, lock(session, monitor))
    monitor.check_id = check.id
    return start_revision(session, monitor, org_retention)


def start_revision(session: Session, monitor: Monitor, org_retention: timedelta | None = None) -> MonitorChange:
    """Begin a new revision of a monitor: the windows of older results are due again."""
    since = session.scalar(select(func.min(Result.window_end)).where(Result.monitor_id == monitor.id))
    monitor.revision += 1
    session.flush()
    windows = reevaluation.enqueue_for_monitor(session, monitor.id, datetime.now(UTC), since, org_retention)
    return MonitorChange(monitor.revision, windows)


def enqueue_since(session: Session, model: Model, since: datetime, org_retention: timedelta | None) -> list[Monitor]:
    """Make the windows of a model's monitors due since a time; return the monitors."""
    model_monitors = [monitor for monitor, _ in schedules.monitors_of_model(session, model)]
    for monitor in model_monitors:
        reevaluation.enqueue_for_monitor(session, monitor.id, datetime.now(UTC), since, org_retention)
    return model_monitors


def count(session: Session, model: Model) -> int:
    """Count the monitors of a model."""
    return len(schedules.monitors_of_model(session, model))


def get(session: Session, monitor_id: int) -> Monitor:
    """Return the monitor with that id. Raises MonitorNotFound."""
    monitor = session.get(Monitor, monitor_id)
    if monitor is None:
        raise errors.MonitorNotFound(name=monitor_id)
    return monitor


def existing_ids(session: Session, monitor_ids: Sequence[int]) -> set[int]:
    """Return those of the ids that monitors have."""
    return set(session.scalars(select(Monitor.id).where(Monitor.id.in_(monitor_ids))))


def named(session: Session) -> list[tuple[Monitor, str]]:
    """Return all monitors with their names MODEL/MONITOR, in the order of models and names."""
    statement = select(Monitor, Model.name).join(Check, Check.id == Monitor.check_id).join(Model)
    rows = session.execute(statement.order_by(Model.name, Monitor.name, Monitor.id)).all()
    return [(monitor, f"{model}/{monitor.name}") for monitor, model in rows]


def full_name(session: Session, monitor: Monitor) -> str:
    """Return the name MODEL/MONITOR of a monitor."""
    model = select(Model.name).join(Check, Check.model_id == Model.id).where(Check.id == monitor.check_id)
    return f"{session.scalars(model).one()}/{monitor.name}"


def exact_names(session: Session) -> dict[int, str]:
    """Return by what `find` finds exactly one monitor, by ids: MODEL/MONITOR, or the id if several have this name."""
    all_named = named(session)
    meant = Counter(name for monitor, full_name in all_named for name in {monitor.name, full_name})
    return {monitor.id: name if meant[name] == 1 else str(monitor.id) for monitor, name in all_named}


def find_names(session: Session, name: str) -> list[str]:
    """Return MODEL/MONITOR of the monitor of a name (as for `find`), or of all monitors of the model of that name.

    Raises MonitorNotFound, or InvalidInput if several monitors have the name.
    """
    all_named = named(session)
    of_model = [full_name for _, full_name in all_named if full_name.startswith(f"{name}/")]
    try:
        monitor = find(session, name)
    except errors.MonitorNotFound as error:
        if of_model:
            return of_model
        known = [full_name if "/" in name else monitor.name for monitor, full_name in all_named]
        known = [*known, *({} if "/" in name else session.scalars(select(Model.name)))]
        raise errors.MonitorNotFound(
            f"There is no monitor or model {name!r}.{meant(name, known)}"
            ' "dcmon monitor list" lists the monitors, "dcmon model list" the models.'
        ) from error
    return [full_name(session, monitor)]


def find(session: Session, name: str) -> Monitor:
    """Return the monitor with the name MODEL/MONITOR, the name MONITOR, or the id.

    Raises MonitorNotFound, or InvalidInput if several monitors have the name.
    """
    statement = select(Monitor, Model.name).join(Check, Check.id == Monitor.check_id).join(Model)
    rows = session.execute(statement.order_by(Monitor.id)).all()
    matches = [
        (monitor, f"{model}/{monitor.name}")
        for monitor, model in rows
        if name in (monitor.name, f"{model}/{monitor.name}")
    ]
    matches = matches or [(monitor, model) for monitor, model in rows if name == str(monitor.id)]
    if not matches:
        known = [f"{model}/{monitor.name}" if "/" in name else monitor.name for monitor, model in rows]
        raise errors.MonitorNotFound(name=name, known=known)
    if len(matches) > 1:
        # Two monitors of a model can have the same name if they were created over HTTP: then only their ids differ.
        is_unique = len({full_name for _, full_name in matches}) == len(matches)
        choices = [repr(full_name) if is_unique else f"{monitor.id} ({full_name})" for monitor, full_name in matches]
        raise errors.InvalidInput(f"There are {len(matches)} monitors {name!r}. Use {' or '.join(choices)}.")
    return matches[0][0]


def count_dependents(session: Session, monitor: Monitor) -> dict[str, int]:
    """Count what is deleted together with a monitor: results, rules and alerts."""
    rule_ids = select(AlertRule.id).where(AlertRule.monitor_id == monitor.id)
    counts = {
        "results": select(func.count()).select_from(Result).where(Result.monitor_id == monitor.id),
        "rules": select(func.count()).select_from(rule_ids.subquery()),
        "alerts": select(func.count()).select_from(Alert).where(Alert.rule_id.in_(rule_ids)),
    }
    return {name: int(session.scalar(statement) or 0) for name, statement in counts.items()}


def count_open_alerts(session: Session, monitor: Monitor) -> int:
    """Count the alerts of a monitor that are open."""
    of_monitor = Alert.rule_id.in_(select(AlertRule.id).where(AlertRule.monitor_id == monitor.id))
    return session.scalar(select(func.count()).where(of_monitor, Alert.state == AlertState.FIRING)) or 0
