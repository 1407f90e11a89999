"""Rules and their alerts in lists and in bulk over HTTP, and dashboards."""

from collections.abc import Iterator

import pytest

from dcmon import db
from dcmon.alerting import rules
from dcmon.alerting.rules import Change
from dcmon.app import App
from dcmon.monitoring import model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models
from dcmon.storage.models import NewModel
from dcmon.windows import Frequency
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.judged_results import create_rule, store_and_judge, stored_alerts
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a monitor with three rules, of which two have alerts, and a second model with a rule without alerts."""
    create_rule(target, "> 0.2")
    with db.org_session(target.engine, target.org) as session:
        rules.create(session, 1, rules.parse("> 0.55"), "critical")
        rules.create(session, 1, rules.parse("> 9"), "low", more=Change(is_active=False))
    for number, value in enumerate((0.5, 0.1, 0.3, 0.6)):
        store_and_judge(target, number, value)
    with db.org_session(target.engine, target.org) as session:
        other = models.create(session, NewModel("other", "binary"))
        check = model_checks.get_or_create_check(session, other, "FeatureDrift")
        monitor = monitors.create(session, check, MonitorSpec("Other Drift", Frequency.DAY))
        rules.create(session, monitor.id, rules.parse("< 0"), "medium")
    with serving(app, acme.token) as client:
        yield client


def listed(endpoint: Endpoint, query: str = "", path: str = "alert-rules") -> list[tuple[int, int]]:
    """Return the ids of the listed rules, with the number of their alerts."""
    entries = send_request(endpoint, "GET", f"{path}?{query}")
    return [(entry["id"], entry["alerts_count"]) for entry in entries]


def test_rules_with_alerts_are_listed_by_severity(endpoint: Endpoint) -> None:
    """As in the old system only rules with a matching alert are listed, the most severe first."""
    first, second = send_request(endpoint, "GET", "alert-rules")
    keys = ("id", "monitor_id", "condition", "alert_severity", "is_active", "model_id")
    assert {key: second[key] for key in keys} == {
        "id": 1, "monitor_id": 1, "condition": {"operator": "greater_than", "value": 0.2}, "alert_severity": "high",
        "is_active": True, "model_id": 1,
    }  # fmt: skip
    assert (second["alerts_count"], second["max_end_time"]) == (2, "2026-03-06T00:00:00+00:00")
    assert (first["id"], first["alert_severity"], first["alerts_count"]) == (2, "critical", 1)
    assert listed(endpoint, path="monitors/1/alert-rules") == [(2, 1), (1, 2)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sortby=severity:asc", [(1, 2), (2, 1)]),
        ("sortby[]=severity:asc", [(1, 2), (2, 1)]),
        ("sortby=alert-window:asc&sortby=severity:asc", [(1, 2), (2, 1)]),
        ("severity=critical&severity=low", [(2, 1)]),
        ("severity[]=high", [(1, 2)]),
        ("models=1&models=2", [(2, 1), (1, 2)]),
        ("models[]=2", []),
        ("is_active=false", []),
        ("resolved=true", [(1, 1)]),
        ("resolved=false", [(2, 1), (1, 1)]),
        ("end=2026-03-03T00:00:00Z", [(1, 1)]),
        ("start=2026-03-05T00:00:00%2B00:00", [(2, 1)]),
        ("start=2026-03-04T00:00:00&resolved=false", [(2, 1), (1, 1)]),
        ("all=true", [(2, 1), (1, 2), (4, 0), (3, 0)]),
        ("all=true&is_active=false", [(3, 0)]),
        ("limit=1", [(2, 1)]),
        ("limit=1&offset=1", [(1, 2)]),
    ],
)
def test_rules_are_filtered_sorted_and_paginated(
    endpoint: Endpoint, query: str, expected: list[tuple[int, int]]
) -> None:
    assert listed(endpoint, query) == expected


@pytest.mark.parametrize(
    "query", ["severity=zz", "sortby=name:asc", "models=x", "start=x", "limit=0", "is_active=perhaps", "models=-1"]
)
def test_list_with_an_unknown_filter_is_unprocessable(endpoint: Endpoint, query: str) -> None:
    """An unknown severity is 422: the old system answered 500."""
    send_request(endpoint, "GET", f"alert-rules?{query}", status=422)
    send_request(endpoint, "GET", "monitors/99/alert-rules", status=404)


def test_configured_rules_are_listed_with_counts(endpoint: Endpoint) -> None:
    """All rules are listed; the counts are null without alerts."""
    entries = send_request(endpoint, "GET", "config/alert-rules")
    assert [(entry["id"], entry["total_alerts"], entry["non_resolved_alerts"]) for entry in entries] == [
        (1, 2, 1), (2, 1, 1), (3, None, None), (4, None, None),
    ]  # fmt: skip
    assert (entries[0]["name"], entries[0]["frequency"], entries[0]["check_name"]) == ("Drift", "DAY", "FeatureDrift")
    assert (entries[0]["recent_alert"] is None, entries[2]["recent_alert"], entries[0]["user"]) == (False, None, None)
    ranked = send_request(endpoint, "GET", "config/alert-rules?sortby=severity:asc&severity=low&severity=critical")
    assert [entry["id"] for entry in ranked] == [3, 2]
    assert [entry["id"] for entry in send_request(endpoint, "GET", "config/alert-rules?models=2")] == [4]


def test_alerts_of_a_rule_are_resolved_and_reactivated(endpoint: Endpoint, target: Target) -> None:
    """Only alerts of that rule change; what recovered by itself is not reopened."""
    assert send_request(endpoint, "POST", "alert-rules/1/resolve-all", {"note": "known"})["changed"] == 1
    assert send_request(endpoint, "GET", "alerts/count_active") == {"critical": 1}
    assert send_request(endpoint, "POST", "alert-rules/1/resolve-all")["changed"] == 0
    path = "alert-rules/1/alerts/reactivate-resolved"
    assert send_request(endpoint, "POST", path) == {"changed": 1, "refused": 1}
    assert send_request(endpoint, "GET", "alerts/count_active") == {"high": 1, "critical": 1}
    assert [alert.state for alert in stored_alerts(target)] == ["resolved", "firing", "firing"]
    for method in ("resolve-all", "alerts/reactivate-resolved"):
        send_request(endpoint, "POST", f"alert-rules/99/{method}", status=404)


def test_several_resolved_alerts_are_all_reactivated(endpoint: Endpoint, target: Target) -> None:
    """Alerts that a person resolved one after the other are reopened, the newest first."""
    send_request(endpoint, "POST", "alert-rules/1/resolve-all")
    store_and_judge(target, 4, 0.7)
    send_request(endpoint, "POST", "alert-rules/1/resolve-all")
    assert send_request(endpoint, "GET", "alerts/count_active") == {"critical": 1}
    assert send_request(endpoint, "POST", "alert-rules/1/alerts/reactivate-resolved")["changed"] == 2
    assert send_request(endpoint, "GET", "alerts/count_active")["high"] >= 1


def test_alert_is_deleted_with_its_history(endpoint: Endpoint, target: Target) -> None:
    """A deleted alert is in no list; the next violated window opens another one."""
    alert_id = send_request(endpoint, "GET", "alert-rules/2/alerts")[0]["id"]
    assert send_request(endpoint, "DELETE", f"alerts/{alert_id}") is None
    send_request(endpoint, "GET", f"alerts/{alert_id}", status=404)
    send_request(endpoint, "DELETE", f"alerts/{alert_id}", status=404)
    assert send_request(endpoint, "GET", "alert-rules/2/alerts") == []
    store_and_judge(target, 4, 0.8)
    (newer,) = send_request(endpoint, "GET", "alert-rules/2/alerts")
    assert (newer["windows"], newer["end_time"]) == (1, "2026-03-07T00:00:00+00:00")


def test_failed_values_have_the_old_keys(endpoint: Endpoint) -> None:
    """Lists name the version, a single alert has its id, as in the old system; both fields stand beside."""
    (alert,) = send_request(endpoint, "GET", "alert-rules/2/alerts?limit=1")
    shown = send_request(endpoint, "GET", f"alerts/{alert['id']}")
    assert (alert["failed_values"], shown["failed_values"]) == ({"v1": {"score": 0.6}}, {"1": {"score": 0.6}})
    assert (alert["version"], alert["version_id"], shown["version"]) == ("v1", 1, "v1")


def test_alerts_of_a_rule_are_paginated(endpoint: Endpoint) -> None:
    ids = [alert["id"] for alert in send_request(endpoint, "GET", "alert-rules/1/alerts")]
    pages = [send_request(endpoint, "GET", f"alert-rules/1/alerts?limit=1&offset={offset}") for offset in range(3)]
    assert [[alert["id"] for alert in page] for page in pages] == [[ids[0]], [ids[1]], []]


def test_schedule_time_changes_no_alert_of_another_model(endpoint: Endpoint, target: Target) -> None:
    """The old system resolved all alerts of the organization; here no alert is resolved, nor notified again."""
    before = [(alert.id, alert.state) for alert in stored_alerts(target)]
    for model_id in (2, 1):
        body = {"timestamp": "2026-03-01T00:00:00Z"}
        entries = send_request(endpoint, "POST", f"models/{model_id}/monitors-set-schedule-time", body)
        assert [entry["id"] for entry in entries] == [model_id]
    assert [(alert.id, alert.state) for alert in stored_alerts(target)] == before


def test_dashboard_is_renamed_and_deleted(endpoint: Endpoint) -> None:
    """A new dashboard has no name; when it is deleted, its monitors stay."""
    board = send_request(endpoint, "GET", "dashboards")
    assert board == {"id": board["id"], "name": None, "monitors": []}
    send_request(endpoint, "PUT", "monitors/1", {"dashboard_id": board["id"]})
    assert send_request(endpoint, "PUT", f"dashboards/{board['id']}", {"name": "n" * 50}) is None
    shown = send_request(endpoint, "GET", "dashboards")
    assert (shown["name"], [monitor["id"] for monitor in shown["monitors"]]) == ("n" * 50, [1])
    for name, status in (("n" * 51, 422), ("", 422), (7, 422)):
        send_request(endpoint, "PUT", f"dashboards/{board['id']}", {"name": name}, status)
    assert send_request(endpoint, "DELETE", f"dashboards/{board['id']}") is None
    for method, body in (("PUT", {"name": "x"}), ("DELETE", None)):
        send_request(endpoint, method, f"dashboards/{board['id']}", body, 404)
    assert send_request(endpoint, "GET", "monitors/1")["dashboard_id"] is None
    assert send_request(endpoint, "GET", "dashboards")["monitors"] == []
