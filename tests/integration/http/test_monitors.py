"""Monitors over HTTP: create, show and change; a change re-evaluates only the windows it affects."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from dcmon.app import App
from dcmon.db.tables.org import Check, Monitor
from dcmon.monitoring import lifecycle, model_checks, monitors, reevaluation
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models, versions
from dcmon.windows import Frequency
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.evaluation import log_day
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target
from tests.integration.http.test_rules import send_request

DUE = "select count(*) from due_windows"


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    """Serve a model with samples and a daily monitor whose alert fires."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    for number in range(4):
        log_day(app, target, number, count=5)
    with serving(app, acme.token) as client:
        yield client


def delete_due_windows(target: Target) -> None:
    """Delete all due windows, as if they had been evaluated."""
    target.scalar("with gone as (delete from due_windows returning 1) select count(*) from gone")


def change(endpoint: Endpoint, body: Mapping[str, Any], status: int = 200) -> Any:
    response = send_request(endpoint, "PUT", "monitors/1", body, status)
    if status != 200:
        return response
    assert response is None
    return send_request(endpoint, "GET", "monitors/1")


@pytest.mark.parametrize(
    "body",
    [
        {"frequency": "HOUR"},
        {"aggregation_window": 3},
        {"data_filters": {"filters": [{"column": "age", "operator": "greater_than", "value": 3}]}},
        {"additional_kwargs": {"check_conf": {"feature": ["age"]}, "res_conf": None}},
        {"compared_with": "previous"},
        {"rows": 500},
        {"rows": "all"},
        {"params": {"min_samples": 7}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_change_of_values_evaluates_windows_again(endpoint: Endpoint, target: Target, body: Mapping[str, Any]) -> None:
    """A change that affects the values makes windows due and closes alerts."""
    before = send_request(endpoint, "GET", "monitors/1")
    delete_due_windows(target)
    after = change(endpoint, body)
    (name, value), unchanged = next(iter(body.items())), before.keys() - body.keys()
    if name == "params":
        assert after["check"]["config"]["params"] == value
        unchanged -= {"check"}
    else:
        assert after[name] == value
    assert {key: after[key] for key in unchanged - {"revision", "alert_rules"}} == {
        key: before[key] for key in unchanged - {"revision", "alert_rules"}
    }
    assert (after["revision"], target.scalar(DUE) > 0) == (before["revision"] + 1, True)
    assert send_request(endpoint, "GET", "alerts/count_active") == {}


def test_change_of_name_or_lookback_keeps_the_revision(endpoint: Endpoint, target: Target) -> None:
    """Name, description, lookback and dashboard change nothing else."""
    delete_due_windows(target)
    board = send_request(endpoint, "GET", "dashboards")["id"]
    body = {"name": "Ålder – 年齢", "description": "what for", "lookback": 86_400, "dashboard_id": board}
    after = change(endpoint, body)
    assert {key: after[key] for key in body} == body
    assert (after["revision"], target.scalar(DUE)) == (1, 0)
    assert send_request(endpoint, "GET", "alerts/count_active") == {"high": 1}
    assert [monitor["name"] for monitor in send_request(endpoint, "GET", "dashboards")["monitors"]] == ["Ålder – 年齢"]


def test_other_frequency_keeps_the_lookback(endpoint: Endpoint) -> None:
    """Only what the body contains changes: a graph of a week is one of a week with another frequency, too."""
    change(endpoint, {"lookback": 604_800})
    for frequency in ("WEEK", "HOUR", "DAY"):
        assert change(endpoint, {"frequency": frequency})["lookback"] == 604_800


def test_change_to_present_values_changes_nothing(endpoint: Endpoint, target: Target) -> None:
    """Sending the present values keeps the revision."""
    delete_due_windows(target)
    shown = send_request(endpoint, "GET", "monitors/1")
    named = ("name", "lookback", "aggregation_window", "frequency", "data_filters", "additional_kwargs", "rows")
    assert (
        change(endpoint, {**{name: shown[name] for name in named}, "params": shown["check"]["config"]["params"]})
        == shown
    )
    assert change(endpoint, {}) == shown
    assert target.scalar(DUE) == 0


def test_null_removes_a_setting(endpoint: Endpoint) -> None:
    """null in the body removes a setting of the monitor."""
    board = send_request(endpoint, "GET", "dashboards")["id"]
    chosen = {
        "data_filters": {"filters": [{"column": "age", "operator": "in", "value": [1, None]}]},
        "additional_kwargs": {"check_conf": {"feature": ["age"]}, "res_conf": None},
        "rows": 50, "dashboard_id": board, "description": "x", "params": {"min_samples": 7},
    }  # fmt: skip
    change(endpoint, chosen)
    after = change(endpoint, dict.fromkeys(chosen))
    assert {name: after.get(name) for name in chosen} == {**dict.fromkeys(chosen), "description": ""}
    assert after["check"]["config"]["params"] == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": " "}, 400),
        ({"name": "a\0b"}, 422),
        ({"data_filters": {"filters": [{"column": "age", "operator": "like", "value": 1}]}}, 422),
        ({"name": None}, 422),
        ({"frequency": "YEAR"}, 422),
        ({"frequency": None}, 422),
        ({"aggregation_window": 1001}, 422),
        ({"lookback": -1}, 422),
        ({"rows": 0}, 422),
        ({"rows": "some"}, 422),
        ({"dashboard_id": 99}, 404),
        ({"compared_with": "yesterday"}, 422),
        ({"compared_with": "week_before", "frequency": "MONTH"}, 400),
        ({"data_filters": {"filters": [{"column": "nobody", "operator": "equals", "value": 1}]}}, 400),
        ({"additional_kwargs": {"check_conf": {"feature": ["nobody"]}}}, 400),
    ],
)
def test_invalid_change_is_refused_and_changes_nothing(
    endpoint: Endpoint, target: Target, body: Mapping[str, Any], status: int
) -> None:
    """A refused change leaves the monitor as it was."""
    delete_due_windows(target)
    before = send_request(endpoint, "GET", "monitors/1")
    change(endpoint, {"aggregation_window": 2, **body}, status)
    assert send_request(endpoint, "GET", "monitors/1") == before
    assert target.scalar(DUE) == 0


def test_schedule_time_makes_windows_of_all_monitors_due(app: App, endpoint: Endpoint, target: Target) -> None:
    """Windows since a time become due for all monitors of a model."""
    for number in range(4, 30):
        log_day(app, target, number, count=1)
    delete_due_windows(target)
    path = f"models/{target.model_id}/monitors-set-schedule-time"
    response = send_request(endpoint, "POST", path, {"timestamp": "2026-03-05T00:00:00+00:00"})
    assert response == [{"id": 1, "latest_schedule": "2026-03-05T00:00:00+00:00"}]
    first = "select min(window_end) from due_windows"
    assert target.scalar(first) == datetime(2026, 3, 5, tzinfo=UTC)
    send_request(endpoint, "POST", path, {"timestamp": "soon"}, 422)
    send_request(endpoint, "POST", "models/99/monitors-set-schedule-time", {"timestamp": "2026-03-05"}, 404)


def test_unknown_monitor_gives_404(endpoint: Endpoint) -> None:
    """A monitor that does not exist gives 404."""
    send_request(endpoint, "PUT", "monitors/99", {"name": "x"}, 404)


def test_monitor_is_created_with_its_number_of_rows(endpoint: Endpoint) -> None:
    """rows is a number, "all" or null."""
    check = send_request(endpoint, "GET", "monitors/1")["check"]["id"]
    body = {"name": "x", "lookback": 0, "aggregation_window": 1, "frequency": "DAY"}
    created = [
        send_request(endpoint, "POST", f"checks/{check}/monitors", {**body, "rows": rows})["id"]
        for rows in (7, "all", None)
    ]
    assert [send_request(endpoint, "GET", f"monitors/{monitor_id}")["rows"] for monitor_id in created] == [
        7,
        "all",
        None,
    ]


def test_change_of_params_keeps_those_of_other_monitors(app: App, target: Target) -> None:
    """Another monitor on the same check keeps its parameters."""

    def set_params(monitor_id: int, **params: Any) -> str:
        with app.org(target.org) as session:
            monitor = monitors.get(session, monitor_id)
            lifecycle.change_monitor(
                session, target.org, monitor, lambda spec, _: lifecycle.MonitorEdit(spec, params), None
            )
            return model_checks.get_check(session, monitor.check_id).name

    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "FeatureDrift")
        first, second, third = (
            monitors.create(session, check, MonitorSpec(name, Frequency.DAY)).id for name in ("A", "B", "C")
        )
    assert set_params(first, min_samples=5) == "A"
    assert set_params(second, min_samples=5) == "A"
    assert set_params(second, min_samples=6) == "B"
    assert set_params(second, min_samples=9) == "B"
    assert set_params(first) == "FeatureDrift"
    with app.org(target.org) as session:
        checks = {stored_check.name: stored_check.params for stored_check in session.scalars(select(Check))}
        assert checks == {"FeatureDrift": {}, "A": {"min_samples": 5}, "B": {"min_samples": 9}}
        assert session.get_one(Monitor, third).revision == 1
        assert session.get_one(Monitor, second).revision == 4


def test_windows_before_the_retention_are_never_due(app: App, target: Target) -> None:
    """Neither a change nor a reference makes windows before the retention due."""
    retention = timedelta(days=1)
    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "FeatureDrift")
        monitor_row = monitors.create(session, check, MonitorSpec("A", Frequency.DAY)).id
    for number in range(20):
        log_day(app, target, number, count=2)
    newest = datetime(2026, 3, 22, tzinfo=UTC)
    now = datetime.now(UTC)
    term = now - newest + timedelta(days=8)  # so far back that the month of the first samples is kept
    begins = datetime(2026, 3, 1, tzinfo=UTC)
    delete_due_windows(target)
    with app.org(target.org) as session:
        monitor = monitors.get(session, monitor_row)
        version = versions.get(session, target.version_id)[1]
        assert monitors.start_revision(session, monitor, retention).windows == 0
        assert reevaluation.enqueue_for_reference(session, version, now, retention) == 0
        assert reevaluation.enqueue_for_reference(session, version, now, term) > 0
        assert monitors.start_revision(session, monitor, term).windows > 0
        assert session.scalar(text("select min(window_start) from due_windows")) >= begins
