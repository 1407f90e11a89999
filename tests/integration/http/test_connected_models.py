"""Overviews of models count what was sent, and show each row that could not be stored."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.db.tables.org import Alert
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.helpers.statements import recorded_statements
from tests.integration.conftest import Target, labels, rows

START = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = int(START.timestamp())


@pytest.fixture
def endpoint(app: App, acme: Acme, target: Target) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def answer(endpoint: Endpoint, method: str, path: str, body: Any = None) -> Any:
    headers = {} if body is None else {"content-type": "application/json"}
    response = endpoint.request(method, path, b"" if body is None else json.dumps(body).encode(), **headers)
    assert response.status == 200, response.data
    return json.loads(response.data)


def add_monitors(endpoint: Endpoint, model_id: int, names: list[str]) -> list[int]:
    """Create monitors, each with a rule, and return the ids of the rules."""
    check = {"config": {"module_name": "deepchecks.tabular.checks", "class_name": "PercentOfNulls", "params": {}}}
    check_id = answer(endpoint, "POST", f"models/{model_id}/checks", [{**check, "name": "nulls"}])[0]["id"]
    rules = []
    for name in names:
        monitor = {"name": name, "lookback": 86_400, "aggregation_window": 1, "frequency": "DAY"}
        monitor_id = answer(endpoint, "POST", f"checks/{check_id}/monitors", monitor)["id"]
        rule = {"condition": {"operator": "greater_than", "value": 0.5}, "alert_severity": "high"}
        rules.append(answer(endpoint, "POST", f"monitors/{monitor_id}/alert-rules", rule)["id"])
    return rules


def add_alert(target: Target, rule_id: int, severity: str, state: str) -> None:
    """Store an alert as evaluation does."""
    with db.org_session(target.engine, target.org) as session:
        session.add(
            Alert(
                rule_id=rule_id, version_id=target.version_id, state=state, severity=severity, first_window_start=START,
                first_window_end=START, last_window_end=START, windows=1, metric="m", worst_value=1.0,
                worst_window_end=START, current_value=1.0, drivers={}, details={}, n=1, opened_at=START,
            )
        )  # fmt: skip


def test_available_models_count_monitors_and_alerts(endpoint: Endpoint, target: Target) -> None:
    empty_id = answer(endpoint, "POST", "models", {"name": "a new one", "task_type": "regression", "defaults": "none"})
    endpoint.samples(target.version_id, rows(0, 100))
    rules = add_monitors(endpoint, target.model_id, ["one", "two", "three"])
    for severity, state in (("critical", "firing"), ("high", "firing"), ("high", "firing"), ("low", "resolved"),
                            ("critical", "pending")):  # fmt: skip
        add_alert(target, rules[0], severity, state)

    assert answer(endpoint, "GET", "available-models?show_all=true") == [
        {
            "id": empty_id["id"], "name": "a new one", "alerts_count": 0, "monitors_count": 0, "latest_time": None,
            "start_time": None, "description": None, "task_type": "regression", "has_data": False,
            "max_severity": None, "versions": [], "members": [{"id": 1, "notify": True}],
            "severities_count": {"low": 0, "medium": 0, "high": 0, "critical": 0},
        },
        {
            "id": target.model_id, "name": "credit", "alerts_count": 3, "monitors_count": 3,
            "latest_time": FIRST + 99 * 30, "start_time": FIRST, "description": None, "task_type": "binary",
            "has_data": True, "max_severity": "critical",
            "versions": [{"id": target.version_id, "model_id": target.model_id, "name": "v1", "start_time": FIRST,
                          "end_time": FIRST + 99 * 30}],
            "members": [], "severities_count": {"low": 0, "medium": 0, "high": 2, "critical": 1},
        },
    ]  # fmt: skip
    assert [model["name"] for model in answer(endpoint, "GET", "available-models?limit=1&offset=1")] == ["credit"]


def test_connected_models_count_rows_and_labels(endpoint: Endpoint, target: Target) -> None:
    before = int(datetime.now(UTC).timestamp())
    endpoint.samples(target.version_id, rows(0, 100))
    no_label = b'{"_dc_sample_id": "s99", "_dc_label": null}'
    endpoint.labels(target.model_id, [*labels(0, 40), *labels(500, 3), no_label])
    rule = add_monitors(endpoint, target.model_id, ["one"])[0]
    for severity in ("critical", "critical", "high"):
        add_alert(target, rule, severity, "firing")
    (model,) = answer(endpoint, "GET", "connected-models")
    (version,) = answer(endpoint, "GET", f"connected-models/{target.model_id}/versions")

    assert before <= model.pop("latest_update") <= datetime.now(UTC).timestamp()
    assert model == {
        "id": target.model_id, "name": "credit", "description": None, "task_type": "binary", "n_of_alerts": 2,
        "n_of_pending_rows": 0, "n_of_updating_versions": 0, "sample_count": 100, "label_count": 40,
        "label_ratio": 0.4,
    }  # fmt: skip
    assert before <= version.pop("last_update_time") <= datetime.now(UTC).timestamp()
    assert version == {"id": target.version_id, "name": "v1", "n_of_pending_rows": 0, "n_of_alerts": 2}
    assert endpoint.request("GET", "connected-models/999/versions").status == 404


def test_rows_in_kafka_are_pending(buffered: App, acme: Acme, target: Target) -> None:
    with serving(buffered, acme.token) as client:
        assert client.samples(target.version_id, rows(0, 120)).status == 200
        (model,) = answer(client, "GET", "connected-models")
        (version,) = answer(client, "GET", f"connected-models/{target.model_id}/versions")

    assert (model["n_of_pending_rows"], model["n_of_updating_versions"], model["sample_count"]) == (120, 1, 0)
    assert version["n_of_pending_rows"] == 120


def test_overviews_need_no_more_statements_for_more_models(endpoint: Endpoint, target: Target) -> None:
    paths = ("available-models", "connected-models", "models/data-ingestion")
    endpoint.samples(target.version_id, rows(0, 10))
    counts = []
    for _ in range(2):
        with recorded_statements() as counted:
            for path in paths:
                answer(endpoint, "GET", path)
        counts.append(len(counted))
        for number in range(10):
            body = {"name": f"m{number}", "task_type": "binary", "defaults": "none"}
            model_id = answer(endpoint, "POST", "models", body)["id"]
            version = {"name": "v", "features": {"a": "numeric"}, "additional_data": {}}
            answer(endpoint, "POST", f"models/{model_id}/version", version)

    # One for each model would be ten more; work of the endpoint's own may have come due meanwhile.
    assert counts[1] < counts[0] + 10, counted


def refused(endpoint: Endpoint, target: Target) -> list[dict[str, Any]]:
    """Send rows that can't be stored, and return them: the errors that are expected, the oldest first."""
    good = json.loads(rows(0, 1)[0])
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    sent = [
        {**good, "age": "old, \"very\"\nold"},
        {**good, "_dc_sample_id": "later", "_dc_time": future},
        {**good, "_dc_sample_id": 7.5, "age": [1]},
        {**good, "_dc_sample_id": "=cmd", "unknown": 1},
    ]  # fmt: skip
    reasons = ["wrong_type", "future_timestamp", "wrong_type", "unknown_field"]
    for row in sent:
        endpoint.samples(target.version_id, [json.dumps(row).encode()])
    label = {"_dc_sample_id": "s1"}
    endpoint.labels(target.model_id, [json.dumps(label).encode()])
    return [
        {"reason": reason, "sample": json.dumps(row), "version": None if row is label else target.version_id}
        for reason, row in zip([*reasons, "missing_feature"], [*sent, label], strict=True)
    ]


