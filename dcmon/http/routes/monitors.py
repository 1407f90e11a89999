"""Routes of monitors."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from dcmon.alerting import rules
from dcmon.db.tables.org import Check, Model, Monitor
from dcmon.db.work_queue import Work
from dcmon.http.auth import Reader, Writer
from dcmon.http.fields import CreatedView, IdentifierKind, Time, Timestamp
from dcmon.http.responses import MAY_BE_FULL, MAY_CONFLICT
from dcmon.http.routes import checks
from dcmon.http.routes import rules as rule_routes
from dcmon.http.routes.checks import CheckView
from dcmon.http.routes.models import resolve
from dcmon.http.routes.rules import RuleView
from dcmon.http.routes.versions import Filters
from dcmon.monitoring import default_monitors, default_origins, lifecycle, model_checks, monitors
from dcmon.monitoring.lifecycle import MonitorEdit
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.states import DefaultOrigin
from dcmon.windows import ComparedWith, Frequency

router = APIRouter(tags=["monitors"])


class AdditionalKwargs(BaseModel):
    """A monitor's features, scorers, classes and aggregation (check_conf), and its metrics (res_conf)."""

    check_conf: dict[str, list[str] | None]
    res_conf: list[str] | None = None


Lookback = Annotated[int, Field(ge=0, le=10**10)]
Units = Annotated[int, Field(ge=0, le=1000)]
Name = Annotated[str, Field(max_length=50)]
# Scripts compare these objects with what they sent: a key that was not sent is not added.
AS_SENT = frozenset({"data_filters", "additional_kwargs"})
Rows = Annotated[int, Field(ge=1, le=2**31 - 1)] | Literal["all"] | None


class OptionalFields(BaseModel):
    """Fields of a monitor that may be missing."""

    dashboard_id: int | None = Field(None, ge=1, le=2**31 - 1)
    description: str | None = Field(None, max_length=200)
    data_filters: Filters | None = None
    additional_kwargs: AdditionalKwargs | None = None
    compared_with: ComparedWith = ComparedWith.REFERENCE
    rows: Rows = None


class MonitorBody(OptionalFields):
    """The properties of a monitor to be created. lookback: seconds; aggregation_window: units of the frequency.

    rows: the number of rows that the monitor reads of a window, or "all"; null: DCMON_EVALUATE__SAMPLE_SIZE.
    """

    name: Name
    lookback: Lookback
    aggregation_window: Units
    frequency: Frequency

    def to_spec(self) -> MonitorSpec:
        """Return the specification of the new monitor."""
        return MonitorSpec(**_fields(self, type(self).model_fields))


class MonitorChange(OptionalFields):
    """Changes of a monitor. Only the fields in the body change; null removes a setting.

    params: all parameters of its check. Other monitors on the same check do not change.
    """

    name: Name = ""
    lookback: Lookback = 0
    aggregation_window: Units = 1
    frequency: Frequency = Frequency.DAY
    params: dict[str, Any] | None = None

    def apply_to(self, monitor: MonitorSpec, _stored_params: Mapping[str, Any]) -> MonitorEdit:
        """Return the changed specification of a monitor, and the parameters of its check."""
        params = (self.params or {}) if "params" in self.model_fields_set else None
        return MonitorEdit(replace(monitor, **_fields(self, self.model_fields_set - {"params"})), params)


class ScheduleBody(BaseModel):
    """The start of the windows to evaluate; UTC if it has no offset."""

    timestamp: Time


class MonitorView(BaseModel):
    """A monitor with its check and rules. lookback: seconds; aggregation_window: units of the frequency.

    data_filters, additional_kwargs: as they were sent. rows: the number of rows that it reads of a window, or "all";
    null: DCMON_EVALUATE__SAMPLE_SIZE. revision: grows with each change of what it computes. default: whose default
    monitor it is; null: a user's.
    """

    id: int
    name: str
    check: CheckView
    dashboard_id: int | None
    lookback: int
    aggregation_window: int
    description: str | None
    data_filters: dict[str, Any] | None
    additional_kwargs: dict[str, Any] | None
    alert_rules: list[RuleView]
    frequency: Frequency
    compared_with: ComparedWith
    rows: int | Literal["all"] | None
    revision: int
    default: DefaultOrigin | None


