"""Routes of monitors and the dashboard."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from dcmon import monitors, rules
from dcmon.comparison import With
from dcmon.http import checks
from dcmon.http import rules as rule_routes
from dcmon.http.access import Asks
from dcmon.http.versions import Filters
from dcmon.monitors import NewMonitor
from dcmon.tables.org import Check, Monitor
from dcmon.windows import Frequency

router = APIRouter(tags=["monitors"])


class AdditionalKwargs(BaseModel):
    """A monitor's choices: of features, scorers, classes, aggregation (check_conf) and of metrics (res_conf)."""

    check_conf: dict[str, list[str] | None]
    res_conf: list[str] | None = None


class MonitorBody(BaseModel):
    """What a monitor is created from. lookback: seconds; aggregation_window: units of the frequency."""

    name: str
    lookback: int = Field(ge=0, le=10**10)
    aggregation_window: int = Field(ge=0)
    frequency: Frequency
    dashboard_id: int | None = None
    description: str | None = None
    data_filters: Filters | None = None
    additional_kwargs: AdditionalKwargs | None = None
    compared_with: With = With.reference


@router.post("/checks/{check_id}/monitors")
def create(asks: Asks, check_id: int, body: MonitorBody) -> dict[str, int]:
    """Add a monitor to a check; the last windows with samples become due."""
    new = NewMonitor(
        body.name,
        body.frequency,
        max(1, body.aggregation_window),
        timedelta(seconds=body.lookback),
        body.description or "",
        body.data_filters.model_dump() if body.data_filters else None,
        body.additional_kwargs.model_dump() if body.additional_kwargs else None,
        body.dashboard_id,
        body.compared_with,
    )
    with asks.session() as session:
        made = monitors.create(session, monitors.check(session, check_id), new, asks.org.retention).id
    asks.ring()
    return {"id": made}


@router.get("/monitors/{monitor_id}")
def show(asks: Asks, monitor_id: int) -> dict[str, Any]:
    """A monitor with its check and rules."""
    with asks.session() as session:
        monitor = monitors.get(session, monitor_id)
        return describe(session, monitor, monitors.check(session, monitor.check_id))


@router.delete("/monitors/{monitor_id}")
def delete(asks: Asks, monitor_id: int) -> None:
    """Delete a monitor with its results, rules and alerts."""
    with asks.session() as session:
        monitors.delete(session, monitors.get(session, monitor_id))


@router.get("/dashboards")
def dashboard(asks: Asks) -> dict[str, Any]:
    """The organization's dashboard, made at the first call."""
    with asks.session() as session:
        found = monitors.dashboard(session)
        shown = monitors.on_dashboard(session, found)
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
        "alert_rules": [rule_routes.describe(rule) for rule in rules.of_monitor(session, monitor.id)],
        "frequency": monitor.frequency,
        "compared_with": monitor.compared_with,
    }
