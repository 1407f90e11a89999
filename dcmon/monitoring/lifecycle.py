"""Change and delete models, versions, monitors and references, with all effects.

Alerts end, receivers are notified, and windows are due again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import Session

from dcmon import durations, errors, windows
from dcmon.alerting import judging, rules
from dcmon.checks import catalogue
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Version
from dcmon.ingestion import reference_loading
from dcmon.ingestion.reference_loading import APPEND, Document, LoadOptions, ReferenceLoad, ReferenceTable
from dcmon.monitoring import model_checks, monitors, reevaluation, schedules, version_locks
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.monitors import MonitorChange
from dcmon.notifications import closing, receivers
from dcmon.storage import sample_tables, versions


@dataclass(frozen=True)
class ModelTiming:
    """The settings of a model that decide when its windows are evaluated; None: unchanged."""

    time_zone: str | None = None
    lateness: timedelta | None = None
    label_ratio: float | None = None
    label_delay: timedelta | None = None


class VersionEdit(NamedTuple):
    """Changes of a version; None: unchanged. Without `public_url` receivers are not notified."""

    name: str | None
    feature_importance: Mapping[str, float] | None
    public_url: str | None


class MonitorEdit(NamedTuple):
    """A monitor's new specification, and all new parameters of its check; None: unchanged."""

    spec: MonitorSpec
    params: Mapping[str, Any] | None = None


EditMonitor = Callable[[MonitorSpec, Mapping[str, Any]], MonitorEdit]


def change_monitor(
    session: Session, org: Organization, monitor: Monitor, edit: EditMonitor, public_url: str | None
) -> MonitorChange:
    """Change a monitor, and end its open alerts if the change affects its values.

    `edit` gets the specification of the monitor and the parameters of its check, after the monitor is locked: so no
    change by another session is lost. Without `public_url` receivers are not notified. Raises InvalidInput or NotFound.
    """
    spec = monitors.lock(session, monitor)
    new = edit(spec, model_checks.get_check(session, monitor.check_id).params)
    change = monitors.change(session, monitor, new.spec, new.params, org.retention)
    if change.revision is not None:
        _end_alerts(session, org, monitor, public_url, "the monitor was changed")
    return change


def change_check(
    session: Session, org: Organization, check: Check, params: Mapping[str, Any], public_url: str | None
) -> int:
    """Change the parameters of a check for all its monitors; return how many windows are due for that reason.

    Its monitors begin a new revision, and their open alerts end. Raises InvalidInput.
    """
    model_checks.set_params(session, check, params)
    count = 0
    of_check = select(Monitor).where(Monitor.check_id == check.id).order_by(Monitor.id)
    for monitor in session.scalars(of_check.with_for_update(key_share=True)).all():
        count += monitors.start_revision(session, monitor, org.retention).windows
        _end_alerts(session, org, monitor, public_url, "the check was changed")
    return count


def move_monitor(session: Session, org: Organization, monitor: Monitor, check: Check, public_url: str | None) -> int:
    """Let a monitor run another check of its model; return how many windows are due for that reason.

    A new revision begins, and its open alerts end. Raises InvalidInput if its specification does not fit the check.
    """
    count = monitors.move(session, monitor, check, org.retention).windows
    _end_alerts(session, org, monitor, public_url, "the monitor's check was changed")
    return count


def change_model(session: Session, org: Organization, model: Model, timing: ModelTiming, public_url: str | None) -> int:
    """Change a model's timing; return how many windows a new time zone makes due.

    Another time zone moves all windows of the model. Windows that wait for labels or late rows are due now. Without
    `public_url` receivers are not notified. Raises InvalidInput.
    """
    _require_valid(timing)
    is_other_zone = timing.time_zone not in (None, model.time_zone)
    for name, value in vars(timing).items():
        if value is not None:
            setattr(model, name, value)
    session.flush()
    count = 0
    if is_other_zone:
        for monitor in session.scalars(select(Monitor).join(Check).where(Check.model_id == model.id)).all():
            count += monitors.start_revision(session, monitor, org.retention).windows
            _end_alerts(session, org, monitor, public_url, "the model's time zone was changed")
    reevaluation.recheck_model(session, model)
    return count


def change_version(session: Session, org: Organization, version: Version, change: VersionEdit) -> int:
    """Rename a version or set its feature importance; return how many windows another importance makes due.

    Monitors whose values depend on the importance begin a new revision, and their open alerts end. Raises InvalidInput
    or Conflict.
    """
    importance = change.feature_importance
    has_other_importance = importance is not None and dict(importance) != version.feature_importance
    versions.change(session, version, change.name, importance)
    count = 0
    if has_other_importance:
        for monitor, check in schedules.monitors_of_model(session, session.get_one(Model, version.model_id)):
            if catalogue.reads_importance(check.module_name, check.class_name):
                count += monitors.start_revision(session, monitor, org.retention).windows
                _end_alerts(session, org, monitor, change.public_url, "the importance of features was changed")
    return count