def shown(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"reason": row["reason"], "sample": row["sample"], "version": row["model_version_id"]} for row in errors
    ]  # fmt: skip


def test_each_refused_row_is_an_ingestion_error(endpoint: Endpoint, target: Target) -> None:
    expected = refused(endpoint, target)
    path = f"connected-models/{target.model_id}/ingestion-errors"
    newest_first = answer(endpoint, "GET", path)

    assert shown(newest_first) == expected[::-1]
    assert [row["kind"] for row in newest_first] == ["labels", *4 * ["samples"]]
    assert newest_first[1]["sample_id"] == "=cmd"
    assert newest_first[3]["field"] == "_dc_time"
    assert "after receipt" in newest_first[3]["error"]
    assert shown(answer(endpoint, "GET", f"{path}?sort_order=asc&limit=2&offset=1")) == expected[1:3]
    by_error = answer(endpoint, "GET", f"{path}?sort_key=error&sort_order=asc")
    assert [row["reason"] for row in by_error] == sorted(row["reason"] for row in expected)
    assert len(answer(endpoint, "GET", f"{path}?msg_contains=FUTURE_time")) == 1
    assert answer(endpoint, "GET", f"{path}?msg_contains=%25") == []
    assert len(answer(endpoint, "GET", f"{path}?model_version_id={target.version_id}")) == 4
    now = datetime.now(UTC).timestamp()
    assert len(answer(endpoint, "GET", f"{path}?start_time_epoch={now - 3600}&end_time_epoch={now + 60}")) == 5
    assert answer(endpoint, "GET", f"{path}?end_time_epoch={now - 3600}") == []
    of_version = f"connected-models/{target.model_id}/versions/{target.version_id}/ingestion-errors"
    assert shown(answer(endpoint, "GET", of_version)) == expected[3::-1]


