"""Changing what a monitor watches, or how a model's windows lie: what its values depend on, and all that follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import alerts, durations, errors, monitors, revisiting, rules, windows
from dcmon.db import Organization
from dcmon.monitors import Changed, NewMonitor
from dcmon.tables.org import Check, Model, Monitor


@dataclass(frozen=True)
class Timing:
    """How a model's windows lie, and what they wait for; None: as it is."""

    time_zone: str | None = None
    lateness: timedelta | None = None
    label_ratio: float | None = None
    label_delay: timedelta | None = None


def change_monitor(
    session: Session,
    org: Organization,
    monitor: Monitor,
    new: NewMonitor,
    public_url: str | None,
    params: Mapping[str, Any] | None = None,
) -> Changed:
    """Change a monitor. When its values are others now, its open alerts are over: they were about the old ones.

    `params`: of its check, all of them; None: as they are. Raises InvalidInput or NotFound.
    """
    changed = monitors.change(session, monitor, new, params, org.retention)
    if changed.revision is not None:
        _end_alerts(session, org, monitor, public_url, "the monitor was changed")
    return changed


def change_model(
    session: Session, org: Organization, model: Model, timing: Timing, public_url: str | None
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
            count += monitors.renew(session, monitor, org.retention).windows
            _end_alerts(session, org, monitor, public_url, "the model's time zone was changed")
    revisiting.of_model(session, model)
    return {"windows_due": count}


def _require_valid(timing: Timing) -> None:
    if timing.time_zone is not None:
        windows.zone(timing.time_zone)
    if timing.label_ratio is not None and not 0 <= timing.label_ratio <= 1:
        raise errors.InvalidInput(f"The label ratio is a share from 0 to 1, not {timing.label_ratio}.")
    for what, term in (("lateness", timing.lateness), ("label delay", timing.label_delay)):
        if term is not None and not timedelta() <= term <= durations.LONGEST:
            raise errors.InvalidInput(f"The {what} is at least 0 and at most 36500 days.")


def _end_alerts(session: Session, org: Organization, monitor: Monitor, public_url: str | None, note: str) -> None:
    for rule in rules.of_monitor(session, monitor.id):
        alerts.renew(session, org, rule, public_url, note)
