"""Data-ingestion alert rules over HTTP, from logged rows to alerts and notifications."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dcmon import db
from dcmon.app import App
from dcmon.db.work_queue import Work
from dcmon.jobs import evaluate, schedule
from dcmon.monitoring import window_expansion
from dcmon.notifications import receivers
from dcmon.settings import Webhooks
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.integration.conftest import Target, eventually, running
from tests.integration.http.test_rules import send_request
from tests.integration.monitoring.test_default_flow import log_window

DAY = timedelta(days=1)
# The rows of the days before today; there is a gap of two days. Labels of days that are long ago are not awaited.
ROWS = {9: 60, 8: 60, 7: 20, 4: 60, 3: 60, 2: 60, 1: 200}
LABELLED = {9: 60, 8: 12}
IS_DONE = """
    select exists (select 1 from results) and not exists (select 1 from due_windows where due_at < now())
"""
RULE = {
    "name": "few samples", "alert_type": "sample_count", "frequency": "DAY", "alert_severity": "high",
    "condition": {"operator": "less_than", "value": 50},
}  # fmt: skip


def midnight(days_ago: int) -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - days_ago * DAY


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with rows of several days, a subscribed webhook, and no checks."""
    with db.org_session(target.engine, target.org) as session:
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
    for days_ago, n in ROWS.items():
        log_window(app, target, target.version_id, midnight(days_ago), DAY, n, 0)
    for days_ago, n in LABELLED.items():
        ids = [f"{target.version_id}/{midnight(days_ago).isoformat()}/{index}" for index in range(n)]
        rows = [json.dumps({"_dc_sample_id": name, "_dc_label": "1"}).encode() for name in ids]
        app.ingestion.ingest_labels(target.org, target.model_id, rows)
    with serving(app, acme.token) as client:
        yield client


def evaluate_all(app: App, target: Target) -> None:
    """Evaluate all windows that are due now, as the scheduler and a worker do. Some wait for labels."""
    with app.org(target.org) as session:
        while window_expansion.expand(session):
            pass
    schedule.sweep(app)
    app.enqueue(target.org, Work.evaluate)
    with running(evaluate.run, app):
        assert eventually(lambda: target.scalar(IS_DONE))


def create(endpoint: Endpoint, status: int = 200, **changed: Any) -> int:
    body = {**RULE, **changed}
    response = send_request(endpoint, "POST", "models/1/data-ingestion-alert-rules", body, status)
    return int(response["id"]) if status == 200 else 0


def alerts(endpoint: Endpoint, rule_id: int, query: str = "") -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = send_request(endpoint, "GET", f"data-ingestion-alert-rules/{rule_id}/alerts{query}")
    return entries


def spans(entries: list[dict[str, Any]]) -> list[tuple[str, str, float, bool]]:
    return [(entry["start_time"], entry["end_time"], entry["value"], entry["resolved"]) for entry in entries]


def test_windows_with_few_or_no_samples_alert(app: App, endpoint: Endpoint, target: Target) -> None:
    """A window without samples violates a lower bound: in the old system it was never judged."""
    rule_id = create(endpoint)
    evaluate_all(app, target)
    assert spans(alerts(endpoint, rule_id)) == [(midnight(7).isoformat(), midnight(4).isoformat(), 0, True)]
    assert alerts(endpoint, rule_id)[0]["windows"] == 3
    assert alerts(endpoint, rule_id, "?resolved=false") == []


@pytest.mark.parametrize(
    ("alert_type", "operator", "threshold", "days_ago", "value"),
    [
        ("sample_count", "greater_than", 199, 1, 200),
        ("sample_count", "equals", 20, 7, 20),
        ("label_count", "greater_than", 50, 9, 60),
        ("label_ratio", "greater_than_equals", 1, 9, 1),
    ],
)
def test_each_type_counts_what_it_names(
    app: App, endpoint: Endpoint, target: Target, alert_type: str, operator: str, threshold: float, days_ago: int,
    value: float,
) -> None:  # fmt: skip
    """An alert has the value of its window; a sample at a boundary counts in one window only."""
    rule_id = create(endpoint, alert_type=alert_type, condition={"operator": operator, "value": threshold})
    evaluate_all(app, target)
    (alert,) = alerts(endpoint, rule_id)
    assert (alert["start_time"], alert["end_time"]) == (
        midnight(days_ago).isoformat(), midnight(days_ago - 1).isoformat(),
    )  # fmt: skip
    assert (alert["value"], alert["windows"], alert["alert_rule_id"]) == (value, 1, rule_id)


def test_rule_that_is_not_active_alerts_when_it_is_turned_on(app: App, endpoint: Endpoint, target: Target) -> None:
    """An inactive rule opens no alert: in the old system it did."""
    rule_id = create(endpoint, is_active=False)
    evaluate_all(app, target)
    assert alerts(endpoint, rule_id) == []
    assert send_request(endpoint, "PUT", f"data-ingestion-alert-rules/{rule_id}", {"is_active": True}) is None
    assert len(alerts(endpoint, rule_id)) == 1