def test_ingestion_errors_are_downloaded_as_csv(endpoint: Endpoint, target: Target) -> None:
    """The header names the columns, once, also of many rows."""
    refused(endpoint, target)
    endpoint.samples(target.version_id, [json.dumps({"_dc_sample_id": f"x{n}"}).encode() for n in range(1500)])
    path = f"connected-models/{target.model_id}/ingestion-errors?limit=10000"
    response = endpoint.request("GET", f"{path}&download=true")
    lines = list(csv.DictReader(io.StringIO(response.data.decode())))

    assert response.headers["content-type"].startswith("text/csv")
    assert len(lines) == 1505
    assert list(lines[0]) == [
        "id", "sample_id", "error", "sample", "created_at", "model_version_id", "reason", "field", "kind"
    ]  # fmt: skip
    assert [line["sample"] for line in lines[1500:]][::-1] == [row["sample"] for row in _all(endpoint, target)[:5]]
    refusal = endpoint.request("GET", path)
    assert (refusal.status, "300" in error_message(refusal)) == (400, True)
    assert endpoint.request("GET", f"{path}1").status == 422


def _all(endpoint: Endpoint, target: Target) -> Any:
    path = f"connected-models/{target.model_id}/ingestion-errors"
    return answer(endpoint, "GET", f"{path}?limit=300&sort_order=asc")


def test_a_version_of_another_model_has_no_errors_here(endpoint: Endpoint, target: Target) -> None:
    other = answer(endpoint, "POST", "models", {"name": "other", "task_type": "binary"})["id"]

    path = f"connected-models/{other}/versions/{target.version_id}/ingestion-errors"
    assert endpoint.request("GET", path).status == 404


