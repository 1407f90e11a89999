"""Changing what a monitor watches, or how a model's windows lie: what its values depend on, and all that follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import durations, errors, windows
from dcmon.alerting import alerts, rules
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, Check, Model, Monitor, Version
from dcmon.ingestion import reference_loading
from dcmon.ingestion.reference_loading import Document, Loaded, Table
from dcmon.monitoring import monitors, reevaluation
from dcmon.monitoring.monitors import MonitorChange, MonitorSpec
from dcmon.notifications import closing, receivers
from dcmon.storage import sample_tables


def delete_model(session: Session, model: Model) -> None:
    """Delete a model with its versions, samples, monitors and alerts."""
    sample_tables.lock_model(session, model)
    # In the order in which a result locks them: a window that is being evaluated is waited for, never deadlocked with.
    session.scalars(
        select(Monitor.id)
        .join(Check)
        .where(Check.model_id == model.id)
        .order_by(Monitor.id)
        .with_for_update(of=Monitor)
    ).all()
    closing.write_notifications(session, Alert.version_id.in_(select(Version.id).where(Version.model_id == model.id)))
    for version in session.scalars(select(Version).where(Version.model_id == model.id)).all():
        sample_tables.drop_version_tables(session, version)
    sample_tables.drop_model_tables(session, model)
    session.delete(model)
    session.flush()
    receivers.remove_model(session, model.id)


def delete_version(session: Session, model: Model, version: Version) -> None:
    """Delete a version with its samples, results and alerts; its ids go, so that it can be logged anew."""
    sample_tables.lock_model(session, model)
    session.execute(text(f"delete from ids_{model.relation} where version_id = :id"), {"id": version.id})
    sample_tables.drop_version_tables(session, version)
    closing.write_notifications(session, Alert.version_id == version.id)
    session.delete(version)
    session.flush()


@dataclass(frozen=True)
class ModelTiming:
    """How a model's windows lie, and what they wait for; None: as it is."""

    time_zone: str | None = None
    lateness: timedelta | None = None
    label_ratio: float | None = None
    label_delay: timedelta | None = None


def change_monitor(
    session: Session,
    org: Organization,
    monitor: Monitor,
    new: MonitorSpec,
    public_url: str | None,
    params: Mapping[str, Any] | None = None,
) -> MonitorChange:
    """Change a monitor. When its values are others now, its open alerts are over: they were about the old ones.

    `params`: of its check, all of them; None: as they are. Raises InvalidInput or NotFound.
    """
    changed = monitors.change(session, monitor, new, params, org.retention)
    if changed.revision is not None:
        _end_alerts(session, org, monitor, public_url, "the monitor was changed")
    return changed


def change_model(
    session: Session, org: Organization, model: Model, timing: ModelTiming, public_url: str | None
) -> Mapping[str, Any]:
    """Change how a model's windows lie. In another time zone all of them are others; returns how many are due by it.

    What waits for labels, or for late rows, is looked at again. Raises InvalidInput.
    """
    _require_valid(timing)
    is_moved = timing.time_zone not in (None, model.time_zone)
    for name, value in vars(timing).items():
        if value is not None:
            setattr(model, name, value)
    session.flush()
    count = 0
    if is_moved:
        for monitor in session.scalars(select(Monitor).join(Check).where(Check.model_id == model.id)).all():
            count += monitors.start_revision(session, monitor, org.retention).windows
            _end_alerts(session, org, monitor, public_url, "the model's time zone was changed")
    reevaluation.recheck_model(session, model)
    return {"windows_due": count}


def _require_valid(timing: ModelTiming) -> None:
    if timing.time_zone is not None:
        windows.time_zone(timing.time_zone)
    if timing.label_ratio is not None and not 0 <= timing.label_ratio <= 1:
        raise errors.InvalidInput(f"The label ratio is a share from 0 to 1, not {timing.label_ratio}.")
    for what, term in (("lateness", timing.lateness), ("label delay", timing.label_delay)):
        if term is not None and not timedelta() <= term <= durations.MAX_DURATION:
            raise errors.InvalidInput(f"The {what} is at least 0 and at most 36500 days.")


def _end_alerts(session: Session, org: Organization, monitor: Monitor, public_url: str | None, note: str) -> None:
    for rule in rules.of_monitor(session, monitor.id):
        alerts.renew(session, org, rule, public_url, note)


def load_reference(
    session: Session, model: Model, version: Version, table: Table, *, samples_kept: timedelta | None = None, **how: Any
) -> Loaded:
    """Load reference rows and have the last windows evaluated again that are compared with them."""
    if not how.get("dry_run"):
        reevaluation.enqueue_for_reference(session, version, datetime.now(UTC), samples_kept)
    return reference_loading.load(session, model, version, table, samples_kept=samples_kept, **how)


def clear_reference(session: Session, version: Version, samples_kept: timedelta | None = None) -> Loaded:
    """Remove the reference and have the last windows evaluated again that were compared with it."""
    reevaluation.enqueue_for_reference(session, version, datetime.now(UTC), samples_kept)
    return reference_loading.clear(session, version, samples_kept)


def append_reference(session: Session, model: Model, version: Version, document: Document) -> int:
    """Append the rows of a document as pandas writes it; returns how many."""
    return load_reference(session, model, version, reference_loading.split(document)).stored