def _require_valid(timing: ModelTiming) -> None:
    if timing.time_zone is not None:
        windows.time_zone(timing.time_zone)
    if timing.label_ratio is not None and not 0 <= timing.label_ratio <= 1:
        raise errors.InvalidInput(f"The label ratio must be a share from 0 to 1, not {timing.label_ratio}.")
    for name, term in (("lateness", timing.lateness), ("label delay", timing.label_delay)):
        if term is not None and not timedelta() <= term <= durations.MAX_DURATION:
            raise errors.InvalidInput(f"The {name} must be from 0 to 36500 days.")


def _end_alerts(session: Session, org: Organization, monitor: Monitor, public_url: str | None, note: str) -> None:
    for rule in rules.for_monitor(session, monitor.id):
        judging.restart_rule(session, org, rule, public_url, note)


def load_reference(
    session: Session,
    model: Model,
    version: Version,
    table: ReferenceTable,
    options: LoadOptions = APPEND,
    org_retention: timedelta | None = None,
) -> ReferenceLoad:
    """Load reference rows, and make the last windows due that are compared with the reference.

    Either all rows are loaded, or no row. Raises InvalidInput, which names the row and the field.
    """
    loaded = reference_loading.load(session, model, version, table, options)
    return loaded if options.dry_run else _with_new_revision(session, version, loaded, org_retention)


def append_reference(session: Session, model: Model, version: Version, document: Document) -> int:
    """Append the rows of a document in pandas' JSON format "split"; return how many."""
    return load_reference(session, model, version, reference_loading.split_document(document)).stored


def clear_reference(session: Session, version: Version, org_retention: timedelta | None = None) -> ReferenceLoad:
    """Remove the reference, and make the last windows due that were compared with it."""
    return _with_new_revision(session, version, reference_loading.clear(session, version), org_retention)


def _with_new_revision(
    session: Session, version: Version, loaded: ReferenceLoad, org_retention: timedelta | None
) -> ReferenceLoad:
    # The rows of due_windows are locked only now, after the rows of the reference are stored, so that evaluators don't
    # wait for them during the load. They are locked before the version's row is updated, because the scheduler locks
    # both in this order when a version becomes stale.
    reevaluation.enqueue_for_reference(session, version, datetime.now(UTC), org_retention)
    return replace(loaded, revision=reference_loading.begin_revision(session, version))


def delete_model(session: Session, model: Model) -> None:
    """Delete a model with its versions, samples, monitors and alerts.

    Receivers of its open alerts are notified.
    """
    of_model = session.scalars(select(Version).where(Version.model_id == model.id)).all()
    reference_loading.lock(session, of_model)
    sample_tables.lock_model(session, model)
    version_locks.lock_for_deletion(session, [version.id for version in of_model])
    # Monitors are locked in the order in which the storing of results locks them. This waits for a window that is being
    # stored, and can't deadlock with it.
    session.scalars(
        select(Monitor.id)
        .join(Check)
        .where(Check.model_id == model.id)
        .order_by(Monitor.id)
        .with_for_update(of=Monitor)
    ).all()
    # Notifications are written first, because they need the alerts and versions that are deleted below.
    closing.write_notifications(session, Alert.version_id.in_(select(Version.id).where(Version.model_id == model.id)))
    for version in of_model:
        sample_tables.drop_version_tables(session, version)
    sample_tables.drop_model_tables(session, model)
    session.delete(model)
    session.flush()
    receivers.remove_model(session, model.id)


def delete_version(session: Session, model: Model, version: Version) -> None:
    """Delete a version with its samples, results and alerts.

    Receivers of its open alerts are notified. Its sample ids are deleted too, so that the same samples can be logged to
    another version.
    """
    reference_loading.lock(session, [version])
    sample_tables.lock_model(session, model)  # no sample of the model is stored until the commit
    version_locks.lock_for_deletion(session, [version.id])
    session.execute(text(f"delete from ids_{model.relation} where version_id = :id"), {"id": version.id})
    sample_tables.drop_version_tables(session, version)
    closing.write_notifications(session, Alert.version_id == version.id)
    session.delete(version)
    session.flush()


def delete_checks(session: Session, model: Model, names: Sequence[str]) -> None:
    """Delete checks with their monitors.

    Raises NotFound, and deletes no check, if one of the names is unknown.
    """
    checks = list(session.scalars(select(Check).where(Check.model_id == model.id, Check.name.in_(names))))
    if missing := sorted(set(names) - {check.name for check in checks}):
        raise errors.NotFound(what=f"check of model {model.name!r} called", name=", ".join(missing))
    for check in checks:
        _close_alerts(session, Monitor.check_id == check.id)
        session.delete(check)
    session.flush()


def delete_monitor(session: Session, monitor: Monitor) -> None:
    """Delete a monitor with its results, rules and alerts.

    Receivers of its open alerts are notified.
    """
    _close_alerts(session, Monitor.id == monitor.id)
    session.delete(monitor)
    session.flush()


def _close_alerts(session: Session, condition: ColumnElement[bool]) -> None:
    """Lock monitors, and notify receivers of their open alerts.

    The lock waits for a window of these monitors that is being stored.
    """
    monitor_ids = session.scalars(select(Monitor.id).where(condition).order_by(Monitor.id).with_for_update()).all()
    rule_ids = select(AlertRule.id).where(AlertRule.monitor_id.in_(monitor_ids))
    closing.write_notifications(session, Alert.rule_id.in_(rule_ids))