def test_firing_alert_notifies_and_is_acted_on(app: App, endpoint: Endpoint, target: Target) -> None:
    """Its alerts are notified like all others: in the old system they were not."""
    rule_id = create(endpoint, condition={"operator": "greater_than", "value": 150})
    evaluate_all(app, target)
    assert target.scalar("select count(*) from notifications where kind = 'firing'") == 1
    (alert,) = alerts(endpoint, rule_id)
    path = f"data-ingestion-alerts/{alert['id']}"
    assert send_request(endpoint, "GET", path) == alert
    assert send_request(endpoint, "GET", "data-ingestion-alerts/count_active") == {"high": 1}
    assert send_request(endpoint, "GET", "alerts/count_active") == {}
    assert send_request(endpoint, "POST", f"{path}/resolve")["resolved"] is True
    assert send_request(endpoint, "POST", f"{path}/reactivate", {"note": "why"})["resolved"] is False
    all_of = f"data-ingestion-alert-rules/{rule_id}"
    assert send_request(endpoint, "POST", f"{all_of}/resolve-all") == {"changed": 1, "refused": 0}
    assert send_request(endpoint, "GET", "data-ingestion-alerts/count_active") == {}
    assert send_request(endpoint, "POST", f"{all_of}/alerts/reactivate-resolved") == {"changed": 1, "refused": 0}
    assert send_request(endpoint, "DELETE", path) is None
    for method, action in (("GET", ""), ("DELETE", ""), ("POST", "/resolve"), ("POST", "/reactivate")):
        send_request(endpoint, method, f"{path}{action}", status=404)


def test_rule_is_shown_changed_listed_and_deleted(endpoint: Endpoint, target: Target) -> None:
    rule_id = create(endpoint)
    path = f"data-ingestion-alert-rules/{rule_id}"
    shown = send_request(endpoint, "GET", path)
    assert {key: shown[key] for key in RULE} == RULE
    assert (shown["id"], shown["model_id"], shown["is_active"]) == (rule_id, 1, True)
    change = {
        "name": "new",
        "alert_severity": "low",
        "condition": {"operator": "equals", "value": 1},
        "is_active": False,
    }
    send_request(endpoint, "PUT", path, change)
    assert send_request(endpoint, "GET", path) == {**shown, **change}
    send_request(endpoint, "PUT", path, {})
    other = create(endpoint)
    listed = send_request(endpoint, "GET", "models/1/data-ingestion-alert-rules")
    assert [entry["id"] for entry in listed] == [rule_id, other]
    assert send_request(endpoint, "DELETE", path) is None
    for method in ("GET", "PUT", "DELETE"):
        send_request(endpoint, method, path, {} if method == "PUT" else None, 404)
    assert (target.scalar("select count(*) from monitors"), target.scalar("select count(*) from checks")) == (1, 1)


def test_other_lists_have_no_data_ingestion_rules(endpoint: Endpoint) -> None:
    """Both kinds of rules are apart, although they share their ids; the SDK's list of checks does not change."""
    rule_id = create(endpoint)
    for path in ("alert-rules?all=true", "config/alert-rules", "models/1/checks"):
        assert send_request(endpoint, "GET", path) == []
    config = {"module_name": "deepchecks.tabular.checks", "class_name": "FeatureDrift", "params": {}}
    (check,) = send_request(endpoint, "POST", "models/1/checks", {"config": config, "name": "Data Ingestion"})
    body = {"name": "m", "lookback": 0, "aggregation_window": 1, "frequency": "DAY"}
    monitor = send_request(endpoint, "POST", f"checks/{check['id']}/monitors", body)["id"]
    condition = {"condition": {"operator": "less_than", "value": 1}}
    other = send_request(endpoint, "POST", f"monitors/{monitor}/alert-rules", condition)["id"]
    assert other != rule_id
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/alerts"), ("POST", "/resolve-all"),
                         ("POST", "/alerts/reactivate-resolved")):  # fmt: skip
        body = {} if method == "PUT" else None
        send_request(endpoint, method, f"data-ingestion-alert-rules/{other}{path}", body, 404)
    assert create(endpoint) > other
    assert [entry["id"] for entry in send_request(endpoint, "GET", "config/alert-rules")] == [other]


@pytest.mark.parametrize(
    "changed",
    [
        {"alert_type": "rows"},
        {"frequency": "YEAR"},
        {"condition": {"operator": "in", "value": 1}},
        {"condition": {"operator": "less_than"}},
        {"condition": None},
        {"alert_severity": "urgent"},
        {"name": ""},
        {"name": "n" * 101},
    ],
)
def test_unusable_data_ingestion_rule_is_unprocessable(endpoint: Endpoint, target: Target, changed: Any) -> None:
    create(endpoint, 422, **changed)
    send_request(endpoint, "POST", "models/99/data-ingestion-alert-rules", RULE, 404)
    assert target.scalar("select count(*) from monitors") == 0
