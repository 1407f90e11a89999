"""Registers the demo's model, version, reference, checks, monitors and rules; what is there already is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmon.demo.classifier import CLASSES, Trained
from dcmon.demo.config import DESCRIPTION, LABEL_DELAY, LABEL_RATIO, MODEL, TASK_TYPE, VERSION, MonitorPlan, Plan
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


def register(
    endpoint: Endpoint, trained: Trained, plan: Plan, say: Callable[[str], None] = lambda _: None
) -> Registered:
    """Register all of it, in the SDK's order. Called again it finds what is there and adds what is missing.

    `say` gets a sentence before each longer step.
    """
    endpoint.connect()
    model_id = endpoint.create_model(MODEL, TASK_TYPE, DESCRIPTION, LABEL_RATIO, LABEL_DELAY)
    monitors = provide_monitors(endpoint, model_id, plan)
    version_id = provide_version(endpoint, model_id, trained)
    reference: pd.DataFrame = reference_rows(trained.reference)
    say(f"Sending the reference, {len(reference):,} flights of January to March")
    endpoint.upload_reference(version_id, reference)
    return Registered(model_id, version_id, monitors)


def provide_version(endpoint: Endpoint, model_id: int, trained: Trained) -> int:
    # A version that is there keeps its importance, though another machine's training may differ in the last digit.
    """The id of the demo's version, which is created when it is not there."""
    found = endpoint.version(MODEL, VERSION)
    if found is not None:
        return int(found["id"])
    return endpoint.create_version(model_id, VERSION, FEATURES, trained.importance, CLASSES)


def provide_monitors(endpoint: Endpoint, model_id: int, plan: Plan) -> dict[str, int]:
    """Create checks, monitors and rules that are not there; ids of the plan's monitors by name.

    All are put on the dashboard, which is what lists them.
    """
    checks = _checks(endpoint, model_id, plan)
    dashboard = endpoint.get("dashboards")
    there = {found["name"]: found for found in dashboard["monitors"] if found["check"]["model_id"] == model_id}
    ids: dict[str, int] = {}
    for wanted in plan.monitors:
        found = there.get(wanted.name)
        ids[wanted.name] = found["id"] if found else _create(endpoint, checks[wanted.check], dashboard["id"], wanted)
        _provide_rules(endpoint, ids[wanted.name], wanted, found)
    return ids


def _checks(endpoint: Endpoint, model_id: int, plan: Plan) -> dict[str, int]:
    path = f"models/{model_id}/checks"
    there = {check["name"]: check["id"] for check in endpoint.get(path)}
    missing = [{"config": config, "name": name} for name, config in plan.checks.items() if name not in there]
    created = endpoint.post(path, missing) if missing else []
    return there | {check["name"]: check["id"] for check in created}


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


def _provide_rules(endpoint: Endpoint, monitor_id: int, wanted: MonitorPlan, found: Json | None) -> None:
    there = [rule["condition"] for rule in found["alert_rules"]] if found else []
    for rule in wanted.rules:
        condition = {"operator": rule.operator, "value": rule.value}
        if condition not in there:
            body = {"condition": condition, "alert_severity": rule.severity, "is_active": True}
            endpoint.post(f"monitors/{monitor_id}/alert-rules", body)