class ScheduledMonitor(BaseModel):
    """A monitor that evaluates its windows since latest_schedule."""

    id: int
    latest_schedule: Timestamp


def _fields(body: BaseModel, names: Iterable[str]) -> dict[str, Any]:
    """Convert the named fields of a body to fields of MonitorSpec."""
    values = {name: value for name, value in body.model_dump().items() if name in names}
    for name in values.keys() & AS_SENT:
        value = getattr(body, name)
        values[name] = None if value is None else value.model_dump(exclude_unset=True)
    converters: dict[str, Callable[[Any], Any]] = {
        "lookback": lambda seconds: timedelta(seconds=seconds),
        "aggregation_window": lambda units: max(1, units),
        "description": lambda text: text or "",
        "rows": lambda rows: 0 if rows == "all" else rows,
    }
    return {name: converters[name](value) if name in converters else value for name, value in values.items()}


@router.post("/checks/{check_id}/monitors", responses=MAY_BE_FULL)
def create(access: Writer, check_id: int, body: MonitorBody) -> CreatedView:
    """Add a monitor to a check; the last windows with samples become due.

    With the first default monitor of the SDK, dcmon's own defaults take over its frequency.
    """
    with access.session() as session:
        check, spec = model_checks.get_check(session, check_id), body.to_spec()
        default_monitors.follow_frequency(session, check, spec)
        monitor_id = monitors.create(session, check, spec, access.org.retention).id
    access.enqueue()
    return CreatedView(id=monitor_id)


@router.get("/monitors/{monitor_id}", response_model=MonitorView)
def show(access: Reader, monitor_id: int) -> dict[str, Any]:
    """Show a monitor with its check and rules."""
    with access.session() as session:
        monitor = monitors.get(session, monitor_id)
        return describe(session, monitor, model_checks.get_check(session, monitor.check_id))


@router.put("/monitors/{monitor_id}")
def change(access: Writer, monitor_id: int, body: MonitorChange) -> None:
    """Change a monitor. If the change affects its values, evaluate its windows again and close its alerts."""
    with access.session() as session:
        monitor = monitors.get(session, monitor_id)
        lifecycle.change_monitor(session, access.org, monitor, body.apply_to, access.app.settings.url)
    access.enqueue()
    access.enqueue(Work.notify)


@router.post("/models/{identifier}/monitors-set-schedule-time", response_model=list[ScheduledMonitor])
def schedule(
    access: Writer, identifier: str, body: ScheduleBody, identifier_kind: IdentifierKind | None = None
) -> list[dict[str, Any]]:
    """Let a model's monitors evaluate all windows since a time that have no current result."""
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        model_monitors = monitors.enqueue_since(session, model, body.timestamp, access.org.retention)
        response = [{"id": monitor.id, "latest_schedule": body.timestamp.isoformat()} for monitor in model_monitors]
    access.enqueue()
    return response


@router.delete("/monitors/{monitor_id}", responses=MAY_CONFLICT)
def delete(access: Writer, monitor_id: int) -> None:
    """Delete a monitor with its results, rules and alerts."""
    with access.session() as session:
        lifecycle.delete_monitor(session, monitors.get(session, monitor_id))
    access.enqueue(Work.notify)


def describe(session: Session, monitor: Monitor, check: Check) -> dict[str, Any]:
    """Return the JSON of a monitor."""
    return {
        "id": monitor.id,
        "name": monitor.name,
        "check": checks.describe(check),
        "dashboard_id": monitor.dashboard_id,
        "lookback": int(monitor.lookback.total_seconds()),
        "aggregation_window": monitor.aggregation_window,
        "description": monitor.description,
        "data_filters": monitor.data_filters,
        "additional_kwargs": monitor.additional_kwargs,
        "alert_rules": [rule_routes.describe(rule) for rule in rules.for_monitor(session, monitor.id)],
        "frequency": monitor.frequency,
        "compared_with": monitor.compared_with,
        "rows": "all" if monitor.rows == 0 else monitor.rows,
        "revision": monitor.revision,
        "default": default_origins.of_monitor(session.get_one(Model, check.model_id), check, monitor.name),
    }
