"""Routes of monitors and the dashboard."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from dcmon.alerting import rules
from dcmon.db.tables.org import Check, Monitor
from dcmon.db.work_queue import Work
from dcmon.http import checks
from dcmon.http import rules as rule_routes
from dcmon.http.auth import Asks
from dcmon.http.models import resolve
from dcmon.http.versions import Filters, Time
from dcmon.monitoring import dashboards, lifecycle, model_checks, monitors, reevaluation, schedules
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.windows import ComparedWith, Frequency

router = APIRouter(tags=["monitors"])


class AdditionalKwargs(BaseModel):
    """A monitor's choices: of features, scorers, classes, aggregation (check_conf) and of metrics (res_conf)."""

    check_conf: dict[str, list[str] | None]
    res_conf: list[str] | None = None


Lookback = Annotated[int, Field(ge=0, le=10**10)]
Units = Annotated[int, Field(ge=0, le=1000)]
Rows = Annotated[int, Field(ge=1, le=2**31 - 1)] | Literal["all"] | None


class MonitorBody(BaseModel):
    """What a monitor is created from. lookback: seconds; aggregation_window: units of the frequency.

    rows: how many it reads of a window, or "all"; null: as DCMON_EVALUATE__SAMPLE_SIZE says.
    """

    name: str
    lookback: Lookback
    aggregation_window: Units
    frequency: Frequency
    dashboard_id: int | None = None
    description: str | None = None
    data_filters: Filters | None = None
    additional_kwargs: AdditionalKwargs | None = None
    compared_with: ComparedWith = ComparedWith.REFERENCE
    rows: Rows = None

    def new(self) -> MonitorSpec:
        """The monitor that is asked for."""
        return MonitorSpec(**_fields(self, type(self).model_fields))


class MonitorChange(BaseModel):
    """What of a monitor is changed: what the body names. null takes a choice out.

    params: of its check, all of them; another monitor on the same check keeps its own.
    """

    name: str = ""
    lookback: Lookback = 0
    aggregation_window: Units = 1
    frequency: Frequency = Frequency.DAY
    dashboard_id: int | None = None
    description: str | None = None
    data_filters: Filters | None = None
    additional_kwargs: AdditionalKwargs | None = None
    compared_with: ComparedWith = ComparedWith.REFERENCE
    rows: Rows = None
    params: dict[str, Any] | None = None

    def of(self, monitor: MonitorSpec) -> MonitorSpec:
        """What a monitor becomes by it."""
        return replace(monitor, **_fields(self, self.model_fields_set - {"params"}))


class ScheduleBody(BaseModel):
    """Since when windows are evaluated; in UTC where it has no offset."""

    timestamp: Time


def _fields(body: BaseModel, names: Iterable[str]) -> dict[str, Any]:
    """Values of a body as dcmon.monitoring.monitors has them."""
    found = {name: value for name, value in body.model_dump().items() if name in names}
    kept: dict[str, Callable[[Any], Any]] = {
        "lookback": lambda seconds: timedelta(seconds=seconds),
        "aggregation_window": lambda units: max(1, units),
        "description": lambda said: said or "",
        "rows": lambda rows: 0 if rows == "all" else rows,
    }
    return {name: kept[name](value) if name in kept else value for name, value in found.items()}


@router.post("/checks/{check_id}/monitors")
def create(asks: Asks, check_id: int, body: MonitorBody) -> dict[str, int]:
    """Add a monitor to a check; the last windows with samples become due."""
    with asks.session() as session:
        made = monitors.create(session, model_checks.get_check(session, check_id), body.new(), asks.org.retention).id
    asks.enqueue()
    return {"id": made}


@router.get("/monitors/{monitor_id}")
def show(asks: Asks, monitor_id: int) -> dict[str, Any]:
    """A monitor with its check and rules."""
    with asks.session() as session:
        monitor = monitors.get(session, monitor_id)
        return describe(session, monitor, model_checks.get_check(session, monitor.check_id))


@router.put("/monitors/{monitor_id}")
def change(asks: Asks, monitor_id: int, body: MonitorChange) -> None:
    """Change a monitor. Where its values are others by it, its windows are evaluated again and its alerts are over."""
    params = (body.params or {}) if "params" in body.model_fields_set else None
    with asks.session() as session:
        monitor = monitors.get(session, monitor_id)
        wanted = body.of(monitors.lock(session, monitor))
        lifecycle.change_monitor(session, asks.org, monitor, wanted, asks.app.settings.url, params)
    asks.enqueue()
    asks.enqueue(Work.notify)


@router.post("/models/{identifier}/monitors-set-schedule-time")
def schedule(
    asks: Asks, identifier: str, body: ScheduleBody, identifier_kind: str | None = None
) -> list[dict[str, Any]]:
    """Have a model's monitors evaluate every window since a time that has no result of what is there now."""
    with asks.session() as session:
        model = resolve(session, identifier, identifier_kind)
        found = [monitor for monitor, _ in schedules.monitors_of_model(session, model)]
        for monitor in found:
            reevaluation.enqueue_for_monitor(session, monitor.id, datetime.now(UTC), body.timestamp, asks.org.retention)
        answer = [{"id": monitor.id, "latest_schedule": body.timestamp.isoformat()} for monitor in found]
    asks.enqueue()
    return answer


@router.delete("/monitors/{monitor_id}")
def delete(asks: Asks, monitor_id: int) -> None:
    """Delete a monitor with its results, rules and alerts."""
    with asks.session() as session:
        lifecycle.delete_monitor(session, monitors.get(session, monitor_id))
    asks.enqueue(Work.notify)


@router.get("/dashboards")
def dashboard(asks: Asks) -> dict[str, Any]:
    """The organization's dashboard, made at the first call."""
    with asks.session() as session:
        found = dashboards.get_or_create(session)
        shown = dashboards.monitors_on(session, found)
        return {
            "id": found.id,
            "name": found.name,
            "monitors": [describe(session, monitor, check) for monitor, check in shown],
        }


def describe(session: Session, monitor: Monitor, check: Check) -> dict[str, Any]:
    """A monitor in an answer."""
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
    }