@pytest.mark.parametrize(("time_filter", "width"), [(3600, 900), (86_400, 3600), (7 * 86_400, 86_400)])
def test_data_ingestion_counts_by_time(endpoint: Endpoint, target: Target, time_filter: int, width: int) -> None:
    """A row each 30 seconds, 3,000 of them: 25 hours. Every third has a label."""
    endpoint.samples(target.version_id, rows(0, 3000))
    endpoint.labels(target.model_id, labels(0, 3000)[::3])
    last = FIRST + 2999 * 30
    first_quarter = (last - time_filter) // 900 * 900
    expected: dict[int, list[int]] = {}
    for number in range(3000):
        time = FIRST + number * 30
        if time >= first_quarter:
            counts = expected.setdefault(time // width * width, [0, 0])
            counts[0] += 1
            counts[1] += number % 3 == 0
    right = [{"count": n, "label_count": m, "timestamp": at} for at, (n, m) in sorted(expected.items())]

    assert answer(endpoint, "GET", f"models/data-ingestion?time_filter={time_filter}") == {str(target.model_id): right}
    by_name = f"models/credit/data-ingestion?identifier_kind=name&time_filter={time_filter}"
    assert answer(endpoint, "GET", by_name) == {str(target.model_id): right}
    later = (START + timedelta(days=60)).isoformat().replace("+", "%2B")
    assert answer(endpoint, "GET", f"models/data-ingestion?end_time={later}") == {}
    assert endpoint.request("GET", "models/data-ingestion?end_time=never'").status == 422


def test_onboarding_follows_what_was_sent(endpoint: Endpoint, target: Target) -> None:
    steps = [answer(endpoint, "GET", "onboarding")]
    endpoint.samples(target.version_id, rows(0, 10))
    steps.append(answer(endpoint, "GET", "onboarding"))
    endpoint.labels(target.model_id, labels(0, 1))
    steps.append(answer(endpoint, "GET", "onboarding"))
    answer(endpoint, "POST", "models", {"name": "newer", "task_type": "binary"})
    steps += [answer(endpoint, "GET", "onboarding"), answer(endpoint, "GET", "onboarding?model_name=credit")]

    assert [step["step"] for step in steps] == [2, 3, 4, 1, 4]
    assert endpoint.request("GET", "onboarding?model_name=none").status == 404


@pytest.mark.parametrize(
    ("frequency", "step", "count", "days"),
    [("DAY", timedelta(hours=20), 60, 31), ("HOUR", timedelta(minutes=50), 30, 1), ("WEEK", timedelta(days=6), 20, 84)],
)
def test_auto_frequency_is_the_regular_one(
    endpoint: Endpoint, target: Target, frequency: str, step: timedelta, count: int, days: int
) -> None:
    sent = [json.loads(row) for row in rows(0, count)]
    for number, row in enumerate(sent):
        row["_dc_time"] = (START + number * step).isoformat()
    endpoint.samples(target.version_id, [json.dumps(row).encode() for row in sent])
    proposed = answer(endpoint, "GET", f"models/{target.model_id}/auto-frequency")

    assert proposed["frequency"] == frequency
    assert proposed["start"] == max(FIRST, proposed["end"] - days * 86_400)
    assert 0 < proposed["end"] - (START + (count - 1) * step).timestamp() <= 7 * 86_400


def test_auto_frequency_without_samples_is_a_day(endpoint: Endpoint, target: Target) -> None:
    proposed = answer(endpoint, "GET", f"models/{target.model_id}/auto-frequency")

    assert proposed["frequency"] == "DAY"
    assert proposed["end"] - proposed["start"] == 86_400
    assert proposed["start"] <= datetime.now(UTC).timestamp() < proposed["end"] + 60


def test_helpers_that_wait_return_at_once(endpoint: Endpoint, target: Target) -> None:
    rule = add_monitors(endpoint, target.model_id, ["one"])[0]

    assert answer(endpoint, "GET", f"wait-for-queue/{target.version_id}") is None
    assert answer(endpoint, "GET", f"wait-for-alerts/{rule}?amount=3") is None
    assert endpoint.request("GET", "wait-for-queue/999").status == 404


@pytest.mark.parametrize(
    ("first", "last"), [(0, 100), (7, 93), (30, 59), (31, 45), (0, 0), (60, 30), (-1_000_000_000, 10_000_000)]
)
def test_window_counts_equal_those_of_the_rows(endpoint: Endpoint, target: Target, first: int, last: int) -> None:
    """Also where the window begins and ends within quarter hours. `first` and `last` are numbers of rows."""
    endpoint.samples(target.version_id, rows(0, 200))
    endpoint.labels(target.model_id, labels(0, 200)[::3])
    body = {"start_time": (START + first * timedelta(seconds=30)).isoformat(),
            "end_time": (START + last * timedelta(seconds=30)).isoformat()}  # fmt: skip
    numbers = [number for number in range(200) if first <= number < last]

    assert answer(endpoint, "GET", f"model-versions/{target.version_id}/time-window-statistics", body) == {
        "num_samples": len(numbers), "num_labeled_samples": len([n for n in numbers if n % 3 == 0])
    }  # fmt: skip


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("bound", ["start_time", "end_time"])
def test_ends_of_the_calendar_are_counted_or_refused(endpoint: Endpoint, target: Target, bound: str, time: str) -> None:
    endpoint.samples(target.version_id, rows(0, 20))
    path = f"model-versions/{target.version_id}/time-window-statistics"
    if not time.endswith("Z"):
        assert endpoint.request("GET", path, {bound: time}).status == 422
        return
    is_counted = (time < "2000") == (bound == "start_time")
    assert answer(endpoint, "GET", path, {bound: time}) == {"num_samples": 20 * is_counted, "num_labeled_samples": 0}


def test_window_counts_read_few_samples(endpoint: Endpoint, target: Target) -> None:
    """Whole quarter hours are not read: their counts are."""
    endpoint.samples(target.version_id, rows(0, 200))
    with db.org_session(target.engine, target.org) as session:
        session.execute(
            text("update quarter_hours set n = n + 1000 where at = :at"), {"at": START + timedelta(hours=1)}
        )
    path = f"model-versions/{target.version_id}/time-window-statistics"

    assert answer(endpoint, "GET", path, {})["num_samples"] == 1200
