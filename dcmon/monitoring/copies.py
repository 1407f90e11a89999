"""Copy models, versions and monitors, with what belongs to them, but without rows of production."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Session

from dcmon.alerting import rules
from dcmon.db.tables.org import Check, Model, Monitor, Version
from dcmon.ingestion import reference_loading
from dcmon.monitoring import monitor_validation, monitors, reevaluation, schedules
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel

Row = TypeVar("Row", bound=DeclarativeBase)
# Columns of a copied row that are its own.
OWN = frozenset({"id", "created_at", "revision", "start_time"})


class Copied(NamedTuple):
    """How many objects were copied. `reference`: rows; `id`: that of the copy."""

    id: int
    versions: int = 0
    monitors: int = 0
    rules: int = 0
    reference: int = 0


def copy_monitor(session: Session, monitor: Monitor, name: str, model: Model, retention: timedelta | None) -> Copied:
    """Copy a monitor with its rules, to its own model or another one, and make the last windows with samples due.

    The check of the same name in the other model is used, or the check is copied, too. Rules lose their names, which
    are unique. Raises InvalidInput or Conflict.
    """
    monitors.require_free_name(session, model, name)
    check = session.get_one(Check, monitor.check_id)
    if check.model_id != model.id:
        check = _check_in(session, check, model)
    copied = _copy(monitor, check_id=check.id, name=name)
    monitor_validation.require_valid(session, check, monitors.current_spec(copied))
    session.add(copied)
    session.flush()
    of_monitor = rules.for_monitor(session, monitor.id)
    session.add_all(_copy(rule, monitor_id=copied.id, name=None) for rule in of_monitor)
    session.flush()
    for rule in rules.for_monitor(session, copied.id):
        rules.require_judged(session, copied.id, rules.condition_of(rule))
    reevaluation.enqueue_for_monitor(session, copied.id, datetime.now(UTC), org_retention=retention)
    return Copied(copied.id, monitors=1, rules=len(of_monitor))


def copy_version(session: Session, version: Version, to: Model, name: str, *, with_reference: bool) -> Copied:
    """Copy a version's columns, and its reference if asked for, in its own model or to another one of the same task.

    Raises InvalidInput or Conflict.
    """
    created = versions.copy(session, version, to, name)
    if not with_reference or not version.reference_revision:
        return Copied(created.id, versions=1)
    rows = reference_loading.copy(session, version, created)
    reference_loading.begin_revision(session, created)
    return Copied(created.id, versions=1, reference=rows)


def copy_model(
    session: Session, model: Model, new: NewModel, *, with_reference: bool, retention: timedelta | None
) -> Copied:
    """Copy a model's settings, versions, checks, monitors and rules to a new model. Raises InvalidInput or Conflict."""
    created = models.create_new(session, new)
    for name in ("lateness", "retention", "default_monitors"):
        setattr(created, name, getattr(model, name))
    total = Copied(created.id)
    for version in sorted(versions.entries(session, model), key=lambda known: known.id):
        copied = copy_version(session, version, created, version.name, with_reference=with_reference)
        total = _sum(total, copied)
    for check in session.scalars(select(Check).where(Check.model_id == model.id).order_by(Check.id)).all():
        session.add(_copy(check, model_id=created.id))
    session.flush()
    for monitor, _ in schedules.monitors_of_model(session, model):
        total = _sum(total, copy_monitor(session, monitor, monitor.name, created, retention))
    return total


def _sum(first: Copied, second: Copied) -> Copied:
    return Copied(first.id, *(left + right for left, right in zip(first[1:], second[1:], strict=True)))


def _check_in(session: Session, check: Check, model: Model) -> Check:
    """Return the model's check of that name, or a copy of the check."""
    known = session.scalar(select(Check).where(Check.model_id == model.id, Check.name == check.name))
    if known is None:
        known = _copy(check, model_id=model.id)
        session.add(known)
        session.flush()
    return known


def _copy(row: Row, **others: Any) -> Row:
    """Return a new row with the values of another one, and other values in some columns."""
    values = {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name not in OWN}
    return type(row)(**{**values, **others})
