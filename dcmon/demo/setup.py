"""Create the demo's model, its version, reference, checks, monitors and rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmon.demo.classifier import CLASSES, TrainedClassifier
from dcmon.demo.config import DESCRIPTION, LABEL_DELAY, LABEL_RATIO, MODEL, TASK_TYPE, VERSION, DemoPlan, MonitorPlan
from dcmon.demo.flights import FEATURES
from dcmon.demo.http_client import Endpoint, Json
from dcmon.demo.replay import reference_rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Registered:
    """Ids of the demo's model and version, and of its monitors by name."""

    model_id: int
    version_id: int
    monitors: dict[str, int]


def register_all(
    endpoint: Endpoint, trained: TrainedClassifier, plan: DemoPlan, report: Callable[[str], None] = lambda _: None
) -> Registered:
    """Create everything in the SDK's order. A second call creates only what is missing.

    `report` is called with a sentence before each longer step.
    """
    endpoint.connect()
    model_id = endpoint.create_model(MODEL, TASK_TYPE, DESCRIPTION, LABEL_RATIO, LABEL_DELAY)
    monitors = find_or_create_monitors(endpoint, model_id, plan)
    version_id = find_or_create_version(endpoint, model_id, trained)
    reference: pd.DataFrame = reference_rows(trained.reference)
    report(f"Sending the reference, {len(reference):,} flights of January to March")
    endpoint.upload_reference(version_id, reference)
    return Registered(model_id, version_id, monitors)


def find_or_create_version(endpoint: Endpoint, model_id: int, trained: TrainedClassifier) -> int:
    """Return the id of the demo's version; create it if it does not exist."""
    # An existing version keeps its importance, though another machine's training may differ in the last digit.
    version = endpoint.version(MODEL, VERSION)
    if version is not None:
        return int(version["id"])
    return endpoint.create_version(model_id, VERSION, FEATURES, trained.importance, CLASSES)


def find_or_create_monitors(endpoint: Endpoint, model_id: int, plan: DemoPlan) -> dict[str, int]:
    """Create checks, monitors and rules that do not exist. Return the ids of the plan's monitors by name.

    All monitors are put on the dashboard: the endpoint lists monitors by dashboard.
    """
    checks = _checks(endpoint, model_id, plan)
    dashboard = endpoint.get("dashboards")
    of_model = [monitor for monitor in dashboard["monitors"] if monitor["check"]["model_id"] == model_id]
    existing = {monitor["name"]: monitor for monitor in of_model}
    ids: dict[str, int] = {}
    for wanted in plan.monitors:
        monitor = existing.get(wanted.name)
        monitor_id = monitor["id"] if monitor else _create(endpoint, checks[wanted.check], dashboard["id"], wanted)
        _create_missing_rules(endpoint, monitor_id, wanted, monitor)
        ids[wanted.name] = monitor_id
    return ids


def _checks(endpoint: Endpoint, model_id: int, plan: DemoPlan) -> dict[str, int]:
    path = f"models/{model_id}/checks"
    existing = {check["name"]: check["id"] for check in endpoint.get(path)}
    missing = [{"config": config, "name": name} for name, config in plan.checks.items() if name not in existing]
    created = endpoint.post(path, missing) if missing else []
    return existing | {check["name"]: check["id"] for check in created}


def _create(endpoint: Endpoint, check_id: int, dashboard_id: int, wanted: MonitorPlan) -> int:
    body = {
        "name": wanted.name,
        "lookback": int(wanted.lookback.total_seconds()),
        "aggregation_window": 1,
        "frequency": wanted.frequency,
        "dashboard_id": dashboard_id,
        "description": wanted.description,
        "data_filters": None,
        "additional_kwargs": wanted.additional_kwargs,
    }
    return int(endpoint.post(f"checks/{check_id}/monitors", body)["id"])


def _create_missing_rules(endpoint: Endpoint, monitor_id: int, wanted: MonitorPlan, monitor: Json | None) -> None:
    existing = [rule["condition"] for rule in monitor["alert_rules"]] if monitor else []
    for rule in wanted.rules:
        condition = {"operator": rule.operator, "value": rule.value}
        if condition not in existing:
            body = {"condition": condition, "alert_severity": rule.severity, "is_active": True}
            endpoint.post(f"monitors/{monitor_id}/alert-rules", body)
